"""Words to waveforms: the four modules joined."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, SupportsIndex

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from diffsound.autoregressive import AutoregressiveSampler
from diffsound.bundle import PARTS, fingerprints_of, read_bundle
from diffsound.checkpoint import load_module
from diffsound.clip import Clip
from diffsound.data.prompts import clip_seed
from diffsound.diffusion import Sampler
from diffsound.pretrained import find
from diffsound.sidecar import FORMAT, machine, samples_hash
from diffsound.takes import Judge, Take, by_events, choose
from diffsound.token_decoder import TokenDecoder
from diffsound.vocoder import GriffinLim, MelGAN
from diffsound.vqvae import VQVAE
from diffsound.vqvae.networks import CELL


class TextToSound(LightningModule):
    """Joins a token decoder (which brings its text encoder), a codec and a vocoder.

    Several threads may call one model at once.

    Args:
        decoder: trained `DiscreteDiffusion` or `Autoregressive`.
        codec: the trained VQVAE whose tokens the decoder learned.
        vocoder: trained `MelGAN`, or `GriffinLim`.
        sampler: how tokens are drawn; a sampler of that decoder.
        columns: clip length in token columns (16 mel frames each).
    Raises:
        ValueError: if the parts do not belong together.
    """

    bundle: dict[str, str | None] | None = None  # name and revision of the one that it is from

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
        decoder.check_sampler(sampler)
        if not 1 <= columns <= decoder.max_columns:
            raise ValueError(f"columns is {columns}, this decoder makes 1 to {decoder.max_columns}")
        self.decoder, self.codec, self.vocoder = decoder, codec, vocoder
        self.sampler, self.columns = sampler, columns
        self.fingerprints = fingerprints_of(decoder, codec, vocoder)

    @classmethod
    def from_pretrained(cls, name: str, revision: str | None = None, device: str = "cpu", precision: str | None = None,
                        sampler: Sampler | AutoregressiveSampler | None = None, columns: int | None = None
                        ) -> TextToSound:
        """The system of a bundle, with the bundle's own sampler and clip length unless given.

        Args:
            name: of a bundle in the package, a folder, or a hub id "owner/name", which is downloaded once.
            revision: branch, tag or commit, of a hub id.
            device: where it computes: cpu, cuda, cuda:1, mps.
            precision: of the decoder's matrix products: float32, bfloat16, or on CPUs int8; see `Sampler`.
        Raises:
            FileNotFoundError: if it lacks a file.
            ValueError: if there is no such bundle, it is damaged, or an argument does not fit it.
        """
        place = checked_device(device)
        found = find(name, revision)
        bundle = read_bundle(found.folder)
        try:
            model = cls(bundle.decoder, bundle.codec, bundle.vocoder, sampler or bundle.sampler,
                        bundle.columns if columns is None else columns)
        except ValueError as error:
            raise ValueError(f"the bundle {found.folder}: {error}") from error
        for part, expected in bundle.fingerprints.items():
            if (have := model.fingerprints.get(part, "missing")) != expected:
                raise ValueError(f"the {part} in the bundle {found.folder} is not the one that was written ({have}, "
                                 f"expected {expected}): the files are damaged or mixed")
        model.bundle = {"name": found.name, "revision": found.revision}
        if precision is not None:
            model.sampler = model._changed(model.sampler, "precision", precision, precision=precision)
        if isinstance(model.vocoder, MelGAN):
            model.vocoder.generator.fold_weight_norm()  # after its fingerprint was taken
        return model.eval().to(place)

    @classmethod
    def from_checkpoints(cls, decoder: str, codec: str, vocoder: str | GriffinLim,
                         sampler: Sampler | AutoregressiveSampler, columns: int, fold: bool = True) -> TextToSound:
        """The same from checkpoint paths; `vocoder` may also be a `GriffinLim`, which has nothing to load.

        Args:
            fold: the vocoder's weight normalisation into its weights, which is quicker; false to write a bundle of it.
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
        if fold and isinstance(model.vocoder, MelGAN):
            model.vocoder.generator.fold_weight_norm()  # after its fingerprint was taken
        return model

    @property
    def column_seconds(self) -> float:
        """Of sound in a token column."""
        return CELL * self.codec.mel.hop_length / self.codec.mel.sample_rate

    def forward(self, texts: str | Sequence[str], seed: int | Sequence[int] = 0,
                negative: str | Sequence[str] | None = None, *, steps: int | None = None,
                guidance: float | None = None, duration: float | None = None, num: int = 1,
                best_of: int = 1, judge: Judge | None = None, sampler: Sampler | AutoregressiveSampler | None = None,
                on_step: Callable[[int, int], None] | None = None) -> Clip | list[Clip]:
        """Sounds of `texts`, all at once; `stream` is for many.

        A clip depends on its text, its own seed and the settings alone, not on the others beside it: its tokens
        everywhere, its samples to the last bit on one machine with one number of threads.

        Args:
            texts: a sentence, or B of them.
            seed: of one clip its own. Of several, or several takes, a number from which each gets its own, as in
                `predict`, or a list with one for every take.
            negative: what should not be heard, for all or for each text; for a sampler with guidance.
            steps: how often the network is asked, for samplers that take a number.
            guidance: how strongly the text steers; 1 adds nothing to what was trained.
            duration: seconds, rounded up to whole token columns.
            num: clips of each text, which then follow one another.
            best_of: takes drawn for each clip, of which the one is kept that `judge` likes best; the others get no
                waveform unless it must hear one.
            judge: of several takes; by default the package's, who listens for the events of sentences of scenes.
            sampler: in place of the system's own; `steps` and `guidance` change it.
            on_step: called after every step with the number of steps done, and of how many.
        Returns:
            a clip of one sentence, else a list of them.
        Raises:
            ValueError: if a text is empty or longer than the text encoder reads, or an option does not fit; the message
                names it.
        """
        _check_number("num", num, "clips")
        _check_number("best_of", best_of, "takes")
        judge = (judge or by_events()) if best_of > 1 else None
        each = [texts] if isinstance(texts, str) else list(texts)
        negatives = [negative] * len(each) if negative is None or isinstance(negative, str) else list(negative)
        if len(negatives) != len(each):
            raise ValueError(f"there are {len(each)} texts and {len(negatives)} negatives, expected one for each")
        one = isinstance(texts, str) and num == 1
        each, negatives = ([item for item in items for _ in range(num)] for items in (each, negatives))
        seeds = [seed] if one and best_of == 1 and not isinstance(seed, Sequence) else seed
        clips = self._clips(each, checked_seeds(seeds, len(each) * best_of), None if negative is None else negatives,
                            self._sampler_of(steps, guidance, sampler), self._columns_of(duration), on_step, best_of,
                            judge)
        return clips[0] if one else clips

    def stream(self, texts: Iterable[str], seed: int = 0, negative: str | None = None, *, batch_size: int = 8,
               num: int = 1, best_of: int = 1, **options: Any) -> Iterator[Clip]:
        """Clips of any number of texts, as they are made: of each `num`, which follow one another.

        They are those that a call with all of them would give.

        Args:
            texts: read as far as the next batch needs.
            batch_size: takes drawn at once, but at least those of one clip; changes speed and memory, not sound.
            options: the other ones of a call.
        Raises:
            ValueError: as a call; of a text when its batch comes.
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}, expected a number of takes, at least 1")
        _check_number("num", num, "clips")
        if isinstance(texts, str):
            raise ValueError(f"stream was given the text {texts!r}, expected many of them: call the model for one")
        checked_seeds([seed], 1)
        self([], seed, negative, best_of=best_of, **options)  # a wrong option is told now, not with the first clip

        def made() -> Iterator[Clip]:
            each, index = (text for text in texts for _ in range(num)), 0
            while batch := list(islice(each, max(1, batch_size // best_of))):
                seeds = [clip_seed(seed, index + i) for i in range(len(batch) * best_of)]
                yield from self(batch, seeds, negative, best_of=best_of, **options)
                index += len(seeds)

        return made()

    def render(self, tokens: Tensor, sidecar: dict[str, Any]) -> Clip:
        """The clip that `tokens` (rows * columns,) stand for, by codec and vocoder alone.

        One clip at a time: the last bits of a batch of convolutions depend on its size.

        Args:
            sidecar: what is known of the clip; hash and seconds of its samples are added.
        Raises:
            ValueError: if these are no tokens of the codec.
        """
        watch = Stopwatch(self.device)
        mel = self.mel_of(tokens)
        watch.lap("mel")
        waveform = self.sound_of(mel)
        watch.lap("waveform")
        seconds = sidecar.get("seconds", {}) | watch.rounded()
        return Clip(waveform, mel[0].cpu(), self.codec.mel, tokens.cpu(),
                    sidecar | {"sha256": samples_hash(waveform), "seconds": seconds})

    @torch.no_grad()
    def mel_of(self, tokens: Tensor) -> Tensor:
        """The mel (1, n_mels, frames) in [0, 1] that `tokens` (rows * columns,) stand for."""
        return self.codec.decode(tokens[None].to(self.device), len(tokens) // self.decoder.rows)

    @torch.no_grad()
    def sound_of(self, mel: Tensor) -> Tensor:
        """The waveform (N,) of a mel (1, n_mels, frames), on the CPU."""
        return self.vocoder(mel)[0].cpu()

    def check_texts(self, texts: Sequence[str], negatives: Sequence[str] = ()) -> None:
        """Raise ValueError if one is longer than the text encoder reads (it is named), or one of `texts` is empty."""
        encoder = self.decoder.encoder
        for text in (*texts, *negatives):
            if not isinstance(text, str):
                raise ValueError(f"a prompt is {text!r}, expected a sentence")
            if (length := len(encoder.tokenize(text))) > encoder.max_tokens:
                raise ValueError(f"the prompt {text[:40] + '...'!r} has {length} word pieces, this system reads "
                                 f"{encoder.max_tokens}: shorten it")
        if not all(text.strip() for text in texts):
            raise ValueError("an empty prompt: write what should be heard")

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> list[Clip]:
        return self(batch["text"], batch["seed"], batch.get("negative"))

    def _clips(self, texts: list[str], seeds: list[int], negatives: list[str] | None,
               sampler: Sampler | AutoregressiveSampler, columns: int, on_step: Callable[[int, int], None] | None,
               best_of: int, judge: Judge | None) -> list[Clip]:
        """`seeds` are those of all takes, `best_of` for each of `texts`."""
        if not texts:
            return []
        self.check_texts(texts, negatives or ())
        for text in texts if judge else ():
            judge.check(text)
        of = self.decoder.num_steps(sampler, columns)
        watch = Stopwatch(self.device)
        with torch.no_grad():
            condition = self.decoder.condition(_repeated(texts, best_of))
            negative = None if negatives is None else self.decoder.condition(_repeated(negatives, best_of))
            watch.lap("text")
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            told = None if on_step is None else lambda number, x: on_step(number, of)
            tokens = self.decoder.generate(condition, columns, sampler, generators, negative=negative, on_step=told)
            watch.lap("tokens")
        common = {
            "sampler": sampler.spec,
            "bundle": self.bundle,
            "parts": self.fingerprints,
            "grid": {"rows": self.decoder.rows, "columns": columns},
            "sample_rate": self.codec.mel.sample_rate,
            "precision": getattr(sampler, "precision", "float32"),  # of the decoder's matrix products
            "loudness": None,
            **machine(self.device),
            "seconds": watch.rounded(len(texts)),  # of computing, a clip
        }
        clips = []
        for number, (text, negative) in enumerate(zip(texts, negatives or [None] * len(texts), strict=True)):
            kept, chosen = number * best_of, {}
            if judge is not None:
                takes = [Take(self, row) for row in tokens[kept:kept + best_of]]
                watch = Stopwatch(self.device)
                place, chosen = choose(text, takes, judge)
                watch.lap("choice")
                chosen["seconds"] = common["seconds"] | watch.rounded()
                kept += place
            clips.append(self.render(tokens[kept], {
                "format": FORMAT, "text": text, "negative": negative, "seed": seeds[kept], **common,
                "tokens": tokens[kept].tolist(), **chosen}))
        return clips

    def _sampler_of(self, steps: int | None, guidance: float | None,
                    sampler: Sampler | AutoregressiveSampler | None) -> Sampler | AutoregressiveSampler:
        """The one of a call with these options."""
        if sampler is None:
            sampler = self.sampler
        else:
            self.decoder.check_sampler(sampler)
        if steps is not None:
            settings = sampler.spec["init_args"]
            if "num_steps" not in settings:
                raise ValueError(f"steps is {steps!r}, but {type(sampler).__name__} takes no number of steps: leave it "
                                 "out, or give another sampler")
            if not isinstance(steps, int):
                raise ValueError(f"steps is {steps!r}, expected a whole number")
            listed = {"steps": None} if "steps" in settings else {}
            sampler = self._changed(sampler, "steps", steps, num_steps=steps, **listed)
        if guidance is not None:
            if not isinstance(guidance, int | float) or not math.isfinite(guidance):
                raise ValueError(f"guidance is {guidance!r}, expected a number of at least 0 (1 is no guidance)")
            sampler = self._changed(sampler, "guidance", guidance, guidance_scale=guidance)
        return sampler

    def _changed(self, sampler: Sampler | AutoregressiveSampler, option: str, value: object, **settings: object
                 ) -> Sampler | AutoregressiveSampler:
        """`sampler` with other settings, as `option` asks for."""
        try:
            sampler = sampler.changed(**settings)
            self.decoder.check_sampler(sampler)
        except ValueError as error:
            raise ValueError(f"{option} is {value!r}: {error}") from error
        return sampler

    def _columns_of(self, duration: float | None) -> int:
        if duration is None:
            return self.columns
        longest = self.decoder.max_columns * self.column_seconds
        if not isinstance(duration, int | float) or not 0 < duration < longest + 1e-6:
            raise ValueError(f"duration is {duration!r}, expected seconds, more than 0 and at most {longest:.2f}: this "
                             "system makes no longer clips")
        return max(1, math.ceil(duration / self.column_seconds - 1e-6))


def _check_number(name: str, value: int, of: str) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}, expected a number of {of}, at least 1")


def _repeated(texts: list[str], times: int) -> list[str]:
    return [text for text in texts for _ in range(times)]


def checked_seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """The clips' own seeds: given, or derived from one number.

    Raises:
        ValueError: if there is not one for each clip, or one cannot be.
    """
    seeds = list(seed) if isinstance(seed, Iterable) else [seed]
    for value in seeds:
        if not isinstance(value, SupportsIndex) or not 0 <= operator.index(value) < 2**63:
            raise ValueError(f"seed is {value!r}, expected a whole number from 0 to 2^63 - 1")
    seeds = [operator.index(value) for value in seeds]
    if not isinstance(seed, Iterable):
        return [clip_seed(*seeds, i) for i in range(count)]
    if len(seeds) != count:
        raise ValueError(f"there are {count} clips and {len(seeds)} seeds, expected one for each, or one number")
    return seeds


def checked_device(name: str) -> torch.device:
    """Raises ValueError if there is no such device here."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # by how torch was built
        raise ValueError(f"device is {name!r}, which this machine or this torch does not have "
                         f"({str(error).splitlines()[0][:100]}): expected cpu, or with a GPU cuda, cuda:1, mps"
                         ) from error
    return device


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

    def rounded(self, clips: int = 1) -> dict[str, float]:
        """Of each lap, for one of so many clips."""
        return {name: round(value / clips, 4) for name, value in self.laps.items()}
