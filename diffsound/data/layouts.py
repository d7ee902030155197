"""Readers of the folders in which public data sets arrive. Each returns the clips whose file is there, and the rest.

A reader takes the folder and returns `(clips, missing)`: `missing` names every listed file that is not there, as it
often is for data cut from YouTube. It raises ValueError, naming the file, if a table is absent or malformed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from diffsound.data.audio import SUFFIXES
from diffsound.data.manifest import Clip

Found = tuple[list[Clip], list[str]]


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
    files = _files_by_stem(root)
    clips: dict[tuple[str, str, str], Clip] = {}
    tables = [path for path in (root / f"{split}.csv" for split in ("train", "val", "test")) if path.is_file()]
    if not tables:
        raise ValueError(f"no train.csv, val.csv or test.csv in {root}: is this the layout 'audiocaps'?")
    for path in tables:
        for row in _table(path, "youtube_id", "start_time", "caption"):
            video, start = row["youtube_id"], row["start_time"]
            clip = clips.setdefault((path.stem, video, start),
                                    Clip(_segment(files, root, video, start), split=path.stem, group=video))
            clip.captions.append(row["caption"].strip())
    return _present(clips.values())


def audioset(root: Path) -> Found:
    """AudioSet: *_segments.csv, class_labels_indices.csv and audio files named as for `audiocaps`.

    Takes Google's own segment lists (three comment lines first) and those with a plain header line. The segments of a
    list with "eval" in its name become "test", all others "train".
    """
    files = _files_by_stem(root)
    names = class_names(root / "class_labels_indices.csv")
    tables = sorted(root.glob("*segments.csv"))
    if not tables:
        raise ValueError(f"no *_segments.csv in {root}: is this the layout 'audioset'?")
    clips = []
    for path in tables:
        for video, start, labels in segments(path, names):
            clips.append(Clip(_segment(files, root, video, start), labels=labels,
                              split="test" if "eval" in path.stem else "train", group=video))
    return _present(clips)


def clotho(root: Path) -> Found:
    """Clotho: clotho_captions_{development,validation,evaluation}.csv, and audio in folders of these names."""
    files = _files_by_stem(root)
    clips = []
    for part, split in (("development", "train"), ("validation", "val"), ("evaluation", "test")):
        path = root / f"clotho_captions_{part}.csv"
        for row in _table(path, "file_name", "caption_1") if path.is_file() else []:
            name = Path(row["file_name"])
            paths = [file for file in files.get(name.stem, []) if part in file.parent.name]
            clips.append(Clip(paths[0] if paths else root / part / name, _captions(row), split=split, group=name.stem))
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

    A file in a subfolder takes the name of that folder as its label. No splits: a hash of the name decides.
    """
    clips = []
    for path in sorted(file for files in _files_by_stem(root).values() for file in files):
        text = path.with_suffix(".txt")
        if text.is_file():
            captions = [line.strip() for line in text.read_text(encoding="utf-8").splitlines() if line.strip()]
        else:
            captions = [_words(path.stem)] if re.search(r"[^\W\d_]", path.stem) else []
        clips.append(Clip(path, captions, [_words(path.parent.name)] if path.parent != root else []))
    return clips, []


READERS: dict[str, Callable[..., Found]] = {
    "esc50": esc50, "esc10": esc10, "audiocaps": audiocaps, "audioset": audioset, "clotho": clotho, "fsd50k": fsd50k,
    "folder": folder,
}


def _present(clips: Iterable[Clip]) -> Found:
    found: list[Clip] = []
    missing: list[str] = []
    for clip in clips:
        if clip.audio.is_file():
            found.append(clip)
        else:
            missing.append(str(clip.audio))
    return found, missing


def _table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file with a header line that has `columns`."""
    if not path.is_file():
        raise ValueError(f"no {path.name} in {path.parent}: is this the layout you named?")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = []
        for row in reader:
            absent = [column for column in columns if row.get(column) is None]
            if absent:
                raise ValueError(f"{path}:{reader.line_num}: no cell in column {absent[0]!r}, expected {columns}")
            rows.append(row)
    return rows


def class_names(path: Path) -> dict[str, str]:
    """The names of AudioSet's classes by their id, from class_labels_indices.csv."""
    return {row["mid"]: row["display_name"] for row in _table(path, "mid", "display_name")}


def segments(path: Path, names: dict[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    """(video, start, labels) of each row of a segment list of AudioSet, in either form; `names` as of `class_names`."""
    if not path.is_file():
        raise ValueError(f"no segment list at {path}")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        for row in reader:
            if row and not row[0].startswith("#") and row[0] != "YTID":
                where = f"{path}:{reader.line_num}"
                if len(row) != 4:
                    raise ValueError(f"{where}: expected YTID, start, end, labels, found {row}")
                try:
                    labels = [names[mid] for mid in row[3].split(",")]
                except KeyError as error:
                    raise ValueError(f"{where}: class_labels_indices.csv has no label {error}") from error
                yield row[0], row[1], labels


def _files_by_stem(root: Path) -> dict[str, list[Path]]:
    if not root.is_dir():
        raise ValueError(f"no folder at {root}")
    files: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            files.setdefault(path.stem, []).append(path)
    return files


def _segment(files: dict[str, list[Path]], root: Path, video: str, start: str) -> Path:
    """The file cut from `video` at `start` seconds, under any of the names that download tools give it."""
    try:
        seconds = float(start)
    except ValueError as error:
        raise ValueError(f"expected a start in seconds for the clip of {video}, found {start!r}") from error
    starts = dict.fromkeys((start, f"{seconds:g}", f"{seconds:.3f}", str(round(seconds * 1000))))
    names = [f"{prefix}{video}_{s}" for s in starts for prefix in ("", "Y")] + [video, f"Y{video}"]
    return next((files[name][0] for name in names if name in files), root / "audio" / f"{video}_{seconds:g}.wav")


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
