"""The JSON beside every clip: all that it takes to make the clip again."""

from __future__ import annotations

import hashlib
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffsound.checked_json import NUMBER, parsed_json
from diffsound.checkpoint import rebuild
from diffsound.token_sampler import TokenSampler

FORMAT = 2
SHAPE = {  # as `check` of diffsound.checked_json reads it
    "format": int, "text": str, "negative": (str, None), "seed": int,
    "sampler": {"class_path": str, "init_args": {"*": (int, float, str, bool, list, None)}},
    "bundle": ({"name": str, "revision": (str, None)}, None),
    "parts": {"decoder": str, "codec": str, "vocoder": str, "text_encoder?": str},
    "grid": {"rows": int, "columns": int}, "tokens": [int], "sample_rate": int, "sha256": str,
    "loudness": ({"lufs": NUMBER, "gain_db": NUMBER}, None),
    "device": str, "hardware": str, "threads": int, "precision": str,
    "versions": {"diffsound": str, "torch": str, "python": str}, "seconds?": {"*": NUMBER},
}
LARGEST_FILE, LONGEST_TEXT, MOST_TOKENS, MOST_STEPS, MOST_THREADS = 2**22, 10_000, 2**17, 10_000, 256
_DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,2})?")


def machine(device: torch.device) -> dict[str, Any]:
    """What the last bits of a clip can depend on beside its bundle."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {"device": str(device), "hardware": hardware, "threads": torch.get_num_threads(),
            "versions": {"diffsound": version("diffsound"), "torch": str(torch.__version__),
                         "python": platform.python_version()}}


def samples_hash(waveform: Tensor) -> str:
    """64 hex digits of samples (N,) as float32."""
    return hashlib.sha256(waveform.detach().cpu().float().contiguous().numpy().tobytes()).hexdigest()


def read_sidecar(path: Path) -> dict[str, Any]:
    """A sidecar of anybody: all that is used of it has been looked at.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no sidecar, or a value in it cannot be; the message names the place.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, a sidecar at most {LARGEST_FILE}")
    return parsed_sidecar(path.read_bytes(), str(path))


def parsed_sidecar(data: bytes, where: str) -> dict[str, Any]:
    """The same of what such a file holds; `where` is what messages call it."""
    sidecar = parsed_json(data, SHAPE, FORMAT, where)
    rows, columns, tokens = sidecar["grid"]["rows"], sidecar["grid"]["columns"], sidecar["tokens"]
    numbers = [value for part in ("loudness", "seconds") for value in (sidecar.get(part) or {}).values()
               if type(value) in NUMBER]
    for place, value, fits, expected in (
        ("text", sidecar["text"], _is_text(sidecar["text"]), f"1 to {LONGEST_TEXT} characters"),
        ("negative", sidecar["negative"], sidecar["negative"] is None or _is_text(sidecar["negative"], 0),
         f"at most {LONGEST_TEXT} characters"),
        ("seed", sidecar["seed"], 0 <= sidecar["seed"] < 2**63, "a number from 0 to 2^63 - 1"),
        ("grid", sidecar["grid"], rows > 0 and columns > 0 and rows * columns == len(tokens) <= MOST_TOKENS,
         f"rows and columns of {len(tokens)} tokens, at most {MOST_TOKENS}"),
        ("tokens", "outside", not tokens or 0 <= min(tokens) <= max(tokens) < 2**16, "numbers from 0 to 65535"),
        ("device", sidecar["device"], _DEVICE.fullmatch(sidecar["device"]), "cpu, mps, cuda or cuda:0"),
        ("threads", sidecar["threads"], 1 <= sidecar["threads"] <= MOST_THREADS, f"1 to {MOST_THREADS}"),
        ("numbers", numbers, all(abs(value) < 2**63 for value in numbers), "finite loudness and seconds"),
    ):
        if not fits:
            raise ValueError(f"{where}: {place} is {str(value)[:60]!r}, expected {expected}")
    return sidecar


def sampler_of(sidecar: dict[str, Any]) -> TokenSampler:
    """The sampler that a sidecar describes. Nothing but a sampler is built.

    Raises:
        ValueError: if it describes none.
    """
    return build_sampler(sidecar["sampler"], "the sidecar's")


def build_sampler(spec: dict[str, Any], whose: str) -> TokenSampler:
    """The sampler of a stranger's `spec`, with no more steps than anybody needs; `whose` is for messages.

    Raises:
        ValueError: if it describes none.
    """
    for name, value in spec["init_args"].items():
        if isinstance(value, list) and not (len(value) < MOST_STEPS and all(type(step) is int for step in value)):
            raise ValueError(f"{whose} sampler has the {name} {str(value)[:60]}, expected a list of steps")
    try:
        sampler = rebuild(spec, TokenSampler)
    except Exception as error:  # wrong arguments can fail in any way
        raise ValueError(f"{whose} sampler cannot be built: {' '.join(str(error).split())[:300]}") from error
    if type(steps := getattr(sampler, "num_steps", 1)) is not int or steps > MOST_STEPS:
        raise ValueError(f"{whose} sampler has num_steps {steps}, expected at most {MOST_STEPS}")
    for name, value in spec["init_args"].items():
        if any(type(number) is int and abs(number) >= 2**63 for number in (value if type(value) is list else [value])):
            raise ValueError(f"{whose} sampler has a {name} of 2^63 or more")
    return sampler


def _is_text(text: str, shortest: int = 1) -> bool:
    """Whether `text` can be read: of some length, and without halves of surrogate pairs, which JSON can hold."""
    broken = any("\ud800" <= character <= "\udfff" for character in text)
    return shortest <= len(text.strip()) and len(text) <= LONGEST_TEXT and not broken
