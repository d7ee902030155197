"""Networks of the transformers library, from a folder on this machine and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from diffsound.plain_weights import is_finite

WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json")


def read_folder(network: type, folder: str | os.PathLike, flag: str, also: tuple[str, ...]) -> nn.Module:
    """A network whose weights are all in `folder`; none is fetched, and none stays random without a word.

    Args:
        network: a model class of transformers.
        flag: of the command, named in the errors.
        also: files that must be there beside config.json and weights.
    Raises:
        MissingWeights: if a file is not there.
        ValueError: if the weights do not fit, or some are missing.
    """
    from diffsound.evaluation.extractors.base import MissingWeights

    folder = Path(folder)
    missing = [name for name in ("config.json", *also) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WEIGHTS):
        missing.append(" or ".join(WEIGHTS[:2]))
    if missing:
        raise MissingWeights(f"no weights of {network.__name__} at {folder} ({', '.join(missing)} not there): "
                             f"give {flag} a folder saved by transformers")
    try:
        model, loaded = network.from_pretrained(folder, local_files_only=True, weights_only=True,
                                                output_loading_info=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{folder}, given by {flag}, does not hold a {network.__name__} "
                         f"({' '.join(str(error).split())[:200]})") from error
    absent: list[Any] = sorted([*loaded["missing_keys"], *(str(key) for key in loaded["mismatched_keys"])])
    if absent:
        raise ValueError(f"{folder}, given by {flag}, lacks {len(absent)} weights of {network.__name__}, such as "
                         f"{absent[0]}: it holds another network")
    if unfit := [name for name, value in model.state_dict().items() if not is_finite(value)]:
        raise ValueError(f"{folder}, given by {flag}, has NaN or infinite weights, {unfit[0]} among them")
    return model
