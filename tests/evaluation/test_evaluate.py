"""The whole command on clips of which it is known what they deserve."""

from __future__ import annotations

import contextlib
import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffsound.cli import main
from diffsound.data import AudioTextDataModule
from diffsound.data.audio import save
from diffsound.data.manifest import Clip
from diffsound.data.manifest import write as write_manifest
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.evaluate import Evaluation
from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.order import score
from diffsound.evaluation.results import rightness
from diffsound.evaluation.sampling import seed_of
from diffsound.evaluation.scoring import confusion, untold
from diffsound.evaluation.subjects import Subjects
from diffsound.evaluation.training_copies import COPIES
from diffsound.mel import MelSettings
from diffsound.recipe import changed_recipe
from diffsound.scenes import Event, Request, Structure, World, make_scene, render

ROOT = Path(__file__).parents[2]
CLIPS = 12
RATE = 22050


def write(folder, scenes, texts):
    folder.mkdir()
    for i, (scene, text) in enumerate(zip(scenes, texts, strict=True)):
        save(folder / f"{i:04d}.wav", scene.waveform, scene.sample_rate)
        (folder / f"{i:04d}.json").write_text(json.dumps({"text": text}))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """True clips of `CLIPS` sentences, and another true clip of each as reference."""
    folder = tmp_path_factory.mktemp("evaluate")
    scenes = [make_scene(5, i, world=World(kinds={"single": 1, "then": 2, "count": 1})) for i in range(CLIPS)]
    texts = [scene.caption for scene in scenes]
    others = [render(scene.structure, np.random.default_rng(i)) for i, scene in enumerate(scenes)]
    return write(folder / "made", scenes, texts), write(folder / "real", others, texts)


@pytest.fixture(scope="module")
def evaluated(folders):
    out = folders[0].parent / "out"
    assert main(["evaluate", "--clips", str(folders[0]), "--reference", str(folders[1]), "--out", str(out)]) == 0
    return out, json.loads((out / "scores.json").read_text())


def test_true_clips_are_at_the_ceiling_and_nothing_else_is(evaluated):
    scores = evaluated[1]["scores"]
    for name, least in (("f1", 0.9), ("order", 0.8), ("recall", 0.9)):
        for row in ("made", "ceiling"):
            assert scores[name][row]["value"] >= least, (name, row)
            assert scores[name][row]["low"] <= scores[name][row]["value"] <= scores[name][row]["high"]
        for row in ("silence", "noise", "chance"):
            assert scores[name][row]["value"] < 0.4, (name, row)
    assert scores["kl_tagger"]["made"]["value"] < scores["kl_tagger"]["chance"]["value"]
    kid = scores["kid_tagger"]
    assert kid["made"]["value"] < min(kid["silence"]["value"], kid["noise"]["value"])


def test_what_cannot_be_scored_is_named_with_a_reason(evaluated):
    why = {one["name"]: one["why"] for one in evaluated[1]["skipped"]}
    assert f"{CLIPS} rows" in why["FD (tagger)"]
    assert "--clap FOLDER" in why["scores by CLAP"]
    assert "--captioner" in why["audio-caption scores"]


def test_the_page_and_the_protocol_are_there(evaluated):
    out, scores = evaluated
    assert len(scores["examples"]) == CLIPS
    for example in scores["examples"]:
        assert (out / "report" / example["audio"]).is_file()
        assert (out / "report" / example["picture"]).is_file()
    assert "event F1" in (out / "report/index.html").read_text()
    assert scores["protocol"]["reference_hash"] in (out / "protocol.md").read_text()
    assert scores["protocol"]["split"] is None  # of a folder
    assert sum(scores["protocol"]["combinations"].values()) == CLIPS
    assert not any("note" in score for score in scores["scores"].values())  # the judge knows these
    kinds = set(scores["by"]["kind"])
    assert kinds <= {f"{kind}{row}" for kind in ("single", "then", "count")
                     for row in ("", ", true renderings (ceiling)")}
    assert sum("ceiling" in kind for kind in kinds) == len(kinds) / 2
    assert {"held out", "seen"} <= set(scores["by"]["combination"])
    whole, parts = scores["by"]["combination"]["held out"]["f1"], scores["by"]["kind_combination"]
    assert sum(of["f1"]["clips"] for name, of in parts.items() if name.endswith(", held out")) == whole["clips"]
    assert all(check["passed"] for check in scores["checks"] if check["fatal"])


def test_another_reference_than_the_one_agreed_on_gives_no_scores(folders, tmp_path, capsys):
    assert main(["evaluate", "--clips", str(folders[0]), "--reference", str(folders[1]), "--out", str(tmp_path / "out"),
                 "--reference-hash", "0123456789abcdef"]) == 1
    assert "expected 0123456789abcdef" in capsys.readouterr().err
    assert not (tmp_path / "out/scores.json").exists()


