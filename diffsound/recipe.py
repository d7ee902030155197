"""Recipes: how YAML files become a module, its data and a trainer.

A recipe names every part once; a stage file from configs/stage/ says which of them is `model` in this run. Numbers are
written once and meet their users by `${...}`.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import set_parsing_settings
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn
from yaml import YAMLError

from diffsound.blocks import Bulk
from diffsound.checked_yaml import check_recipe_yaml
from diffsound.checkpoint import read_checkpoint
from diffsound.data.unreadable import UnreadableReport
from diffsound.mel import MelSettings

MODULES = ("vqvae", "text_encoder", "decoder", "autoregressive", "vocoder", "tagger", "captioner", "text_to_sound")
DATA = ("audio", "tokens", "prompts")
_NAMED = re.compile(r"\$\{([\w.]+)\}")
_LARGEST = 10**6
set_parsing_settings(import_path_denylist=[])  # enforce jsonargparse's own: no os, subprocess, pickle as a class


@dataclass
class Budget:
    """What a stage may spend, and how fast it learns."""

    max_steps: int = 1000  # after which training ends
    batch_size: int = 16  # of all processes together; a step has accumulate_grad_batches of them
    learning_rate: float = 1e-4  # the highest, after warm-up
    validate_every: int = 1000  # steps
    ema_decay: float = 0.999  # of the averaged weights that a decoder's checkpoint holds


@dataclass
class Training:
    """What differs by stage."""

    vqvae: Budget = field(default_factory=Budget)
    vocoder: Budget = field(default_factory=Budget)
    text_encoder: Budget = field(default_factory=Budget)
    pretrain: Budget = field(default_factory=Budget)
    diffusion: Budget = field(default_factory=Budget)
    autoregressive: Budget = field(default_factory=Budget)
    tagger: Budget = field(default_factory=Budget)
    captioner: Budget = field(default_factory=Budget)


def _essence(message: str) -> str:
    """What went wrong, from jsonargparse's account of everything that it tried."""
    noise = ("Does not validate", "Subtypes:", "Errors:", "Expected a <class 'NoneType'", "Given value",
             "Problem with given")
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    lines = [line.rstrip(":") for line in lines if line and not line.startswith(noise)]
    return ": ".join([line for line in lines if not line.startswith("Import path")] or lines)  # of another choice


class RecipeParser(LightningArgumentParser):
    """Says what is wrong with a recipe in one line, where jsonargparse prints all options first."""

    def error(self, message: str, ex: Exception | None = None) -> None:
        raise ValueError(_essence(message)) from ex


class SaveRecipe(SaveConfigCallback):
    """Keeps the resolved recipe of `fit` beside its checkpoints."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class RecipeCLI(LightningCLI):
    """LightningCLI with the keys of a recipe beside `model`, `data` and `trainer`, for one verb."""

    def __init__(self, verb: str, bulk_work: Callable[..., None] | None, *args: Any, **kwargs: Any) -> None:
        self.verb, self.bulk_work = verb, bulk_work
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:
        return {self.verb: super().subcommands()[self.verb]}  # a parser of the other verbs takes a second to build

    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_argument("--name", type=str, default="unnamed", help="the system; files go to runs/NAME/")
        parser.add_argument("--stage", type=str, default="unnamed", help="set by configs/stage/*.yaml")
        parser.add_argument("--mel", type=MelSettings, default=MelSettings())
        parser.add_argument("--frames", type=int, default=848, help="length of a clip in mel frames, a multiple of 16")
        parser.add_argument("--max_columns", type=int, default=53, help="longest clip of the decoders, frames / 16")
        parser.add_argument("--codebook_size", type=int, default=256, help="number of codes, K")
        parser.add_argument("--num_timesteps", type=int, default=100, help="steps of the diffusion, T")
        parser.add_argument("--condition_width", type=int, default=512, help="width of the text encoder")
        parser.add_argument("--train", type=Training, default=Training())
        parser.add_argument("--start_from", type=str | None, default=None,
                            help="checkpoint or bundle whose weights training starts from; steps and optimizer begin "
                                 "anew")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all results")
        parser.add_argument("--bulk", type=Bulk, default=Bulk())
        for part in MODULES:
            parser.add_subclass_arguments(nn.Module, part, required=False)
        for part in DATA:
            parser.add_subclass_arguments(LightningDataModule, part, required=False)

    def instantiate_classes(self) -> None:
        """Build `model` and `data` alone: the parts they are made of were copied into them by `${...}`."""
        for part in (*MODULES, *DATA):
            self.config[self.subcommand].pop(part, None)
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A recipe's `val_check_interval` counts steps, Lightning's batches, of which a step may have several."""
        trainer = self.config_init[self.subcommand]["trainer"]
        interval, batches = trainer["val_check_interval"], trainer["accumulate_grad_batches"]
        if type(interval) is int and not trainer["check_val_every_n_epoch"]:
            kwargs = {"val_check_interval": interval * batches, **kwargs}
        return super().instantiate_trainer(**kwargs)

    def before_fit(self) -> None:
        path = self.config[self.subcommand].start_from
        if path:
            from_file = Path(path).is_file() or path.endswith(".ckpt")
            checkpoint = read_checkpoint(path) if from_file else _of_bundle(path, self.model)
            self.model.on_load_checkpoint(checkpoint)
            self.model.load_state_dict(checkpoint["state_dict"])

    def _run_subcommand(self, subcommand: str) -> None:
        """Lightning's, or what a verb does with many clips in place of the trainer."""
        if self.bulk_work is None:
            super()._run_subcommand(subcommand)
        else:
            self.datamodule.trainer = self.trainer
            self.bulk_work(self.model, self.datamodule, self.config_init[subcommand].bulk)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        return {**super()._prepare_subcommand_kwargs(subcommand), "weights_only": True}  # never run a checkpoint's code

    def _parse_ckpt_path(self) -> None:
        """Let the recipe decide: Lightning would lay the checkpoint's arguments over the edited recipe."""
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path and path not in ("last", "best", "hpc") and not Path(path).is_file():
            raise FileNotFoundError(f"ckpt_path: there is no file {path}")


