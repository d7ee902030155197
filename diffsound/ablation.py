"""`diffsound ablation`: every corruption and the baseline on the same data, budget and seeds; then every sampler."""

from __future__ import annotations

import argparse
import json
import math
import os
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
from diffsound.evaluation import EventTagger, Score, frechet_distance, score, summarise
from diffsound.recipe import fit_once, run
from diffsound.scenes import SceneDataModule, Structure
from diffsound.token_decoder import TokenDecoder
from diffsound.token_sampler import TokenSampler
from diffsound.vqvae import VQVAE

MATRICES = {"mask+uniform": "MaskUniform", "mask": "Mask", "uniform": "Uniform"}
AUTOREGRESSIVE = "autoregressive"
SCENES = ("f1", "order", "count")
COLUMNS = ("bound", "accuracy", *SCENES, "distance", "seconds")
SAMPLERS: dict[str, tuple[Callable[..., Sampler], tuple[int, ...], tuple[str, ...]]] = {  # how, steps, matrices
    "strided": (lambda n, **o: StridedSampler(n, **o), (5, 10, 20, 50, 100), tuple(MATRICES)),
    "strided, original": (lambda n, **o: StridedSampler(n, original=True, **o), (10, 20, 50), ("mask+uniform",)),
    "confidence": (lambda n, **o: ConfidenceSampler(n, **o), (5, 10, 20), ("mask+uniform", "mask")),
    "purity": (lambda n, **o: PuritySampler(n, **o), (10, 20, 50), ("mask+uniform", "mask")),
    "re-masking": (lambda n, **o: RemaskingSampler(n, **o), (20, 50, 100), ("mask",)),
    "first-hitting": (lambda n, **o: FirstHittingSampler(**o), (0,), ("mask",)),  # as many as there are tokens
}
BATCH = 32


def main(args: list[str]) -> None:
    """Train and compare. Interrupted, it goes on where it stopped.

    The table and its picture go to OUT/ablation.md, OUT/ablation.png; every single figure to OUT/ablation.json.
    """
    parser = argparse.ArgumentParser(
        prog="diffsound ablation", description=main.__doc__.splitlines()[0],
        epilog="Other options, such as --train.vqvae.max_steps, go to every training, as on the line of fit.")
    parser.add_argument("--recipe", type=Path, required=True, help="names codec, data, denoiser and sampler")
    parser.add_argument("--out", type=Path, default=Path("out/ablation"), help="folder of all results")
    parser.add_argument("--seeds", type=int, default=3, help="how many times each decoder is trained")
    parser.add_argument("--steps", type=int, default=900, help="of training each decoder")
    parser.add_argument("--clips", type=int, default=96, help="made by each decoder and sampler")
    options, extra = parser.parse_known_args(args)
    for name in ("seeds", "steps", "clips"):
        if getattr(options, name) < (2 if name == "clips" else 1):
            raise ValueError(f"--{name} is {getattr(options, name)}, expected at least {2 if name == 'clips' else 1}")
    if not options.recipe.is_file():
        raise FileNotFoundError(f"there is no recipe {options.recipe}")
    Ablation(options.recipe, options.out, options.steps, options.clips, extra).run(options.seeds)


