"""Every layout: who is found, with which text, split and group, and who is missing."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from diffsound.data import layouts, manifest
from diffsound.data.manifest_cli import main


@pytest.fixture
def tree(tmp_path):
    """`tree({"meta/a.csv": "text", "audio/b.wav": ""})` -> the folder that holds these files."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def summary(clips) -> list[tuple]:
    return [(clip.audio.name, clip.captions, clip.labels, clip.split, clip.group) for clip in clips]


def test_esc50(tree):
    root = tree({"meta/esc50.csv": "filename,fold,target,category,esc10,src_file,take\n"
                                   "1-100-A-0.wav,1,0,dog,True,100,A\n"
                                   "5-200-A-14.wav,5,14,chirping_birds,False,200,A\n"
                                   "5-201-A-14.wav,5,14,chirping_birds,False,201,A\n",
                 "audio/1-100-A-0.wav": "", "audio/5-200-A-14.wav": ""})
    clips, missing, _ = layouts.esc50(root)
    assert summary(clips) == [("1-100-A-0.wav", ["dog"], ["dog"], "train", "100"),
                              ("5-200-A-14.wav", ["chirping birds"], ["chirping birds"], "val", "200")]
    assert missing == [str(root / "audio/5-201-A-14.wav")]
    assert [clip.split for clip in layouts.esc50(root, val_fold=1)[0]] == ["val", "train"]
    with pytest.raises(ValueError, match="no fold 7 .* one of 1, 5"):
        layouts.esc50(root, val_fold=7)
    assert summary(layouts.esc10(root)[0]) == [("1-100-A-0.wav", ["dog"], ["dog"], "val", "100")]  # its only fold


def test_esc10(tree):
    root = tree({"metadata.csv": "filename,fold,label,category,audioset_labels,source_id\n"
                                 "1-1-A.ogg,1,0,Dog bark,Dog;Bark,1\n4-2-A.ogg,4,1,Rain,Rain,2\n",
                 "captions.csv": "filename,caption_1,caption_2\n1-1-A.ogg,A dog.,Barking.\n4-2-A.ogg,Rain falls.,\n",
                 "audio/1-1-A.ogg": "", "audio/4-2-A.ogg": ""})
    clips, missing, _ = layouts.esc10(root)
    assert summary(clips) == [("1-1-A.ogg", ["A dog.", "Barking."], ["Dog", "Bark"], "train", "1"),
                              ("4-2-A.ogg", ["Rain falls."], ["Rain"], "val", "2")]
    assert missing == []


def test_audiocaps(tree):
    root = tree({"train.csv": 'audiocap_id,youtube_id,start_time,caption\n1,-aaaaaaaaaa,30,"A dog, barking"\n'
                              "2,Ybbbbbbbbbb,0,Rain\n3,cccccccccc_,130,Wind\n",
                 "val.csv": "audiocap_id,youtube_id,start_time,caption\n4,dddddddddd0,5,One\n5,dddddddddd0,5,Two\n",
                 "audio/train/-aaaaaaaaaa.flac": "", "audio/train/YYbbbbbbbbbb.wav": "",
                 "val/dddddddddd0_5.wav": ""})
    clips, missing, _ = layouts.audiocaps(root)
    assert summary(clips) == [("-aaaaaaaaaa.flac", ["A dog, barking"], [], "train", "-aaaaaaaaaa"),
                              ("YYbbbbbbbbbb.wav", ["Rain"], [], "train", "Ybbbbbbbbbb"),
                              ("dddddddddd0_5.wav", ["One", "Two"], [], "val", "dddddddddd0")]
    assert missing == [str(root / "audio/cccccccccc__130.wav")]


LABELS = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n'


