"""The demo's own verdict on its clips, on mels of which the truth is known."""

import numpy as np
import pytest
import torch

from diffsound.demo_train_page import RENDERINGS, SENTENCES, NearestRendering
from diffsound.mel import LogMel, MelSettings
from diffsound.scenes import Structure, render


class ExactCodec:
    """Loses nothing: its tokens are the mel."""

    rows = 5

    def __init__(self):
        self.log_mel = LogMel(MelSettings())

    def encode(self, waveform):
        return self.log_mel(waveform)

    def decode(self, tokens, columns):
        return tokens


@pytest.fixture(scope="module")
def judge():
    return NearestRendering(ExactCodec())


def test_true_renderings_are_nearest_to_their_own_sentence(judge):
    assert judge.ceiling(2) >= 0.9


def test_the_wrong_order_is_told_from_the_right_one(judge):
    right = 0
    for text, structure in SENTENCES.items():
        if len(structure.events) > 1:
            wrong = Structure(structure.events[::-1])
            for made, verdict in [(structure, text), (wrong, f"{text} (in the other order)")]:
                wave = torch.from_numpy(render(made, np.random.default_rng((7, RENDERINGS + 9))).waveform)
                right += judge(judge.codec.log_mel(wave[None])[0])[0] == verdict
    assert right >= 7  # of 8


def test_silence_is_near_to_no_sentence(judge):
    wave = torch.from_numpy(render(SENTENCES["rain falling"], np.random.default_rng((7, 99))).waveform)
    rain = judge(judge.codec.log_mel(wave[None])[0])[1]
    assert judge(torch.zeros(80, 336))[1] > rain
