"""`diffsound ablation`: every corruption and the baseline on the same data, budget and seeds; then every sampler."""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from scipy.stats import t as student

from diffsound.autoregressive import AutoregressiveSampler
from diffsound.checkpoint import load_module, rebuild
from diffsound.data import TokenDataModule
from diffsound.diffusion import (
    ConfidenceSampler,
    FirstHittingSampler,
    PuritySampler,
    RemaskingSampler,
    Sampler,
    StridedSampler,
)
from diffsound.evaluation import Score, frechet_distance, load_judge, score, summarise
from diffsound.recipe import build_part, changed_recipe, fit_once, run
from diffsound.scenes import Structure
from diffsound.token_decoder import TokenDecoder
from diffsound.token_sampler import TokenSampler
from diffsound.vqvae import VQVAE
from diffsound.whole_file import whole_file, write_text

MATRICES = {"mask+uniform": "MaskUniform", "mask": "Mask", "uniform": "Uniform"}
AUTOREGRESSIVE = "autoregressive"
SCENES = ("f1", "order", "count")
COLUMNS = ("bound", "accuracy", *SCENES, "distance", "seconds")
SAMPLERS: dict[str, tuple[Callable[..., Sampler], tuple[int, ...], tuple[str, ...]]] = {  # how, steps, matrices
    "strided": (lambda n, **o: StridedSampler(n, **o), (5, 10, 20, 25, 50, 100), tuple(MATRICES)),
    "strided, int8": (lambda n, **o: StridedSampler(n, **o | {"precision": "int8"}), (25,), ("mask+uniform",)),
    "strided, original": (lambda n, **o: StridedSampler(n, original=True, **o), (10, 20, 50), ("mask+uniform",)),
    "confidence": (lambda n, **o: ConfidenceSampler(n, **o), (5, 10, 20), ("mask+uniform", "mask")),
    "purity": (lambda n, **o: PuritySampler(n, **o), (10, 20, 50), ("mask+uniform", "mask")),
    "re-masking": (lambda n, **o: RemaskingSampler(n, **o), (20, 50, 100), ("mask",)),
    "first-hitting": (lambda n, **o: FirstHittingSampler(**o), (0,), ("mask",)),  # as many as there are tokens
}
SHARED = ("temperature", "top_r", "top_p", "top_k", "guidance_scale", "guidance_trend", "precision")
BATCH = 32
NOTES = """\
± and ranges are 95 % intervals: over seeds (Student), over clips (bootstrap).
`bound` is in nats a token; `accuracy` of the diffusion decoders is on corrupted tokens at all t, of the baseline on the
next token after true ones: they are not to be compared.
`distance` is the Frechet distance of mel statistics to real clips of the same texts; of other real clips it is {floor}.
`seconds` is for the tokens of one clip in the quickest of the batches of {batch}, `trained` the seconds of training,
start-up included."""


def main(args: list[str]) -> None:
    """Train and compare. Interrupted, it goes on where it stopped.

    The table and its picture go to OUT/ablation.md, OUT/ablation.png; every single figure to OUT/ablation.json.
    """
    parser = argparse.ArgumentParser(
        prog="diffsound ablation", description=main.__doc__.splitlines()[0],
        epilog="Other options, such as --train.vqvae.max_steps 3000 or --config FILE, change the recipe first.")
    parser.add_argument("--recipe", type=Path, required=True, help="names codec, data, denoiser and sampler")
    parser.add_argument("--out", type=Path, default=Path("out/ablation"), help="folder of all results")
    parser.add_argument("--of", choices=("decoders", "pretraining"), default="decoders",
                        help="pretraining: what comes of labels before a few captions, docs/pretraining.md")
    parser.add_argument("--seeds", type=int, default=3, help="how many times each decoder is trained")
    parser.add_argument("--steps", type=int, default=750, help="of training each decoder (on captions)")
    parser.add_argument("--clips", type=int, default=96, help="made by each decoder and sampler")
    pretraining = parser.add_argument_group("--of pretraining")
    pretraining.add_argument("--pretrain-steps", type=int, default=1500, help="of training on labels")
    pretraining.add_argument("--share", type=float, default=0.05, help="of the training clips whose captions are given")
    pretraining.add_argument("--fine-tune-rate", type=float, help="learning rate after pretraining (default: the "
                             "recipe's train.diffusion.learning_rate)")
    options, extra = parser.parse_known_args(args)
    for name in ("seeds", "steps", "clips", "pretrain_steps"):
        if getattr(options, name) < (2 if name == "clips" else 1):
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(options, name)}, expected at least "
                             f"{2 if name == 'clips' else 1}")
    recipe = changed_recipe(options.recipe, extra)
    if options.of == "decoders":
        Ablation(recipe, options.out, options.steps, options.clips).run(options.seeds)
    else:
        from diffsound.pretraining_ablation import PretrainingAblation

        PretrainingAblation(recipe, options.out, options.steps, options.clips, options.pretrain_steps, options.share,
                            options.fine_tune_rate).run(options.seeds)


