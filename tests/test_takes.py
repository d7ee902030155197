"""Which of several takes of a sentence is kept."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch

from diffsound.clip import Clip
from diffsound.mel import MelSettings
from diffsound.scenes import Event, Request, Structure, render
from diffsound.takes import ByCLAP, ByEvents


def test_the_judge_prefers_what_the_sentence_asks_for():
    def take(*requests):
        structure = Structure(tuple(Request(*request) for request in requests))
        waveform = torch.from_numpy(render(structure, np.random.default_rng(3)).waveform)
        return Clip(waveform, torch.zeros(80, 1), MelSettings(), torch.zeros(1), {})

    right, half, wrong = take(("dog", 3)), take(("dog", 1)), take(("bell", 1))
    scores = ByEvents()("a dog barks three times", [wrong, right, half])
    assert scores[1] > scores[2] > scores[0]


def test_of_right_takes_the_surest_is_best():
    class Judge:
        mel, device = MelSettings(), torch.device("cpu")

        def log_mel(self, waveform):
            return waveform

        def listen_at(self, thresholds, waveform):  # a dog in all of them, no likelier than they are loud
            return [[[Event("dog", 0.0, 0.5)] if peak > threshold else [] for threshold in thresholds]
                    for peak in waveform.amax(1).tolist()]

    by_events = ByEvents()
    by_events.judge = Judge()
    takes = [Clip(torch.full((22050,), peak), torch.zeros(80, 1), MelSettings(), torch.zeros(1), {})
             for peak in (0.6, 0.9, 0.3)]
    middling, sure, doubtful = by_events("a dog barks", takes)
    assert sure == 1 > middling > doubtful > 0


def test_by_clap_a_take_scores_its_cosine(tmp_path):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "evaluation"))
    try:
        from listeners import clap, scenes
    finally:
        sys.path.pop(0)
    extractor, clips = clap(tmp_path), scenes(3, seconds=0.5)
    takes = [Clip(waveform, torch.zeros(80, 1), MelSettings(), torch.zeros(1), {}) for waveform in clips.waveforms]
    scores = ByCLAP(tmp_path, torch.device("cpu"))("a dog barks", takes)
    expected = extractor(clips.waveforms, 22050).features @ extractor.text(["a dog barks"])[0]
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)
