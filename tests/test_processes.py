"""Training on two processes, or in two batches a step, is training on one."""

from __future__ import annotations

import math

import pytest
import torch
from training_process import DECODERS, fit, fit_on_two, write_store

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Eleven clips to train on, eight to validate on."""
    return write_store(tmp_path_factory.mktemp("store") / "tokens")


@pytest.fixture(scope="module")
def alone(store, tmp_path_factory):
    """Every decoder trained by one process, with a checkpoint after each step."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, {name: fit(make(), store, folder / name) for name, make in DECODERS.items()}


@pytest.fixture(scope="module")
def together(store, alone, tmp_path_factory):
    """The same by two processes, unbroken and from the checkpoints of one after 2, 3 and 5 steps."""
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("PyTorch was built without gloo")
    folder = tmp_path_factory.mktemp("together")
    runs = [{"decoder": name, "store": store, "folder": folder / name} for name in DECODERS]
    runs += [{"decoder": name, "store": store, "folder": folder / f"{name}-{steps}",
              "ckpt_path": alone[0] / name / f"after-{steps}.ckpt"} for name in DECODERS for steps in (2, 3, 5)]
    results = fit_on_two(folder, runs)
    return folder, {run["folder"].name: result for run, result in zip(runs, results, strict=True)}


def saved(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)


def assert_close(one, other):
    """Weights and averages. A bias of keys changes no attention: Adam makes steps of the rounding in its gradient."""
    assert one["global_step"] == other["global_step"]
    for part in ("state_dict", "current_model_state"):
        for name, value in one[part].items():
            if not name.endswith("key.bias"):
                torch.testing.assert_close(other[part][name], value, rtol=1e-4, atol=2e-5,
                                           msg=lambda told, name=name: f"{name}: {told}")


@pytest.mark.parametrize("name", DECODERS)
def test_two_processes_learn_what_one_does(name, alone, together):
    expected, result = alone[1][name], together[1][name]
    assert len(set(expected.losses)) == 8
    assert result["losses"] == pytest.approx(expected.losses, abs=1e-5)
    assert result["metrics"] == pytest.approx(expected.metrics, abs=1e-5)
    assert_close(saved(alone[0] / name), saved(together[0] / name))


@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize("name", DECODERS)
def test_another_number_of_processes_goes_on(name, steps, store, alone, together, tmp_path):
    expected = alone[1][name].losses[steps:]
    assert together[1][f"{name}-{steps}"]["losses"] == pytest.approx(expected, abs=1e-5)
    back = fit(DECODERS[name](), store, tmp_path, ckpt_path=together[0] / name / f"after-{steps}.ckpt")
    assert back.losses == pytest.approx(expected, abs=1e-5)
