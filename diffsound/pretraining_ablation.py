"""`diffsound ablation --of pretraining`: what labels are worth before few captions, and how they are best written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from pytorch_lightning import Trainer

from diffsound.ablation import BATCH, SCENES, Ablation, header, line, over_seeds
from diffsound.checkpoint import load_module
from diffsound.data import TokenDataModule
from diffsound.recipe import fit_once
from diffsound.token_decoder import TokenDecoder
from diffsound.whole_file import write_text

COLUMNS = ("bound", *SCENES, "distance")
NOTES = """\
± are 95 % intervals over seeds (Student). {labels} clips with labels, {captions} of them with captions;
{pretrain} steps on labels, {steps} on captions, or {longer} where it says longer. `bound` is in nats a token;
`distance` is the Frechet distance of mel statistics to real clips of the same texts; other real clips have {floor}."""


class Arm(NamedTuple):
    """One way to train: `label_text` are arguments of `LabelText`, or None without pretraining."""

    label_text: dict[str, Any] | None
    longer: bool = False  # on captions, by as many steps as pretraining has


ARMS = {
    "captions alone": Arm(None),
    "captions alone, longer": Arm(None, longer=True),
    "label lists, then captions": Arm({"masks": "none"}),
    "MBTG, then captions": Arm({}),
    "MBTG, then captions longer": Arm({}, longer=True),
    "MBTG with masks between labels": Arm({"masks": "between"}),
    "MBTG with sentences for half of the texts": Arm({"templates": 0.5}),
}


class PretrainingAblation(Ablation):
    """Decoders that see the captions of a share of the clips, after different pretraining on the labels of all."""

    def __init__(self, recipe: DictConfig, out: Path, steps: int, clips: int, pretrain_steps: int, share: float,
                 fine_tune_rate: float | None) -> None:
        super().__init__(recipe, out, steps, clips, pretrain_steps=pretrain_steps, share=share,
                         fine_tune_rate=fine_tune_rate)
        self.pretrain_steps, self.share, self.fine_tune_rate = pretrain_steps, share, fine_tune_rate

    def run(self, seeds: int) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.prepare()
        for seed in range(seeds):
            for name in ARMS:
                self.compare(name, seed)
        text = "\n".join(self.table())
        write_text(self.out / "ablation.md", text + "\n")
        print(f"\n{text}\n\nTable and figures are in {self.out}")

    def compare(self, name: str, seed: int) -> None:
        """Train one arm and note its bound and what its clips are worth."""
        key = f"{name} {seed}"
        if key in self.rows:
            return
        print(f"\n{name}, seed {seed}", flush=True)
        module = self._fine_tuned(ARMS[name], seed)
        trainer = Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False)
        metrics = trainer.validate(module, TokenDataModule(str(self.folder / "tokens"), BATCH), verbose=False)[0]
        self.rows[key] = {"arm": name, "seed": seed, "bound": metrics["val/bound"],
                          **self.quality(module, self._sampler("mask+uniform"))}
        self._save()

    def table(self) -> list[str]:
        """Lines of Markdown."""
        groups: dict[str, list[dict]] = {}
        for row in self.rows.values():
            groups.setdefault(row["arm"], []).append(row)
        columns = [column for column in COLUMNS if column in next(iter(self.rows.values()))]
        lines = [line(name, *(over_seeds([row[column] for row in rows]) for column in columns))
                 for name, rows in groups.items()]
        count = {}
        for share in (1.0, self.share):
            data = TokenDataModule(str(self.folder / "tokens"), share=share)
            data.setup("fit")
            count[share] = len(data.train_dataloader().dataset)
        notes = NOTES.format(labels=count[1.0], captions=count[self.share], pretrain=self.pretrain_steps,
                             steps=self.steps, longer=self.steps + self.pretrain_steps, floor=f"{self.floor:.3f}")
        return [*header("training", *columns), *lines, "", *notes.splitlines()]

    def _fine_tuned(self, arm: Arm, seed: int) -> TokenDecoder:
        recipe, extra = self.recipe.copy(), []
        steps = self.steps + (self.pretrain_steps if arm.longer else 0)
        recipe.train.diffusion.max_steps = recipe.train.diffusion.validate_every = steps
        recipe.tokens.init_args.share = self.share
        if arm.label_text is not None:
            extra = ["--start_from", str(self._pretrained(arm.label_text, seed))]
            recipe.train.diffusion.learning_rate = self.fine_tune_rate or recipe.train.diffusion.learning_rate
        return load_module(self._fit(recipe, "diffusion", f"captions-{_slug(arm)}-{seed}", seed, steps, extra))

    def _pretrained(self, label_text: dict[str, Any], seed: int) -> Path:
        recipe = self.recipe.copy()
        recipe.train.pretrain.max_steps = recipe.train.pretrain.validate_every = self.pretrain_steps
        recipe.tokens.init_args.label_text = {"class_path": "diffsound.data.LabelText", "init_args": label_text}
        return self._fit(recipe, "pretrain", f"labels-{_slug(Arm(label_text))}-{seed}", seed, self.pretrain_steps, [])

    def _fit(self, recipe: DictConfig, base: str, stage: str, seed: int, steps: int, extra: list[str]) -> Path:
        checkpoint = self.folder / stage / "last.ckpt"
        fit_once([*self._command(stage, recipe, base), "--stage", stage, "--seed_everything", str(seed), *extra],
                 checkpoint, steps)
        return checkpoint


def _slug(arm: Arm) -> str:
    """Of a folder."""
    if arm.label_text is None:
        start = "alone"
    else:
        start = "-".join(f"{key}-{value}" for key, value in arm.label_text.items()) or "mbtg"
    return start + "-longer" * arm.longer