def test_audioset_in_both_forms_of_its_lists(tree):
    root = tree({"class_labels_indices.csv": LABELS,
                 "balanced_train_segments.csv":
                     "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=2, num_segs=2\n"
                     "# YTID, start_seconds, end_seconds, positive_labels\n"
                     '--aaaaaaaaa, 30.000, 40.000, "/m/09x0r,/m/05zppz"\n_bbbbbbbbbb, 0.000, 10.000, "/m/09x0r"\n',
                 "eval_segments.csv": "YTID,start_seconds,end_seconds,positive_labels\n"
                                      'cccccccccc-,20.000,30.000,"/m/05zppz"\n',
                 "audio/--aaaaaaaaa_30000.wav": "", "audio/eval/Ycccccccccc-.ogg": ""})
    clips, missing, _ = layouts.audioset(root)
    assert summary(clips) == [
        ("Ycccccccccc-.ogg", ["male speech, man speaking"], ["Male speech, man speaking"], "test", "cccccccccc-"),
        ("--aaaaaaaaa_30000.wav", ["speech, male speech, man speaking"], ["Speech", "Male speech, man speaking"],
         "train", "--aaaaaaaaa")]
    assert missing == [str(root / "audio/_bbbbbbbbbb_0.wav")]


def audioset_tree(tree, **lists: str):
    """A folder with these segment lists, and a file for each video but those whose id begins with "gone"."""
    rows = "".join(lists.values()).splitlines()
    videos = [row.split(",")[0] for row in rows]
    return tree({"class_labels_indices.csv": LABELS}
                | {f"{name}_segments.csv": rows for name, rows in lists.items()}
                | {f"audio/{video}.wav": "" for video in videos if not video.startswith("gone")})


def test_audioset_counts_what_it_leaves_out_of_each_list(tree):
    root = audioset_tree(tree, balanced_train='a,0,10,"/m/09x0r"\na,0.000,10,"/m/05zppz"\na,20,30,"/m/09x0r"\n'
                                              'b,0,10,""\nc,0,10," , "\ngone,0,10,"/m/09x0r"\n',
                         unbalanced_train='a,0,10,"/m/09x0r"\nd,5,15,"/m/09x0r"\ne,0,10,"/m/09x0r"\n',
                         eval='d,0,10,"/m/09x0r"\n')
    clips, missing, notes = layouts.audioset(root)
    assert notes == ["eval_segments.csv: 1 listed, 1 found, 0 missing (0.0%)",
                     "balanced_train_segments.csv: 6 listed, 2 found, 1 missing (16.7%), 2 left out: without labels, "
                     "1 left out: listed before",
                     "unbalanced_train_segments.csv: 3 listed, 1 found, 0 missing (0.0%), 1 left out: listed before, "
                     "1 left out: of a video in an eval list"]
    assert [(clip.group, clip.split, clip.labels) for clip in clips] == [
        ("d", "test", ["Speech"]), ("a", "train", ["Speech"]), ("a", "train", ["Speech"]), ("e", "train", ["Speech"])]
    assert missing == [f"{root}/audio/gone_0.wav"]


def test_audioset_takes_odd_quoting(tree):
    root = audioset_tree(tree, eval='\ufeff-a, 0.0, 10.0, "/m/09x0r, /m/05zppz,/m/09x0r,"\n_b,0,10,/m/09x0r\n'
                                    '"-_c","0","10","/m/05zppz"\n\n')
    (root / "audio" / "\ufeff-a.wav").rename(root / "audio" / "-a.wav")
    (root / "audio" / '"-_c".wav').rename(root / "audio" / "-_c.wav")
    assert [(clip.group, clip.labels) for clip in layouts.audioset(root).clips] == [
        ("-a", ["Speech", "Male speech, man speaking"]), ("_b", ["Speech"]), ("-_c", ["Male speech, man speaking"])]


def test_audioset_names_from_the_ontology_where_the_class_list_has_none(tree):
    ontology = json.dumps([{"id": id_, "name": name, "description": "", "child_ids": [], "restrictions": []}
                           for id_, name in (("/m/09x0r", "Talk"), ("/m/new", "New"))])
    root = audioset_tree(tree, eval='a,0,10,"/m/new,/m/09x0r"\n')
    (root / "ontology.json").write_text(ontology)
    assert layouts.audioset(root).clips[0].labels == ["New", "Speech"]
    (root / "class_labels_indices.csv").unlink()
    assert layouts.audioset(root).clips[0].labels == ["New", "Talk"]
    (root / "ontology.json").write_text('{"/m/new": "New"}')
    with pytest.raises(ValueError, match=r"ontology.json"):
        layouts.audioset(root)


