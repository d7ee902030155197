"""The page that `diffsound demo-train` ends with: sentences with their sounds, and what is lost of true ones."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffsound.data.audio import save
from diffsound.mel import RANGE_DB
from diffsound.mel_picture import save_mel
from diffsound.scenes import Request, Structure, render
from diffsound.vocoder import GriffinLim, MelGAN
from diffsound.vqvae import VQVAE
from diffsound.whole_file import write_text

SENTENCES = {  # what is said, and the scene it stands for
    "rain falling": Structure((Request("rain"),)),
    "a siren wailing": Structure((Request("siren"),)),
    "a dog barks three times": Structure((Request("dog", 3),)),
    "a bird chirps, then thunder rumbles": Structure((Request("bird"), Request("thunder"))),
    "someone knocks on a door before a cat meows": Structure((Request("knock"), Request("cat"))),
    "a helicopter flies overhead after a bell rings": Structure((Request("bell"), Request("helicopter"))),
    "a duck quacks while the wind howls": Structure((Request("duck"),), Request("wind")),
    "two car honks and then an engine runs": Structure((Request("horn", 2), Request("engine"))),
}
REBUILT = (2, 3)  # sentences whose true rendering is shown before and after codec and vocoder
RENDERINGS = 24  # true renderings of each sentence that a clip is compared with
AUDIBLE = 0.1  # mean of a mel frame that is not silent

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
.clips{display:grid;grid-template-columns:repeat(auto-fill,minmax(26rem,1fr));gap:1.5rem}
figure{margin:0}figcaption{font-weight:600}img{width:100%}audio{width:100%}small{color:#666;font-weight:400}
td,th{padding:.2rem 1rem .2rem 0;text-align:left}@media(max-width:30rem){.clips{grid-template-columns:1fr}}"""


