"""Training on two processes, or in two batches a step, is training on one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_process import DECODERS, fit, fit_on_two, write_store

from diffsound.cli import main

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
    """The same by two processes, unbroken and from the checkpoints of one after 3 and 5 steps."""
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("PyTorch was built without gloo")
    folder = tmp_path_factory.mktemp("together")
    runs = [{"decoder": name, "store": store, "folder": folder / name} for name in DECODERS]
    runs += [{"decoder": name, "store": store, "folder": folder / f"{name}-{steps}",
              "ckpt_path": alone[0] / name / f"after-{steps}.ckpt"} for name in DECODERS for steps in (3, 5)]
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


@pytest.mark.parametrize("steps", [3, 5])
@pytest.mark.parametrize("name", DECODERS)
def test_another_number_of_processes_goes_on(name, steps, store, alone, together, tmp_path):
    expected = alone[1][name].losses[steps:]
    assert together[1][f"{name}-{steps}"]["losses"] == pytest.approx(expected, abs=1e-5)
    back = fit(DECODERS[name](), store, tmp_path, ckpt_path=together[0] / name / f"after-{steps}.ckpt")
    assert back.losses == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["bound", "autoregressive"])
def test_a_step_of_two_batches_is_one_of_twice_the_size(name, store, tmp_path):
    whole = fit(DECODERS[name](), store, tmp_path / "whole", batch_size=8)
    halves = fit(DECODERS[name](), store, tmp_path / "halves", batch_size=4, accumulate_grad_batches=2,
                 val_check_interval=8)
    means = [(a + b) / 2 for a, b in zip(halves.losses[::2], halves.losses[1::2], strict=True)]
    assert means == pytest.approx(whole.losses, abs=1e-5)
    assert_close(saved(tmp_path / "whole"), saved(tmp_path / "halves"))


class Stop(Callback):
    """Ctrl-C in the middle of a batch."""

    def __init__(self, batch):
        self.batch = batch

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.fit_loop.epoch_loop.total_batch_idx == self.batch:
            os.kill(os.getpid(), signal.SIGINT)


class StopInStep(Stop):
    """Ctrl-C when the optimizer has changed the weights and nobody has counted it yet."""

    def on_before_backward(self, trainer, pl_module, loss):
        pass

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.fit_loop.epoch_loop.total_batch_idx == self.batch:
            optimizer.register_step_post_hook(lambda *_: os.kill(os.getpid(), signal.SIGINT))


@pytest.fixture
def interrupted():
    """`interrupted(fit arguments)`: a training that Ctrl-C ends; Lightning ignores later ones."""
    before = signal.getsignal(signal.SIGINT)

    def run(*arguments, **options):
        with pytest.raises(SystemExit):
            fit(*arguments, **options)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield run
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("stop", [Stop(4), Stop(5), Stop(6), Stop(7), StopInStep(5)],
                         ids=["batch 4", "batch 5", "batch 6", "batch 7", "in a step"])
def test_training_that_ctrl_c_ended_goes_on_from_its_last_whole_step(stop, accumulate, store, tmp_path, interrupted):
    options = {"accumulate_grad_batches": accumulate, "val_check_interval": 2 * accumulate}
    unbroken = fit(DECODERS["muon"](), store, tmp_path / "whole", **options)
    interrupted(DECODERS["muon"](), store, tmp_path / "part", callback=stop, save_every=100, **options)
    steps = saved(tmp_path / "part")["global_step"]
    assert steps == (stop.batch + isinstance(stop, StopInStep)) // accumulate
    resumed = fit(DECODERS["muon"](), store, tmp_path / "part", ckpt_path=tmp_path / "part/last.ckpt", **options)
    assert resumed.losses == unbroken.losses[steps * accumulate :]
    assert resumed.metrics == unbroken.metrics
    one, other = saved(tmp_path / "whole"), saved(tmp_path / "part")
    for part in ("state_dict", "current_model_state"):
        assert all(value.equal(other[part][name]) for name, value in one[part].items())
    assert one["loops"]["fit_loop"]["epoch_loop.batch_progress"] == \
        other["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert one["loops"]["fit_loop"]["epoch_loop.state_dict"] == other["loops"]["fit_loop"]["epoch_loop.state_dict"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_curriculum_goes_on_where_it_was_under_every_limit(workers, store, tmp_path):
    options = {"workers": workers, "limit_train_batches": 3, "accumulate_grad_batches": 2, "limit_val_batches": 0}
    unbroken = fit(DECODERS["autoregressive"](), store, tmp_path / "whole", **options)
    for steps in (1, 2, 3, 4, 5):  # two steps an epoch, the second of one batch
        resumed = fit(DECODERS["autoregressive"](), store, tmp_path / str(steps),
                      ckpt_path=tmp_path / f"whole/after-{steps}.ckpt", **options)
        assert resumed.losses == unbroken.losses[-len(resumed.losses) :]
        assert len(resumed.losses) == 12 - (3 * steps + 1) // 2


def test_validate_every_counts_steps_not_batches(store, tmp_path):
    root = Path(__file__).parents[1]
    configs = [root / "recipes/scenes.yaml", root / "configs/stage/diffusion.yaml", root / "tests/tiny.yaml"]
    assert main(["fit", *(word for path in configs for word in ("--config", str(path))), "--codebook_size", "8",
                 "--tokens.init_args.store", str(store), "--runs", str(tmp_path), "--train.diffusion.batch_size", "4",
                 "--trainer.accumulate_grad_batches", "2"]) == 0
    events = EventAccumulator(str(tmp_path / "scenes/diffusion")).Reload()
    assert [event.step for event in events.Scalars("val/bound")] == [1, 3]  # after steps 2 and 4, counted from 0
    assert saved(tmp_path / "scenes/diffusion")["facts"]["steps"] == 4