@pytest.mark.parametrize(("row", "message"), [
    ('aaaaaaaaaaa,0,10,"/m/unknown"', r"segments.csv:1: no label '/m/unknown' among the 2 of class_labels_indices.csv"),
    ("aaaaaaaaaaa,0,10", r"segments.csv:1: expected YTID"),
    ("\naaaaaaaaaaa,0,10,/m/09x0r,/m/05zppz", r"segments.csv:2: expected YTID.*in quotes"),
    (",0,10,/m/09x0r", r"segments.csv:1: expected YTID"),
    ('aaaaaaaaaaa,nan,10,"/m/09x0r"', r"segments.csv:1: expected a start in seconds, found 'nan'"),
    ('aaaaaaaaaaa,0,10,"' + 200000 * "x", r"segments.csv:\d+: not a CSV table"),
    ('aaaaaaaaaaa,zero,10,"/m/09x0r"', r"segments.csv:1: expected a start in seconds, found 'zero'"),
])
def test_audioset_names_a_wrong_row(tree, row, message):
    with pytest.raises(ValueError, match=message):
        layouts.audioset(tree({"class_labels_indices.csv": LABELS, "balanced_train_segments.csv": row + "\n"}))


def test_a_table_that_is_not_utf8_is_named(tree):
    root = tree({"class_labels_indices.csv": LABELS, "eval_segments.csv": ""})
    (root / "eval_segments.csv").write_bytes('a,0,10,"ä"\n'.encode("latin-1"))
    with pytest.raises(ValueError, match="eval_segments.csv is not UTF-8"):
        layouts.audioset(root)
    (root / "class_labels_indices.csv").write_bytes(LABELS.encode("utf-16"))
    with pytest.raises(ValueError, match="class_labels_indices.csv is not UTF-8"):
        layouts.audioset(root)


def pack(path: Path, *names: str) -> None:
    with tarfile.open(path, "w") as tar:
        for name in names:
            data = f"What is in {name}.".encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_audioset_in_archives_beside_files(tree):
    root = audioset_tree(tree, eval="".join(f'gone{k},0,10,"/m/09x0r"\n' for k in range(4)) + 'a,0,10,"/m/09x0r"\n')
    (root / "shards" / "deep").mkdir(parents=True)
    pack(root / "shards" / "0.tar", "./gone0_0.flac", "../Ygone1_0.000.wav", "./._gone3.wav")
    pack(root / "shards" / "deep" / "1.tar", "x/gone2.ogg", "gone3.json")
    clips, missing, _ = layouts.audioset(root)
    assert [str(clip.audio.relative_to(root)) for clip in clips] == [
        "shards/0.tar/gone0_0.flac", "shards/0.tar/Ygone1_0.000.wav", "shards/deep/1.tar/x/gone2.ogg", "audio/a.wav"]
    assert missing == [f"{root}/audio/gone3_0.wav"]


def test_audiocaps_in_archives(tree):
    root = tree({"test.csv": "youtube_id,start_time,caption\na,30,A dog\nb,0,Rain\n"})
    pack(root / "0.tar", "test/a_30.flac")
    clips, missing, _ = layouts.audiocaps(root)
    assert [(clip.audio, clip.captions) for clip in clips] == [(root / "0.tar/test/a_30.flac", ["A dog"])]
    assert missing == [f"{root}/audio/b_0.wav"]


def test_a_folder_with_archives(tree):
    root = tree({"dogs/a-1.wav": "", "dogs/x.tar/plain.wav": ""})
    pack(root / "dogs" / "0.tar", "b.flac", "b.txt", "cats/c.flac")
    pack(root / "1.tar", "0001.flac")
    assert [(str(clip.audio.relative_to(root)), clip.captions, clip.labels) for clip in layouts.folder(root).clips] == [
        ("1.tar/0001.flac", [], []),
        ("dogs/0.tar/b.flac", ["What is in b.txt."], ["dogs"]), ("dogs/0.tar/cats/c.flac", ["c"], ["cats"]),
        ("dogs/a-1.wav", ["a"], ["dogs"]), ("dogs/x.tar/plain.wav", ["plain"], ["dogs"])]


