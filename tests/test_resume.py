"""Training that was stopped and resumed ends with the very weights of training that was not."""

from __future__ import annotations

import pytest
import torch
from training_process import autoregressive, diffusion, fit, write_store

from diffsound.diffusion import CrossEntropy


def noisy_diffusion():
    return diffusion(CrossEntropy(), "muon", dropout=0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [noisy_diffusion, autoregressive])
def test_a_resumed_decoder_equals_an_unbroken_one_wherever_it_stopped(make, tmp_path):
    store = write_store(tmp_path / "tokens")  # an epoch is three batches of four
    fit(make(), store, tmp_path / "unbroken")
    unbroken = torch.load(tmp_path / "unbroken/last.ckpt", weights_only=True)
    starts = [tmp_path / "unbroken" / f"after-{steps}.ckpt" for steps in (1, 2, 3, 4, 6, 7)]
    for steps in (2, 3):  # training that ended there, in the middle of an epoch and at its end
        fit(make(), store, tmp_path / f"ended-{steps}", steps=steps)
        starts.append(tmp_path / f"ended-{steps}" / "last.ckpt")
    for start in starts:
        fit(make(), store, tmp_path / "resumed", ckpt_path=start)
        resumed = torch.load(tmp_path / "resumed/last.ckpt", weights_only=True)
        assert resumed["global_step"] == unbroken["global_step"] == 8
        assert resumed["lr_schedulers"] == unbroken["lr_schedulers"]
        for part in ("state_dict", "current_model_state"):
            for key, value in unbroken[part].items():
                torch.testing.assert_close(resumed[part][key], value, rtol=0, atol=0,
                                           msg=f"from {start.parent.name}/{start.name}: {part} {key} differs")
