"""A manifest reads back as it was written, and says where it is wrong."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from diffsound.data import manifest
from diffsound.data.manifest import Clip


def test_round_trip(tmp_path):
    clips = [Clip(tmp_path / "audio" / "hund ä.wav", ["A dog barks.", "Ein Hund, bellend"], ["Dog"], "train", "g1"),
             Clip(tmp_path / "elsewhere" / "b.ogg", ["rain"], [], "val", "g2")]
    manifest.write(tmp_path / "new" / "manifest.jsonl", clips)
    lines = [json.loads(line) for line in (tmp_path / "new" / "manifest.jsonl").read_text().splitlines()]
    assert lines[0]["audio"] == "../audio/hund ä.wav"
    back = manifest.read(tmp_path / "new" / "manifest.jsonl")
    assert [clip.audio.resolve() for clip in back] == [clip.audio for clip in clips]
    for clip, original in zip(back, clips, strict=True):
        clip.audio = original.audio
        assert clip == original


def written(tmp_path, text: str, name: str = "manifest.jsonl"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_one_caption_may_be_plain_text_and_other_keys_are_ignored(tmp_path):
    path = written(tmp_path, '\n{"audio": "a.wav", "caption": " A dog. ", "license": "CC0", "split": "test"}\n')
    clip, = manifest.read(path)
    assert (clip.audio, clip.captions, clip.labels, clip.split) == (tmp_path / "a.wav", ["A dog."], [], "test")


def test_labels_stand_in_for_missing_captions(tmp_path):
    clip, = manifest.read(written(tmp_path, '{"audio": "a.wav", "labels": ["Male speech, man speaking", "Dog"]}'))
    assert clip.captions == ["male speech, man speaking, dog"]


def test_csv_table(tmp_path):
    path = written(tmp_path, "path,captions,labels,split\n"
                             'a.wav,"A dog barks, twice|A bark",Dog;Bark,train\nb.wav,,Rain,val\n', "clips.csv")
    first, second = manifest.read(path)
    assert (first.captions, first.labels, first.split) == (["A dog barks, twice", "A bark"], ["Dog", "Bark"], "train")
    assert second.captions == ["rain"]
    clip, = manifest.read(written(tmp_path, "audio,caption\na.wav,one | and the same\n", "one.csv"))
    assert clip.captions == ["one | and the same"]


@pytest.mark.parametrize(("text", "message"), [
    ('{"audio": "a.wav"}\n{"audio": "b.wav"\n', r"manifest.jsonl:2: not JSON"),
    ('{"audio": "a.wav"}\n["b.wav"]\n', r"manifest.jsonl:2: expected an object"),
    ('{"caption": "a dog"}\n', r"manifest.jsonl:1: expected 'audio'.*None"),
    ('{"audio": "a.wav", "captions": [1]}\n', r"manifest.jsonl:1: expected 'captions'"),
    ('{"audio": "a.wav", "labels": {"Dog": 1}}\n', r"manifest.jsonl:1: expected 'labels'"),
    ('{"audio": "a.wav", "split": ["val"]}\n', r"manifest.jsonl:1: expected names"),
    ('{"audio": "a.wav", "split": "val"}\n{"audio": "b.wav"}\n', r"manifest.jsonl:2: no 'split'"),
    ("\n\n", r"manifest.jsonl holds no clips"),
])
def test_a_wrong_line_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        manifest.read(written(tmp_path, text))


@pytest.mark.parametrize(("text", "message"), [
    ("file,caption\na.wav,dog\n", r"clips.csv:1: expected a column 'audio'"),
    ("audio,caption\na.wav,a dog, twice\n", r"clips.csv:2: more cells than columns"),
    ("audio,caption\n,a dog\n", r"clips.csv:2: expected 'audio'"),
    ("audio,caption\n", "clips.csv holds no clips"),
])
def test_a_wrong_row_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        manifest.read(written(tmp_path, text, "clips.csv"))


def test_absent_undecodable_and_empty(tmp_path):
    with pytest.raises(ValueError, match="no manifest at .*audio.init_args.manifest"):
        manifest.read(tmp_path / "absent.jsonl")
    (tmp_path / "latin.jsonl").write_bytes('{"audio": "häuser.wav"}'.encode("latin-1"))
    with pytest.raises(ValueError, match="latin.jsonl is not UTF-8"):
        manifest.read(tmp_path / "latin.jsonl")
    with pytest.raises(ValueError, match="no clips to write"):
        manifest.write(tmp_path / "none.jsonl", [])
    assert not (tmp_path / "none.jsonl").exists()


def unsplit(tmp_path, groups: int, takes: int = 3):
    rows = [{"audio": f"{group}-{take}.wav", "group": f"recording {group}"} for group in range(groups)
            for take in range(takes)]
    return manifest.read(written(tmp_path, "\n".join(map(json.dumps, rows))))


def test_without_splits_a_tenth_of_the_groups_is_for_validation(tmp_path):
    clips = unsplit(tmp_path, 1000)
    splits = {group: {clip.split for clip in clips if clip.group == group} for group in {c.group for c in clips}}
    assert all(len(of_group) == 1 for of_group in splits.values())
    assert Counter(clip.split for clip in clips)["val"] == pytest.approx(300, rel=0.25)
    fewer = {clip.group: clip.split for clip in unsplit(tmp_path, 500)}
    assert fewer.items() <= {clip.group: clip.split for clip in clips}.items()  # more clips move none of the old ones


def test_two_recordings_are_enough_for_both_splits(tmp_path):
    assert {clip.split for clip in unsplit(tmp_path, 2)} == {"train", "val"}
    assert {clip.split for clip in unsplit(tmp_path, 1)} == {"train"}


def test_the_real_manifests(shared_data):
    for folder, count in (("esc10", 317), ("more", 610)):
        clips = manifest.read(shared_data / folder / "manifest.jsonl")
        assert len(clips) == count
        assert all(clip.audio.is_file() and clip.captions and clip.labels for clip in clips)
        assert {clip.split for clip in clips} == {"train", "val"}