class Ablation:
    """One comparison; its folder holds what was trained and measured so far."""

    def __init__(self, recipe: DictConfig, out: Path, steps: int, clips: int, **settings: Any) -> None:
        self.recipe, self.out, self.steps, self.clips = recipe, out, steps, clips
        self.recipe.runs = str(out / "runs")
        self.folder = out / "runs" / recipe.name
        self.file = out / "ablation.json"
        self.settings = {"recipe": OmegaConf.to_container(recipe), "steps": steps, "clips": clips, **settings}
        self.rows: dict[str, dict[str, Any]] = {}
        if self.file.is_file():
            stored = json.loads(self.file.read_text())
            if stored["settings"] != self.settings:
                raise ValueError(f"{self.file} was made with other settings (recipe, --steps, --clips or options): "
                                 "give another --out, or delete that folder")
            self.rows = stored["rows"]

    @property
    def on_scenes(self) -> bool:
        return self.recipe.audio.class_path.endswith(".SceneDataModule")

    def run(self, seeds: int) -> None:
        """Everything: what the decoders need, the decoders, the samplers, the table."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.prepare()
        for seed in range(seeds):
            for decoder in (*MATRICES, AUTOREGRESSIVE):
                self.compare_decoder(decoder, seed)
        for name, (build, counts, matrices) in SAMPLERS.items():
            for decoder in matrices:
                for steps in counts:
                    self.compare_sampler(name, build, steps, decoder)
        text = "\n\n".join(["\n".join(table) for table in self.tables()])
        write_text(self.out / "ablation.md", text + "\n")
        self.plot(self.out / "ablation.png")
        print(f"\n{text}\n\nTables, picture and figures are in {self.out}")

    def prepare(self) -> None:
        """Codec and tokens, shared by all, and, on scenes, the judge."""
        codec = self.folder / "vqvae" / "last.ckpt"
        fit_once(self._command("recipe", self.recipe, "vqvae"), codec, self.recipe.train.vqvae.max_steps)
        if not (self.folder / "tokens" / "store.json").is_file():
            run("tokenize", self._command("recipe", self.recipe, "tokenize"))
        self.codec = VQVAE.from_checkpoint(codec)
        self.judge = load_judge() if self.on_scenes else None
        if self.judge is not None and self.judge.mel != self.codec.mel:
            raise ValueError(f"the judge listens to {self.judge.mel}, the recipe's mel is {self.codec.mel}: scenes can "
                             "be compared only with the judge's")
        self._hold_out()

    def compare_decoder(self, decoder: str, seed: int) -> None:
        """Train one decoder and note its bound, its accuracy, and what its clips are worth."""
        key = f"{decoder} {seed}"
        if key in self.rows:
            return
        print(f"\n{decoder}, seed {seed}", flush=True)
        anew, start = not self._checkpoint(decoder, seed).is_file(), time.perf_counter()
        module = self._trained(decoder, seed)
        seconds = time.perf_counter() - start if anew else None  # not known of a training that was interrupted
        trainer = Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False)
        metrics = trainer.validate(module, TokenDataModule(str(self.folder / "tokens"), BATCH), verbose=False)[0]
        self.rows[key] = {"decoder": decoder, "seed": seed, "trained": seconds, "bound": metrics["val/bound"],
                          "accuracy": metrics["val/accuracy"], **self.quality(module, self._sampler(decoder))}
        self._save()

    def compare_sampler(self, name: str, build: Callable[..., Sampler], steps: int, decoder: str) -> None:
        """Note what one sampler makes of the first decoder of that kind."""
        key = f"{name} {steps} {decoder}"
        if key in self.rows or steps > self.recipe.num_timesteps:
            return
        print(f"{decoder}, {name}, {steps or 'all'} steps", flush=True)
        given = self._sampler(decoder).spec["init_args"]
        shared = {option: given[option] for option in SHARED if given.get(option) is not None}
        self.rows[key] = {"sampler": name, "decoder": decoder,
                          **self.quality(self._trained(decoder, 0), build(steps, **shared))}
        self._save()

    @torch.no_grad()
    def quality(self, module: TokenDecoder, sampler: TokenSampler) -> dict[str, Any]:
        """What `clips` sounds for held-out texts are worth, without a vocoder, and the seconds that each took."""
        calls: list[int] = []
        mels, seconds, scores = [], [], []
        module.generate(module.condition(self.texts[:1]), self.columns, sampler, [torch.Generator()],
                        **({"on_step": lambda number, x: calls.append(number)} if isinstance(sampler, Sampler) else {}))
        for first in range(0, len(self.texts), BATCH):
            texts = self.texts[first:first + BATCH]
            generators = [torch.Generator().manual_seed(first + i) for i in range(len(texts))]
            condition = module.condition(texts)
            start = time.perf_counter()
            tokens = module.generate(condition, self.columns, sampler, generators)
            seconds.append((time.perf_counter() - start) / len(texts))
            mels.append(self.codec.decode(tokens, self.columns))
            if self.judge is not None:
                heard = self.judge.listen_to_mel(mels[-1])
                scores += [score(*one) for one in zip(heard, self.structures[first:first + BATCH], strict=True)]
        result = {"steps": len(calls) or module.rows * self.columns, "seconds": min(seconds),  # the least disturbed
                  "distance": frechet_distance(_statistics(torch.cat(mels)), self.true)}
        return result | (_with_intervals(scores) if scores else {})

    def tables(self) -> list[list[str]]:
        """Lines of Markdown: the decoders, then the samplers."""
        groups: dict[str, list[dict]] = {}
        for row in self.rows.values():
            if "seed" in row:
                groups.setdefault(row["decoder"], []).append(row)
        columns = [column for column in COLUMNS if column in next(iter(groups.values()))[0]]
        decoders = header("decoder", *columns, "trained")
        decoders += [line(name, *(over_seeds([row[column] for row in rows]) for column in (*columns, "trained")))
                     for name, rows in groups.items()]
        columns = [column for column in columns if column not in ("bound", "accuracy")]
        samplers = header("decoder", "sampler", "steps", *columns)
        for row in self.rows.values():
            if "sampler" in row:
                cells = [_number(row[column]) + _range(row.get(f"{column}_interval")) for column in columns]
                samplers.append(line(row["decoder"], row["sampler"], str(row["steps"]), *cells))
        return [decoders, samplers, NOTES.format(batch=BATCH, floor=_number(self.floor)).splitlines()]

    def plot(self, path: Path) -> None:
        """Quality against time, a line a sampler."""
        from matplotlib.figure import Figure

        quality = "f1" if self.on_scenes else "distance"
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        lines: dict[str, list[dict]] = {}
        for row in self.rows.values():
            lines.setdefault(f"{row['decoder']}, {row['sampler']}" if "sampler" in row else "", []).append(row)
        names = dict.fromkeys(row["sampler"] for row in self.rows.values() if "sampler" in row)
        colours = {name: f"C{i}" for i, name in enumerate(names)}
        styles = dict(zip(MATRICES, ("-", "--", ":"), strict=True))
        for label, rows in lines.items():
            if label:
                rows = sorted(rows, key=lambda row: row["seconds"])
                axes.plot([row["seconds"] for row in rows], [row[quality] for row in rows], label=label, marker="o",
                          color=colours[rows[0]["sampler"]], linestyle=styles[rows[0]["decoder"]])
        baseline = [row for row in lines.get("", []) if row["decoder"] == AUTOREGRESSIVE and row["seed"] == 0]
        for row in baseline:
            axes.plot(row["seconds"], row[quality], "k*", markersize=12, label=AUTOREGRESSIVE)
        axes.set(xscale="log", xlabel=f"seconds a clip, in batches of {BATCH}",
                 ylabel="F1 of the events heard" if self.on_scenes else "Frechet distance of mel statistics")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        whole_file(path, lambda partial: figure.savefig(partial, format="png", dpi=120))

    def _checkpoint(self, decoder: str, seed: int) -> Path:
        return self.folder / _stage(decoder, seed) / "last.ckpt"

    def _trained(self, decoder: str, seed: int) -> TokenDecoder:
        """The decoder, trained now if it was not before."""
        base = AUTOREGRESSIVE if decoder == AUTOREGRESSIVE else "diffusion"
        recipe = self.recipe.copy()
        recipe.train[base].max_steps = recipe.train[base].validate_every = self.steps
        if decoder != AUTOREGRESSIVE:
            recipe.decoder.init_args.transition = self._transition(MATRICES[decoder])
        stage = _stage(decoder, seed)
        fit_once([*self._command(stage, recipe, base), "--stage", stage, "--seed_everything", str(seed)],
                 self._checkpoint(decoder, seed), self.steps)
        return load_module(self._checkpoint(decoder, seed))

    def _transition(self, name: str) -> DictConfig:
        """The recipe's, if it is of that class, or one with the same codebook and schedule."""
        given = self.recipe.decoder.init_args.transition
        if given.class_path.split(".")[-1] == name:
            return given
        arguments = OmegaConf.to_container(given.init_args)
        shared = {key: arguments[key] for key in ("codebook_size", "schedule")}
        return OmegaConf.create({"class_path": f"diffsound.diffusion.{name}", "init_args": shared})

    def _command(self, name: str, recipe: DictConfig, stage: str) -> list[str]:
        """Arguments of a recipe verb, for a recipe that is kept under `name`."""
        path = self.out / "recipes" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(recipe, path)
        return ["--config", str(path), "--config", f"configs/stage/{stage}.yaml"]

    def _sampler(self, decoder: str) -> TokenSampler:
        """The recipe's sampler, or for the baseline one with the same temperature, truncation and guidance."""
        spec = OmegaConf.to_container(self.recipe.text_to_sound.init_args.sampler, resolve=True)
        sampler = rebuild(spec)
        if decoder != AUTOREGRESSIVE or isinstance(sampler, AutoregressiveSampler):
            return sampler
        return AutoregressiveSampler(sampler.temperature, sampler.top_r, top_k=sampler.top_k,
                                     guidance_scale=sampler.guidance_scale, guidance_trend=sampler.guidance_trend)

    @torch.no_grad()
    def _hold_out(self) -> None:
        """Note texts and structures of the first validation clips, what their sounds are like through the codec, and
        how far other real clips, as many, are from them."""
        data = TokenDataModule(str(self.folder / "tokens"), BATCH)
        data.setup("validate")
        batches = list(data.val_dataloader())
        self.columns = data.columns
        self.texts = [text for batch in batches for text in batch["text"]][:self.clips]
        if len(self.texts) < self.clips:
            raise ValueError(f"--clips is {self.clips}, but there are {len(self.texts)} validation clips: take fewer")
        real = torch.cat([_statistics(self.codec.decode(batch["tokens"], data.columns)) for batch in batches])
        self.true, others = real[:self.clips], real[self.clips:2 * self.clips]
        self.floor = frechet_distance(others, self.true) if len(others) == self.clips else math.nan
        if self.on_scenes:
            scenes = build_part(self.recipe, "audio").val
            items = [scenes[i] for i in range(self.clips)]
            self.texts = [item["text"] for item in items]
            self.structures = [Structure.from_dict(item["structure"]) for item in items]

    def _save(self) -> None:
        write_text(self.file, json.dumps({"settings": self.settings, "rows": self.rows}, indent=1))


