import numpy as np
import pytest

from diffsound.mel import MelSettings
from diffsound.mel_picture import mel_png


def png(title):
    return mel_png(np.zeros((80, 32), np.float32), MelSettings(), title)


@pytest.mark.parametrize("title", [r"rain $\nosuch$ falls", r"rain \$ and $x_{$ falls"])
def test_a_title_is_drawn_whatever_it_says(title):
    assert png(title).startswith(b"\x89PNG")


def test_a_title_is_no_formula():
    assert png("rain $falls$") != png("rain falls")
    assert png("$\\alpha$ rain") != png("\u03b1 rain")
