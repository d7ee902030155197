"""A copy of a training clip is found at any gain and through a codec; other clips are none, however alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from listeners import scenes

from diffsound.data import AudioTextDataModule
from diffsound.data.audio import save
from diffsound.data.manifest import Clip, write
from diffsound.evaluation.training_copies import SAME, check_training_copies, similarity
from diffsound.mel import LogMel, MelSettings
from diffsound.scenes import SceneDataModule

MEL, FRAMES = MelSettings(), 128
LOG_MEL = LogMel(MEL)


@pytest.fixture(scope="module")
def data():
    return SceneDataModule(MEL, FRAMES, num_train=200)


@pytest.fixture(scope="module")
def clips():
    """12 test scenes, and 12 others: none is among those to train on."""
    seconds = FRAMES * MEL.hop_length / MEL.sample_rate
    return scenes(12, 2_000_000_000, seconds=seconds), scenes(12, 2_000_000_100, "reference", seconds)


def with_copies(clips, waveforms):
    return replace(clips, waveforms=(*waveforms, *clips.waveforms[len(waveforms):]))


def test_other_scenes_are_no_copies(data, clips):
    check = check_training_copies(*clips, data, 150, LOG_MEL)
    assert check.passed
    assert check.detail == "0 of 12 made, 0 of 12 true ones (reference), beside 150 of 200 training clips"


@pytest.mark.parametrize("change", [
    lambda x: x, lambda x: 0.1 * x, lambda x: -0.5 * x, lambda x: x + 1e-3 * torch.randn(len(x)),
    lambda x: torch.cat([x, torch.zeros(5000)]),
], ids=["same", "fainter", "turned over", "under hiss", "longer"])
def test_copies_are_found_and_named(data, clips, change):
    made = with_copies(clips[0], [change(data.train[i]["waveform"]) for i in (3, 77, 150)])
    check = check_training_copies(made, clips[1], data, 200, LOG_MEL)
    assert not check.passed
    assert not check.fatal
    assert check.detail.startswith("3 of 12 made, 0 of 12 true ones")
    assert "(000, 001, 002)" in check.detail


def test_as_many_copies_as_true_clips_seem_to_be_are_no_warning(data, clips):
    made = with_copies(clips[0], [data.train[3]["waveform"]])
    assert check_training_copies(made, replace(made, name="reference"), data, 10, LOG_MEL).passed


def test_what_a_codec_leaves_of_a_training_clip_is_found(data, clips):
    class Backwards:
        """A codec with a fault that is easily heard."""

        def encode_mel(self, mel):
            return mel.flip(-1)

        def decode(self, tokens, columns):
            return tokens

    training = [data.train[i]["waveform"].numpy() for i in range(20)]
    by_heart = [training[7][::-1].copy()]
    assert similarity(by_heart, training, LOG_MEL, Backwards())[0].argmax() == 7
    assert similarity(by_heart, training, LOG_MEL, Backwards()).max() >= SAME > similarity(by_heart, training,
                                                                                           LOG_MEL).max()
    assert similarity([x.numpy() for x in clips[0].waveforms], training, LOG_MEL, Backwards()).max() < SAME


def test_silence_is_no_copy_of_silence():
    silence = np.zeros(16 * 256, np.float32)
    assert similarity([silence], [silence], LOG_MEL).item() == 0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Long noises that swell and fade, of which an item of training is a crop; as long as a hundredth more."""
    folder, rng, clips = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0), []
    for i in range(8):
        swell = np.interp(np.arange(36000), np.linspace(0, 36000, 12), rng.uniform(0.02, 0.5, 12))
        save(folder / f"{i}.wav", (swell * rng.normal(size=36000) / 4).astype(np.float32), MEL.sample_rate)
        clips.append(Clip(folder / f"{i}.wav", [f"noise {i}"], [], "train" if i < 6 else "test", str(i)))
    (folder / "0.wav").write_bytes(b"broken")
    write(folder / "manifest.jsonl", clips)
    return AudioTextDataModule(str(folder / "manifest.jsonl"), MEL, FRAMES)


def test_crops_of_recordings_are_found_and_broken_files_left_out(recordings):
    from diffsound.data.audio import load

    folder = recordings.manifests[0].parent
    whole = [torch.from_numpy(load(folder / f"{i}.wav", MEL.sample_rate)) for i in range(1, 8)]
    crops = [0.3 * whole[0][2000:34768], 0.3 * whole[3][1200:33968], whole[5][:32768], whole[6][:32768]]
    made = replace(scenes(4), waveforms=tuple(crops))
    check = check_training_copies(made, made.take([2, 3], "reference"), recordings, 100, LOG_MEL)
    assert check.detail == "2 of 4 made, 0 of 2 true ones (reference), beside 5 of 6 training clips (000, 001)"


def test_data_without_training_clips_are_refused(recordings, tmp_path):
    write(tmp_path / "manifest.jsonl", [Clip(recordings.manifests[0].parent / "6.wav", ["a"], [], "test", "6")])
    with pytest.raises(ValueError, match=r"manifest\.jsonl holds no clip of the split 'train'"):
        check_training_copies(scenes(2), scenes(2), AudioTextDataModule(str(tmp_path / "manifest.jsonl"), MEL, 64), 5,
                              LOG_MEL)
