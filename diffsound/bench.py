"""`diffsound bench`: how long things take on this machine, beside the matrix products that they are made of."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
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
from diffsound.diffusion import (
    Denoiser,
    LinearSchedule,
    MaskUniform,
    StridedSampler,
    UniformTimesteps,
    VariationalBound,
)
from diffsound.diffusion.fast import FastDenoiser, Precision
from diffsound.mel import LogMel
from diffsound.text_encoder.condition import Condition
from diffsound.vocoder import Generator
from diffsound.vqvae import VQVAE

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


SIZES = {"tiny": Size(6, 256, 4, 21, 20, 16, few=10), "base": Size(19, 1024, 16, 53, 77, 2, few=2)}


@dataclass
class Row:
    """One figure: the median of its repeats and their first and third quartile, in seconds."""

    name: str
    size: str
    batch: int
    precision: str
    steps: int | None
    median: float
    spread: tuple[float, float]
    unit: str  # of what work the seconds are
    ratio: float | None = None  # to the median of the row `to`
    to: str | None = None


class Bench:
    """Measures, prints, and keeps every row in a file as it comes."""

    def __init__(self, file: Path, repeats: int) -> None:
        self.file, self.repeats, self.rows = file, repeats, []
        self.most_stolen = 0.0  # the largest share of a processor that was not ours in a repeat that counts

    def time(self, work: Callable[[], object], times: float = 1.0, extra: float = 0.0) -> tuple[float, float, float]:
        """Median and quartiles of the seconds that `work` takes, each `times` as long and `extra` longer.

        Work is repeated for a fifth of a second at least. On a virtual machine, repeats during which the host gave the
        processors to others are done again, up to three times as many; the least disturbed count.
        """
        start = time.perf_counter()
        work()
        number = max(1, round(0.2 / (time.perf_counter() - start)))
        taken: list[tuple[float, float]] = []  # (share of the time that was stolen, seconds)
        while len(taken) < self.repeats or (len(taken) < 4 * self.repeats
                                            and sum(stolen < QUIET for stolen, _ in taken) < self.repeats):
            stolen, start = _stolen(), time.perf_counter()
            for _ in range(number):
                work()
            seconds = time.perf_counter() - start
            taken.append(((_stolen() - stolen) / seconds, seconds / number * times + extra))
        used = sorted(taken)[:self.repeats]
        self.most_stolen = max(self.most_stolen, used[-1][0])
        values = [seconds for _, seconds in used]
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return middle, low, high

    def add(self, name: str, size: str, batch: int, timed: tuple[float, float, float], to: Row | None = None,
            precision: str = "float32", steps: int | None = None, unit: str = "clip") -> Row:
        median, low, high = timed
        row = Row(name, size, batch, precision, steps, median, (low, high), unit,
                  *((median / to.median, f"{to.name}, {to.precision}" + (f", {to.steps} steps" if to.steps else ""))
                    if to else (None, None)))
        self.rows.append(row)
        print(_line(row), flush=True)
        content = {"machine": machine(), "repeats": self.repeats, "most_stolen": self.most_stolen,
                   "rows": [asdict(each) for each in self.rows]}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(self.file.name + ".part")
        temporary.write_text(json.dumps(content, indent=1))
        os.replace(temporary, self.file)
        return row


@torch.no_grad()
def sampling(bench: Bench, name: str, batches: list[int]) -> None:
    """Ours at every precision and with fewer steps, beside the matrix products, a cached GPT and diffusers."""
    size = SIZES[name]
    denoiser = size.denoiser().requires_grad_(False).eval()
    gpt = GPT(CODES, size.rows, size.columns, size.layers, size.width, size.heads, condition_width=TEXT_WIDTH).eval()
    transition = MaskUniform(CODES, LinearSchedule(STEPS))
    for batch in batches:
        condition = size.condition(batch)
        floor = bench.add("matrix products alone", name, batch, bench.time(products(size, batch), STEPS / batch),
                          steps=STEPS)
        ours = None
        for precision in ("float32", "int8", "bfloat16"):
            if not worthwhile(precision):
                continue
            network = FastDenoiser(denoiser, precision)
            prepare = bench.time(partial(network.prepare, condition))[0] / batch
            visit = partial(_sample, network.prepare(condition), transition, size, batch)
            for steps in (STEPS, FEWER):
                timed = bench.time(visit, steps / size.few / batch, prepare)
                row = bench.add("sampling", name, batch, timed, ours or floor, precision, steps)
                ours = ours or row
        bench.add("autoregressive, keys and values kept", name, batch,
                  bench.time(_next_tokens(gpt, size, condition), size.tokens / 8 / batch), ours, steps=size.tokens)
        if importlib.util.find_spec("diffusers") is None:
            print("(diffusers is not installed: pip install -e '.[bench]')")
        else:
            timed = bench.time(_diffusers(size, batch), STEPS / size.few / batch)
            bench.add("diffusers, VQ-Diffusion", name, batch, timed, ours, steps=STEPS)


def training(bench: Bench, name: str, batches: list[int]) -> None:
    """A step of the decoder's training, beside the network's own forward and backward pass."""
    size, batch = SIZES[name], SIZES[name].train_batch
    denoiser, condition = size.denoiser(), size.condition(SIZES[name].train_batch)
    transition, loss, timesteps = MaskUniform(CODES, LinearSchedule(STEPS)), VariationalBound(), UniformTimesteps(STEPS)
    optimizer = torch.optim.AdamW(denoiser.parameters(), fused=True)
    x_0 = torch.randint(CODES, (batch, size.tokens))
    every = torch.full((batch,), STEPS // 2)

    def network() -> None:
        denoiser(x_0, every, condition).sum().backward()
        denoiser.zero_grad()

    def gradient(precision: str = "float32") -> None:
        t, probability = timesteps.sample(batch)
        x_t = transition.corrupt(x_0, t)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = denoiser(x_t, t, condition)
        loss(transition, logits, x_0, x_t, t, probability).total.backward()

    def step(precision: str = "float32") -> None:
        gradient(precision)
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 0.5)
        optimizer.step()
        denoiser.zero_grad()

    own = bench.add("network forward and backward", name, batch, bench.time(network), unit="batch")
    denoiser.zero_grad()
    bench.add("training, gradient", name, batch, bench.time(lambda: (gradient(), denoiser.zero_grad())), own,
              unit="batch")
    full = bench.add("training, with optimizer", name, batch, bench.time(step), own, unit="batch")
    if worthwhile("bfloat16"):
        bench.add("training, with optimizer", name, batch, bench.time(partial(step, "bfloat16")), full, "bfloat16",
                  unit="batch")
    print(f"({batch * size.tokens / full.median:.0f} tokens a second)")


@torch.no_grad()
def audio(bench: Bench, name: str, batches: list[int]) -> None:
    """Mel, codec and vocoder on clips of ten seconds."""
    import librosa

    recipe = OmegaConf.load(CODECS[name])
    recipe.runs = ""
    codec: VQVAE = rebuild(OmegaConf.to_container(recipe.vqvae, resolve=True)).eval()
    mel = codec.mel
    waveform = torch.randn(1, round(SECONDS * mel.sample_rate)) * 0.1
    numpy, basis = waveform[0].numpy(), librosa.filters.mel(
        sr=mel.sample_rate, n_fft=mel.n_fft, n_mels=mel.n_mels, fmin=mel.f_min, fmax=mel.f_max)
    reference = bench.add("mel, librosa", name, 1, bench.time(lambda: basis @ abs(
        librosa.stft(numpy, n_fft=mel.n_fft, hop_length=mel.hop_length))))
    front = bench.add("mel", name, 1, bench.time(partial(LogMel(mel), waveform)), reference)
    tokens = codec.encode(waveform)
    encode = bench.add("mel and codec, encode", name, 1, bench.time(partial(codec.encode, waveform)), front)
    print(f"(the mel is {front.median / encode.median:.0%} of tokenising)")
    columns = tokens.shape[1] // codec.rows
    bench.add("codec, decode", name, 1, bench.time(partial(codec.decode, tokens, columns)))
    if name == "base":  # the published size
        generator, alone = Generator().eval().fold_weight_norm(), None
        for batch in batches:
            mels = torch.rand(batch, mel.n_mels, columns * 16)
            alone = alone or bench.add("MelGAN, folded", name, batch, bench.time(partial(generator, mels), 1 / batch))
            if batch != alone.batch:
                bench.add("MelGAN, folded", name, batch, bench.time(partial(generator, mels), 1 / batch), alone)


PARTS = {"sampling": sampling, "training": training, "audio": audio}


def main(args: list[str]) -> None:
    """Time sampling, training, mel, codec and vocoder on this CPU, with random weights.

    A clip's time is that of what is prepared once plus that of a few steps, multiplied: all steps take as long.
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
    print(f"\nall figures are in {options.out}; up to {bench.most_stolen:.2f} processors were with other machines")


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
            gpt.next_logits(token, position, caches, condition)

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


HEADER = f"{'':40}{'size':>6}{'batch':>6}{'precision':>11}{'steps':>7}{'seconds':>11}{'quartiles':>20}   ratio"


def _line(row: Row) -> str:
    spread = f"{row.spread[0]:.4g} to {row.spread[1]:.4g}"
    ratio = f"   {row.ratio:.2f} of {row.to}" if row.to else ""
    return (f"{row.name:40}{row.size:>6}{row.batch:>6}{row.precision:>11}{row.steps or '':>7}{row.median:>11.4g}"
            f"{spread:>20}{ratio}  ({row.unit})")