def test_a_failed_run_leaves_no_scores_of_an_earlier_one(folders, tmp_path):
    (tmp_path / "scores.json").write_text("{}")
    assert main(["evaluate", "--clips", str(folders[0]), "--reference", str(folders[1]), "--out", str(tmp_path),
                 "--reference-hash", "0123456789abcdef"]) == 1
    assert not (tmp_path / "scores.json").exists()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A manifest of 6 clips to train on and 4 to validate on, each another sound, and none to test."""
    folder = tmp_path_factory.mktemp("recordings")
    clips = []
    for i in range(10):
        scene = make_scene(9, i, RATE)
        save(folder / f"{i}.wav", scene.waveform, RATE)
        clips.append(Clip(folder / f"{i}.wav", [scene.caption], [], "train" if i < 6 else "val", str(i)))
    write_manifest(folder / "manifest.jsonl", clips)
    return AudioTextDataModule(str(folder / "manifest.jsonl"), MelSettings(), frames=64)


def test_other_recordings_are_in_no_pair_with_those_asked_for(recordings):
    subjects = Subjects.of_data(recordings, 256, seed=0)
    assert (len(subjects.real), len(subjects.others)) == (4, 4)
    assert subjects.true is subjects.real
    assert subjects.split == "val"  # there is no test split
    assert not set(subjects.others.ids) & set(subjects.real.ids)
    assert not {x.numpy().tobytes() for x in subjects.others.waveforms} & {
        x.numpy().tobytes() for x in subjects.real.waveforms}


@pytest.fixture(scope="module")
def by_recipe(tmp_path_factory):
    """What is in the folder of an evaluation of 4 clips beside recordings that a recipe's manifest lists, and what it
    prints: texts that are no captions of scenes, 6 clips to train on and 4 to test."""
    folder, clips = tmp_path_factory.mktemp("by_recipe"), []
    for i in range(10):
        save(folder / f"{i}.wav", make_scene(9, i, RATE).waveform, RATE)
        clips.append(Clip(folder / f"{i}.wav", [f"door number {i}"], [], "train" if i < 6 else "test", str(i)))
    write_manifest(folder / "manifest.jsonl", clips)
    made = [make_scene(9, 2, RATE), *(make_scene(13, i, RATE) for i in range(3))]  # the first is to train on
    write(folder / "made", made, [f"door number {6 + i}" for i in range(4)])
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(["evaluate", "--recipe", str(ROOT / "recipes/esc50.yaml"), "--frames", "64",
                     "--audio.init_args.manifest", str(folder / "manifest.jsonl"), "--clips", str(folder / "made"),
                     "--out", str(folder / "out")]) == 0
    return folder / "out", told.getvalue()


def test_recordings_are_scored_with_a_note_that_the_judge_knows_scenes_alone(by_recipe):
    out, told = by_recipe
    content, note = json.loads((out / "scores.json").read_text()), "a judge that was trained on scenes"
    assert (content["clips"], content["protocol"]["split"], content["protocol"]["reference"]["clips"]) == (4, "test", 4)
    assert {"kid_tagger", "kl_tagger"} <= content["scores"].keys()
    assert all(note in score["note"] for name, score in content["scores"].items() if name.endswith("_tagger"))
    assert any(line.startswith("KID (tagger) *") for line in told.splitlines())
    assert note in told.split("\n* ")[1]
    for page in ("report/index.html", "protocol.md"):
        assert note in (out / page).read_text()
    why = {one["name"]: one["why"] for one in content["skipped"]}
    assert why["scores of scenes"] == "4 of 4 texts are no captions of scenes, such as 'door number 6'"


def test_a_copy_of_a_training_clip_is_a_warning(by_recipe):
    content = json.loads((by_recipe[0] / "scores.json").read_text())
    (check,) = (check for check in content["checks"] if check["name"] == COPIES)
    assert not check["passed"]
    assert check["detail"] == "1 of 4 made, 0 of 4 true ones (reference), beside 6 of 6 training clips (0000)"
    assert f"copies of training clips: {check['detail']}" in (by_recipe[0] / "protocol.md").read_text()


def test_recordings_of_a_manifest_are_a_reference_without_a_recipe(by_recipe, tmp_path):
    folder = by_recipe[0].parent
    assert main(["evaluate", "--clips", str(folder / "made"), "--reference", str(folder / "manifest.jsonl"), "--out",
                 str(tmp_path)]) == 0
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["protocol"]["split"] == "test"
    assert content["protocol"]["reference"]["clips"] == 4
    assert "kid_tagger" in content["scores"]
    assert "no training clips at hand: give --recipe" in {one["name"]: one["why"] for one in content["skipped"]}[COPIES]
    assert "copies of training clips: not looked for: no" in (tmp_path / "protocol.md").read_text()


def test_a_sweep_of_recordings_is_refused_before_any_clip_is_made(by_recipe):
    recipe = changed_recipe(ROOT / "recipes/esc50.yaml", ["--audio.init_args.manifest",
                                                          str(by_recipe[0].parent / "manifest.jsonl")])
    options = Namespace(clips=None, reference=None, num_clips=4, seed=0, sweep=["num_steps=1"], best_of=1,
                        out=Path("out"))
    with pytest.raises(ValueError, match="--sweep goes by what a judge hears, which needs scenes"):
        Evaluation(options, recipe).clips()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--recipe", str(ROOT / "recipes/scenes.yaml")], "which must not score them too: give --judge"),
    (["--clips", "made", "--reference", "real", "--judge", "other"], "--best-of makes clips: leave --clips out"),
])
def test_takes_are_not_chosen_by_the_judge_who_scores_them(arguments, message, monkeypatch, capsys):
    package = load_judge()
    monkeypatch.setattr("diffsound.evaluation.evaluate.load_judge", lambda path=None: package)
    assert main(["evaluate", *arguments, "--best-of", "2"]) == 1
    assert message in capsys.readouterr().err


def test_a_clip_too_short_for_its_text_is_named():
    clips = ClipSet("made", (torch.zeros(2 * RATE), torch.zeros(2 * RATE)), RATE,
                    ("a dog barks", "a dog barks at second 3"), ("a", "b"))
    with pytest.raises(ValueError, match="made, clip b: nothing of 2.00 s is true to 'a dog barks at second 3'"):
        Subjects.of_texts(clips, clips, seed=0)


def test_clips_without_a_text_are_named():
    assert untold(["a", "b"], ["rain", "wind"]) == ""
    assert "1 clips have no text: b" in untold(["a", "b"], ["rain", " "])


def empty(folder):
    pass


def one_clip(folder):
    save(folder / "a.wav", np.full(RATE, 0.1, np.float32), RATE)


def two_clips(folder):
    one_clip(folder)
    save(folder / "b.wav", np.full(RATE, 0.1, np.float32), RATE)


def mixed_rates(folder):
    one_clip(folder)
    save(folder / "b.wav", np.full(RATE, 0.1, np.float32), 16000)


def no_samples(folder):
    one_clip(folder)
    save(folder / "b.wav", np.zeros(0, np.float32), RATE)


def not_a_number(folder):
    import soundfile

    one_clip(folder)
    soundfile.write(folder / "b.wav", np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")


@pytest.mark.parametrize(("fill", "options", "message"), [
    (empty, [], "holds no clips"), (one_clip, [], "one clip alone"), (mixed_rates, [], "sample rate of 16000"),
    (no_samples, [], "b.wav: holds no samples"), (not_a_number, [], "b.wav: holds NaN"),
    (one_clip, ["--sweep", "num_steps=5"], "--sweep makes clips: leave --clips out"),
    (one_clip, ["--sentences", "paraphrases"], "--sentences makes clips: leave --clips out"),
    (one_clip, ["--sweep", "num_steps"], "expected KEY=VALUE,VALUE"),
    (one_clip, ["--judge", "absent.ckpt"], "absent.ckpt"), (two_clips, ["--reference", "absent"], "absent"),
])
def test_a_mistake_is_told_in_one_line(tmp_path, folders, capsys, fill, options, message):
    (tmp_path / "clips").mkdir()
    fill(tmp_path / "clips")
    assert main(["evaluate", "--clips", str(tmp_path / "clips"), "--reference", str(folders[1]), *options, "--out",
                 str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_clip_is_as_right_as_what_is_heard_in_it():
    asked = Structure((Request("dog", 2), Request("rain")))
    dog, again, rain = Event("dog", 0.1, 0.3), Event("dog", 0.5, 0.8), Event("rain", 1.0, 2.0)
    ranks = [rightness(score(heard, asked)) for heard in ([dog, again, rain], [dog, rain], [rain, dog], [rain], [])]
    assert ranks[0] == 1
    assert ranks[-1] == 0
    assert ranks == sorted(ranks, reverse=True)


def test_what_is_heard_instead_is_counted_once_a_clip():
    asked = [Structure((Request("dog"), Request("rain"))), Structure((Request("dog"),))]
    heard = [[Event("cat", 0, 1), Event("cat", 1, 2), Event("rain", 2, 3)], [Event("dog", 0, 1), Event("rain", 1, 2)]]
    assert confusion(heard, asked, ["cat", "dog", "rain"]) == {
        "classes": ["cat", "dog", "rain"], "asked": [[0, 0, 0], [1, 1, 0], [0, 0, 1]]}


def test_seeds_depend_on_the_clip_and_on_the_run():
    assert len({seed_of(name, seed) for name in ("0000", "0001") for seed in (0, 1)}) == 4
    assert all(0 <= seed_of("0000", seed) < 2**63 for seed in range(3))
