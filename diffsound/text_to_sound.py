"""Words to waveforms: the four modules joined."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from diffsound.autoregressive import Autoregressive, AutoregressiveSampler
from diffsound.bundle import PARTS, read_bundle
from diffsound.checkpoint import fingerprint, load_module
from diffsound.diffusion import DiscreteDiffusion, Sampler
from diffsound.mel import MelSettings
from diffsound.text_encoder.frozen import Frozen
from diffsound.token_decoder import TokenDecoder
from diffsound.vocoder import GriffinLim, MelGAN
from diffsound.vqvae import VQVAE

SIDECAR_FORMAT = 1


@dataclass
class Clip:
    """One generated sound. `sidecar` is plain data, enough to make the same clip again."""

    waveform: Tensor  # (N,) in [-1, 1]
    mel: Tensor  # (n_mels, frames) in [0, 1]
    mel_settings: MelSettings  # its sample_rate is the waveform's
    tokens: Tensor  # (rows * columns,)
    sidecar: dict[str, Any]


class TextToSound(LightningModule):
    """Joins a token decoder (which brings its text encoder), a codec and a vocoder.

    Args:
        decoder: trained `DiscreteDiffusion` or `Autoregressive`.
        codec: the trained VQVAE whose tokens the decoder learned.
        vocoder: trained `MelGAN`, or `GriffinLim`.
        sampler: how tokens are drawn; a sampler of that decoder.
        columns: clip length in token columns (16 mel frames each).
    Raises:
        ValueError: if the parts do not belong together.
    """

    def __init__(self, decoder: TokenDecoder, codec: VQVAE, vocoder: nn.Module,
                 sampler: Sampler | AutoregressiveSampler, columns: int) -> None:
        super().__init__()
        of_codec = codec.fingerprint
        if decoder.facts.get("codec") != of_codec:
            raise ValueError(f"the decoder was trained on tokens of codec {decoder.facts.get('codec')}, but the codec "
                             f"is {of_codec}: use the checkpoint of that codec, or tokenize and train again")
        if codec.mel != vocoder.mel:
            different = [f"mel.{name}: codec {value}, vocoder {getattr(vocoder.mel, name)}"
                         for name, value in vars(codec.mel).items() if getattr(vocoder.mel, name) != value]
            raise ValueError(f"codec and vocoder were trained on different mels ({'; '.join(different)}): "
                             "train one of them again with the other's mel settings")
        wanted = {DiscreteDiffusion: Sampler, Autoregressive: AutoregressiveSampler}[type(decoder)]
        if not isinstance(sampler, wanted):
            raise ValueError(f"{type(sampler).__name__} cannot draw from {type(decoder).__name__}: name a "
                             f"{'diffsound.diffusion.StridedSampler' if wanted is Sampler else wanted.__name__} "
                             "under text_to_sound.init_args.sampler")
        if isinstance(sampler, Sampler):
            sampler.check(decoder.transition)
        if not 1 <= columns <= decoder.max_columns:
            raise ValueError(f"columns is {columns}, this decoder makes 1 to {decoder.max_columns}")
        self.decoder, self.codec, self.vocoder = decoder, codec, vocoder
        self.sampler, self.columns = sampler, columns
        self.fingerprints = {"decoder": fingerprint(decoder), "codec": of_codec, "vocoder": fingerprint(vocoder)}
        if isinstance(decoder.text_encoder, Frozen):  # its weights are not among the decoder's
            self.fingerprints["text_encoder"] = fingerprint(decoder.encoder)

    @classmethod
    def from_checkpoints(cls, decoder: str, codec: str, vocoder: str | GriffinLim,
                         sampler: Sampler | AutoregressiveSampler, columns: int) -> TextToSound:
        """The same from checkpoint paths; `vocoder` may also be a `GriffinLim`, which has nothing to load.

        Raises:
            FileNotFoundError: if a checkpoint is not there.
            ValueError: if one of them holds another module, or the parts do not belong together.
        """
        parts = {"decoder": load_module(decoder), "codec": load_module(codec),
                 "vocoder": load_module(vocoder) if isinstance(vocoder, str) else vocoder}
        for (name, part), path in zip(parts.items(), (decoder, codec, vocoder), strict=True):
            if not isinstance(part, PARTS[name]):
                raise ValueError(f"text_to_sound.init_args.{name}: {path} is a checkpoint of {type(part).__name__}")
        model = cls(**parts, sampler=sampler, columns=columns)
        if isinstance(model.vocoder, MelGAN):
            model.vocoder.generator.fold_weight_norm()  # after its fingerprint was taken
        return model

    @classmethod
    def from_bundle(cls, path: str, sampler: Sampler | AutoregressiveSampler | None = None,
                    columns: int | None = None) -> TextToSound:
        """The system in the bundle folder `path`, with the bundle's own sampler and clip length unless given.

        Raises:
            FileNotFoundError: if there is no bundle.
            ValueError: if it is damaged, or the sampler or the columns do not fit.
        """
        bundle = read_bundle(path)
        try:
            model = cls(bundle.decoder, bundle.codec, bundle.vocoder, sampler or bundle.sampler,
                        bundle.columns if columns is None else columns)
        except ValueError as error:
            raise ValueError(f"the bundle {path}: {error}") from error
        for name, expected in bundle.fingerprints.items():
            if (found := model.fingerprints.get(name, "missing")) != expected:
                raise ValueError(f"the {name} in the bundle {path} is not the one that was written ({found}, expected "
                                 f"{expected}): the files are damaged or mixed")
        if isinstance(model.vocoder, MelGAN):
            model.vocoder.generator.fold_weight_norm()  # after its fingerprint was taken
        return model

    def forward(self, texts: list[str], seeds: list[int], negatives: list[str] | None = None) -> list[Clip]:
        """One clip a text. A clip depends on its text and seed alone, not on the others of the batch.

        Args:
            texts: B sentences.
            seeds: B numbers.
            negatives: B sentences of what should not be heard, for a sampler with guidance.
        Raises:
            ValueError: if a text is empty or longer than the text encoder reads, or the sampler does not fit.
        """
        for name, others in (("seeds", seeds), ("negatives", negatives)):
            if others is not None and len(others) != len(texts):
                raise ValueError(f"there are {len(texts)} texts and {len(others)} {name}, expected one for each")
        for text in texts:
            if not text.strip():
                raise ValueError("an empty prompt: write what should be heard")
        self.check_texts([*texts, *(negatives or [])])
        watch = Stopwatch(self.device)
        with torch.no_grad():
            condition = self.decoder.condition(texts)
            negative = None if negatives is None else self.decoder.condition(negatives)
            watch.lap("text")
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            tokens = self.decoder.generate(condition, self.columns, self.sampler, generators, negative=negative)
            watch.lap("tokens")
            mel = self.codec.decode(tokens, self.columns)
            watch.lap("mel")
            waveform = self.vocoder(mel)
            watch.lap("waveform")
        seconds = {name: round(value / len(texts), 4) for name, value in watch.laps.items()}
        sidecars = [self._sidecar(text, negative, seed, row, seconds) for text, negative, seed, row
                    in zip(texts, negatives or [None] * len(texts), seeds, tokens, strict=True)]
        return [Clip(waveform[i].cpu(), mel[i].cpu(), self.codec.mel, tokens[i].cpu(), sidecars[i])
                for i in range(len(texts))]

    def check_texts(self, texts: list[str]) -> None:
        """Raise ValueError, naming the text, if one is longer than the text encoder reads."""
        encoder = self.decoder.encoder
        for text in texts:
            if (length := len(encoder.tokenize(text))) > encoder.max_tokens:
                raise ValueError(f"the prompt {text[:40] + '...'!r} has {length} word pieces, this system reads "
                                 f"{encoder.max_tokens}: shorten it")

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> list[Clip]:
        return self(batch["text"], batch["seed"], batch.get("negative"))

    def _sidecar(self, text: str, negative: str | None, seed: int, tokens: Tensor, seconds: dict[str, float]
                 ) -> dict[str, Any]:
        return {
            "format": SIDECAR_FORMAT,
            "text": text,
            "negative": negative,
            "seed": seed,
            "sampler": self.sampler.spec,
            "parts": self.fingerprints,
            "grid": {"rows": self.decoder.rows, "columns": self.columns},
            "tokens": tokens.tolist(),
            "sample_rate": self.codec.mel.sample_rate,
            "device": str(self.device),
            "versions": {name: version(name) for name in ("diffsound", "torch")},
            "seconds": seconds,  # of computing, a clip
        }


class Stopwatch:
    """Seconds between laps, waiting for the accelerator."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.laps = device, {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.laps[name], self.last = now - self.last, now
