"""`diffsound bundle`: the trained checkpoints of a recipe as one folder that people can load."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import OmegaConf

from diffsound.bundle import WEIGHTS, write_bundle
from diffsound.recipe import build_part, changed_recipe

FROM = "diffsound.TextToSound.from_checkpoints"


def main(args: list[str]) -> None:
    """Pack the trained system of a recipe (its text_to_sound) into a bundle.

    Raises:
        FileExistsError: if there is something at `--out`.
        FileNotFoundError: if recipe, card or a checkpoint is not there.
        ValueError: if the recipe names no checkpoints, or the card is empty.
    """
    parser = argparse.ArgumentParser(
        prog="diffsound bundle", description=main.__doc__.splitlines()[0],
        epilog="Other options, such as --runs out/demo-train/runs or --config FILE, change the recipe first.")
    parser.add_argument("--recipe", required=True, type=Path, help="whose text_to_sound names the checkpoints")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="of the bundle; must not exist")
    parser.add_argument("--half", action="store_true",
                        help="store weights as float16, half the size; they are computed with as float32")
    parser.add_argument("--card", required=True, type=Path, metavar="FILE",
                        help="its README.md: what it makes, what it was trained on, whose it is")
    parser.add_argument("--attribution", type=Path, metavar="FILE",
                        help="its ATTRIBUTION.md: whose recordings it was trained on")
    options, extra = parser.parse_known_args(args)
    if options.out.exists():
        raise FileExistsError(f"--out {options.out} exists: choose another folder, or remove it")
    if not options.card.is_file():
        raise FileNotFoundError(f"--card {options.card} is not there: write what the model makes, what it was trained "
                                "on, and under which terms it may be used")
    card = options.card.read_text(encoding="utf-8")
    if options.attribution is not None and not options.attribution.is_file():
        raise FileNotFoundError(f"--attribution {options.attribution} is not there: expected a text that names whose "
                                "recordings the model was trained on")
    if not card.strip():
        raise ValueError(f"--card {options.card} is empty: write what the model makes and what it was trained on")
    recipe = changed_recipe(options.recipe, extra)
    if (built := OmegaConf.select(recipe, "text_to_sound.class_path")) != FROM:
        raise ValueError(f"text_to_sound of {options.recipe} is {built}, expected {FROM}, which reads checkpoints")
    OmegaConf.update(recipe, "text_to_sound.init_args.fold", False, force_add=True)
    model = build_part(recipe, "text_to_sound")
    write_bundle(model, options.out, card, {"recipe": str(recipe.get("name", options.recipe.stem))}, options.half,
                 None if options.attribution is None else options.attribution.read_text(encoding="utf-8"))
    print(f"wrote {options.out}, {(options.out / WEIGHTS).stat().st_size / 1e6:.1f} MB")
