"""State dicts that others trained, read without running any code they may hold."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from diffsound.evaluation.extractors.base import MissingWeights


def read_state(path: str | os.PathLike, what: str, flag: str) -> dict[str, Tensor]:
    """The weights in a .safetensors or .pth file, under the key "model" or at the top.

    Raises:
        MissingWeights: if there is no such file.
        ValueError: if it is not plain tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingWeights(f"no weights of {what} at {path}: give {flag} its checkpoint")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"{path}, given by {flag}, cannot be read safely as weights "
                         f"({(str(error) or type(error).__name__).splitlines()[0][:200]}): save the state dict alone, "
                         "as .safetensors") from error
    state = state.get("model", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}, given by {flag}, is no state dict of {what}: expected tensors by name, at the top "
                         "or under 'model'")
    return state


def fill(network: nn.Module, state: dict[str, Tensor], what: str, flag: str) -> None:
    """Load `state`; counters of batch norm, which change nothing here, may be absent.

    Raises:
        ValueError: if names or shapes differ.
    """
    own = network.state_dict()
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    for name in sorted(needed | (state.keys() - own.keys())):
        found = tuple(state[name].shape) if name in state else "missing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise ValueError(f"the weights given by {flag} are not those of {what}: {name} is {found}, "
                             f"expected {expected}")
    network.load_state_dict(state, strict=False)