def test_archives_that_cannot_be_read_are_told(tree, caplog):
    root = tree({"a.tar": "no archive", "b.tar.gz": "", "c.tgz": "", "d.wav": ""})
    pack(root / "cut.tar", "whole.wav", "cut.wav")
    data = (root / "cut.tar").read_bytes()
    (root / "cut.tar").write_bytes(data[:512 * 3 + 4])
    assert [clip.audio.name for clip in layouts.folder(root).clips] == ["whole.wav", "d.wav"]
    messages = " ".join(record.message for record in caplog.records)
    assert f"{root}/a.tar is damaged or cut off, or not an uncompressed tar archive" in messages
    assert f"{root}/cut.tar is damaged or cut off at byte 1536: found 1 files in it" in messages
    assert f"2 compressed archives in {root} were not looked into" in messages


def test_links_to_folders_are_followed_once_and_dead_ones_are_no_files(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "a.wav").touch()
    (elsewhere / "back").symlink_to(elsewhere)
    root = tree({})
    (root / "audio").symlink_to(elsewhere)
    (root / "dead.wav").symlink_to(root / "nowhere.wav")
    assert [clip.audio for clip in layouts.folder(root).clips] == [root / "audio" / "a.wav"]


def test_a_list_of_many_is_read_with_one_walk(tree, monkeypatch):
    root = audioset_tree(tree, eval="".join(f'v{k},0,10,"/m/09x0r"\n' for k in range(200)))
    looked = Counter()
    for name in ("stat", "scandir"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, original=original, **options:
                            (looked.update([name]), original(*args, **options))[1])
    assert len(layouts.audioset(root).clips) == 200
    assert looked["stat"] + looked["scandir"] < 20


def test_clotho(tree):
    header = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
    root = tree({"clotho_captions_development.csv": header + "Rain 01.wav,a,b,c,d,e\nGone.wav,a,b,c,d,e\n",
                 "clotho_captions_evaluation.csv": header + "Rain 01.wav,f,g,h,i,j\n",
                 "development/Rain 01.wav": "", "clotho_audio_evaluation/evaluation/Rain 01.wav": ""})
    clips, missing, _ = layouts.clotho(root)
    assert summary(clips) == [("Rain 01.wav", list("abcde"), [], "train", "Rain 01"),
                              ("Rain 01.wav", list("fghij"), [], "test", "Rain 01")]
    assert [clip.audio.parent.name for clip in clips] == ["development", "evaluation"]
    assert missing == [str(root / "development/Gone.wav")]


def test_fsd50k(tree):
    root = tree({"FSD50K.ground_truth/dev.csv": "fname,labels,mids,split\n"
                                                '64760,"Electric_guitar,Music","/m/02sgy,/m/04rlf",train\n'
                                                '16399,Rain,/m/06mb1,val\n',
                 "FSD50K.ground_truth/eval.csv": "fname,labels,mids\n37199,Rain,/m/06mb1\n",
                 "FSD50K.dev_audio/64760.wav": "", "FSD50K.eval_audio/37199.wav": ""})
    clips, missing, _ = layouts.fsd50k(root)
    assert summary(clips) == [
        ("64760.wav", ["electric guitar, music"], ["Electric guitar", "Music"], "train", "64760"),
        ("37199.wav", ["rain"], ["Rain"], "test", "37199")]
    assert missing == [str(root / "FSD50K.dev_audio/16399.wav")]


def test_folder(tree):
    root = tree({"rain_on-roof_02.WAV": "", "dogs/0001.ogg": "", "dogs/big_dog.flac": "", "dogs/big_dog.txt":
                 "A big dog barks.\n\nA bark.\n", "notes.md": "", "dogs/._big_dog.flac": ""})
    clips, missing, _ = layouts.folder(root)
    assert summary(clips) == [("0001.ogg", ["dogs"], ["dogs"], "", ""),
                              ("big_dog.flac", ["A big dog barks.", "A bark."], ["dogs"], "", ""),
                              ("rain_on-roof_02.WAV", ["rain on roof"], [], "", "")]
    assert missing == []


