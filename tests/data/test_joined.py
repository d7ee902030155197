"""Scenes and recordings as one data set: every item is that of its part."""

from __future__ import annotations

import json

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from tiny_system import tiny_codec

from diffsound.blocks import Bulk
from diffsound.data import AudioTextDataModule, JoinedDataModule
from diffsound.data.token_store import TokenStore
from diffsound.data.tokenize import tokenize
from diffsound.data.unreadable import UnreadableReport
from diffsound.mel import MelSettings
from diffsound.scenes import SceneDataModule

MEL = MelSettings()


@pytest.fixture
def joined(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", rng.normal(size=20000) * 0.1, 22050)
    rows = [{"audio": f"{i}.wav", "captions": [f"noise {i}"], "split": "val" if i == 3 else "train"} for i in range(4)]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def make(times=(1, 2), **options):
        scenes = SceneDataModule(MEL, 64, num_train=5, num_val=2, num_test=1, num_workers=0)
        recordings = AudioTextDataModule(str(tmp_path / "manifest.jsonl"), MEL, 64, num_workers=0)
        data = JoinedDataModule([scenes, recordings], list(times), **{"batch_size": 4, "num_workers": 0, **options})
        data.trainer = pl.Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu", enable_progress_bar=False)
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def test_an_epoch_has_each_part_as_often_as_asked(joined):
    data = joined(batch_size=11)
    batch = next(iter(data.train_dataloader()))
    assert batch["waveform"].shape == (11, 64 * 256)
    noises = sorted(text for text in batch["text"] if text.startswith("noise"))
    assert noises == ["noise 0", "noise 0", "noise 1", "noise 1", "noise 2", "noise 2"]
    scenes = [data.parts[0].train[i]["text"] for i in range(5)]
    assert sorted(set(batch["text"]) - set(noises)) == sorted(set(scenes))
    batch, = data.val_dataloader()
    assert batch["text"] == [*(data.parts[0].val[i]["text"] for i in range(2)), "noise 3"]


def test_items_are_those_of_the_parts(joined):
    data = joined()
    dataset = data.train_dataloader().dataset
    assert torch.equal(dataset[(3, 4)]["waveform"], data.parts[0].train[4]["waveform"])
    recordings = data.parts[1].train_dataloader().dataset
    for index in (5, 7, 8, 10):
        expected = recordings[(3, (index - 5) % 3)]
        assert np.array_equal(dataset[(3, index)]["waveform"], expected["waveform"])
        assert dataset[(3, index)]["text"] == expected["text"]
    with pytest.raises(IndexError):
        dataset[11]


def test_a_store_of_both(joined, tmp_path):
    tokenize(tiny_codec(MEL), joined().draws(), 3, Bulk(str(tmp_path / "tokens"), "cores", 2, block_size=4),
             UnreadableReport(tmp_path / "unreadable.txt"))
    store = TokenStore(tmp_path / "tokens")
    names = [store.clip(i).id for i in range(len(store))]
    assert names[8:] == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert all(name.startswith("scene-") for name in names[:8])
    assert store.splits() == {"train": 8, "val": 3, "test": 1}


@pytest.mark.parametrize("times", [[1], [1, 0]])
def test_wrong_times_are_named(joined, times):
    with pytest.raises(ValueError, match="parts has 2 parts, times is"):
        joined(times)
