"""Small trainings of decoders: in this process, or in one of several that were started as torchrun starts them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer

from diffsound.autoregressive import GPT, Autoregressive
from diffsound.callbacks import AveragedWeights, LastCheckpoint, SeededSteps
from diffsound.data import TokenDataModule
from diffsound.data.loading import training_loader
from diffsound.data.token_store import StoredClip, TokenStoreWriter
from diffsound.diffusion import (
    CosineSchedule,
    CrossEntropy,
    Denoiser,
    DiscreteDiffusion,
    ImportanceTimesteps,
    MaskUniform,
    VariationalBound,
)
from diffsound.mel import MelSettings
from diffsound.text_encoder import SmallTextEncoder

K, ROWS, COLUMNS, T = 8, 5, 4, 10


def write_store(folder: Path, count: int = 11, val: int = 8) -> Path:
    rng = np.random.default_rng(0)
    clips = [StoredClip(str(i), [f"sound {i}", f"{i} sounds"], [], "train" if i < count else "val", str(i))
             for i in range(count + val)]
    with TokenStoreWriter(folder, "0123456789abcdef", MelSettings(), ROWS, COLUMNS, K) as writer:
        writer.add(rng.integers(0, K, (len(clips), ROWS * COLUMNS)), clips)
    return folder


def diffusion(loss: torch.nn.Module, optimizer: str, dropout: float = 0.0) -> DiscreteDiffusion:
    torch.manual_seed(1)
    denoiser = Denoiser(K, T, ROWS, COLUMNS, layers=1, width=16, heads=2, condition_width=16, text="prefix",
                        positions="column", dropout=dropout)
    return DiscreteDiffusion(SmallTextEncoder(width=16, layers=1, dropout=dropout), denoiser,
                             MaskUniform(K, CosineSchedule(T)), loss, ImportanceTimesteps(T, warmup=0),
                             text_dropout=0.3, warmup_steps=3, optimizer=optimizer)


def autoregressive() -> Autoregressive:
    torch.manual_seed(1)
    network = GPT(codebook_size=K, condition_width=16, rows=ROWS, max_columns=COLUMNS, layers=1, width=16, heads=2)
    return Autoregressive(SmallTextEncoder(width=16, layers=1, dropout=0.0), network, text_dropout=0.3,
                          learning_rate=1e-3, warmup_steps=3, decay="plateau")


DECODERS = {"bound": lambda: diffusion(VariationalBound(), "adamw"), "muon": lambda: diffusion(CrossEntropy(), "muon"),
            "autoregressive": autoregressive}


class CurriculumData(TokenDataModule):
    """The first five clips until step 3."""

    def train_dataloader(self) -> Any:
        phases = [(0, np.arange(5)), (3, None)]
        return training_loader(self._dataset("train", self.seed), self.batch_size, self.num_workers, self.seed,
                               self.trainer, phases)


class Record(Callback):
    """The loss of every batch, and, if `copies`, a copy of the checkpoint after every step."""

    def __init__(self, copies: bool) -> None:
        self.copies = copies
        self.losses: list[float] = []
        self.metrics: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        last = Path(trainer.default_root_dir) / "last.ckpt"
        if self.copies and trainer.is_global_zero and last.is_file():
            shutil.copy(last, last.with_name(f"after-{trainer.global_step}.ckpt"))

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name[:4] == "val/"}


def fit(decoder: torch.nn.Module, store: Path, folder: Path, batch_size: int = 4, steps: int = 8, workers: int = 0,
        ckpt_path: Path | None = None, processes: int = 1, callback: Callback | None = None, save_every: int = 1,
        copies: bool = True, **options: Any) -> Record:
    record = Record(copies)
    trainer = Trainer(accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", logger=False,
                      max_steps=steps, default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False,
                      gradient_clip_val=0.5, num_sanity_val_steps=0, check_val_every_n_epoch=None,
                      **{"val_check_interval": 4} | options,
                      callbacks=[SeededSteps(), AveragedWeights(0.9, every=2), record,
                                 callback or Callback(), LastCheckpoint(str(folder), every_n_steps=save_every)])
    trainer.callbacks.sort(key=lambda each: each is record)  # after the checkpoint is written
    data = CurriculumData(str(store), batch_size=batch_size, num_workers=workers)
    trainer.fit(decoder, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return record


def fit_on_two(folder: Path, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of `runs` ({"decoder": a key of DECODERS, and what `fit` takes}) on two processes.

    Returns:
        of each run: losses, the mean over both processes, and metrics.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "runs.json").write_text(json.dumps(runs, default=str))
    processes = [subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                        "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1",
                        "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"})
        for rank in range(2)]
    try:
        told = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)
    first, second = (json.loads((folder / f"results-{rank}.json").read_text()) for rank in range(2))
    return [{"losses": np.mean([a["losses"], b["losses"]], axis=0).tolist(), "metrics": a["metrics"]}
            for a, b in zip(first, second, strict=True)]


if __name__ == "__main__":
    where, rank = Path(sys.argv[1]), os.environ["RANK"]
    results = []
    for run in json.loads((where / "runs.json").read_text()):
        record = fit(DECODERS[run.pop("decoder")](), processes=2, **{**run, "folder": Path(run["folder"])})
        results.append({"losses": record.losses, "metrics": record.metrics})
    (where / f"results-{rank}.json").write_text(json.dumps(results))
