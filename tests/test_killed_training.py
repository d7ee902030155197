"""A training that is killed leaves a checkpoint that can be read, and ends, resumed, as if nobody had killed it.

`make kill-test` does so at 20 moments of three systems.
"""

from __future__ import annotations

import pytest
from kill_training import Moment, Trainings


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return Trainings("diffusion", tmp_path_factory.mktemp("trainings"))


@pytest.mark.parametrize("moment", [Moment(0.6), Moment(0.5, save=3), Moment(1.0, save=2)], ids=str)
def test_a_killed_training_ends_as_an_unbroken_one(trainings, moment):
    left = trainings.survives(moment)
    if moment.save is not None:
        assert left == f"step {2 * (moment.save - 1)}, half a file"
