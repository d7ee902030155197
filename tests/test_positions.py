import pytest
import torch

from diffsound.positions import sinusoids


@pytest.mark.parametrize("width", [64, 65])
def test_every_position_is_most_like_its_neighbours(width):
    waves = sinusoids(21, width, std=0.3)
    assert waves.shape == (21, width)
    distance = torch.cdist(waves, waves) + torch.eye(21) * 1e9
    assert all(abs(int(nearest) - i) == 1 for i, nearest in enumerate(distance.argmin(1)))


def test_they_have_the_standard_deviation_asked_for():
    assert abs(float(sinusoids(48, 192, std=0.3).square().mean().sqrt()) - 0.3) < 1e-6
