"""Every layout: who is found, with which text, split and group, and who is missing."""

from __future__ import annotations

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
    clips, missing = layouts.esc50(root)
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
    clips, missing = layouts.esc10(root)
    assert summary(clips) == [("1-1-A.ogg", ["A dog.", "Barking."], ["Dog", "Bark"], "train", "1"),
                              ("4-2-A.ogg", ["Rain falls."], ["Rain"], "val", "2")]
    assert missing == []


def test_audiocaps(tree):
    root = tree({"train.csv": 'audiocap_id,youtube_id,start_time,caption\n1,-aaaaaaaaaa,30,"A dog, barking"\n'
                              "2,Ybbbbbbbbbb,0,Rain\n3,cccccccccc_,130,Wind\n",
                 "val.csv": "audiocap_id,youtube_id,start_time,caption\n4,dddddddddd0,5,One\n5,dddddddddd0,5,Two\n",
                 "audio/train/-aaaaaaaaaa.flac": "", "audio/train/YYbbbbbbbbbb.wav": "",
                 "val/dddddddddd0_5.wav": ""})
    clips, missing = layouts.audiocaps(root)
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
    clips, missing = layouts.audioset(root)
    assert summary(clips) == [
        ("--aaaaaaaaa_30000.wav", ["speech, male speech, man speaking"], ["Speech", "Male speech, man speaking"],
         "train", "--aaaaaaaaa"),
        ("Ycccccccccc-.ogg", ["male speech, man speaking"], ["Male speech, man speaking"], "test", "cccccccccc-")]
    assert missing == [str(root / "audio/_bbbbbbbbbb_0.wav")]


@pytest.mark.parametrize(("row", "message"), [
    ('aaaaaaaaaaa,0,10,"/m/unknown"', r"segments.csv:1: .*no label '/m/unknown'"),
    ("aaaaaaaaaaa,0,10", r"segments.csv:1: expected YTID"),
    ('aaaaaaaaaaa,zero,10,"/m/09x0r"', r"expected a start in seconds for the clip of aaaaaaaaaaa, found 'zero'"),
])
def test_audioset_names_a_wrong_row(tree, row, message):
    with pytest.raises(ValueError, match=message):
        layouts.audioset(tree({"class_labels_indices.csv": LABELS, "balanced_train_segments.csv": row + "\n"}))


def test_clotho(tree):
    header = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
    root = tree({"clotho_captions_development.csv": header + "Rain 01.wav,a,b,c,d,e\nGone.wav,a,b,c,d,e\n",
                 "clotho_captions_evaluation.csv": header + "Rain 01.wav,f,g,h,i,j\n",
                 "development/Rain 01.wav": "", "clotho_audio_evaluation/evaluation/Rain 01.wav": ""})
    clips, missing = layouts.clotho(root)
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
    clips, missing = layouts.fsd50k(root)
    assert summary(clips) == [
        ("64760.wav", ["electric guitar, music"], ["Electric guitar", "Music"], "train", "64760"),
        ("37199.wav", ["rain"], ["Rain"], "test", "37199")]
    assert missing == [str(root / "FSD50K.dev_audio/16399.wav")]


def test_folder(tree):
    root = tree({"rain_on-roof_02.WAV": "", "dogs/0001.ogg": "", "dogs/big_dog.flac": "", "dogs/big_dog.txt":
                 "A big dog barks.\n\nA bark.\n", "notes.md": "", "dogs/._big_dog.flac": ""})
    clips, missing = layouts.folder(root)
    assert summary(clips) == [("0001.ogg", ["dogs"], ["dogs"], "", ""),
                              ("big_dog.flac", ["A big dog barks.", "A bark."], ["dogs"], "", ""),
                              ("rain_on-roof_02.WAV", ["rain on roof"], [], "", "")]
    assert missing == []


@pytest.mark.parametrize("name", layouts.READERS)
def test_another_folder_is_refused_by_name(name, tmp_path):
    if name == "folder":
        assert layouts.READERS[name](tmp_path) == ([], [])
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


def test_the_command_fails_in_one_line(tree, tmp_path, capsys):
    root = tree({"meta/esc50.csv": "filename,fold,category,src_file\na.wav,1,dog,1\n"})
    with pytest.raises(SystemExit, match="^diffsound manifest: no clips to write"):
        main(["--layout", "esc50", "--root", str(root), "--out", str(tmp_path / "manifest.jsonl")])
    with pytest.raises(SystemExit):
        main(["--layout", "folder", "--root", str(root), "--out", "x.jsonl", "--val-fold", "1"])
    assert "--val-fold is for esc10 and esc50" in capsys.readouterr().err


def test_the_real_esc10(shared_data):
    clips, missing = layouts.esc10(shared_data / "esc10")
    assert (len(clips), missing) == (317, [])
    assert all(len(clip.captions) == 3 for clip in clips)
    splits = {split: {clip.group for clip in clips if clip.split == split} for split in ("train", "val")}
    assert not splits["train"] & splits["val"]
    assert Counter(clip.split for clip in clips)["val"] == sum(
        clip.audio.name.startswith("4-") for clip in clips)


def test_the_real_folder_of_sounds(shared_data):
    clips, _ = layouts.folder(shared_data / "more")
    assert {clip.audio.resolve() for clip in clips} == {
        clip.audio.resolve() for clip in manifest.read(shared_data / "more" / "manifest.jsonl")}


def test_the_real_caption_and_segment_lists(shared_data):
    clips, missing = layouts.audiocaps(shared_data / "captions" / "audiocaps")  # there is no audio
    assert (clips, len(missing)) == ([], 49838 + 495 + 975)
    clips, missing = layouts.audioset(shared_data / "audioset")
    assert (clips, len(missing)) == ([], 22160 + 20371)