class Ablation:
    """One comparison; its folder holds what was trained and measured so far."""

    def __init__(self, recipe: Path, out: Path, steps: int, clips: int, extra: list[str]) -> None:
        self.path, self.out, self.steps, self.clips, self.extra = recipe, out, steps, clips, extra
        self.recipe = OmegaConf.load(recipe)
        self.recipe.runs = str(out / "runs")
        self.folder = out / "runs" / self.recipe.name
        self.file = out / "ablation.json"
        self.settings = {"recipe": recipe.read_text(), "steps": steps, "clips": clips, "extra": extra}
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
        _write(self.out / "ablation.md", text + "\n")
        self.plot(self.out / "ablation.png")
        print(f"\n{text}\n\nTables, picture and figures are in {self.out}")

    def prepare(self) -> None:
        """Codec, tokens and, on scenes, the judge: shared by all."""
        stages = ["vqvae", *(["tagger"] if self.on_scenes else [])]
        for stage in stages:
            fit_once([*self._command(self.path, stage), *self.extra], self.folder / stage / "last.ckpt",
                     self.recipe.train[stage].max_steps)
        if not (self.folder / "tokens" / "store.json").is_file():
            run("tokenize", [*self._command(self.path, "tokenize"), *self.extra])
        self.codec = VQVAE.from_checkpoint(self.folder / "vqvae" / "last.ckpt")
        self.judge = EventTagger.from_checkpoint(self.folder / "tagger" / "last.ckpt") if self.on_scenes else None
        self.texts, self.structures, self.true = self._held_out()

    def compare_decoder(self, decoder: str, seed: int) -> None:
        """Train one decoder and note its bound, its accuracy, and what its clips are worth."""
        key, stage = f"{decoder} {seed}", f"{decoder.replace('+', '-')}-{seed}"
        if key in self.rows:
            return
        print(f"\n{decoder}, seed {seed}", flush=True)
        start = time.perf_counter()
        module = self._trained(decoder, seed)
        data = TokenDataModule(str(self.folder / "tokens"), BATCH)
        trainer = Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False, inference_mode=True)
        metrics = trainer.validate(module, data, verbose=False)[0]
        values = {"bound": metrics["val/bound"], "accuracy": metrics["val/accuracy"]}
        self.rows[key] = {"decoder": decoder, "seed": seed, "stage": stage, "trained": time.perf_counter() - start,
                          **values, **self.quality(module, self._sampler(decoder))}
        self._save()

    def compare_sampler(self, name: str, build: Callable[..., Sampler], steps: int, decoder: str) -> None:
        """Note what one sampler makes of the first decoder of that kind."""
        key = f"{name} {steps} {decoder}"
        if key in self.rows or steps > self.recipe.num_timesteps:
            return
        print(f"{decoder}, {name}, {steps or 'all'} steps", flush=True)
        given = self._sampler(decoder)
        shared = {"temperature": given.temperature, "top_r": given.top_r, "top_k": given.top_k,
                  "guidance_scale": given.guidance_scale, "guidance_trend": given.guidance_trend}
        module = self._trained(decoder, 0)
        self.rows[key] = {"sampler": name, "steps": steps or module.rows * self.codec_columns, "decoder": decoder,
                          **self.quality(module, build(steps, **shared))}
        self._save()

    @torch.no_grad()
    def quality(self, module: TokenDecoder, sampler: TokenSampler) -> dict[str, Any]:
        """What `clips` sounds for held-out texts are worth, without a vocoder, and the seconds that each took."""
        mels, spent, scores = [], 0.0, []
        for first in range(0, len(self.texts), BATCH):
            texts = self.texts[first:first + BATCH]
            generators = [torch.Generator().manual_seed(first + i) for i in range(len(texts))]
            condition = module.condition(texts)
            start = time.perf_counter()
            tokens = module.generate(condition, self.codec_columns, sampler, generators)
            spent += time.perf_counter() - start
            mels.append(self.codec.decode(tokens, self.codec_columns))
            if self.judge is not None:
                heard = self.judge.listen_to_mel(mels[-1])
                scores += [score(*one) for one in zip(heard, self.structures[first:first + BATCH], strict=True)]
        result: dict[str, Any] = {"seconds": spent / len(self.texts),
                                  "distance": frechet_distance(_statistics(torch.cat(mels)), self.true)}
        if scores:
            summary = summarise(scores)
            result |= {name: summary[name] for name in SCENES} | {"f1_interval": _bootstrap(scores)}
        return result

    def tables(self) -> list[list[str]]:
        """Lines of Markdown: the decoders, then the samplers."""
        groups: dict[str, list[dict]] = {}
        for row in self.rows.values():
            if "seed" in row:
                groups.setdefault(row["decoder"], []).append(row)
        columns = [column for column in COLUMNS if column in next(iter(groups.values()))[0]]
        decoders = _header("decoder", *columns, "trained in s")
        decoders += [_line(name, *(_over_seeds([row[column] for row in rows]) for column in columns),
                           _over_seeds([row["trained"] for row in rows])) for name, rows in groups.items()]
        columns = [column for column in columns if column not in ("bound", "accuracy")]
        samplers = _header("decoder", "sampler", "steps", *columns)
        for row in self.rows.values():
            if "sampler" in row:
                cells = [_number(row[column]) for column in columns]
                if "f1" in columns:
                    low, high = row["f1_interval"]
                    cells[columns.index("f1")] += f" ({low:.3f} to {high:.3f})"
                samplers.append(_line(row["decoder"], row["sampler"], str(row["steps"]), *cells))
        return [decoders, samplers]

    def plot(self, path: Path) -> None:
        """Quality against time, a line a sampler."""
        from matplotlib.figure import Figure

        quality = "f1" if self.on_scenes else "distance"
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        lines: dict[str, list[dict]] = {}
        for row in self.rows.values():
            lines.setdefault(f"{row['decoder']}, {row['sampler']}" if "sampler" in row else "", []).append(row)
        for label, rows in lines.items():
            if label:
                rows = sorted(rows, key=lambda row: row["seconds"])
                axes.plot([row["seconds"] for row in rows], [row[quality] for row in rows], "o-", label=label)
        baseline = [row for row in lines.get("", []) if row["decoder"] == AUTOREGRESSIVE and row["seed"] == 0]
        for row in baseline:
            axes.plot(row["seconds"], row[quality], "k*", markersize=12, label=AUTOREGRESSIVE)
        axes.set(xscale="log", xlabel=f"seconds a clip, in batches of {BATCH}",
                 ylabel="F1 of the events heard" if self.on_scenes else "Frechet distance of mel statistics")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        temporary = path.with_suffix(".part.png")
        figure.savefig(temporary, dpi=120)
        os.replace(temporary, path)

    @property
    def codec_columns(self) -> int:
        return self.recipe.max_columns

    def _trained(self, decoder: str, seed: int) -> TokenDecoder:
        """The decoder, trained now if it was not before."""
        stage = f"{decoder.replace('+', '-')}-{seed}"
        checkpoint = self.folder / stage / "last.ckpt"
        base = AUTOREGRESSIVE if decoder == AUTOREGRESSIVE else "diffusion"
        recipe = self.path if decoder == AUTOREGRESSIVE else self._with_matrix(decoder)
        fit_once([*self._command(recipe, base), "--stage", stage, "--seed_everything", str(seed),
                  f"--train.{base}.max_steps", str(self.steps), f"--train.{base}.validate_every", str(self.steps),
                  *self.extra], checkpoint, self.steps)
        return load_module(checkpoint)

    def _with_matrix(self, name: str) -> Path:
        """A copy of the recipe in which the decoder's transition is another."""
        recipe = OmegaConf.load(self.path)
        transition = recipe.decoder.init_args.transition
        shared = {key: value for key, value in transition.init_args.items() if key in ("codebook_size", "schedule")}
        if transition.class_path.split(".")[-1] != MATRICES[name]:
            recipe.decoder.init_args.transition = DictConfig(
                {"class_path": f"diffsound.diffusion.{MATRICES[name]}", "init_args": shared})
        path = self.out / "recipes" / f"{name.replace('+', '-')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(recipe, path)
        return path

    def _command(self, recipe: Path, stage: str) -> list[str]:
        return ["--config", str(recipe), "--config", f"configs/stage/{stage}.yaml", "--runs", str(self.out / "runs")]

    def _sampler(self, decoder: str) -> TokenSampler:
        """The recipe's sampler, or for the baseline one with the same temperature, truncation and guidance."""
        spec = OmegaConf.to_container(self.recipe.text_to_sound.init_args.sampler, resolve=True)
        sampler = rebuild(spec)
        if decoder != AUTOREGRESSIVE or isinstance(sampler, AutoregressiveSampler):
            return sampler
        return AutoregressiveSampler(sampler.temperature, sampler.top_r, top_k=sampler.top_k,
                                     guidance_scale=sampler.guidance_scale, guidance_trend=sampler.guidance_trend)

    def _held_out(self) -> tuple[list[str], list[Structure], torch.Tensor]:
        """Captions and structures of validation clips, and the mel statistics of all of them through the codec."""
        data = TokenDataModule(str(self.folder / "tokens"), BATCH)
        data.setup("validate")
        batches = list(data.val_dataloader())
        true = torch.cat([_statistics(self.codec.decode(batch["tokens"], data.columns)) for batch in batches])
        texts, structures = [text for batch in batches for text in batch["text"]], []
        if self.on_scenes:
            scenes = SceneDataModule(**OmegaConf.to_container(self.recipe.audio.init_args, resolve=True)).val
            items = [scenes[i] for i in range(min(self.clips, len(scenes)))]
            texts, structures = [item["text"] for item in items], [Structure(**item["structure"]) for item in items]
        if len(texts) < self.clips:
            raise ValueError(f"--clips is {self.clips}, but there are {len(texts)} validation clips: ask for fewer")
        return texts[:self.clips], structures, true

    def _save(self) -> None:
        _write(self.file, json.dumps({"settings": self.settings, "rows": self.rows}, indent=1))


def _statistics(mel: torch.Tensor) -> torch.Tensor:
    """(B, 2 * n_mels): mean and spread of every band."""
    return torch.cat([mel.mean(-1), mel.std(-1)], 1).double()


def _bootstrap(scores: list[Score], repeats: int = 1000) -> tuple[float, float]:
    """95 % interval of the F1 over clips."""
    draw = random.Random(0)
    values = sorted(summarise(draw.choices(scores, k=len(scores)))["f1"] for _ in range(repeats))
    return values[round(0.025 * repeats)], values[round(0.975 * repeats) - 1]


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 100 or abs(value) < 0.01 else f"{value:.3f}"


def _over_seeds(values: list[float]) -> str:
    """Mean and 95 % interval of Student's t."""
    text = _number(statistics.mean(values))
    if len(values) == 1:
        return text
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{text} ± {_number(half)}"


def _header(*names: str) -> list[str]:
    return [_line(*names), _line(*("---" for _ in names))]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    os.replace(temporary, path)
