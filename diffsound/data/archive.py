"""Files inside tar archives, each named by a path through the archive as if it were a folder: `shards/0.tar/dog.flac`.

Only uncompressed archives, which can be read from any place. Nothing is ever extracted: a member's name is a key and
not a place on the disk. Where each member lies is read once per process.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

SUFFIX = ".tar"
_CACHED = 8_000_000  # members, in the indices kept: 192 MB, four times AudioSet
_BUFFER = 65536  # bytes read at once: the header of a sound, and few calls for its body


class ArchiveError(ValueError):
    """Why a member cannot be had, or what is wrong with the archive: words to go after the path."""


def locate(path: str | os.PathLike) -> tuple[str, str] | None:
    """(archive, member) of a path that leads through a tar file, else None. A folder may be called `x.tar` too."""
    path = os.fspath(path)
    end = path.find(f"{SUFFIX}/")
    while end >= 0:
        archive, member = path[:end + len(SUFFIX)], path[end + len(SUFFIX):]
        if os.path.isfile(archive):
            return archive, _key(member)
        end = path.find(f"{SUFFIX}/", end + 1)
    return None


def members(archive: str | os.PathLike) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size in bytes) of every whole file in an archive, in its order.

    Names are without `.`, `..` and a leading slash. Links, devices and sparse files are passed over.

    Raises:
        ArchiveError: after the last member that can be had, if something is wrong with the archive.
    """
    try:
        length = os.path.getsize(archive)
        with tarfile.open(archive, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # it would keep a kilobyte of each
                end = member.offset_data + member.size
                if not member.offset_data <= end <= length:
                    raise ArchiveError(f"is damaged or cut off at byte {member.offset_data}")
                if member.isreg() and not member.issparse():
                    yield _key(member.name), member.offset_data, member.size
            tar.fileobj.seek(tar.offset)
            block = tar.fileobj.read(tarfile.BLOCKSIZE)  # zeros, at the end of a whole archive
            if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
                raise ArchiveError(f"is damaged or cut off at byte {tar.offset}")
    except tarfile.TarError as error:
        raise ArchiveError(f"is damaged or cut off, or not an uncompressed tar archive ({error})") from error
    except OSError as error:
        raise ArchiveError(f"cannot be opened ({error.strerror})") from error


def open_member(archive: str, member: str) -> BinaryIO:
    """The bytes of a member as a seekable file, read from the archive as they are asked for.

    Raises:
        ArchiveError: if it is not there, or lies where the archive is damaged or cut off.
    """
    index = _index(archive)
    place = index.find(member)
    if place is None:
        raise ArchiveError("no such file in the archive" + (f", which {index.damage}" if index.damage else ""))
    return io.BufferedReader(_Section(archive, *place), _BUFFER)


def holds(path: str | os.PathLike) -> bool:
    """Whether `path` leads to a member of an archive."""
    inside = locate(path)
    return inside is not None and _index(inside[0]).find(inside[1]) is not None


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole of a file, or of a member of an archive."""
    inside = locate(path)
    with open_member(*inside) if inside else open(path, "rb") as file:
        return file.read()


class _Index:
    """Where each member of one archive lies: 24 bytes a member, with the hash of the name in place of the name."""

    def __init__(self, archive: str) -> None:
        self.damage = ""
        rows = np.fromiter(self._rows(archive), [("name", np.uint64), ("offset", np.int64), ("size", np.int64)])
        self.rows = rows[np.argsort(rows["name"], kind="stable")]

    def _rows(self, archive: str) -> Iterator[tuple[int, int, int]]:
        try:
            for name, offset, size in members(archive):
                yield _hash(name), offset, size
        except ArchiveError as error:
            self.damage = str(error)

    def find(self, member: str) -> tuple[int, int] | None:
        """(offset, size); of members with one name the last, as when an archive is extracted."""
        name = np.uint64(_hash(member))
        place = int(np.searchsorted(self.rows["name"], name, side="right")) - 1
        if place < 0 or self.rows["name"][place] != name:
            return None
        return int(self.rows["offset"][place]), int(self.rows["size"][place])


_indices: OrderedDict[tuple[str, int, int], _Index] = OrderedDict()  # the one used last comes last
_lock = threading.Lock()  # else every thread that meets a new archive would read its index


def _index(archive: str) -> _Index:
    status = os.stat(archive)
    key = (archive, status.st_size, status.st_mtime_ns)  # a rewritten archive is read anew
    with _lock:
        if key not in _indices:
            _indices[key] = _Index(archive)
            while len(_indices) > 1 and sum(len(index.rows) for index in _indices.values()) > _CACHED:
                _indices.popitem(last=False)
        _indices.move_to_end(key)
        return _indices[key]


class _Section(io.RawIOBase):
    """`size` bytes of a file from `offset` on."""

    def __init__(self, path: str, offset: int, size: int) -> None:
        super().__init__()
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.offset, self.size, self.place = offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def readinto(self, buffer) -> int:
        self.file.seek(self.offset + self.place)
        count = self.file.readinto(memoryview(buffer)[:max(0, self.size - self.place)])
        self.place += count
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


def _key(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())
