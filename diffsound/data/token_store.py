"""Tokens on disk: made once by a codec, read by every decoder.

A store is a folder: `store.json`, and shards of `tokens-00000.npy` (uint16, (n, rows * columns), time-major) with
`clips-00000.arrow` (id, captions, labels, split, group) beside it. Several draws of one clip are several rows. Both are
mapped into memory: opening a store of millions of rows reads only its index.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np

from diffsound.checked_json import check
from diffsound.data.clip_table import ClipTable, StoredClip, write_clips
from diffsound.mel import MelSettings

VERSION = 2
_INDEX = "store.json"
_SHARD = re.compile(r"(tokens-\d+\.npy|clips-\d+\.arrow)")
_SHAPE = {"codec": str, "mel": {"*": (int, float)}, "rows": int, "columns": int, "codebook_size": int,
          "shards": [{"tokens": str, "clips": str, "count": int, "splits": {"*": int},
                      "files": {"*": {"bytes": int, "sha256": str}}}]}
_CODEC_KEYS = ("codec", "mel", "rows", "columns", "codebook_size")  # must agree between the shards of a store


class TokenStore:
    """A store, opened for reading.

    Attributes: `codec_fingerprint`, `mel`, `rows`, `columns`, `codebook_size`, as the writer recorded them.

    Raises:
        ValueError: if the folder is not a store, is of another format version, or a file is missing or not of the size
            that the index promises. `verify` also finds changed contents.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        self.codec_fingerprint: str = index["codec"]
        try:
            self.mel = MelSettings(**index["mel"])
        except TypeError as error:  # of a key that it does not take
            raise ValueError(f"{self.folder / _INDEX}: mel does not fit ({error}): tokenize again") from error
        self.rows: int = index["rows"]
        self.columns: int = index["columns"]
        self.codebook_size: int = index["codebook_size"]
        self._shards: list[dict[str, Any]] = index["shards"]
        self._ends = list(accumulate(shard["count"] for shard in self._shards))
        self._check_sizes()
        self._tokens = [self._map(shard) for shard in self._shards]
        self._tables: dict[int, ClipTable] = {}

    def __reduce__(self) -> tuple[type[TokenStore], tuple[Path]]:
        return TokenStore, (self.folder,)  # a worker process maps the files again instead of receiving their contents

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def tokens(self, i: int) -> np.ndarray:
        """(rows * columns,) uint16, a view of the file."""
        shard, row = self._locate(i)
        return self._tokens[shard][row]

    def captions(self, i: int) -> list[str]:
        shard, row = self._locate(i)
        return self._table(shard).captions(row)

    def labels(self, i: int) -> list[str]:
        shard, row = self._locate(i)
        return self._table(shard).labels(row)

    def group(self, i: int) -> str:
        shard, row = self._locate(i)
        return self._table(shard).group(row)

    def clip(self, i: int) -> StoredClip:
        shard, row = self._locate(i)
        return self._table(shard).clip(row)

    def indices(self, split: str) -> np.ndarray:
        """(n,) int64: the rows of one split, in order."""
        parts = [np.arange(shard["count"]) if shard["splits"].keys() == {split} else self._table(number).of_split(split)
                 for number, shard in self._of_split(split)]
        starts = [self._ends[number] - shard["count"] for number, shard in self._of_split(split)]
        return np.concatenate([np.zeros(0, np.int64), *(a + b for a, b in zip(parts, starts, strict=True))])

    def splits(self) -> dict[str, int]:
        """Rows in each split."""
        return dict(sum((Counter(shard["splits"]) for shard in self._shards), Counter()))

    def label_counts(self) -> np.ndarray:
        """(n,) int64: how many labels each row has."""
        counts = [self._table(number).label_counts() for number in range(len(self._shards))]
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def verify(self, progress: Callable[[int], None] = lambda size: None) -> None:
        """Read everything and compare with the checksums; `progress` is told the bytes of every file that was read.

        Raises:
            ValueError: naming every file that was changed.
        """
        bad = []
        for shard in self._shards:
            for name, file in shard["files"].items():
                if _sha256(self.folder / name) != file["sha256"]:
                    bad.append(name)
                progress(file["bytes"])
        if bad:
            raise ValueError(f"the token store {self.folder} is damaged, the checksum differs for {', '.join(bad)}: "
                             "restore these files from a copy, or tokenize again")

    @property
    def nbytes(self) -> int:
        """Of all shards on disk."""
        return sum(file["bytes"] for shard in self._shards for file in shard["files"].values())

    def _of_split(self, split: str) -> list[tuple[int, dict[str, Any]]]:
        return [(number, shard) for number, shard in enumerate(self._shards) if split in shard["splits"]]

    def _locate(self, i: int) -> tuple[int, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of {self.folder}, which has {len(self)} rows")
        shard = bisect.bisect_right(self._ends, i)
        return shard, i - (self._ends[shard] - self._shards[shard]["count"])

    def _check_sizes(self) -> None:
        bad = []
        for shard in self._shards:
            for name, file in shard["files"].items():
                path = self.folder / name
                size = path.stat().st_size if path.is_file() else None
                if size != file["bytes"]:
                    bad.append(f"{name} ({'missing' if size is None else f'{size} bytes'}, not {file['bytes']})")
        if bad:
            raise ValueError(f"the token store {self.folder} is damaged: {', '.join(bad)}; restore these files from a "
                             "copy, or tokenize again")

    def _map(self, shard: dict[str, Any]) -> np.ndarray:
        path = self.folder / shard["tokens"]
        expected = (shard["count"], self.rows * self.columns)
        try:
            tokens = np.load(path, mmap_mode="r").view(np.ndarray)  # np.memmap makes every row cost microseconds
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} cannot be read ({error}): tokenize again") from error
        if tokens.shape != expected or tokens.dtype != np.uint16:
            raise ValueError(f"{path} holds {tokens.dtype} {tokens.shape}, but {_INDEX} promises uint16 {expected}")
        return tokens

    def _table(self, number: int) -> ClipTable:
        if number not in self._tables:
            shard = self._shards[number]
            self._tables[number] = ClipTable(self.folder / shard["clips"], shard["count"])
        return self._tables[number]


