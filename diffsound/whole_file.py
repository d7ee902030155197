"""Files that are never half there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def whole_file(path: Path, write: Callable[[Path], None]) -> None:
    """`write` a temporary file beside `path`, which then takes its place; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole."""
    whole_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
