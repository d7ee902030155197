"""`diffsound bench`: how long things take on this machine, beside the matrix products that they are made of."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from diffsound.autoregressive import GPT
from diffsound.checkpoint import rebuild
from diffsound.data.audio import load
from diffsound.diffusion import (
    Denoiser,
    LinearSchedule,
    MaskUniform,
    StridedSampler,
    UniformTimesteps,
    VariationalBound,
)
from diffsound.diffusion.fast import FastDenoiser, Precision
from diffsound.draw import categorical, truncate
from diffsound.mel import LogMel
from diffsound.text_encoder.condition import Condition
from diffsound.vocoder import Generator
from diffsound.vqvae import VQVAE
from diffsound.whole_file import write_text

CODES, STEPS, FEWER, TEXT_WIDTH = 256, 100, 25, 512
QUIET = 0.1  # processors given to other machines, out of all; less is no disturbance
SECONDS = 10.0  # of the clips that mel, codec and vocoder are given
CODECS = {"tiny": "recipes/scenes.yaml", "base": "recipes/audiocaps.yaml"}


@dataclass(frozen=True)
class Size:
    """Of a decoder, its clips and its texts."""

    layers: int
    width: int
    heads: int
    columns: int
    text: int  # tokens of a text
    train_batch: int
    few: int  # steps that are timed, for all others take as long
    rows: int = 5

    @property
    def tokens(self) -> int:
        return self.rows * self.columns

    def denoiser(self) -> Denoiser:
        return Denoiser(CODES, STEPS, self.rows, self.columns, self.layers, self.width, self.heads,
                        condition_width=TEXT_WIDTH)

    def condition(self, batch: int) -> Condition:
        return Condition(torch.randn(batch, self.text, TEXT_WIDTH), torch.ones(batch, self.text, dtype=torch.bool))


SIZES = {"tiny": Size(6, 256, 4, 21, 20, 16, few=10), "base": Size(19, 1024, 16, 53, 77, 2, few=1)}


@dataclass
class Work:
    """Something to be timed: `run` takes 1 / `times` of the time of what is reported, but for `extra` seconds."""

    name: str
    run: Callable[[], object]
    precision: str = "float32"
    steps: int | None = None
    times: float = 1.0
    extra: float = 0.0
    unit: str = "clip"
    amount: float | None = None  # of what the unit holds: tokens, or seconds of audio


@dataclass
class Row:
    """One figure: medians of the repeats, each with its first and third quartile."""

    name: str
    size: str
    batch: int
    precision: str
    steps: int | None
    unit: str
    median: float  # seconds a unit
    spread: tuple[float, float]
    ratio: float  # to the row `to` of the same repeat
    ratio_spread: tuple[float, float]
    to: str
    stolen: float  # the largest number of processors that other machines had in a repeat
    amount: float | None = None
    rate: float | None = None  # of `amount` a second: tokens, or seconds of audio


class Bench:
    """Measures, prints, and keeps every row in a file as it comes."""

    def __init__(self, file: Path, repeats: int) -> None:
        self.file, self.repeats, self.rows = file, repeats, []

    def compare(self, size: str, batch: int, works: list[Work]) -> list[Row]:
        """Time `works` in turn, again and again, so that each is compared with the first of the same repeat.

        Each is repeated for a fifth of a second at least. On a virtual machine, repeats during which the host gave the
        processors to others are done again, up to three times as many; the least disturbed count.
        """
        numbers = []
        for work in works:
            start = time.perf_counter()
            work.run()
            numbers.append(max(1, round(0.2 / (time.perf_counter() - start))))
        rounds: list[tuple[float, list[float]]] = []  # processors stolen, seconds of each work
        while len(rounds) < self.repeats or (len(rounds) < 4 * self.repeats
                                             and sum(stolen < QUIET for stolen, _ in rounds) < self.repeats):
            stolen, begin, seconds = _stolen(), time.perf_counter(), []
            taken: dict[Callable, float] = {}  # what two works share is timed once
            for work, number in zip(works, numbers, strict=True):
                if work.run not in taken:
                    start = time.perf_counter()
                    for _ in range(number):
                        work.run()
                    taken[work.run] = (time.perf_counter() - start) / number
                seconds.append(taken[work.run] * work.times + work.extra)
            rounds.append(((_stolen() - stolen) / (time.perf_counter() - begin), seconds))
        used = sorted(rounds)[:self.repeats]
        first = works[0]
        to = first.name + (f", {first.precision}, {first.steps} steps" if first.steps else "")
        rows = []
        for i, work in enumerate(works):
            median, *spread = _quartiles([seconds[i] for _, seconds in used])
            ratio, *ratio_spread = _quartiles([seconds[i] / seconds[0] for _, seconds in used])
            rows.append(Row(work.name, size, batch, work.precision, work.steps, work.unit, median, tuple(spread), ratio,
                            tuple(ratio_spread), to, used[-1][0], work.amount,
                            work.amount / median if work.amount else None))
            print(_line(rows[-1]), flush=True)
        self.rows += rows
        content = {"machine": machine(), "repeats": self.repeats, "rows": [asdict(each) for each in self.rows]}
        write_text(self.file, json.dumps(content, indent=1))
        return rows


@torch.no_grad()
def sampling(bench: Bench, name: str, batches: list[int]) -> None:
    """Ours at every precision and with fewer steps, beside the matrix products, a cached GPT and diffusers."""
    size = SIZES[name]
    denoiser = size.denoiser().requires_grad_(False).eval()
    gpt = GPT(CODES, size.rows, size.columns, size.layers, size.width, size.heads, condition_width=TEXT_WIDTH).eval()
    transition = MaskUniform(CODES, LinearSchedule(STEPS))
    networks = {precision: FastDenoiser(denoiser, precision) for precision in ("float32", "int8", "bfloat16")
                if worthwhile(precision)}
    for batch in batches:
        condition, part = size.condition(batch), 1 / size.few / batch
        works = [Work("matrix products alone", products(size, batch), steps=STEPS, times=STEPS / batch)]
        for precision, network in networks.items():
            start = time.perf_counter()
            denoise = network.prepare(condition)
            once = (time.perf_counter() - start) / batch
            visit = partial(_sample, denoise, transition, size, batch)
            works += [Work("sampling", visit, precision, steps, steps * part, once, amount=size.tokens)
                      for steps in (STEPS, FEWER)]
        works.append(Work("autoregressive, cached", _next_tokens(gpt, size, condition), steps=size.tokens,
                          times=size.tokens / 8 / batch, amount=size.tokens))
        if importlib.util.find_spec("diffusers") is None:
            print("(diffusers is not installed: pip install -e '.[bench]')")
        else:
            works.append(Work("diffusers, VQ-Diffusion", _diffusers(size, batch), steps=STEPS, times=STEPS * part))
        bench.compare(name, batch, works)
    print(f"(parameters: {_millions(denoiser)} the denoiser, {_millions(gpt)} the autoregressive network)")


def training(bench: Bench, name: str, batches: list[int]) -> None:
    """The denoiser's training with our loss and optimizer, beside its own forward and backward pass."""
    size, batch = SIZES[name], SIZES[name].train_batch
    denoiser, condition = size.denoiser(), size.condition(batch)
    transition, loss, timesteps = MaskUniform(CODES, LinearSchedule(STEPS)), VariationalBound(), UniformTimesteps(STEPS)
    optimizer = torch.optim.AdamW(denoiser.parameters(), fused=True)
    x_0, middle = torch.randint(CODES, (batch, size.tokens)), torch.full((batch,), STEPS // 2)
    gradient = torch.randn(batch, size.tokens, CODES)

    def network() -> None:
        denoiser(x_0, middle, condition).backward(gradient)
        denoiser.zero_grad()

    def step(precision: str = "float32", update: bool = False) -> None:
        t, probability = timesteps.sample(batch)
        x_t = transition.corrupt(x_0, t)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = denoiser(x_t, t, condition)
        loss(transition, logits, x_0, x_t, t, probability).total.backward()
        if update:
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 0.5)
            optimizer.step()
        denoiser.zero_grad()

    tokens = batch * size.tokens
    works = [Work("network forward and backward", network, unit="batch", amount=tokens),
             Work("corruption, network, loss", step, unit="batch", amount=tokens),
             Work("with optimizer", partial(step, update=True), unit="batch", amount=tokens)]
    if worthwhile("bfloat16"):
        works.append(Work("with optimizer", partial(step, "bfloat16", True), "bfloat16", unit="batch", amount=tokens))
    bench.compare(name, batch, works)


