"""`diffsound label-text`: the texts that pretraining makes of labels, to look at before it runs."""

from __future__ import annotations

import argparse
import os
import pkgutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

from diffsound.data import layouts, manifest
from diffsound.data.label_text import LabelText, Masks

_KEY = "tokens.init_args.label_text"


def main(args: list[str]) -> None:
    """Print labels and text of the first clips of a list: the text that training draws for that row of the token store
    in that epoch, with that seed (validation: epoch 0, seed 0). No audio is needed.

    The store has the rows of its manifest, in order, where every file could be read and each gave one draw.
    """
    parser = argparse.ArgumentParser(prog="diffsound label-text", description=main.__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, help="manifest.jsonl or .csv")
    source.add_argument("--store", type=Path, help="folder of a token store")
    source.add_argument("--segments", type=Path,
                        help="segment list of AudioSet, with class_labels_indices.csv or ontology.json beside it")
    parser.add_argument("--clips", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the data module (default: the recipe's, or 0)")
    parser.add_argument("--epoch", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--recipe", type=Path, help="takes the variant, and the mask of its text encoder, from it")
    variant = parser.add_argument_group("variant", "as of diffsound.data.LabelText; they override the recipe's")
    variant.add_argument("--masks", choices=get_args(Masks))
    variant.add_argument("--ontology", help="AudioSet's ontology.json")
    variant.add_argument("--synonyms", type=float, help="probability of other words for a label")
    variant.add_argument("--templates", type=float, help="probability of a sentence without masks")
    options = parser.parse_args(args)
    for name, least in (("clips", 1), ("epoch", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)} must be at least {least}")
    changes = {name: getattr(options, name) for name in ("masks", "ontology", "synonyms", "templates")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if options.recipe:
        label_text, mask, seed = _of_recipe(options.recipe, changes)
    else:
        label_text, mask, seed = LabelText(**changes), "[MASK]", 0
    seed = seed if options.seed is None else options.seed
    _print_table(islice(_clips(options), options.clips), label_text, mask, seed, options.epoch)


def _clips(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """(id, labels) of each row."""
    if options.manifest:
        yield from ((Path(os.path.relpath(clip.audio, options.manifest.parent)).as_posix(), clip.labels)
                    for clip in manifest.read(options.manifest))
    elif options.store:
        from diffsound.data.token_store import TokenStore

        store = TokenStore(options.store)
        clips = (store.clip(row) for row in range(len(store)))
        yield from ((clip.id, clip.labels) for clip in clips)
    else:
        yield from layouts.segment_labels(options.segments)


def _print_table(clips: Iterable[tuple[str, list[str]]], label_text: LabelText, mask: str, seed: int, epoch: int
                 ) -> None:
    """A line of labels and below it one of text: both may be long, and the text stays as it is."""
    from diffsound.data.loading import item_rng

    rows = []
    for row, (name, labels) in enumerate(clips):
        try:
            rows.append((str(row), name, "; ".join(labels), label_text(labels, item_rng(seed, epoch, row), mask)))
        except ValueError as error:
            raise ValueError(f"clip {name}: {error}") from error
    table = [("row", "clip", "labels", "text"), *rows]
    print(f"masks {label_text.masks} ({mask}), synonyms {label_text.synonyms:g}, templates {label_text.templates:g}, "
          f"seed {seed}, epoch {epoch}")
    widths = [max(len(cells[column]) for cells in table) for column in (0, 1)]
    for number, name, labels, text in table:
        print(f"{number:>{widths[0]}}  {name:{widths[1]}}  {labels}")
        print(f"{'':{sum(widths) + 4}}{text}")


def _of_recipe(path: Path, changes: dict[str, Any]) -> tuple[LabelText, str, int]:
    """The variant of a recipe with `changes`, the mask token of its text encoder, its seed."""
    from omegaconf import OmegaConf

    from diffsound.recipe import build_part, changed_recipe

    options = [word for name, value in changes.items() for word in (f"--{_KEY}.init_args.{name}", str(value))]
    recipe = changed_recipe(path, options)
    if changes and OmegaConf.select(recipe, f"{_KEY}.class_path") is None:
        OmegaConf.update(recipe, f"{_KEY}.class_path", "diffsound.data.LabelText")
    tokens = build_part(recipe, "tokens")
    if "text_encoder" not in recipe:
        raise ValueError(f"{path} has no text_encoder, whose mask the texts have: name it, or leave --recipe out")
    encoder = OmegaConf.to_container(OmegaConf.merge({"runs": "runs"}, recipe), resolve=True)["text_encoder"]
    try:
        kind = pkgutil.resolve_name(encoder["class_path"])
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path}: text_encoder.class_path {encoder['class_path']} is not there ({error})") from error
    if not isinstance(kind, type):  # a function that reads one
        kind = get_type_hints(kind)["return"]
    return tokens.label_text, kind.read_mask_token(**encoder.get("init_args", {})), tokens.seed
