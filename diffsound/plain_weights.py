"""Weights in files of strangers: read without running anything, and looked at before anything is made of them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8, torch.int16,
           torch.int32, torch.int64, torch.bool}
LONGEST_HEADER = 2**22  # bytes; that of a thousand weights is a hundred thousand
MOST_VALUES = 100_000  # of plain data beside the weights
_OBJECT = 2**16  # bytes that a tensor counts at least: time too is spent on each, and the module that holds it


class SafeTensors:
    """A .safetensors file, opened. Tensors are read when they are asked for.

    Raises:
        ValueError: if it is none: a header that is too long, is no JSON, or places tensors over each other or outside
            the file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if size < 8 or header > min(LONGEST_HEADER, size - 8):
            raise ValueError(f"{path} is no .safetensors file: its header would have {header} bytes, expected at most "
                             f"{LONGEST_HEADER}, in a file of {size}")
        try:
            self._file = safe_open(path, "pt")
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is no .safetensors file ({error})") from error
        self.path = path

    def __enter__(self) -> SafeTensors:
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def keys(self) -> list[str]:
        return list(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self._file.get_tensor(name)
        except (SafetensorError, RuntimeError, TypeError, KeyError) as error:  # of a dtype that torch does not have
            raise ValueError(f"{self.path}: {name} cannot be read ({error})") from error


def read_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """All tensors of a .safetensors file.

    Raises:
        ValueError: as `SafeTensors`.
    """
    with SafeTensors(path) as file:
        return {name: file[name] for name in file.keys()}  # noqa: SIM118 (it is no dict)


def read_torch(path: str | os.PathLike) -> Any:
    """Contents of a file of `torch.save`: tensors and plain data. A pickle that needs more is not run.

    Raises:
        ValueError: if it is none, needs a class or function, or unpacks to more than its own size; the message is the
            reason alone.
    """
    try:
        refuse_bomb(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can fail in any way
        raise ValueError((str(error) or type(error).__name__).splitlines()[0][:200]) from error


def refuse_bomb(path: str | os.PathLike) -> None:
    """Raise ValueError if a file of torch.save would unpack to more than its own size."""
    if not zipfile.is_zipfile(path):  # of torch before 1.6
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    size = os.path.getsize(path)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, which torch.save never does")
    if (unpacked := sum(entry.file_size for entry in entries)) > size:
        raise ValueError(f"it would unpack to {unpacked} bytes, more than its own {size}")


def plain_state(state: Any) -> dict[str, Tensor]:
    """`state`, if it is a dict of tensors of plain numbers by name, all of which are in the file.

    Raises:
        ValueError: if not; the message names the entry.
    """
    if not isinstance(state, dict):
        raise ValueError("the weights are no dict of tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{name} is no tensor but {type(value).__name__}")
        if value.layout != torch.strided or value.is_nested or value.device.type != "cpu" or value.dtype not in NUMBERS:
            raise ValueError(f"{name} is no tensor of plain numbers ({value.layout}, {value.dtype}, {value.device})")
        held = value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > held:  # a small file could fill the memory
            raise ValueError(f"{name} is {tuple(value.shape)}, of which the file holds only {held} bytes")
    return dict(state)


def check_plain(value: Any, what: str) -> None:
    """Raise ValueError unless `value` is a tree of dict, list, text and numbers, of at most MOST_VALUES.

    What a pickle names twice is counted twice: a short file can hold a tree that nobody could walk through.
    """
    waiting, seen = [value], 0
    while waiting:
        value, seen = waiting.pop(), seen + 1
        if seen > MOST_VALUES:
            raise ValueError(f"{what} has more than {MOST_VALUES} values")
        if isinstance(value, dict):
            if unfit := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"{what} has the key {str(unfit[0])[:60]!r}, expected text")
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif value is not None and not isinstance(value, bool | int | float | str):
            raise ValueError(f"{what} holds {type(value).__name__}, expected plain data")


def check_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Raise ValueError if one of `weights` is of another kind of number than in `module`, or is NaN or infinite.

    A float32 may be stored in half precision. Names and shapes are left to `load_state_dict`.
    """
    own = module.state_dict()
    for name, value in weights.items():
        if name not in own:
            continue
        expected = own[name].dtype
        if value.dtype != expected and not (expected == torch.float32 and value.dtype in (torch.float16,
                                                                                          torch.bfloat16)):
            raise ValueError(f"the weight {name} is {str(value.dtype).removeprefix('torch.')}, expected "
                             f"{str(expected).removeprefix('torch.')}")
        if not is_finite(value):
            raise ValueError(f"the weight {name} is not finite: the training diverged, or the file is damaged")


def is_finite(value: Tensor) -> bool:
    """Whether there is no NaN and no infinity in it."""
    if not value.is_floating_point():
        return True
    return bool(value.float().sum().isfinite()) or bool(value.isfinite().all())  # the sum is quicker


@contextmanager
def memory_for(stored: int, more: int = 0) -> Iterator[None]:
    """Within it, modules of about `stored` bytes of weights can be built, and not much larger ones.

    What a stranger's numbers ask for is refused before it is allocated: a width of 10^9, as well as 10^9 layers.

    Args:
        stored: bytes of the file that all weights must come from, half of what they are if they are float16.
        more: bytes beside these.
    Raises:
        ValueError: (from within) if it takes more.
    """
    most = 8 * stored + more + 2**27  # tables that are not stored, and the copies that constructors make
    with _Memory(most):
        yield


class _Memory(TorchDispatchMode):
    """Counts what is computed inside, by what it would be on a device without memory, before it is computed."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.taken = most, 0

    def __torch_dispatch__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        new = [item.alias_info is None for item in func._schema.returns]  # the others are views, or written in place
        if any(new):
            self.taken += self._bytes(func, args, kwargs, new)
            if self.taken > self.most:
                raise ValueError(f"it would take more than {self.most / 1e6:.0f} MB, which the weights in the file do "
                                 "not fill: a size in it is wrong")
        return func(*args, **kwargs)

    @staticmethod
    def _bytes(func: Callable, args: tuple, kwargs: dict, new: list[bool]) -> int:
        def without_memory(value: Tensor) -> Tensor:
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")

        args, kwargs = tree_map_only(Tensor, without_memory, (args, kwargs))
        if any(argument.name == "device" for argument in func._schema.arguments):
            kwargs = {**kwargs, "device": "meta"}
        try:
            results = func(*args, **kwargs)
        except Exception:  # its result depends on numbers, or it is wrong and will say so itself
            return _OBJECT
        results = results if isinstance(results, tuple | list) else [results]
        tensors = [value for fresh, result in zip(new, results, strict=False) if fresh for value in tree_iter(result)
                   if isinstance(value, Tensor)]
        return sum(max(_OBJECT, value.numel() * value.element_size()) for value in tensors)
