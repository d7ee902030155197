"""The list of clips that every data set becomes: one JSON object a line, or a CSV table."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffsound.whole_file import whole_file

_VAL_FRACTION = 0.1  # of the groups, where a manifest names no splits


@dataclass(slots=True)  # there may be millions
class Clip:
    """One audio file and what is known about it. A clip without captions takes its labels as text: "dog, bark"."""

    audio: Path
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    split: str = ""  # train, val, test, ...
    group: str = ""  # clips of one recording share it; splits never cut a group

    def __post_init__(self) -> None:
        if not self.captions and self.labels:
            self.captions = [", ".join(self.labels).lower()]


def read(path: str | os.PathLike) -> list[Clip]:
    """The clips of a manifest, in its order, with `audio` joined to the manifest's folder.

    JSON lines: {"audio", "captions": [...] (or "caption": text), "labels": [...], "split", "group"}; all but "audio"
    may be absent, other keys are ignored. CSV: the columns audio (or path), caption (or captions, separated by `|`),
    labels (separated by `;`), split, group. A clip without a group is its own group. Where no clip has a split, a hash
    of the group sends about a tenth of the groups to "val" and the rest to "train".

    Raises:
        ValueError: if there is no such file, no clip in it, or a line is not as above (named as file:line).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no manifest at {path}: write one with `diffsound manifest`, "
                         "or change audio.init_args.manifest")
    clips: list[Clip] = []
    unsplit = ""  # the first line without a split
    try:
        for where, row in _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path):
            clips.append(_clip(row, path.parent, where))
            unsplit = unsplit or ("" if clips[-1].split else where)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    if not clips:
        raise ValueError(f"{path} holds no clips")
    if unsplit and any(clip.split for clip in clips):
        raise ValueError(f"{unsplit}: no 'split', though other clips have one: name it for all clips or for none")
    if unsplit:
        _split_by_group(clips)
    return clips


def write(path: str | os.PathLike, clips: Sequence[Clip]) -> None:
    """Write `clips` as JSON lines, audio paths relative to `path`; an older file is replaced when the new one is whole.

    Raises:
        ValueError: if there are no clips.
    """
    if not clips:
        raise ValueError(f"no clips to write to {path}")
    path = Path(path)

    def write_lines(partial: Path) -> None:
        with partial.open("w", encoding="utf-8") as file:
            for clip in clips:
                row = {"audio": os.path.relpath(clip.audio, path.parent).replace(os.sep, "/"),
                       "captions": clip.captions, "labels": clip.labels, "split": clip.split, "group": clip.group}
                file.write(json.dumps({key: value for key, value in row.items() if value}, ensure_ascii=False) + "\n")

    whole_file(path, write_lines)


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno})") from error
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
                raise ValueError(f"{path}:{number}: not JSON that can be read ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f'{path}:{number}: expected an object such as {{"audio": "dog.wav"}}, found '
                                 f"{_short(row)}")
            yield f"{path}:{number}", row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        try:
            if not {"audio", "path"} & set(table.fieldnames or ()):
                raise ValueError(f"{path}:1: expected a column 'audio' or 'path', found {_short(table.fieldnames)}")
            for cells in table:
                where = f"{path}:{table.line_num}"
                if None in cells:
                    raise ValueError(f"{where}: more cells than columns: put a caption with a comma in quotes")
                row: dict[str, Any] = {key: value for key, value in cells.items() if value}
                row["audio"] = row.get("audio") or row.get("path")
                for key, separator in (("captions", "|"), ("labels", ";")):
                    if key in row:
                        row[key] = row[key].split(separator)
                yield where, row
        except csv.Error as error:
            raise ValueError(f"{path}:{table.line_num}: not a CSV table ({error})") from error


def _clip(row: dict[str, Any], folder: Path, where: str) -> Clip:
    audio = row.get("audio")
    if not isinstance(audio, str) or not audio:
        raise ValueError(f"{where}: expected 'audio', the path of a file, found {_short(audio)}")
    if not _is_name(audio):
        raise ValueError(f"{where}: 'audio' is {_short(audio)}, which cannot be the path of a file")
    captions = _texts(row, "captions" if "captions" in row else "caption", where)
    split, group = row.get("split") or "", row.get("group") or audio
    if not isinstance(split, str) or not isinstance(group, str | int) or not (
            _is_name(split) and _is_name(str(group))):
        raise ValueError(f"{where}: expected names for 'split' and 'group', found {_short(split)} and "
                         f"{_short(group)}")
    labels = [sys.intern(label) for label in _texts(row, "labels", where)]  # one text for all clips that share it
    return Clip(folder / audio, captions, labels, sys.intern(split), str(group))


def _texts(row: dict[str, Any], key: str, where: str) -> list[str]:
    value = row.get(key) or []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and not _has_halves(text) for text in texts):
        raise ValueError(f"{where}: expected {key!r} to be text or a list of texts, found {_short(value)}")
    return [text.strip() for text in texts if text.strip()]


def _is_name(text: str) -> bool:
    return "\0" not in text and not _has_halves(text)


def _has_halves(text: str) -> bool:
    """Halves of surrogate pairs, which JSON can hold and no file."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _short(value: Any) -> str:
    return repr(value)[:100]


def _split_by_group(clips: list[Clip]) -> None:
    """By a hash, so that a clip keeps its split when others are added; of two groups or more each side gets one."""
    hashes = {clip.group: int(hashlib.sha256(clip.group.encode()).hexdigest()[:8], 16) / 16**8 for clip in clips}
    ranked = sorted(hashes, key=hashes.__getitem__)
    below = sum(value < _VAL_FRACTION for value in hashes.values())
    val = set(ranked[:min(max(1, below), len(ranked) - 1)])
    for clip in clips:
        clip.split = "val" if clip.group in val else "train"
