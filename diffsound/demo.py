"""`diffsound demo`: sentences made to sound by a trained model, on a page with what a judge hears in them."""

from __future__ import annotations

import argparse
import html
import time
from pathlib import Path
from typing import TYPE_CHECKING

from diffsound.generate import MODEL
from diffsound.whole_file import write_text

if TYPE_CHECKING:
    from diffsound.clip import Clip
    from diffsound.evaluation.tagger import EventTagger

SENTENCES = (
    "a dog barks three times",
    "rain falls on a roof",
    "a bird chirps, then thunder rumbles",
    "someone knocks on a door before a cat meows",
    "a helicopter flies overhead after a bell rings",
    "a duck quacks while the wind howls",
    "two car honks, then an engine running",
    "a telephone rings loudly and far away",
    "first a whistle blows, then a drum is hit twice",
    "a real dog barking",
    "real waves breaking on a beach",
    "a real rooster crows",
)
SHOWN = (2, 4, 5, 9)  # sentences of the picture
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;color:#222}
.clips{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(28rem,100%),1fr));gap:1.5rem}
figure{margin:0}figcaption{font-weight:600}img,audio{width:100%}small{color:#555;font-weight:400}code{font-size:.9em}"""


def main(args: list[str]) -> None:
    """Make a page of sounds by the model of the package, in OUT/index.html, and a picture of some, OUT/sounds.png."""
    parser = argparse.ArgumentParser(prog="diffsound demo", description=main.__doc__)
    parser.add_argument("--model", default=MODEL, help="bundle: a name of the package's, a folder or a hub id")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the page and its clips")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(args)
    from diffsound.evaluation.judge import load_judge
    from diffsound.text_to_sound import TextToSound

    start = time.perf_counter()
    model, judge = TextToSound.from_pretrained(options.model), load_judge()
    loaded = time.perf_counter() - start
    figures, clips, seconds = [], [], 0.0
    for number, text in enumerate(SENTENCES):
        start = time.perf_counter()
        clip = model(text, seed=options.seed)
        took = time.perf_counter() - start
        seconds += took
        clips.append(clip)
        figures.append(_figure(options.out, f"{number:02d}", clip, took, judge))
        print(f"{took:.2f} s  {text}", flush=True)
    _picture(options.out / "sounds.png", [clips[i] for i in SHOWN])
    page = options.out / "index.html"
    write_text(page, _page(options.model, figures, loaded, seconds))
    print(f"\nOpen {page} in a browser.")


def _figure(out: Path, name: str, clip: Clip, took: float, judge: EventTagger) -> str:
    """The clip with its picture in `out`/clips, and how the page shows it."""
    from diffsound.evaluation.clips import ClipSet
    from diffsound.evaluation.scoring import listen
    from diffsound.evaluation.timeline_picture import save_timelines
    from diffsound.scenes import read

    folder = out / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    clip.save(folder / f"{name}.wav")
    text = clip.sidecar["text"]
    heard, = listen(judge, ClipSet("made", (clip.waveform,), clip.sample_rate, (text,), (name,)))
    structure = read(text, "wide")
    asked = [{"name": request.name, "onset": request.at, "offset": None}
             for request in (structure.requests if structure else ()) for _ in range(request.count)]
    save_timelines(folder / f"{name}.png", clip.mel.numpy(), clip.mel_settings, asked,
                   [vars(event) for event in heard])
    said = ", ".join(event.name.replace("_", " ") for event in heard) or "nothing it knows"
    return (f'<figure><figcaption>{html.escape(text)}<br><small>made in {took:.2f} s; the judge hears: '
            f'{html.escape(said)}. <code>diffsound replay clips/{name}.json</code></small></figcaption>'
            f'<audio controls preload="none" src="clips/{name}.wav"></audio>'
            f'<img src="clips/{name}.png" alt="what was asked for and heard, over the mel spectrogram" loading="lazy">'
            '</figure>')


def _picture(path: Path, clips: list[Clip]) -> None:
    """Mel spectrograms beside each other, each under its sentence."""
    from matplotlib.figure import Figure

    from diffsound.mel_picture import mel_axis, save_figure

    figure = Figure(figsize=(3.2 * len(clips), 2.6), layout="constrained")
    for axis, clip in zip(figure.subplots(1, len(clips)), clips, strict=True):
        mel_axis(axis, clip.mel.numpy(), clip.mel_settings)
        axis.set_title(clip.sidecar["text"], fontsize=10)
        axis.label_outer()
    save_figure(path, figure)


def _page(model: str, figures: list[str], loaded: float, seconds: float) -> str:
    return ('<!doctype html><html lang="en"><meta charset="utf-8"><title>Diffsound: sounds from sentences</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
            f'<h1>Sounds from sentences</h1><p>By the model “{html.escape(model)}”, on this machine: loaded in '
            f'{loaded:.1f} s, {len(figures)} clips in {seconds:.1f} s. The judge knows the sounds of procedural '
            'scenes, so of a real recording it hears at best the nearest of them.</p>'
            f'<div class="clips">{"".join(figures)}</div>')
