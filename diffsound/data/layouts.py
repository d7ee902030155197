"""Readers of the folders in which public data sets arrive. Each returns the clips whose file is there, and the rest.

A reader takes the folder and raises ValueError, naming the file, if a table is absent or malformed. One that looks for
audio in any folder below finds it in tar archives too, which are walked as if they were folders.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from diffsound.data import archive, ontology
from diffsound.data.audio import SUFFIXES
from diffsound.data.manifest import Clip

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """Clips whose file is there; the listed files that are not, as is common for data cut from YouTube; remarks."""

    clips: list[Clip]
    missing: list[str]
    notes: Sequence[str] = ()  # a line each


def esc50(root: Path, val_fold: int | None = None, only_esc10: bool = False) -> Found:
    """ESC-50 as published: meta/esc50.csv and audio/. `val_fold` (the last one by default) becomes "val"."""
    columns = ("filename", "fold", "category", "src_file", *(["esc10"] if only_esc10 else []))
    rows = [row for row in _table(root / "meta" / "esc50.csv", *columns) if not only_esc10 or row["esc10"] == "True"]
    val = _val_fold(rows, val_fold, root)
    return _present(Clip(root / "audio" / row["filename"], labels=[row["category"].replace("_", " ")],
                         split="val" if row["fold"] == val else "train", group=row["src_file"]) for row in rows)


def esc10(root: Path, val_fold: int | None = None) -> Found:
    """ESC-10: the ten classes of ESC-50 as published, or with captions: metadata.csv, captions.csv and audio/.

    captions.csv has the columns filename, caption_1, caption_2 and so on.
    """
    if (root / "meta" / "esc50.csv").is_file():
        return esc50(root, val_fold, only_esc10=True)
    rows = _table(root / "metadata.csv", "filename", "fold", "audioset_labels", "source_id")
    captions = {row["filename"]: _captions(row) for row in _table(root / "captions.csv", "filename", "caption_1")}
    val = _val_fold(rows, val_fold, root)
    return _present(Clip(root / "audio" / row["filename"], captions.get(row["filename"], []),
                         row["audioset_labels"].split(";"), "val" if row["fold"] == val else "train",
                         row["source_id"]) for row in rows)


def audiocaps(root: Path) -> Found:
    """AudioCaps: train.csv, val.csv, test.csv (those that are there) and audio files named by YouTube id.

    A file may be called `ID`, `YID`, `ID_START` or `YID_START`, in any folder below; a clip's captions are gathered.
    """
    files = _by_stem(_files(root))
    clips: dict[tuple[str, str, str], Clip] = {}
    tables = [path for path in (root / f"{split}.csv" for split in ("train", "val", "test")) if path.is_file()]
    if not tables:
        raise ValueError(f"no train.csv, val.csv or test.csv in {root}: is this the layout 'audiocaps'?")
    for path in tables:
        for row in _table(path, "youtube_id", "start_time", "caption"):
            video, start = row["youtube_id"], row["start_time"]
            if (path.stem, video, start) not in clips:
                seconds = _seconds(start, f"{path}, clip of {video}")
                name = _segment(files, video, start, seconds) or _absent(video, seconds)
                clips[path.stem, video, start] = Clip(root / name, split=path.stem, group=video)
            clips[path.stem, video, start].captions.append(row["caption"].strip())
    return _present(clips.values())


def audioset(root: Path) -> Found:
    """AudioSet: *segments.csv, class_labels_indices.csv and/or ontology.json, and audio files named as for `audiocaps`.

    Takes Google's own segment lists (three comment lines first) and those with a plain header line. The segments of a
    list with "eval" in its name become "test", all others "train". A segment that is listed twice is one clip; where
    its video is in an eval list too, "train" does without it, so that nothing is tested on that was heard in training.
    Segments without labels are left out. `notes` counts all of this by list.
    """
    names = _class_names(root)
    tables = sorted(root.glob("*segments.csv"), key=lambda path: ("eval" not in path.stem, path.name))
    if not tables:
        raise ValueError(f"no *_segments.csv in {root}: is this the layout 'audioset'?")
    files = _by_stem(_files(root))
    clips: list[Clip] = []
    missing: list[str] = []
    counts = []
    tested: set[str] = set()  # videos of the eval lists, which come first
    seen: set[str] = set()
    for path in tables:
        split = "test" if "eval" in path.stem else "train"
        count = _Count(path.name)
        counts.append(count)
        for where, video, start, mids in _segments(path):
            count.listed += 1
            seconds = _seconds(start, where)
            labels = _labels(mids, names, where)
            segment = f"{video}_{seconds}"
            if split == "train" and video in tested:
                count.tested += 1
            elif segment in seen:
                count.repeated += 1
            elif not labels:
                count.unlabelled += 1
            else:
                seen.add(segment)
                if split == "test":
                    tested.add(video)
                name = _segment(files, video, start, seconds)
                if name is None:
                    count.missing += 1
                    missing.append(os.path.join(root, _absent(video, seconds)))
                else:
                    count.found += 1
                    clips.append(Clip(root / name, labels=labels, split=split, group=video))
    return Found(clips, missing, [str(count) for count in counts])


def segment_labels(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(video and start, labels) of each row of a segment list of AudioSet, whose class files are beside it."""
    if not path.is_file():
        raise ValueError(f"no segment list at {path}")
    names = _class_names(path.parent)
    for where, video, start, mids in _segments(path):
        yield f"{video}_{_seconds(start, where):g}", _labels(mids, names, where)