@torch.no_grad()
def audio(bench: Bench, name: str, batches: list[int]) -> None:
    """Reading, mel, codec and vocoder on clips of ten seconds."""
    import librosa
    import soundfile

    recipe = OmegaConf.load(CODECS[name])
    recipe.runs = ""
    codec: VQVAE = rebuild(OmegaConf.to_container(recipe.vqvae, resolve=True)).eval()
    mel = codec.mel
    waveform = torch.randn(1, round(SECONDS * mel.sample_rate)) * 0.1
    numpy, basis = waveform[0].numpy(), librosa.filters.mel(
        sr=mel.sample_rate, n_fft=mel.n_fft, n_mels=mel.n_mels, fmin=mel.f_min, fmax=mel.f_max)
    tokens = codec.encode(waveform)
    columns = tokens.shape[1] // codec.rows
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.wav"
        soundfile.write(file, torch.randn(round(SECONDS * 44100)).numpy() * 0.1, 44100)
        bench.compare(name, 1, [Work(label, run, amount=SECONDS) for label, run in [
            ("read and resample a 44.1 kHz WAV", partial(load, file, mel.sample_rate)),
            ("mel, librosa", lambda: basis @ abs(librosa.stft(numpy, n_fft=mel.n_fft, hop_length=mel.hop_length))),
            ("mel", partial(LogMel(mel), waveform)),
            ("mel and codec, encode", partial(codec.encode, waveform)),
            ("codec, decode", partial(codec.decode, tokens, columns))]])
    if name == "base":  # the published size
        generator = Generator().eval().fold_weight_norm()
        bench.compare(name, max(batches), [
            Work(f"MelGAN, {batch} at once", partial(generator, torch.rand(batch, mel.n_mels, columns * 16)),
                 times=1 / batch, amount=SECONDS) for batch in batches])