@pytest.mark.parametrize("name", layouts.READERS)
def test_another_folder_is_refused_by_name(name, tmp_path):
    if name == "folder":
        assert layouts.READERS[name](tmp_path)[:2] == ([], [])
    else:
        with pytest.raises(ValueError, match=str(tmp_path)):
            layouts.READERS[name](tmp_path)


def test_the_command_writes_a_manifest_and_tells_what_is_missing(tree, capsys):
    root = tree({"meta/esc50.csv": "filename,fold,category,src_file\na.wav,1,dog,1\nb.wav,2,rain,2\nc.wav,2,sea,3\n",
                 "audio/a.wav": "", "audio/b.wav": ""})
    out = root / "lists" / "manifest.jsonl"
    main(["--layout", "esc50", "--root", str(root), "--out", str(out), "--val-fold", "1"])
    printed = capsys.readouterr().out
    assert "2 clips, 1 missing" in printed
    assert "train 1, val 1" in printed
    assert (root / "lists" / "manifest.missing.txt").read_text() == f"{root}/audio/c.wav\n"
    assert [clip.audio.name for clip in manifest.read(out)] == ["a.wav", "b.wav"]


def test_the_command_tells_of_each_list(tree, capsys):
    root = audioset_tree(tree, eval='a,0,10,"/m/09x0r"\ngone,0,10,"/m/09x0r"\n', train='b,0,10,"/m/09x0r"\n')
    main(["--layout", "audioset", "--root", str(root), "--out", str(root / "manifest.jsonl")])
    printed = capsys.readouterr().out
    assert "eval_segments.csv: 2 listed, 1 found, 1 missing (50.0%)" in printed
    assert "train_segments.csv: 1 listed, 1 found, 0 missing (0.0%)" in printed
    assert "splits: test 1, train 1" in printed


def test_the_command_fails_in_one_line(tree, tmp_path, capsys):
    root = tree({"meta/esc50.csv": "filename,fold,category,src_file\na.wav,1,dog,1\n"})
    with pytest.raises(SystemExit, match="^diffsound manifest: no clips to write"):
        main(["--layout", "esc50", "--root", str(root), "--out", str(tmp_path / "manifest.jsonl")])
    with pytest.raises(SystemExit):
        main(["--layout", "folder", "--root", str(root), "--out", "x.jsonl", "--val-fold", "1"])
    assert "--val-fold is for esc10 and esc50" in capsys.readouterr().err


def test_the_real_esc10(shared_data):
    clips, missing, _ = layouts.esc10(shared_data / "esc10")
    assert (len(clips), missing) == (317, [])
    assert all(len(clip.captions) == 3 for clip in clips)
    splits = {split: {clip.group for clip in clips if clip.split == split} for split in ("train", "val")}
    assert not splits["train"] & splits["val"]
    assert Counter(clip.split for clip in clips)["val"] == sum(
        clip.audio.name.startswith("4-") for clip in clips)


def test_the_real_folder_of_sounds(shared_data):
    clips, _, _ = layouts.folder(shared_data / "more")
    assert {clip.audio.resolve() for clip in clips} == {
        clip.audio.resolve() for clip in manifest.read(shared_data / "more" / "manifest.jsonl")}


def test_the_real_caption_and_segment_lists(shared_data):
    clips, missing, _ = layouts.audiocaps(shared_data / "captions" / "audiocaps")  # there is no audio
    assert (clips, len(missing)) == ([], 49838 + 495 + 975)
    clips, missing, _ = layouts.audioset(shared_data / "audioset")
    assert (clips, len(missing)) == ([], 22160 + 20371)


def test_the_real_recordings_are_labelled_with_names_of_audioset(shared_data):
    with (shared_data / "audioset" / "class_labels_indices.csv").open(encoding="utf-8") as file:
        names = {row["display_name"] for row in csv.DictReader(file)}
    clips = layouts.esc10(shared_data / "esc10").clips + manifest.read(shared_data / "more" / "manifest.jsonl")
    assert {label for clip in clips for label in clip.labels} <= names
