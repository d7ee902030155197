"""Training that was stopped and resumed ends with the very weights of training that was not."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer

from diffsound.autoregressive import GPT, Autoregressive
from diffsound.callbacks import AveragedWeights, LastCheckpoint, SeededSteps
from diffsound.data import TokenDataModule
from diffsound.data.token_store import StoredClip, TokenStoreWriter
from diffsound.diffusion import (
    CosineSchedule,
    CrossEntropy,
    Denoiser,
    DiscreteDiffusion,
    ImportanceTimesteps,
    MaskUniform,
)
from diffsound.mel import MelSettings
from diffsound.text_encoder import SmallTextEncoder

K, ROWS, COLUMNS, T = 8, 5, 4, 10


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Ten clips of two captions: an epoch is three batches of four, the last one smaller."""
    folder = tmp_path_factory.mktemp("store") / "tokens"
    rng = np.random.default_rng(0)
    with TokenStoreWriter(folder, "0123456789abcdef", MelSettings(), ROWS, COLUMNS, K) as writer:
        writer.add(rng.integers(0, K, (10, ROWS * COLUMNS)),
                   [StoredClip(str(i), [f"sound {i}", f"{i} sounds"], [], "train", str(i)) for i in range(10)])
    return folder


def diffusion() -> DiscreteDiffusion:
    torch.manual_seed(1)
    denoiser = Denoiser(K, T, ROWS, COLUMNS, layers=1, width=16, heads=2, condition_width=16, text="prefix",
                        positions="column", dropout=0.1)
    return DiscreteDiffusion(SmallTextEncoder(width=16, layers=1, dropout=0.1), denoiser,
                             MaskUniform(K, CosineSchedule(T)), CrossEntropy(), ImportanceTimesteps(T, warmup=0),
                             text_dropout=0.3, warmup_steps=3, optimizer="muon")


def autoregressive() -> Autoregressive:
    torch.manual_seed(1)
    network = GPT(codebook_size=K, condition_width=16, rows=ROWS, max_columns=COLUMNS, layers=1, width=16, heads=2)
    return Autoregressive(SmallTextEncoder(width=16, layers=1), network, text_dropout=0.3, warmup_steps=3,
                          decay="plateau")


class Keep(Callback):
    """Copies last.ckpt as it was after each number of steps."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        source = f"{trainer.default_root_dir}/last.ckpt"
        shutil.copy(source, f"{trainer.default_root_dir}/after-{trainer.global_step}.ckpt")


def fit(module, store, folder, ckpt_path=None, steps=8):
    saver = LastCheckpoint(str(folder), every_n_steps=1)
    trainer = Trainer(accelerator="cpu", max_steps=steps, default_root_dir=folder, logger=False, limit_val_batches=0,
                      enable_progress_bar=False, enable_model_summary=False,
                      callbacks=[SeededSteps(), AveragedWeights(0.9), Keep(), saver])
    trainer.callbacks.sort(key=lambda callback: isinstance(callback, Keep))  # after the checkpoint is written
    trainer.fit(module, datamodule=TokenDataModule(str(store), batch_size=4), ckpt_path=ckpt_path, weights_only=True)
    return torch.load(folder / "last.ckpt", weights_only=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [diffusion, autoregressive])
def test_a_resumed_decoder_equals_an_unbroken_one_wherever_it_stopped(make, store, tmp_path):
    unbroken = fit(make(), store, tmp_path / "unbroken")
    starts = [tmp_path / "unbroken" / f"after-{steps}.ckpt" for steps in (1, 2, 3, 4, 6, 7)]
    for steps in (2, 3):  # training that ended there, in the middle of an epoch and at its end
        fit(make(), store, tmp_path / f"ended-{steps}", steps=steps)
        starts.append(tmp_path / f"ended-{steps}" / "last.ckpt")
    for start in starts:
        resumed = fit(make(), store, tmp_path / "resumed", start)
        assert resumed["global_step"] == unbroken["global_step"] == 8
        assert resumed["lr_schedulers"] == unbroken["lr_schedulers"]
        for part in ("state_dict", "current_model_state"):
            for key, value in unbroken[part].items():
                torch.testing.assert_close(resumed[part][key], value, rtol=0, atol=0,
                                           msg=f"from {start.parent.name}/{start.name}: {part} {key} differs")