PARTS = {"sampling": sampling, "training": training, "audio": audio}


def main(args: list[str]) -> None:
    """Time sampling, training, mel, codec and vocoder on this CPU, with random weights.

    A clip's time is that of what is prepared once plus that of a few steps, multiplied: all steps take as long. Ratios
    are to the first row of each group, of the same repeat.
    """
    parser = argparse.ArgumentParser(prog="diffsound bench", description=main.__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="of the decoders")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="clips at once")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"), help="file of all figures")
    options = parser.parse_args(args)
    if options.repeats < 1 or min(options.batches) < 1:
        raise ValueError(f"--repeats {options.repeats}, --batches {options.batches}: expected at least 1")
    torch.manual_seed(0)
    bench = Bench(options.out, options.repeats)
    print(f"{', '.join(f'{key} {value}' for key, value in machine().items())}\n\n{HEADER}")
    for part in options.parts:
        for size in options.sizes:
            PARTS[part](bench, size, options.batches)
    print(f"\nall figures are in {options.out}")


def products(size: Size, batch: int) -> Callable[[], object]:
    """The matrix products of one call of the denoiser, with weights of its shapes and nothing between them."""
    width, rows, heads = size.width, batch * size.tokens, batch * size.heads
    shapes = [(width, width)] * 6 + [(4 * width, width), (width, 4 * width)]
    layers = [[(torch.randn(shape) * 0.02, torch.zeros(shape[0])) for shape in shapes] for _ in range(size.layers)]
    inputs = {width: torch.randn(rows, width), 4 * width: torch.randn(rows, 4 * width)}
    head, deep = torch.randn(CODES, width), width // size.heads
    q, v, text = (torch.randn(heads, length, deep) for length in (size.tokens, size.tokens, size.text))
    scores, text_scores = (torch.randn(heads, size.tokens, length) for length in (size.tokens, size.text))

    def work() -> None:
        for layer in layers:
            for weight, bias in layer:
                F.linear(inputs[weight.shape[1]], weight, bias)
            torch.bmm(q, v.transpose(1, 2))
            torch.bmm(scores, v)
            torch.bmm(q, text.transpose(1, 2))
            torch.bmm(text_scores, text)
        F.linear(inputs[width], head)

    return work


