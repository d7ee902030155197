"""A set of clips is what the files say, or an error that names the file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from listeners import scenes

from diffsound.data import manifest
from diffsound.data.audio import UnreadableAudio, save
from diffsound.evaluation.clips import ClipSet, paired


@pytest.fixture(scope="module")
def clips() -> ClipSet:
    return scenes(3, seconds=0.5)


def write(clips: ClipSet, folder) -> None:
    for name, waveform, text in zip(clips.ids, clips.waveforms, clips.texts, strict=True):
        save(folder / f"{name}.wav", waveform.numpy(), clips.sample_rate)
        (folder / f"{name}.json").write_text(json.dumps({"text": text}))


def test_a_folder_gives_back_what_was_written(clips, tmp_path):
    write(clips, tmp_path)
    (tmp_path / "000.json").unlink()
    (tmp_path / "notes.txt").write_text("no clip")
    read = ClipSet.from_folder(tmp_path)
    assert (read.ids, read.sample_rate, read.texts) == (clips.ids, 22050, ("", *clips.texts[1:]))
    for mine, written in zip(read.waveforms, clips.waveforms, strict=True):
        torch.testing.assert_close(mine, written.clamp(-1, 1), atol=1e-4, rtol=0)
    assert read.seconds == pytest.approx([0.5] * 3)


def test_a_manifest_gives_one_split_with_first_captions(clips, tmp_path):
    write(clips, tmp_path)
    rows = [manifest.Clip(tmp_path / f"{name}.wav", [text, "other"], split=split)
            for name, text, split in zip(clips.ids, clips.texts, ("test", "train", "test"), strict=True)]
    manifest.write(tmp_path / "manifest.jsonl", rows)
    read = ClipSet.from_manifest(tmp_path / "manifest.jsonl", "test")
    assert (read.ids, read.texts) == (("000", "002"), (clips.texts[0], clips.texts[2]))
    assert len(ClipSet.from_manifest(tmp_path / "manifest.jsonl")) == 3
    with pytest.raises(ValueError, match="no clip of the split 'val', only of test, train"):
        ClipSet.from_manifest(tmp_path / "manifest.jsonl", "val")


def test_files_that_cannot_be_a_set_are_named(clips, tmp_path):
    with pytest.raises(OSError, match="no folder of clips at .*nowhere"):
        ClipSet.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no clips: expected files that end in .wav or .flac"):
        ClipSet.from_folder(tmp_path)
    write(clips, tmp_path)
    save(tmp_path / "slow.flac", np.zeros(1000), 16000)
    with pytest.raises(ValueError, match=r"slow.flac has a sample rate of 16000 Hz, .*000.wav of 22050 Hz"):
        ClipSet.from_folder(tmp_path)
    assert ClipSet.from_folder(tmp_path, sample_rate=16000).sample_rate == 16000
    (tmp_path / "slow.flac").rename(tmp_path / "slow.txt")
    (tmp_path / "001.json").write_text("[")
    with pytest.raises(ValueError, match=r"001.json is not a sidecar"):
        ClipSet.from_folder(tmp_path)
    (tmp_path / "001.json").unlink()
    (tmp_path / "broken.wav").write_bytes(b"RIFF, and no more")
    with pytest.raises(UnreadableAudio, match=r"broken.wav"):
        ClipSet.from_folder(tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    ({"waveforms": (), "texts": (), "ids": ()}, "made holds no clips"),
    ({"ids": ("000", "001")}, "3 waveforms, 3 texts and 2 ids"),
    ({"ids": ("000", "001", "000")}, "more than one clip named 000"),
    ({"sample_rate": 0}, "the sample rate 0"),
    ({"waveforms": (torch.zeros(9), torch.tensor([0.0, torch.nan]), torch.zeros(9))}, "clip 001: holds NaN"),
    ({"waveforms": (torch.zeros(9), torch.zeros(9), torch.zeros(0))}, "clip 002: holds no samples"),
    ({"waveforms": (torch.zeros(2, 9), torch.zeros(9), torch.zeros(9))}, r"clip 000: .* expected float32 samples"),
])
def test_what_is_no_set_is_refused(clips, change, message):
    with pytest.raises(ValueError, match=message):
        replace(clips, **change)


def test_the_fingerprint_is_of_ids_and_samples_and_not_of_their_order(clips):
    assert clips.take([2, 0, 1], "shuffled").fingerprint == clips.fingerprint
    quieter = (clips.waveforms[0] * 0.999, *clips.waveforms[1:])
    others = [replace(clips, ids=("a", "b", "c")), replace(clips, waveforms=quieter), replace(clips, sample_rate=16000),
              clips.take([0, 1])]
    assert len({one.fingerprint for one in (clips, *others)}) == 5


def test_pairs_are_found_by_id_and_who_is_alone_is_named(clips):
    reference = replace(clips.take([2, 0, 1]), name="reference")
    again = paired(clips, reference)
    assert again.ids == clips.ids
    assert all(a is b for a, b in zip(again.waveforms, clips.waveforms, strict=True))
    with pytest.raises(ValueError, match="1 of 3 clips of made have no partner in reference: 001"):
        paired(clips, reference.take([0, 1]))
    with pytest.raises(ValueError, match="1 of 3 clips of reference have no partner in made: 002"):
        paired(clips.take([0, 1]), reference)
