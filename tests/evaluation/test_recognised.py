"""Recognition of real classes: what can be told apart is learned, and missing classes are named."""

from __future__ import annotations

import json

import pytest
import torch

from diffsound.evaluation.recognised import clips_of_classes, train_recogniser

SAMPLES = 32 * 256


def clips(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Low tones and high ones."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 2
    pitch = torch.where(labels == 0, 300.0, 3000.0) * (1 + 0.2 * torch.rand(number, generator=generator))
    seconds = torch.arange(SAMPLES) / 22050
    return 0.3 * torch.sin(2 * torch.pi * pitch[:, None] * seconds), labels


def test_what_can_be_told_apart_is_learned_the_same_way_each_time():
    sounds, labels = clips(32, 0)
    unseen, truth = clips(16, 1)
    model = train_recogniser(sounds, labels, 2, epochs=6)
    assert (model.recognise(list(unseen)) == truth).all()
    again = train_recogniser(sounds, labels, 2, epochs=6)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_recogniser(*clips(8, 0), 2, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_class_that_one_split_lacks_is_named(tmp_path):
    rows = [{"audio": "a.wav", "labels": ["dog"], "split": "train"},
            {"audio": "b.wav", "labels": ["dog"], "split": "test"},
            {"audio": "c.wav", "labels": ["cat", "dog"], "split": "test"}]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=r"split 'train' of .* has no labelled clips of \['cat'\]"):
        clips_of_classes(path, ("train", "test"))
    path.write_text("\n".join(map(json.dumps, rows[:2])))
    found, classes = clips_of_classes(path, ("train", "test"))
    assert classes == ["dog"]
    assert [clip.audio.name for clip in found["test"]] == ["b.wav"]
