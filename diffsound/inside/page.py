"""The page that shows everything that `diffsound inside` wrote; pure HTML, so it works without scripts and network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from diffsound.inside.film import Film
from diffsound.inside.trace import Trace
from diffsound.whole_file import write_text

STYLE = """:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
img{width:100%;height:auto;display:block;background:#fff}audio{width:100%}figure{margin:0}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:1rem}
.one{max-width:42rem}figcaption{font-size:.9rem}a:focus-visible,summary:focus-visible{outline:3px solid #0072b2}"""


def write_page(folder: Path, trace: Trace, made: Film, sampler: dict[str, Any]) -> Path:
    """Write `folder`/index.html beside confidence.png, decided.png, attention.png and the film.

    Args:
        sampler: its `spec`.
    """
    settings = ", ".join(f"{key} {value}" for key, value in sampler["init_args"].items() if value is not None)
    against = f", steered away from “{trace.negative}”" if trace.negative else ""
    stills = "".join(_picture(path.relative_to(folder).as_posix(), caption, f"two mel spectrograms at {caption}")
                     for path, caption in zip(made.frames, made.captions, strict=True))
    sounds = "".join(
        f'<figure><figcaption>{escape(made.captions[number])}</figcaption><audio controls preload="none" '
        f'src="{path.relative_to(folder).as_posix()}" aria-label="sound: {escape(made.captions[number])}"></audio>'
        "</figure>" for number, path in made.sounds.items())
    parts = [
        f"<h1>{escape(trace.text)}</h1>",
        f"<p>Seed {trace.seed}{escape(against)}. {len(trace.t)} steps of "
        f"{escape(sampler['class_path'].rpartition('.')[2])}: {escape(settings)}.</p>",
        "<h2>Film</h2><p>Above, the tokens at a step, grey where they are masked; below, the likeliest code of every "
        "token.</p><details open><summary>The film (close it to stop it)</summary>"
        f'<div class="one">{_picture("film.gif", "", "the frames below, one after the other")}</div></details>'
        f'<h3>Frames</h3><div class="grid">{stills}</div>',
        "<h2>Sounds</h2><p>Of the likeliest codes at some of the frames; the last is the clip.</p>"
        f'<div class="grid">{sounds}</div>' if sounds else "",
        "<h2>How sure it is</h2><p>Left, the probability of the code that was chosen in the end; right, the entropy "
        "over all codes, in nats. Both with guidance, before truncation, over the mel of the clip. Dots are tokens "
        "that are still masked.</p>",
        _picture("confidence.png", "", "confidence and entropy of every token at some steps"),
        "<h2>When it decided</h2><p>The step t at which a token became what it is in the end.</p>",
        f'<div class="one">{_picture("decided.png", "", "the step at which every token was decided")}</div>',
        "<h2>What it reads</h2><p>How much every place of the clip takes from each word, a mean over steps, blocks and "
        "heads.</p>",
        f'<div class="one">{_picture("attention.png", "", "attention to every word over the clip")}</div>',
    ]
    page = folder / "index.html"
    write_text(page, f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Inside: {escape(trace.text)}'
                     '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
                     '<link rel="icon" href="data:,">'
                     f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n")
    return page


def _picture(source: str, caption: str, description: str) -> str:
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (f'<figure><a href="{source}"><img src="{source}" alt="{escape(description)}" loading="lazy"></a>{told}'
            "</figure>")
