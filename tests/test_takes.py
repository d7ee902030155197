"""Which of several takes of a sentence is kept."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffsound.mel import LogMel, MelSettings
from diffsound.scenes import Event, Request, Structure, render
from diffsound.takes import ByCLAP, ByEvents, Take, by_events


class System:
    """Of which takes are known beforehand."""

    def __init__(self, mel):
        self.codec, self.waveforms, self.vocoded = SimpleNamespace(mel=mel), [], 0

    def take(self, waveform):
        self.waveforms.append(waveform)
        return Take(self, torch.tensor([len(self.waveforms) - 1]))

    def mel_of(self, tokens):
        self.at = int(tokens)
        return LogMel(self.codec.mel)(self.waveforms[self.at][None])

    def sound_of(self, mel):
        self.vocoded += 1
        return self.waveforms[self.at]


@pytest.mark.parametrize("mel", [MelSettings(), MelSettings(sample_rate=16000), MelSettings(n_mels=64)], ids=str)
def test_the_judge_prefers_what_the_sentence_asks_for(mel):
    """It listens to mels; where they are not of its own kind, to sounds."""
    system = System(mel)

    def take(*requests):
        structure = Structure(tuple(Request(*request) for request in requests))
        return system.take(torch.from_numpy(render(structure, np.random.default_rng(3), sample_rate=mel.sample_rate)
                                            .waveform))

    right, half, wrong = take(("dog", 3)), take(("dog", 1)), take(("bell", 1))
    scores = by_events()("a dog barks three times", [wrong, right, half])
    assert scores[1] > scores[2] > scores[0]
    assert system.vocoded == (0 if mel == MelSettings() else 3)


def test_of_right_takes_the_surest_is_best():
    class Ear:
        mel, device = MelSettings(), torch.device("cpu")

        def listen_at(self, thresholds, mels):  # a dog in all of them, no likelier than they are loud
            return [[[Event("dog", 0.0, 0.5)] if peak > threshold else [] for threshold in thresholds]
                    for peak in mels.amax((1, 2)).tolist()]

    judge = ByEvents()
    judge.judge = Ear()
    system = SimpleNamespace(codec=SimpleNamespace(mel=MelSettings()),
                             mel_of=lambda tokens: tokens.float().div(10).expand(1, 80, 4))
    middling, sure, doubtful = judge("a dog barks", [Take(system, torch.tensor([peak])) for peak in (6, 9, 3)])
    assert sure == 1 > middling > doubtful > 0


def test_by_clap_a_take_scores_its_cosine(tmp_path):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "evaluation"))
    try:
        from listeners import clap, scenes
    finally:
        sys.path.pop(0)
    extractor, clips = clap(tmp_path), scenes(3, seconds=0.5)
    system = System(MelSettings())
    takes = [system.take(waveform) for waveform in clips.waveforms]
    scores = ByCLAP(tmp_path, torch.device("cpu"))("a dog barks", takes)
    expected = extractor(clips.waveforms, 22050).features @ extractor.text(["a dog barks"])[0]
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)