def worthwhile(precision: Precision) -> bool:
    """Whether this CPU has instructions for products of that precision."""
    if precision == "bfloat16":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return precision == "float32" or torch.cpu._is_vnni_supported()


def machine() -> dict[str, str | int]:
    return {"cpu": _cpu(), "cores": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__, "python": platform.python_version()}


def _stolen() -> float:
    """Seconds of processors, all together, that the host of this virtual machine gave to others since it started."""
    stat = Path("/proc/stat")
    return int(stat.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if stat.is_file() else 0.0


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _sample(denoise: Callable[[Tensor, Tensor], Tensor], transition: MaskUniform, size: Size, batch: int) -> Tensor:
    """`size.few` steps of sampling, drawing included."""
    generators = [torch.Generator().manual_seed(i) for i in range(batch)]
    return StridedSampler(size.few, top_r=0.85).sample(denoise, transition, size.tokens, generators)


def _next_tokens(gpt: GPT, size: Size, condition: Condition) -> Callable[[], object]:
    """Eight tokens from the middle of the clip on, with the keys and values of those before."""
    batch, middle = len(condition.mask), size.tokens // 2
    _, caches = gpt.start_state(condition)
    for cache in caches:
        earlier = torch.randn(batch, size.heads, middle, size.width // size.heads)
        cache.append(earlier, earlier)
    kept = [(cache.keys, cache.values) for cache in caches]
    token = torch.zeros(batch, dtype=torch.long)

    def work() -> None:
        for cache, (keys, values) in zip(caches, kept, strict=True):
            cache.keys, cache.values = keys, values
        for position in range(middle, middle + 8):
            logits = gpt.next_logits(token, position, caches, condition)
            categorical(truncate(logits.softmax(-1), 0.85), torch.rand(batch))

    return work


def _diffusers(size: Size, batch: int) -> Callable[[], object]:
    """`size.few` steps of diffusers' VQ-Diffusion: its transformer at the same size, and its scheduler."""
    from diffusers import Transformer2DModel, VQDiffusionScheduler

    network = Transformer2DModel(
        size.heads, size.width // size.heads, num_layers=size.layers, cross_attention_dim=TEXT_WIDTH,
        attention_bias=True, sample_size=math.isqrt(size.tokens - 1) + 1, num_vector_embeds=CODES + 1,
        activation_fn="gelu-approximate", num_embeds_ada_norm=STEPS, norm_type="ada_norm").eval()
    scheduler = VQDiffusionScheduler(num_vec_classes=CODES + 1, num_train_timesteps=STEPS)
    scheduler.set_timesteps(STEPS)
    text = torch.randn(batch, size.text, TEXT_WIDTH)

    def work() -> None:
        x = torch.full((batch, size.tokens), CODES)
        for t in scheduler.timesteps[:size.few]:
            log_p = network(x, encoder_hidden_states=text, timestep=t).sample.clamp(-70)
            x = scheduler.step(log_p, timestep=t, sample=x).prev_sample

    return work


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    """Median, first and third quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return middle, low, high


def _millions(module: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.0f} M"


HEADER = (f"{'':36}{'size':>5}{'batch':>6}{'precision':>10}{'steps':>6}{'seconds':>10}{'quartiles':>20}{'ratio':>8}"
          f"{'quartiles':>16}{'a second':>10}")


def _line(row: Row) -> str:
    spread, ratios = (f"{low:.{digits}} to {high:.{digits}}" for (low, high), digits in (
        (row.spread, "4g"), (row.ratio_spread, "2f")))
    return (f"{row.name:36}{row.size:>5}{row.batch:>6}{row.precision:>10}{row.steps or '':>6}{row.median:>10.4g}"
            f"{spread:>20}{row.ratio:>8.2f}{ratios:>16}" + (f"{row.rate:>10.4g}" if row.rate else ""))