def run(verb: str, args: list[str]) -> None:
    """Run a recipe verb with the command line after it."""
    _quiet()
    _check_configs(args)
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    bulk_work = BULK.get(verb)
    verb = "predict" if bulk_work else verb
    try:
        RecipeCLI(
            verb, bulk_work, LightningModule, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True,
            save_config_callback=SaveRecipe, save_config_kwargs={"overwrite": True}, seed_everything_default=0,
            auto_configure_optimizers=False, load_from_checkpoint_support=False,
            parser_class=RecipeParser, parser_kwargs={"parser_mode": "omegaconf+"},
            args=[verb, *args],
        )
    except (ValueError, MisconfigurationException) as error:
        raise ValueError(_essence(str(error))) from error


def _of_bundle(name: str, model: LightningModule) -> dict[str, Any]:
    """The part of the bundle `name` (see `diffsound.pretrained.find`) that is of the class of `model`, as a checkpoint.

    Raises:
        ValueError: if it has none.
    """
    from diffsound.bundle import PARTS, read_bundle
    from diffsound.pretrained import find

    bundle = read_bundle(find(name).folder)
    for part in (getattr(bundle, part) for part in PARTS):
        if type(part) is type(model):
            return {"spec": part.spec, "state_dict": part.state_dict(), "facts": part.facts}
    raise ValueError(f"start_from: the bundle {name} has no {type(model).__name__}")


def _tokenize(codec: LightningModule, data: LightningDataModule, bulk: Bulk) -> None:
    from diffsound.data.tokenize import tokenize

    report = UnreadableReport(Path(data.trainer.default_root_dir) / "unreadable.txt")
    tokenize(codec, data.draws(), data.batch_size, bulk, report)


def _generate_many(model: LightningModule, data: LightningDataModule, bulk: Bulk) -> None:
    from diffsound.generate_many import generate_many

    generate_many(model, data, bulk)


BULK = {"tokenize": _tokenize, "generate-many": _generate_many}  # verbs over many clips, in place of the trainer


def read_recipe(path: Path) -> DictConfig:
    """A recipe, or a file that changes one; nothing in it is looked at yet.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML mapping, or is of a size that no recipe has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {path}")
    check_recipe_yaml(path)
    try:
        return OmegaConf.create(OmegaConf.load(path) or {})
    except (YAMLError, OmegaConfBaseException, OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no recipe ({' '.join(str(error).split())[:300]})") from error


def _check_configs(args: list[str]) -> None:
    """Read the files of --config as strangers' before a parser does, which copies what it finds."""
    values = [value for option, value in pairwise(args) if option in ("--config", "-c")]
    paths = [*map(Path, values), *(Path(arg.partition("=")[2]) for arg in args if arg.startswith("--config="))]
    read = [read_recipe(path) for path in paths if path.is_file()]  # of one that is not there the parser tells
    if read:
        check_interpolations(merged(read))


def merged(recipes: list[DictConfig]) -> DictConfig:
    """One recipe of several, the last word the last one's. A part of another class has nothing of the arguments before.

    Raises:
        ValueError: if they cannot be merged.
    """
    try:
        first, *others = recipes
        for other in others:
            kept = _without_other_classes(OmegaConf.to_container(first), OmegaConf.to_container(other))
            first = OmegaConf.merge(OmegaConf.create(kept), other)
        return first
    except (OmegaConfBaseException, TypeError) as error:
        raise ValueError(f"the files do not fit together ({' '.join(str(error).split())[:300]})") from error