class TokenStoreWriter:
    """Writes a store so that the folder never holds half of one: all under a hidden name, moved by `close()`.

    Args:
        folder: the store. If it exists, say `overwrite` (replace it) or `append` (add shards to it).
        fingerprint, mel, rows, columns, codebook_size: of the codec and its grid; `codebook_size` is at most 65535.
        shard_size: rows in a shard; 65536 rows of 265 tokens are 35 MB.
    Raises:
        ValueError: if `folder` exists and neither is said, is no store, or was made by another codec.
    Use as a context manager: closes at the end, aborts on an exception. One writer a store at a time.
    """

    def __init__(self, folder: str | Path, fingerprint: str, mel: MelSettings, rows: int, columns: int,
                 codebook_size: int, shard_size: int = 65536, overwrite: bool = False, append: bool = False) -> None:
        if overwrite and append:
            raise ValueError(f"overwrite and append are both on for the token store {folder}: choose one")
        if not 1 <= codebook_size <= 65535:
            raise ValueError(f"codebook_size {codebook_size} must be in 1..65535: tokens are stored as uint16")
        self.folder = Path(folder)
        self._index = {"format": "diffsound token store", "version": VERSION, "codec": fingerprint,
                       "mel": asdict(mel), "rows": rows, "columns": columns, "codebook_size": codebook_size,
                       "shards": []}
        self._shard_size = shard_size
        self._append = append and self.folder.exists()
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (self.folder / _INDEX).is_file():  # never replace a folder of other things
                raise ValueError(f"{self.folder} holds files but no {_INDEX}: choose another folder for tokens")
            if not overwrite and not append:
                raise ValueError(f"{self.folder} is a token store already: set overwrite or append")
            if append:
                self._continue(_read_index(self.folder))
        self._partial = self.folder.with_name(f".{self.folder.name}.partial")
        if self._partial.exists():  # left by a run that was killed
            shutil.rmtree(self._partial)
        self._partial.mkdir(parents=True)
        self._tokens: list[np.ndarray] = []
        self._clips: list[StoredClip] = []

    def add(self, tokens: np.ndarray, clips: Sequence[StoredClip]) -> None:
        """Add rows.

        Args:
            tokens: (n, rows * columns) integers in 0..codebook_size - 1.
            clips: n descriptions.
        """
        tokens = np.asarray(tokens)
        expected = (len(clips), self._index["rows"] * self._index["columns"])
        if tokens.shape != expected:
            raise ValueError(f"tokens of shape {tokens.shape} for {len(clips)} clips: expected {expected}, "
                             f"a grid of {self._index['rows']} rows and {self._index['columns']} columns")
        outside = (tokens < 0) | (tokens >= self._index["codebook_size"])
        if outside.any():
            row = int(outside.any(axis=1).argmax())
            raise ValueError(f"token {tokens[outside][0]} of clip {clips[row].id} is not in "
                             f"0..{self._index['codebook_size'] - 1}")
        self._tokens.extend(tokens.astype(np.uint16))
        self._clips.extend(clips)
        while len(self._clips) >= self._shard_size:
            self._write_shard()

    def close(self) -> None:
        """Write what is left and move the store into place. A store without rows is refused."""
        if self._clips:
            self._write_shard()
        if not self._index["shards"]:
            raise ValueError(f"no tokens were written to {self.folder}")
        (self._partial / _INDEX).write_text(json.dumps(self._index, indent=2) + "\n", encoding="utf-8")
        if self._append:
            for path in sorted(self._partial.iterdir(), key=lambda path: path.name == _INDEX):
                path.replace(self.folder / path.name)  # the index last: until then readers see the old store
            self._partial.rmdir()
        else:
            self._swap()

    def abort(self) -> None:
        """Drop what was written; an older store stays as it was."""
        shutil.rmtree(self._partial, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.abort()

    def _continue(self, existing: dict[str, Any]) -> None:
        for key in _CODEC_KEYS:
            if existing[key] != self._index[key]:
                raise ValueError(f"cannot append to {self.folder}: its {key} is {existing[key]}, "
                                 f"that of the new tokens is {self._index[key]}")
        self._index["shards"] = list(existing["shards"])

    def _write_shard(self) -> None:
        number, count = len(self._index["shards"]), min(self._shard_size, len(self._clips))
        clips = self._clips[:count]
        names = {"tokens": f"tokens-{number:05d}.npy", "clips": f"clips-{number:05d}.arrow"}
        np.save(self._partial / names["tokens"], np.stack(self._tokens[:count]))
        write_clips(self._partial / names["clips"], clips)
        del self._tokens[:count], self._clips[:count]
        files = {name: {"bytes": (self._partial / name).stat().st_size, "sha256": _sha256(self._partial / name)}
                 for name in names.values()}
        self._index["shards"].append({**names, "count": count, "splits": Counter(clip.split for clip in clips),
                                      "files": files})

    def _swap(self) -> None:
        """Put the new folder in the place of the old one; no system call exchanges two folders everywhere."""
        old = self.folder.with_name(f".{self.folder.name}.replaced")
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(old)
        self._partial.rename(self.folder)
        shutil.rmtree(old, ignore_errors=True)


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / _INDEX
    if not path.is_file():
        raise ValueError(f"{folder} is not a token store (it has no {_INDEX}): run `diffsound tokenize` first, "
                         "or change tokens.init_args.store")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): tokenize again") from error
    version = index.get("version") if isinstance(index, dict) else None
    if version != VERSION:
        raise ValueError(f"{path} has format version {version}, this program reads version {VERSION}: tokenize again")
    absent = [key for key in (*_CODEC_KEYS, "shards") if key not in index]
    if absent:
        raise ValueError(f"{path} lacks {', '.join(absent)}: tokenize again")
    check(index, _SHAPE, str(path))
    for shard in index["shards"]:
        for name in (shard["tokens"], shard["clips"], *shard["files"]):
            if not _SHARD.fullmatch(name):
                raise ValueError(f"{path} names the file {name[:100]!r}, expected names such as tokens-00000.npy in "
                                 "its own folder")
    if min(index["rows"], index["columns"], *(shard["count"] for shard in index["shards"])) < 0:
        raise ValueError(f"{path} has a number below 0: tokenize again")
    return index


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
