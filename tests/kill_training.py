"""Kills short trainings at random moments: `python tests/kill_training.py --moments 20 --seed 0`.

Each is killed with SIGKILL by the clock, or while a checkpoint is written: in the middle, or before it takes the place
of the old one. What it leaves must be readable, and resumed from there it must end with the very weights, averages and
optimizer state of the training that nobody killed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from training_process import autoregressive, diffusion, fit, write_store

from diffsound.callbacks import LastCheckpoint, SeededSteps
from diffsound.checkpoint import load_module, read_checkpoint
from diffsound.diffusion import CrossEntropy
from diffsound.mel import MelSettings
from diffsound.scenes import SceneDataModule
from diffsound.vqvae import VQVAE, Decoder, EMACodebook, Encoder, ReconstructionLoss

STEPS, EVERY = 12, 2  # of the training, and between its checkpoints
PARTS = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step", "facts", "spec")


@dataclass
class Moment:
    """When a training is killed: a share of its time by the clock, or of the bytes of its n-th checkpoint."""

    share: float
    save: int | None = None

    def __str__(self) -> str:
        if self.save is None:
            return f"after {self.share:.0%} of its time"
        return f"in checkpoint {self.save}, " + ("written but not renamed" if self.share == 1 else
                                                 f"{self.share:.0%} of which was written")


def moments(count: int, seed: int) -> list[Moment]:
    """Every fourth one inside the writing of a checkpoint, a third of these between writing and renaming."""
    rng = random.Random(seed)
    return [Moment(rng.choice([rng.random(), rng.random(), 1.0]), rng.randint(1, STEPS // EVERY)) if i % 4 == 1 else
            Moment(rng.random()) for i in range(count)]


def train_decoder(folder: Path, decoder: LightningModule, ckpt_path: Path | None) -> None:
    fit(decoder, folder.parent / "tokens", folder, steps=STEPS, ckpt_path=ckpt_path, save_every=EVERY, copies=False)


def train_codec(folder: Path, ckpt_path: Path | None) -> None:
    """With a codebook that restarts dead codes at random places."""
    torch.manual_seed(1)
    size = {"channels": 8, "channel_multipliers": [1], "res_blocks": 1, "z_channels": 8, "attention": False,
            "norm": "position", "patch_size": 16}
    codec = VQVAE(MelSettings(), Encoder(**size), Decoder(**size), EMACodebook(16, 4, restart_after=2), 4,
                  ReconstructionLoss())
    trainer = Trainer(accelerator="cpu", logger=False, max_steps=STEPS, default_root_dir=folder,
                      enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
                      callbacks=[SeededSteps(), LastCheckpoint(str(folder), every_n_steps=EVERY)])
    data = SceneDataModule(MelSettings(), frames=64, num_train=10, num_val=2, batch_size=4, num_workers=0)
    trainer.fit(codec, datamodule=data, ckpt_path=ckpt_path, weights_only=True)


SYSTEMS: dict[str, Callable[[Path, Path | None], None]] = {
    "diffusion": lambda folder, start: train_decoder(folder, diffusion(CrossEntropy(), "muon", dropout=0.1), start),
    "codec": train_codec,
    "autoregressive": lambda folder, start: train_decoder(folder, autoregressive(), start)}


def child(system: str, folder: Path, begins: Any, torn: Moment | None) -> None:
    """Train, from the last checkpoint if there is one."""
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    if torn is not None:
        left, write = torn.save, Path.write_bytes

        def part(path: Path, content: Any) -> int:
            nonlocal left
            left -= path.name.startswith("last.ckpt")
            written = write(path, content if left else content[:round(torn.share * len(content))])
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return written

        Path.write_bytes = part
    last = folder / "last.ckpt"
    begins.set()
    SYSTEMS[system](folder, last if last.is_file() else None)


class Trainings:
    """Trainings of one system in a folder; processes are forked from one that has all modules."""

    def __init__(self, system: str, folder: Path) -> None:
        self.system, self.folder, self.count = system, folder, 0
        self.context = multiprocessing.get_context("forkserver")
        here = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.context.set_forkserver_preload(["kill_training"])  # which is looked for there alone
        write_store(folder / "tokens")
        seconds, status = self.run(folder / "unbroken")
        assert status == 0, f"the unbroken training of {system} ended with {status}"
        self.seconds = seconds
        self.unbroken = read_checkpoint(folder / "unbroken" / "last.ckpt")

    def run(self, place: Path, moment: Moment | None = None) -> tuple[float, int]:
        """Seconds that a training took until it ended or was killed, and its exit status."""
        begins = self.context.Event()
        torn = moment if moment is not None and moment.save is not None else None
        process = self.context.Process(target=child, args=(self.system, place, begins, torn))
        process.start()
        begins.wait(120)
        start = time.monotonic()
        if moment is not None and torn is None:
            process.join(moment.share * self.seconds)
            process.kill()
        process.join(120)
        return time.monotonic() - start, process.exitcode

    def survives(self, moment: Moment) -> str:
        """Kill a training then, and compare what becomes of it. Returns what the kill left behind."""
        status = 0
        while status == 0:
            self.count += 1
            place = self.folder / f"killed-{self.count}"
            _, status = self.run(place, moment)
            if status == 0:  # before it was killed; the unbroken one took longer
                assert moment.save is None, f"killed {moment}, it was not"
                moment = Moment(moment.share / 2)
        assert status == -signal.SIGKILL, f"killed {moment}, it ended with {status}"
        files = {path.name for path in place.iterdir()} if place.is_dir() else set()
        assert files <= {"last.ckpt", "last.ckpt.part"}, files
        steps = 0
        if "last.ckpt" in files:
            steps = read_checkpoint(place / "last.ckpt")["global_step"]
            load_module(place / "last.ckpt")
        _, resumed = self.run(place)
        assert resumed == 0, f"killed {moment}, it could not be resumed: {resumed}"
        assert {path.name for path in place.iterdir()} == {"last.ckpt"}
        again = read_checkpoint(place / "last.ckpt")
        for part in PARTS:
            assert same(again.get(part), self.unbroken.get(part)), f"{self.system}, killed {moment}: {part} differs"
        return (f"step {steps}" if steps else "no checkpoint") + (", half a file" if "last.ckpt.part" in files else "")


def same(one: Any, other: Any) -> bool:
    """Whether they are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20, help="of all systems together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    left = Counter()
    with tempfile.TemporaryDirectory() as folder:
        systems = []
        for name in SYSTEMS:
            (Path(folder) / name).mkdir()
            systems.append(Trainings(name, Path(folder) / name))
            print(f"{name}: {STEPS} steps, unbroken in {systems[-1].seconds:.1f} s", flush=True)
        for number, moment in enumerate(moments(options.moments, options.seed)):
            training = systems[number % len(systems)]
            found = training.survives(moment)
            left[found] += 1
            print(f"{number + 1:3d}. {training.system}, killed {moment}: {found}; resumed, the same bits", flush=True)
    print("\n".join(f"{count} left: {what}" for what, count in sorted(left.items())))


if __name__ == "__main__":
    main()