def _without_other_classes(recipe: Any, other: Any) -> Any:
    """`recipe`, plain data, without the `init_args` of what `other` puts another class in the place of."""
    if not isinstance(recipe, dict) or not isinstance(other, dict):
        return recipe
    replaced = "class_path" in other and other["class_path"] != recipe.get("class_path")
    return {key: _without_other_classes(value, other.get(key)) for key, value in recipe.items()
            if not (replaced and key == "init_args")}


def check_interpolations(recipe: DictConfig) -> None:
    """Raise ValueError if `${...}` leads back to itself, or makes more of a recipe than anybody could walk through."""
    content: Any = OmegaConf.to_container(recipe)
    known: dict[str, int | None] = {}

    def size(value: Any) -> int:
        """Values and characters of `value`, with all that it names."""
        if isinstance(value, dict | list):
            return 1 + sum(map(size, value.values() if isinstance(value, dict) else value))
        return 1 + len(value) + sum(map(named, _NAMED.findall(value))) if isinstance(value, str) else 1

    def named(name: str) -> int:
        if name not in known:
            known[name] = None  # until it is known
            value = content
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            known[name] = size(value)
        if (own := known[name]) is None:
            raise ValueError(f"${{{name}}} of the recipe leads back to itself")
        return own

    try:
        total = size(content)
    except RecursionError as error:
        raise ValueError("the recipe's ${...} lead from one to another a thousand times") from error
    if total > _LARGEST:
        raise ValueError(f"the recipe has {total} values and characters once its ${{...}} are put in, expected at most "
                         f"{_LARGEST}")


def changed_recipe(path: Path, options: list[str]) -> DictConfig:
    """The recipe with what `--key value` and `--config FILE` change in it; nothing in it is looked at yet.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is no recipe, or an option is not of that form.
    """
    recipe = read_recipe(path)
    if len(options) % 2 or not all(option.startswith("--") for option in options[::2]):
        raise ValueError(f"options for the recipe are {' '.join(options)}: expected --key value, in two words")
    for key, value in zip(options[::2], options[1::2], strict=True):
        if key == "--config":
            recipe = merged([recipe, read_recipe(Path(value))])
        else:
            value = yaml.safe_load(value)
            anew = isinstance(value, dict) and "class_path" in value  # arguments of the class before are not its own
            OmegaConf.update(recipe, key.removeprefix("--"), value, merge=not anew, force_add=True)
    return recipe


def resolved(recipe: DictConfig) -> dict[str, Any]:
    """A recipe as plain data, with all `${...}` put in, that of `runs` too if it has none.

    Raises:
        ValueError: if one of them leads nowhere, or as `check_interpolations`.
    """
    check_interpolations(recipe)
    try:
        return OmegaConf.to_container(OmegaConf.merge({"runs": "runs"}, recipe), resolve=True)
    except (OmegaConfBaseException, ValueError, RecursionError) as error:
        raise ValueError(f"the recipe cannot be read ({' '.join(str(error).split())[:300]})") from error


def build_part(recipe: DictConfig, name: str) -> Any:
    """The module or data `name` of a recipe, built as a stage would build it.

    Raises:
        ValueError: if the recipe has no such part, or it cannot be built so.
    """
    if name not in recipe:
        raise ValueError(f"the recipe has no {name}: expected that key, with class_path and init_args")
    parser = RecipeParser()
    parser.add_subclass_arguments(LightningDataModule if name in DATA else nn.Module, name)
    part = resolved(recipe)[name]
    try:
        return parser.instantiate(parser.parse_object({name: part}))[name]
    except ValueError as error:
        raise ValueError(_essence(str(error))) from error


def fit_once(args: list[str], checkpoint: Path, steps: int, fresh: bool = False) -> bool:
    """`fit`, unless `checkpoint` has `steps` steps: goes on from it where there is one, begins anew if `fresh`.

    Returns:
        whether there was anything to train.
    """
    if checkpoint.is_file() and not fresh:
        if read_checkpoint(checkpoint)["facts"]["steps"] >= steps:
            return False
        args = [*args, "--ckpt_path", str(checkpoint)]
    run("fit", args)
    return True


def _quiet() -> None:
    """Silence advice that does not concern a recipe's user."""
    for text in ("LightningCLI's args parameter", "does not have many workers", "LeafSpec",
                 "Checkpoint directory .* exists and is not empty", "is smaller than the logging interval"):
        warnings.filterwarnings("ignore", f".*{text}.*")
    advice = ("Tip:", "litlogger", "litmodels", "TPU available", "`weights_only` was not set")
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"pytorch_lightning.{name}").addFilter(
            lambda record: not any(text in record.getMessage() for text in advice))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