def write_page(out: Path, codec_path: Path, vocoder_path: Path, clips: list[Path], seconds: dict[str, float]) -> Path:
    """Write `out`/index.html beside the clips.

    Args:
        out: folder of the page.
        codec_path, vocoder_path: checkpoints.
        clips: sidecars (.json) of the clips in the order of `SENTENCES`, with wav and png beside them, inside `out`.
        seconds: what each stage took.
    Returns:
        the path of the page.
    """
    codec, vocoder = VQVAE.from_checkpoint(codec_path), MelGAN.from_checkpoint(vocoder_path)
    judge = NearestRendering(codec)
    parts = ["<h1>Sounds made from sentences</h1>",
             "<p>Trained on this machine, on procedural scenes, from nothing.</p>", '<div class="clips">']
    right = 0
    for path in clips:
        sidecar = json.loads(path.read_text())
        tokens = torch.tensor(sidecar["tokens"])[None]
        nearest, distance = judge(codec.decode(tokens, sidecar["grid"]["columns"])[0])
        right += nearest == sidecar["text"]
        verdict = "nearest to true renderings of this sentence" if nearest == sidecar["text"] \
            else f"nearer to “{nearest}”"
        made = sum(sidecar["seconds"].values())
        parts.append(_figure(sidecar["text"], path.with_suffix("").relative_to(out),
                             f"made in {made:.2f} s; {verdict} ({distance:.1f} dB away)"))
    ceiling = judge.ceiling()
    parts.append(f"</div><p>{right} of {len(clips)} clips are nearest to true renderings of their own sentence. Of "
                 f"true renderings themselves, {ceiling:.0%} are.</p><h2>True, and rebuilt</h2>"
                 "<p>What the codec loses (tokens and back) and what the vocoder loses, heard apart.</p>")
    for number in REBUILT:
        parts.append('<div class="clips">' + "".join(_rebuilt(number, out, codec, vocoder)) + "</div>")
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{value:.0f} s</td></tr>" for name, value in seconds.items())
    parts.append(f"<h2>Time</h2><table><tr><th>stage</th><th>this run</th></tr>{rows}</table>")
    page = out / "index.html"
    write_text(page, '<!doctype html><html lang="en"><meta charset="utf-8"><title>Diffsound demo</title>'
                     f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>{"".join(parts)}')
    print(f"{right} of {len(clips)} clips are nearest to true renderings of their sentence; true ones: {ceiling:.0%}")
    return page


class NearestRendering:
    """Which sentence a mel is most like, by log-mel distance to true renderings; nothing is trained.

    Beside the sentences stands the other order of each that has one. Mels are compared after the codec, so that only
    the content counts, from their first sound on, and coarsely in time and frequency, because two renderings of a
    sentence never coincide.
    """

    def __init__(self, codec: VQVAE) -> None:
        self.codec = codec
        wrong = {f"{text} (in the other order)": Structure(structure.events[::-1])
                 for text, structure in SENTENCES.items() if len(structure.events) > 1}
        self.references = {text: self._render(structure, range(RENDERINGS))
                           for text, structure in (SENTENCES | wrong).items()}

    def __call__(self, mel: Tensor) -> tuple[str, float]:
        """The nearest sentence and its distance in dB, for a mel (n_mels, frames)."""
        own = self._coarse(mel[None])
        distance = {text: float((own - other).abs().mean((1, 2)).topk(3, largest=False).values.mean() * RANGE_DB)
                    for text, other in self.references.items()}
        nearest = min(distance, key=distance.get)
        return nearest, distance[nearest]

    def ceiling(self, count: int = 4) -> float:
        """Share of other true renderings that are nearest to their own sentence."""
        others = range(RENDERINGS, RENDERINGS + count)
        hits = [self._is_nearest(text, number) for text in SENTENCES for number in others]
        return sum(hits) / len(hits)

    def _is_nearest(self, text: str, number: int) -> bool:
        wave = _wave(SENTENCES[text], number)
        return self(_through(self.codec, wave)[0])[0] == text

    def _render(self, structure: Structure, numbers: range) -> Tensor:
        return self._coarse(_through(self.codec, torch.cat([_wave(structure, number) for number in numbers])))

    @staticmethod
    def _coarse(mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, n_mels / 4, frames / 12), each from its own first sound on."""
        starts = (mel.mean(1) > AUDIBLE).int().argmax(1)
        aligned = torch.stack([one.roll(-int(start), -1) for one, start in zip(mel, starts, strict=True)])
        return torch.nn.functional.avg_pool2d(aligned, (4, 12))


def _wave(structure: Structure, number: int) -> Tensor:
    return torch.from_numpy(render(structure, np.random.default_rng((7, number))).waveform)[None]


def _through(codec: VQVAE, waveform: Tensor) -> Tensor:
    """The mels of `waveform` after the codec."""
    tokens = codec.encode(waveform)
    return codec.decode(tokens, tokens.shape[1] // codec.rows)


def _rebuilt(number: int, out: Path, codec: VQVAE, vocoder: MelGAN) -> list[str]:
    text, structure = list(SENTENCES.items())[number]
    wave = _wave(structure, 0)
    coded = _through(codec, wave)
    true = codec.log_mel(wave)[..., : coded.shape[-1]]
    figures = []
    for name, mel, sound in [
        ("true", true, wave),
        ("through the vocoder alone", true, vocoder(true)),
        ("through codec and vocoder", coded, vocoder(coded)),
        ("through codec and Griffin-Lim", coded, GriffinLim(codec.mel)(coded)),
    ]:
        stem = Path("rebuilt") / f"{number}-{name.replace(' ', '-')}"
        (out / stem).parent.mkdir(parents=True, exist_ok=True)
        save(out / f"{stem}.wav", sound[0].numpy(), codec.mel.sample_rate)
        save_mel(out / f"{stem}.png", mel[0].numpy(), codec.mel)
        away = float((codec.log_mel(sound)[..., : true.shape[-1]] - true).abs().mean() * RANGE_DB)
        figures.append(_figure(f"{text}: {name}", stem, f"log-mel {away:.1f} dB from the true one"))
    return figures


def _figure(caption: str, stem: Path, note: str) -> str:
    return (f'<figure><figcaption>{html.escape(caption)}<br><small>{html.escape(note)}</small></figcaption>'
            f'<audio controls preload="none" src="{stem}.wav"></audio><img src="{stem}.png" alt="mel spectrogram" '
            f'loading="lazy"></figure>')
