import pytest

from diffsound.positions import sinusoids


@pytest.mark.parametrize("width", [64, 65])
def test_the_nearer_two_positions_are_the_more_they_are_alike(width):
    waves = sinusoids(21, width, std=0.3)
    assert waves.shape == (21, width)
    distance = (waves - waves[0]).norm(dim=1)
    assert (distance[1:] > distance[:-1]).all()


def test_they_have_the_standard_deviation_asked_for():
    assert abs(float(sinusoids(48, 192, std=0.3).square().mean().sqrt()) - 0.3) < 1e-6
