"""What is known about the clips of a shard: an Arrow file that is mapped into memory and read a row at a time.

Nothing is decoded or copied when it is opened, and processes that map the same file share its pages, so that millions
of clips cost a process almost nothing. Rows are cut out of Arrow's own offsets and bytes: its scalars take ten times as
long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class StoredClip:
    """What a store knows about one row of tokens."""

    id: str
    captions: list[str]
    labels: list[str]
    split: str
    group: str


COLUMNS = tuple(field.name for field in fields(StoredClip))
LISTS = ("captions", "labels")


def write_clips(path: Path, clips: Sequence[StoredClip]) -> None:
    """Write `clips` as an Arrow file of one record batch."""
    import pyarrow as pa

    text = {name: pa.list_(pa.string()) if name in LISTS else pa.string() for name in COLUMNS}
    schema = pa.schema([(name, text[name]) for name in COLUMNS])
    batch = pa.RecordBatch.from_pylist([asdict(clip) for clip in clips], schema)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch)


class ClipTable:
    """A file of `write_clips`, opened.

    Raises:
        ValueError: if it is not such a file, or does not hold `count` clips.
    """

    def __init__(self, path: Path, count: int) -> None:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batch = reader.get_batch(0) if reader.num_record_batches == 1 else None
            if batch is not None:
                batch.validate(full=False)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path} cannot be read ({error}): tokenize again") from error
        if batch is None or tuple(batch.schema.names) != COLUMNS:
            raise ValueError(f"{path} is not a table of clips: tokenize again")
        if len(batch) != count:
            raise ValueError(f"{path} holds {len(batch)} clips, but the store's index promises {count}")
        self._columns = {name: (_Lists if name in LISTS else _Texts)(batch.column(name)) for name in COLUMNS}

    def captions(self, row: int) -> list[str]:
        return self._columns["captions"][row]

    def labels(self, row: int) -> list[str]:
        return self._columns["labels"][row]

    def group(self, row: int) -> str:
        return self._columns["group"][row]

    def clip(self, row: int) -> StoredClip:
        return StoredClip(*(self._columns[name][row] for name in COLUMNS))

    def of_split(self, split: str) -> np.ndarray:
        """(n,) int64: the rows of a split."""
        return self._columns["split"].equal_to(split)

    def label_counts(self) -> np.ndarray:
        """(n,) int32: how many labels each clip has."""
        return np.diff(np.asarray(self._columns["labels"].ends))


class _Texts:
    """A column of texts."""

    def __init__(self, column: pa.StringArray) -> None:
        _, ends, data = column.buffers()
        self.ends = _integers(ends, len(column) + 1)
        self.data = memoryview(data or b"")

    def __getitem__(self, row: int) -> str:
        return str(self.data[self.ends[row]:self.ends[row + 1]], "utf-8")

    def equal_to(self, text: str) -> np.ndarray:
        """(n,) int64: the rows that hold `text`."""
        wanted, ends = np.frombuffer(text.encode(), np.uint8), np.asarray(self.ends)
        rows = np.flatnonzero(np.diff(ends) == len(wanted))
        letters = np.frombuffer(self.data, np.uint8)[ends[rows, None] + np.arange(len(wanted))]
        return rows[(letters == wanted).all(axis=1)]


class _Lists:
    """A column of lists of texts."""

    def __init__(self, column: pa.ListArray) -> None:
        self.ends = _integers(column.buffers()[1], len(column) + 1)
        self.texts = _Texts(column.values)

    def __getitem__(self, row: int) -> list[str]:
        return [self.texts[i] for i in range(self.ends[row], self.ends[row + 1])]


def _integers(buffer: pa.Buffer, count: int) -> memoryview:
    return memoryview(buffer).cast("B")[:4 * count].cast("i")
