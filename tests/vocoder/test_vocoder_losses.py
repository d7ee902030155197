"""What the vocoder learns from."""

from __future__ import annotations

import pytest
import torch

from diffsound.vocoder import Discriminator
from diffsound.vocoder.losses import discriminator_hinge, feature_matching, generator_hinge, multi_resolution_stft


@pytest.fixture
def maps():
    return Discriminator(3, 4, 16)(torch.randn(2, 1024))


def scored(score: float) -> list[list[torch.Tensor]]:
    return [[torch.zeros(2, 3, 8), torch.full((2, 1, 4), score)] for _ in range(3)]


def test_hinge_is_zero_once_real_and_fake_are_told_apart():
    assert discriminator_hinge(scored(-1.0), scored(1.0)) == 0
    assert discriminator_hinge(scored(0.0), scored(0.0)) == 6  # 2 for each of 3 scales
    assert generator_hinge(scored(2.0)) == -6


def test_feature_matching_is_the_scaled_mean_distance_of_hidden_maps(maps):
    further = [[m + 2 for m in scale] for scale in maps]
    assert feature_matching(maps, maps) == 0
    torch.testing.assert_close(feature_matching(further, maps), torch.tensor(1 / 3 * 4 / 5 * 3 * 6 * 2))


def test_stft_distance_is_zero_only_for_the_same_sound():
    x = torch.randn(2, 4096)
    assert multi_resolution_stft(x, x) < 1e-6
    assert multi_resolution_stft(x, 0.5 * x) > 0.1