def clotho(root: Path) -> Found:
    """Clotho: clotho_captions_{development,validation,evaluation}.csv, and audio in folders of these names."""
    files = _files(root)
    clips = []
    for part, split in (("development", "train"), ("validation", "val"), ("evaluation", "test")):
        path = root / f"clotho_captions_{part}.csv"
        here = _by_stem(name for name in files if part in Path(name).parent.name)
        for row in _table(path, "file_name", "caption_1") if path.is_file() else []:
            name = Path(row["file_name"])
            clips.append(Clip(root / (here.get(name.stem) or Path(part, name)), _captions(row), split=split,
                              group=name.stem))
    if not clips:
        raise ValueError(f"no clotho_captions_*.csv in {root}: is this the layout 'clotho'?")
    return _present(clips)


def fsd50k(root: Path) -> Found:
    """FSD50K: FSD50K.ground_truth/{dev,eval}.csv, FSD50K.dev_audio/ and FSD50K.eval_audio/; eval becomes "test"."""
    clips = []
    for part in ("dev", "eval"):
        for row in _table(root / "FSD50K.ground_truth" / f"{part}.csv", "fname", "labels"):
            clips.append(Clip(root / f"FSD50K.{part}_audio" / f"{row['fname']}.wav",
                              labels=row["labels"].replace("_", " ").split(","), split=row.get("split") or "test",
                              group=row["fname"]))
    return _present(clips)


def folder(root: Path) -> Found:
    """Any folder of audio files. Captions: the lines of NAME.txt beside NAME.wav, else a file name that has letters.

    A file in a subfolder takes the name of that folder as its label. No splits: a hash of the name decides. An archive
    is walked like a folder but gives no label: its name (`train-0001.tar`) says where a sound lies, not what it is.
    """
    clips = []
    files = _files(root, (*SUFFIXES, ".txt"))
    texts = {name for name in files if name.endswith(".txt")}
    for name in files:
        path = Path(name)
        if path.suffix.lower() not in SUFFIXES:
            continue
        if (text := str(path.with_suffix(".txt"))) in texts:
            captions = _lines(root / text)
        else:
            captions = [_words(path.stem)] if re.search(r"[^\W\d_]", path.stem) else []
        folders = [part for part in path.parts[:-1] if not part.endswith(archive.SUFFIX)]
        clips.append(Clip(root / path, captions, [_words(folders[-1])] if folders else []))
    return Found(clips, [])


READERS: dict[str, Callable[..., Found]] = {
    "esc50": esc50, "esc10": esc10, "audiocaps": audiocaps, "audioset": audioset, "clotho": clotho, "fsd50k": fsd50k,
    "folder": folder,
}


def _present(clips: Iterable[Clip]) -> Found:
    found: list[Clip] = []
    missing: list[str] = []
    for clip in clips:
        if clip.audio.is_file() or archive.holds(clip.audio):
            found.append(clip)
        else:
            missing.append(str(clip.audio))
    return Found(found, missing)


def _table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file with a header line that has `columns`."""
    if not path.is_file():
        raise ValueError(f"no {path.name} in {path.parent}: is this the layout you named?")
    rows = []
    for where, row in _rows(path, csv.DictReader):
        absent = [column for column in columns if row.get(column) is None]
        if absent:
            raise ValueError(f"{where}: no cell in column {absent[0]!r}, expected {columns}")
        rows.append(row)
    return rows


def _rows(path: Path, reader: Callable, **form: Any) -> Iterator[tuple[str, Any]]:
    """(file:line, row) of each row of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = reader(file, **form)
        try:
            for row in rows:
                yield f"{path}:{rows.line_num}", row
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error.reason}, after line {rows.line_num})") from error
        except csv.Error as error:
            raise ValueError(f"{path}:{rows.line_num}: not a CSV table ({error})") from error


@dataclass
class _Count:
    """What became of the segments of one list."""

    name: str
    listed: int = 0
    found: int = 0
    missing: int = 0
    unlabelled: int = 0
    repeated: int = 0
    tested: int = 0

    def __str__(self) -> str:
        others = {"without labels": self.unlabelled, "listed before": self.repeated,
                  "of a video in an eval list": self.tested}
        return (f"{self.name}: {self.listed} listed, {self.found} found, {self.missing} missing "
                f"({self.missing / max(1, self.listed):.1%})"
                + "".join(f", {count} left out: {why}" for why, count in others.items() if count))


