"""State dicts that others trained, read without running any code they may hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from diffsound.evaluation.extractors.base import MissingWeights
from diffsound.plain_weights import check_weights, memory_for, plain_state, read_safetensors, read_torch


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
        state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    except ValueError as error:
        raise ValueError(f"{path}, given by {flag}, cannot be read safely as weights ({error}): save the state dict "
                         "alone, as .safetensors") from error
    try:
        return plain_state(state.get("model", state) if isinstance(state, dict) else state)
    except ValueError as error:
        raise ValueError(f"{path}, given by {flag}, is no state dict of {what} ({error}): expected tensors by name, at "
                         "the top or under 'model'") from error


@contextmanager
def sizes_of(state: dict[str, Tensor], what: str, flag: str) -> Iterator[None]:
    """Within it a network is built whose sizes were read off `state`, and none that `state` could not fill."""
    try:
        with memory_for(sum(value.nbytes for value in state.values())):
            yield
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"the weights given by {flag} are not those of {what}: {error}") from error


def fill(network: nn.Module, state: dict[str, Tensor], what: str, flag: str) -> None:
    """Load `state`; counters of batch norm, which change nothing here, may be absent.

    Raises:
        ValueError: if names, shapes or kinds of number differ, or a weight is not finite.
    """
    own = network.state_dict()
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    for name in sorted(needed | (state.keys() - own.keys())):
        found = tuple(state[name].shape) if name in state else "missing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise ValueError(f"the weights given by {flag} are not those of {what}: {name} is {found}, "
                             f"expected {expected}")
    try:
        check_weights(network, state)
    except ValueError as error:
        raise ValueError(f"the weights given by {flag} are not those of {what}: {error}") from error
    network.load_state_dict(state, strict=False)
