"""A sound inside a tar archive is the sound itself, whatever its name, and a damaged archive says what is lost."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffsound.data import archive, audio, manifest
from diffsound.data.manifest import Clip
from diffsound.data.unreadable import UnreadableReport, durations


def sound(suffix: str = "flac", seconds: float = 0.5, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(16000 * seconds))
    soundfile.write(buffer, noise, 16000, format=suffix)
    return buffer.getvalue()


def pack(path: Path, files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_every_format_reads_as_it_does_from_a_file(tmp_path, suffix):
    data = sound(suffix)
    (tmp_path / f"plain.{suffix}").write_bytes(data)
    pack(tmp_path / "0.tar", {"first.wav": sound("wav", seed=1), f"a/dog.{suffix}": data,
                              "last.wav": sound("wav", seed=2)})
    plain, inside = tmp_path / f"plain.{suffix}", tmp_path / "0.tar" / "a" / f"dog.{suffix}"
    np.testing.assert_array_equal(audio.load(inside, 22050), audio.load(plain, 22050))
    for measure in (audio.duration, audio.sample_rate_of):
        assert measure(inside) == measure(plain)
    assert archive.read_bytes(inside) == archive.read_bytes(plain)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_keys_and_nothing_is_extracted(tmp_path, form):
    names = ["plain.flac", "./dotted.flac", "../outside.flac", "/tmp/rooted.flac", "a/../../b.flac", "hund ä.flac",
             "long" * 20 + "/name.flac", "inner.tar/x.flac"]
    (tmp_path / "here").mkdir()
    pack(tmp_path / "here" / "0.tar", {name: sound(seed=k) for k, name in enumerate(names)}, form)
    keys = ["plain.flac", "dotted.flac", "outside.flac", "tmp/rooted.flac", "a/b.flac", "hund ä.flac",
            "long" * 20 + "/name.flac", "inner.tar/x.flac"]
    assert [name for name, _, _ in archive.members(tmp_path / "here" / "0.tar")] == keys
    for k, key in enumerate(keys):
        expected, _ = soundfile.read(io.BytesIO(sound(seed=k)), dtype="float32")
        np.testing.assert_array_equal(audio.load(tmp_path / "here" / "0.tar" / key, 16000), expected)
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "0.tar"]
    assert not Path("/tmp/rooted.flac").exists()


def test_of_members_with_one_name_the_last_counts(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for data in (sound(seconds=1), sound(seconds=2)):
            member = tarfile.TarInfo("a.flac")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert audio.duration(tmp_path / "0.tar" / "a.flac") == 2


def test_links_folders_and_devices_are_no_sounds(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE):
            member = tarfile.TarInfo("a.wav")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    assert list(archive.members(tmp_path / "0.tar")) == []
    with pytest.raises(audio.UnreadableAudio, match=r"0.tar/a.wav: no such file in the archive$"):
        audio.load(tmp_path / "0.tar" / "a.wav", 16000)


def test_a_folder_may_be_called_like_an_archive(tmp_path):
    (tmp_path / "x.tar").mkdir()
    (tmp_path / "x.tar" / "a.flac").write_bytes(sound())
    pack(tmp_path / "x.tar" / "y.tar", {"b.flac": sound()})
    assert audio.duration(tmp_path / "x.tar" / "a.flac") == audio.duration(tmp_path / "x.tar" / "y.tar" / "b.flac")
    with pytest.raises(audio.UnreadableAudio, match="no such file"):
        audio.duration(tmp_path / "x.tar")


def test_a_manifest_leads_into_archives(tmp_path):
    pack(tmp_path / "0.tar", {f"{k}.flac": sound(seconds=k) for k in (1, 2)})
    manifest.write(tmp_path / "lists" / "manifest.jsonl",
                   [Clip(tmp_path / "0.tar" / f"{k}.flac", ["noise"], split="train") for k in (1, 2, 3)])
    clips = manifest.read(tmp_path / "lists" / "manifest.jsonl")
    report = UnreadableReport(tmp_path / "unreadable.txt")
    assert durations([clip.audio for clip in clips] * 30, report) == [1, 2, None] * 30
    line, = report.lines()
    assert line.endswith("0.tar/3.flac: no such file in the archive")


def damaged(folder: Path) -> None:
    whole = pack(folder / "whole.tar", {f"{name}.flac": sound() for name in "abc"}).read_bytes()
    (_, _, _), (_, second, size), (_, third, _) = archive.members(folder / "whole.tar")
    (folder / "cut-in-b.tar").write_bytes(whole[:second + size // 2])
    (folder / "cut-in-header.tar").write_bytes(whole[:third - 512 + 100])
    (folder / "cut-between.tar").write_bytes(whole[:third - 512])
    (folder / "scratched.tar").write_bytes(whole[:third - 512] + b"\x07" * 512 + whole[third:])
    (folder / "zipped.tar").write_bytes(b"\x1f\x8b\x08" + whole[3:])
    (folder / "empty.tar").touch()
    (folder / "text.tar").write_text("this is no archive " * 100)


@pytest.mark.parametrize(("name", "left"), [
    ("cut-in-b", "a"), ("cut-in-header", "ab"), ("cut-between", "ab"), ("scratched", "ab"), ("zipped", ""),
    ("empty", ""), ("text", ""),
])
def test_of_a_damaged_archive_the_whole_members_are_read_and_the_others_named(tmp_path, name, left):
    damaged(tmp_path)
    members = archive.members(tmp_path / f"{name}.tar")
    assert [next(members)[0] for _ in left] == [f"{letter}.flac" for letter in left]
    with pytest.raises(archive.ArchiveError, match="is damaged or cut off"):
        next(members)
    for letter in "abc":
        path = tmp_path / f"{name}.tar" / f"{letter}.flac"
        if letter in left:
            assert audio.duration(path) == 0.5
        else:
            with pytest.raises(audio.UnreadableAudio, match=rf"{name}.tar/{letter}.flac: .*damaged or cut off"):
                audio.load(path, 16000)


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "empty"), (b"text", "not audio"), (sound()[:len(sound()) // 2], "breaks off"),
])
def test_a_broken_member_is_named_with_the_reason(tmp_path, data, reason):
    pack(tmp_path / "0.tar", {"a.flac": data, "b.flac": sound()})  # b must not be read as the rest of a
    with pytest.raises(audio.UnreadableAudio, match=rf"0.tar/a.flac: .*{reason}"):
        audio.load(tmp_path / "0.tar" / "a.flac", 16000)


@pytest.fixture
def readings(monkeypatch):
    """The archives whose lists of members were read, in order."""
    read = []
    members = archive.members

    def slowly(path):
        read.append(Path(path).name)
        time.sleep(0.02)  # so that other threads come and want the same list
        return members(path)

    monkeypatch.setattr(archive, "members", slowly)
    monkeypatch.setattr(archive, "_indices", type(archive._indices)())
    return read


def test_the_members_of_an_archive_are_listed_once_until_it_changes(tmp_path, readings):
    pack(tmp_path / "0.tar", {f"{k}.flac": sound() for k in range(9)})
    durations([tmp_path / "0.tar" / f"{k % 9}.flac" for k in range(90)],
              UnreadableReport(tmp_path / "unreadable.txt"))
    assert readings == ["0.tar"]
    pack(tmp_path / "1.tar", {"old.wav": sound("wav")})
    assert audio.duration(tmp_path / "1.tar" / "old.wav") == 0.5
    pack(tmp_path / "1.tar", {"new.wav": sound("wav")})  # as many bytes
    assert audio.duration(tmp_path / "1.tar" / "new.wav") == 0.5
    assert readings == ["0.tar", "1.tar", "1.tar"]


def test_the_lists_kept_are_bounded_and_the_one_used_last_stays(tmp_path, readings, monkeypatch):
    monkeypatch.setattr(archive, "_CACHED", 8)
    for name in "abc":
        pack(tmp_path / f"{name}.tar", {f"{k}.flac": sound() for k in range(4)})
    for name in "abacab":  # c drives b out, and b then c
        audio.duration(tmp_path / f"{name}.tar" / "1.flac")
    assert readings == ["a.tar", "b.tar", "c.tar", "b.tar"]


def test_a_header_costs_no_more_than_one_block(tmp_path, monkeypatch):
    pack(tmp_path / "0.tar", {"a.flac": sound(seconds=60)})
    read = []
    readinto = archive._Section.readinto
    monkeypatch.setattr(archive._Section, "readinto",
                        lambda self, buffer: read.append(readinto(self, buffer)) or read[-1])
    assert audio.duration(tmp_path / "0.tar" / "a.flac") == 60
    assert sum(read) < 0.2 * (tmp_path / "0.tar").stat().st_size
