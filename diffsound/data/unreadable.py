"""Clips that cannot be read: left out, never in silence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from diffsound.data.audio import UnreadableAudio, duration

_AT_ONCE = 10_000  # files; for millions, what is waiting would fill the memory
log = logging.getLogger(__name__)


class UnreadableReport:
    """A text file with one line, path and reason, for each clip that was left out. It appears with the first one.

    Lines are appended, so that worker processes share the file and a run that is killed leaves it behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, errors: Sequence[UnreadableAudio]) -> None:
        """Append those that are not in the file yet."""
        known = set(self.lines())
        new = [line for line in dict.fromkeys(map(str, errors)) if line not in known]
        if not new:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in new)
        log.warning("left out %d unreadable clips, named in %s; the first: %s", len(new), self.path, new[0])

    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


def durations(paths: Sequence[Path], report: UnreadableReport) -> list[float | None]:
    """Seconds of each file according to its header. None where that cannot be read; the report then names the file."""

    def attempt(path: Path) -> float | UnreadableAudio:
        try:
            return duration(path)
        except UnreadableAudio as error:
            return error

    seconds: list[float | None] = []
    errors: list[UnreadableAudio] = []
    with ThreadPoolExecutor() as pool:  # opening waits for the disk
        for start in range(0, len(paths), _AT_ONCE):
            for result in pool.map(attempt, paths[start:start + _AT_ONCE]):
                broken = isinstance(result, UnreadableAudio)
                seconds.append(None if broken else result)
                errors += [result] if broken else []
    report.add(errors)
    return seconds