def _stage(decoder: str, seed: int) -> str:
    return f"{decoder.replace('+', '-')}-{seed}"


def _statistics(mel: torch.Tensor) -> torch.Tensor:
    """(B, 40): mean and spread over time of twenty groups of bands."""
    bands = torch.nn.functional.adaptive_avg_pool1d(mel.transpose(1, 2), 20)
    return torch.cat([bands.mean(1), bands.std(1)], 1).double()


def _with_intervals(scores: list[Score], repeats: int = 1000) -> dict[str, Any]:
    """The scores of all clips, each with its 95 % interval by bootstrap over clips."""
    draw, summary = random.Random(0), summarise(scores)
    drawn = [summarise(draw.choices(scores, k=len(scores))) for _ in range(repeats)]
    result = {name: summary[name] for name in SCENES if name in summary}
    for name in list(result):
        values = sorted(one[name] for one in drawn if name in one)
        result[f"{name}_interval"] = values[round(0.025 * len(values))], values[round(0.975 * len(values)) - 1]
    return result


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 100 or abs(value) < 0.01 else f"{value:.3f}"


def _range(interval: tuple[float, float] | None) -> str:
    return f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""


def over_seeds(values: list[float | None]) -> str:
    """Mean and 95 % interval of Student's t."""
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    text = _number(statistics.mean(values))
    if len(values) == 1:
        return text
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{text} ± {_number(half)}"


def header(*names: str) -> list[str]:
    return [line(*names), line(*("---" for _ in names))]


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