def _segments(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """(file:line, video, start, labels) of each row; labels are joined by commas."""
    for where, row in _rows(path, csv.reader, skipinitialspace=True):
        if row and not row[0].startswith("#") and row[0] != "YTID":
            if len(row) != 4 or not row[0]:
                raise ValueError(f'{where}: expected YTID, start, end, "labels" (in quotes), found {row}')
            yield where, row[0], row[1], row[3]


def _class_names(root: Path) -> dict[str, str]:
    """Display name of each label id; where the two files differ, the class list has the name that others know."""
    classes, tree = root / "class_labels_indices.csv", root / "ontology.json"
    names = {entry.id: entry.name for entry in ontology.read(tree).values()} if tree.is_file() else {}
    if classes.is_file() or not names:
        names |= {row["mid"]: row["display_name"] for row in _table(classes, "mid", "display_name")}
    return names


def _labels(mids: str, names: dict[str, str], where: str) -> list[str]:
    ids = dict.fromkeys(mid for mid in map(str.strip, mids.split(",")) if mid)
    try:
        return [names[mid] for mid in ids]
    except KeyError as error:
        raise ValueError(f"{where}: no label {error} among the {len(names)} of class_labels_indices.csv and "
                         "ontology.json beside it: are they of the same release?") from error


def _files(root: Path, suffixes: Collection[str] = SUFFIXES) -> list[str]:
    """Files below `root` that end in one of `suffixes`, seen from there, in order of their names.

    One walk, which follows links to folders and goes through tar archives.
    """
    if not root.is_dir():
        raise ValueError(f"no folder at {root}")
    found: list[str] = []
    compressed: list[str] = []
    walked: set[tuple[int, int]] = set()

    def wanted(name: str) -> bool:
        return os.path.splitext(name)[1].lower() in suffixes and not name.startswith(".")

    def walk(folder: str, prefix: str) -> None:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in walked:  # a link led back
            return
        walked.add((status.st_dev, status.st_ino))
        try:
            entries = os.scandir(folder)
        except PermissionError as error:
            log.warning("%s was not looked into: %s", folder, error.strerror)
            return
        names = []
        folders = set()
        with entries:
            for entry in entries:
                if entry.is_dir():
                    folders.add(entry.name)
                    names.append(entry.name)
                elif (wanted(entry.name) or entry.name.endswith(archive.SUFFIX)) and entry.is_file():
                    names.append(entry.name)
                elif entry.name.endswith(_COMPRESSED):
                    compressed.append(prefix + entry.name)
        for name in sorted(names):
            if name in folders:
                walk(os.path.join(folder, name), f"{prefix}{name}/")
            elif wanted(name):
                found.append(prefix + name)
            else:
                found.extend(f"{prefix}{name}/{member}" for member in _members(os.path.join(folder, name))
                             if wanted(member.rpartition("/")[2]))

    walk(os.fspath(root), "")
    if compressed:
        log.warning("%d compressed archives in %s were not looked into, the first: %s. Unpack them to .tar",
                    len(compressed), root, compressed[0])
    return found


_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")


def _members(path: str) -> list[str]:
    names: dict[str, None] = {}  # a name may come twice
    try:
        for name, _, _ in archive.members(path):
            names[name] = None
    except archive.ArchiveError as error:
        log.warning("%s %s: found %d files in it", path, error, len(names))
    return sorted(names)


def _by_stem(files: Iterable[str]) -> dict[str, str]:
    """The first of the files that have a name, by that name without folder and suffix."""
    stems: dict[str, str] = {}
    for name in files:
        stems.setdefault(os.path.splitext(name.rpartition("/")[2])[0], name)
    return stems


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in archive.read_bytes(path).decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error


def _seconds(start: str, where: str) -> float:
    try:
        seconds = float(start)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{where}: expected a start in seconds, found {start!r}")
    return seconds


def _segment(files: dict[str, str], video: str, start: str, seconds: float) -> str | None:
    """The file cut from `video` at `start`, under any of the names that download tools give it."""
    starts = dict.fromkeys((start, f"{seconds:g}", f"{seconds:.3f}", str(round(seconds * 1000))))
    names = [f"{prefix}{video}_{s}" for s in starts for prefix in ("", "Y")] + [video, f"Y{video}"]
    return next((files[name] for name in names if name in files), None)


def _absent(video: str, seconds: float) -> str:
    return f"audio/{video}_{seconds:g}.wav"


def _val_fold(rows: list[dict[str, str]], val_fold: int | None, root: Path) -> str:
    folds = sorted({row["fold"] for row in rows})
    if val_fold is None and folds:
        return folds[-1]
    if str(val_fold) not in folds:
        raise ValueError(f"no fold {val_fold} in {root}: expected one of {', '.join(folds)}")
    return str(val_fold)


def _captions(row: dict[str, str]) -> list[str]:
    return [text.strip() for key, text in row.items() if key and key.startswith("caption_") and text and text.strip()]


def _words(name: str) -> str:
    """`dog_bark-02` -> `dog bark`: separators become spaces and a take number goes."""
    return " ".join(re.sub(r"[\s_-]+\d+$", "", name).replace("_", " ").replace("-", " ").split())
