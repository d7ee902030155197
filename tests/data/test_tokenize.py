"""Clips become a store: the same one by every engine, in one go or several, whatever could not be read."""

from __future__ import annotations

import json
import os
import resource
import signal

import numpy as np
import pytest
import soundfile
import torch
from tiny_system import tiny_codec

from diffsound.blocks import Blocks, Bulk
from diffsound.data import AudioTextDataModule, Mixing
from diffsound.data.token_store import TokenStore
from diffsound.data.tokenize import Tokenizer, tokenize
from diffsound.data.unreadable import UnreadableReport
from diffsound.mel import MelSettings
from diffsound.scenes import SceneDataModule

MEL = MelSettings()
CLIPS = 13


@pytest.fixture(scope="module")
def codec():
    return tiny_codec(MEL)


@pytest.fixture
def clips(tmp_path):
    """Noise of a quarter to a whole second; clip 5 is no audio, clip 8 is not there."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(CLIPS):
        noise = rng.normal(size=6000 + 1500 * i) * 0.1 * np.sin(np.arange(6000 + 1500 * i) / (300 + 50 * i))
        soundfile.write(tmp_path / f"{i}.wav", noise, 22050)
        rows.append({"audio": f"{i}.wav", "captions": [f"{i}", "again"], "labels": [f"Dog {i}"], "split": "train"})
    (tmp_path / "5.wav").write_text("no audio")
    (tmp_path / "8.wav").unlink()
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "manifest.jsonl"


def data(manifest, **options) -> AudioTextDataModule:
    return AudioTextDataModule(str(manifest), MEL, 64, **{"num_workers": 0, **options})


@pytest.fixture
def run(clips, codec, tmp_path):
    """`run(**bulk options)` -> the store and what was reported as unreadable."""

    def run(audio=None, batch_size=2, folder="tokens", codec=codec, **bulk):
        report = UnreadableReport(tmp_path / "unreadable.txt")
        tokenize(codec, (audio or data(clips)).draws(), batch_size,
                 Bulk(folder=str(tmp_path / "out" / folder), **{"engine": "process", "block_size": 4, **bulk}), report)
        return TokenStore(tmp_path / "out" / folder), report.lines()

    return run


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_are_the_clips_in_order_as_the_codec_encodes_them(run, clips, codec):
    store, unreadable = run()
    assert (store.codec_fingerprint, store.mel, store.rows, store.columns) == (codec.fingerprint, MEL, 5, 4)
    assert [store.clip(i).id for i in range(len(store))] == [f"{i}.wav" for i in range(CLIPS) if i not in (5, 8)]
    clip = store.clip(4)
    assert (clip.captions, clip.labels, clip.split, clip.group) == (["4", "again"], ["Dog 4"], "train", "4.wav")
    assert [line.split(": ")[0].rsplit("/", 1)[-1] for line in unreadable] == ["5.wav", "8.wav"]
    store.verify()
    audio = data(clips)
    for i, name in enumerate(["0.wav", "1.wav", "2.wav"]):
        item = next(item for item in audio.draws().read(audio.draws().sources[i]) if item.clip.id == name)
        assert torch.equal(codec.encode(torch.from_numpy(item.waveform)[None])[0],
                           torch.from_numpy(store.tokens(i).astype(np.int64)))
    assert len({store.tokens(i).tobytes() for i in range(len(store))}) == len(store)


@pytest.mark.parametrize("engine", ["cores", "ray"])
def test_every_engine_writes_the_same_bits(run, tmp_path, engine):
    if engine == "ray":
        pytest.importorskip("ray")
    run()
    run(folder=engine, engine=engine, workers=2)
    assert contents(tmp_path / "out" / engine) == contents(tmp_path / "out" / "tokens")


def test_threads_change_nothing(run, tmp_path):
    run()
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run(folder="again")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert contents(tmp_path / "out" / "again") == contents(tmp_path / "out" / "tokens")


def test_a_stopped_run_goes_on_and_leaves_no_half_store(run, tmp_path, monkeypatch):
    whole, _ = run(folder="whole")
    encoded = []

    def stop(self, sources, path, device, work=Tokenizer.__call__):
        if 8 in [source.number for source in sources] and not encoded.count("stopped"):
            encoded.append("stopped")
            raise KeyboardInterrupt
        encoded.append(sources[0].number)
        work(self, sources, path, device)

    monkeypatch.setattr(Tokenizer, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (tmp_path / "out" / "tokens").exists()
    run()
    assert encoded == [0, 4, "stopped", 4, 8, 12]  # 4: what could not be read in it is tried again
    assert contents(tmp_path / "out" / "tokens") == contents(tmp_path / "out" / "whole")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tokens", "whole"]


def test_again_replaces_or_appends(run, codec):
    assert len(run()[0]) == 11
    assert len(run()[0]) == 11
    assert len(run(append=True)[0]) == 22
    other = tiny_codec(MEL)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(ValueError, match="cannot append to .*tokens: its codec is"):
        run(codec=other, append=True)


def test_a_codec_that_fails_leaves_the_older_store(run, tmp_path, monkeypatch):
    run()
    before = contents(tmp_path / "out" / "tokens")
    monkeypatch.setattr(Tokenizer, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(batch_size=3)
    assert contents(tmp_path / "out" / "tokens") == before


def test_when_nothing_can_be_read_it_says_so(run, clips, tmp_path):
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the 13 clips can be read, see .*unreadable.txt"):
        run()
    assert not (tmp_path / "out" / "tokens").exists()
    assert len((tmp_path / "unreadable.txt").read_text().splitlines()) == CLIPS


def stopped_at(number: int, monkeypatch):
    """The block with source `number` is interrupted until the patch is undone."""

    def stop(self, sources, path, device, work=Tokenizer.__call__):
        if number in [source.number for source in sources]:
            raise KeyboardInterrupt
        work(self, sources, path, device)

    monkeypatch.setattr(Tokenizer, "__call__", stop)


def test_a_manifest_that_changed_meanwhile_is_not_mixed_with_the_old_one(run, clips, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_at(9, patch)
        with pytest.raises(KeyboardInterrupt):
            run()
    rows = [json.loads(line) | {"captions": ["new"], "split": "val"} for line in clips.read_text().splitlines()]
    clips.write_text("\n".join(map(json.dumps, rows)))
    store, _ = run()
    assert {tuple(store.captions(i)) for i in range(len(store))} == {("new",)}
    assert store.splits() == {"val": 11}


def test_what_could_not_be_read_is_tried_again(run, clips, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_at(9, patch)
        with pytest.raises(KeyboardInterrupt):
            run()
    (tmp_path / "5.wav").write_bytes((tmp_path / "4.wav").read_bytes())
    store, unreadable = run()
    assert "5.wav" in [store.clip(i).id for i in range(len(store))]
    assert len(unreadable) == 1


def test_audio_that_was_not_there_at_all_is_found_when_it_is(run, tmp_path):
    kept = {path: path.read_bytes() for path in tmp_path.glob("*.wav")}
    for path in kept:
        path.unlink()
    with pytest.raises(ValueError, match="none of the 13 clips can be read"):
        run()
    for path, content in kept.items():
        path.write_bytes(content)
    assert len(run()[0]) == 11


def test_an_append_that_was_stopped_at_its_very_end_is_not_done_twice(run, monkeypatch):
    run()
    with monkeypatch.context() as patch:
        patch.setattr(Blocks, "remove", lambda self: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            run(append=True)
    assert len(run(append=True)[0]) == 22
    assert len(run(append=True)[0]) == 33


def test_workers_need_not_be_where_the_manifest_was_named_from(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draws = data("manifest.jsonl").draws()
    sources = [draws.sources[i] for i in range(3)]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [draws.read(source)[0].clip.id for source in sources] == ["0.wav", "1.wav", "2.wav"]


def test_scenes_come_train_then_val_then_test(run):
    scenes = SceneDataModule(MEL, 64, num_train=5, num_val=3, num_test=2, seed=7)
    store, _ = run(scenes)
    expected = [part[i] for part in (scenes.train, scenes.val, scenes.test) for i in range(len(part))]
    assert [store.clip(i).id for i in range(10)] == [item["id"] for item in expected]
    assert [store.captions(i) for i in range(10)] == [item["captions"] for item in expected]
    assert store.splits() == {"train": 5, "val": 3, "test": 2}


def test_mixtures_are_further_rows_of_training_clips(run, clips, tmp_path):
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    for i, row in enumerate(rows):
        row |= {"labels": [f"Sound {i}"], "split": "val" if i in (2, 3) else "train", "captions": [f"it is {i}"]}
    clips.write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "5.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    (tmp_path / "8.wav").write_bytes((tmp_path / "1.wav").read_bytes())
    mixed = data(clips, mixing=Mixing(per_clip=2, further=[0, 1, 0]))
    store, _ = run(mixed)
    names = [store.clip(i).id for i in range(len(store))]
    assert names == [name for i in range(CLIPS) for name in
                     [f"{i}.wav", *([] if i in (2, 3) else [f"{i}.wav#mix0", f"{i}.wav#mix1"])]]
    partners = set()
    for clip in map(store.clip, range(len(store))):
        own, others = clip.id.split(".")[0], {text for text in clip.labels if text != f"Sound {clip.id.split('.')[0]}"}
        assert f"Sound {own}" in clip.labels
        assert clip.group == f"{own}.wav"
        assert len(others) == ("#mix" in clip.id)
        assert all(f"it is {text.split()[1]}" in clip.captions[0] for text in others | {f"Sound {own}"})
        partners |= others
    assert len(partners) > 4
    assert not partners & {"Sound 2", "Sound 3"}  # of another split
    assert contents(run(mixed, folder="again", engine="cores", workers=2)[0].folder) == contents(store.folder)
    assert store.splits() == {"train": 33, "val": 2}


def test_a_broken_partner_costs_the_mixture_alone(run, clips):
    store, unreadable = run(data(clips, mixing=Mixing(per_clip=3, further=[0, 1, 0])))
    names = [store.clip(i).id for i in range(len(store))]
    assert [name for name in names if "#" not in name] == [f"{i}.wav" for i in range(CLIPS) if i not in (5, 8)]
    assert len(names) < 11 * 4
    assert len(unreadable) == 2


def test_a_full_disk_is_named_and_leaves_the_older_store(run, tmp_path):
    run(folder="tokens")
    before = contents(tmp_path / "out" / "tokens")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))  # no file may become larger
    try:
        with pytest.raises(OSError, match="File too large"):
            run(folder="tokens", block_size=5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path / "out" / "tokens") == before
    assert not list((tmp_path / "out").rglob("*.part"))
    run(folder="tokens", block_size=5)
    assert contents(tmp_path / "out" / "tokens") == before
