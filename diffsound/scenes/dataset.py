"""Scenes as a torch data set and a Lightning data module."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from diffsound.data.clip_table import StoredClip
from diffsound.data.draws import Draws, Item
from diffsound.data.loading import Key, loader, training_loader
from diffsound.mel import MelSettings
from diffsound.scenes.timeline import Scene, make_scene
from diffsound.scenes.world import World, is_held_out

VALIDATION_START = 1_000_000_000  # validation takes the scenes from this index on; no training set reaches it
TEST_START = 2_000_000_000  # and the test from this one on


class SceneDataset(Dataset):
    """`length` scenes of the endless list `seed` of a world, from index `start` on.

    Scenes to train on show no held-out combination, unless `hold_out` is false. Of the others every second one does,
    and the rest do not: "held out" and "seen" tell composition from memory.
    """

    def __init__(self, length: int, num_samples: int = 86016, sample_rate: int = 22050, seed: int = 0, start: int = 0,
                 split: str = "train", world: World | None = None, hold_out: bool = True) -> None:
        self.length, self.num_samples, self.sample_rate = length, num_samples, sample_rate
        self.seed, self.start, self.split, self.world = seed, start, split, world or World()
        self.hold_out = hold_out
        self.make = make_scene

    def in_memory(self) -> SceneDataset:
        """The same scenes, each kept once it is made."""
        kept = copy.copy(self)
        made: dict[int, Scene] = {}

        def make(seed: int, index: int, *arguments: Any) -> Scene:
            if index not in made:
                made[index] = self.make(seed, index, *arguments)
            return made[index]

        kept.make = make
        return kept

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One scene.

        Returns:
            waveform (num_samples,) float32; text, one caption; captions, several of the same truth; labels, the
            classes by first onset; timeline, a list of `Event`s as dicts; structure, the
            values for `Structure.from_dict`; combination, "seen" or "held out"; id "scene-<seed>-<index>"; group, the
            same as id, since no two scenes share a source; split.
        Raises:
            IndexError: if the index is not in 0..length-1.
        """
        item = key[1] if isinstance(key, tuple) else key
        if not 0 <= item < self.length:
            raise IndexError(f"scene {item} of {self.length}")
        index = self.start + item
        if self.split == "train":
            part = "seen" if self.hold_out else "all"
        else:
            part = "held out" if item % 2 else "seen"
        scene = self.make(self.seed, index, self.num_samples, self.sample_rate, self.world, part)
        name = f"scene-{self.seed}-{index}"
        return {
            "waveform": torch.from_numpy(scene.waveform), "text": scene.caption, "captions": list(scene.captions),
            "labels": list(dict.fromkeys(event.name for event in scene.events)),
            "timeline": [asdict(event) for event in scene.events], "structure": asdict(scene.structure),
            "combination": "held out" if is_held_out(scene.structure) else "seen",
            "id": name, "group": name, "split": self.split,
        }


class SceneDataModule(LightningDataModule):
    """Procedural scenes for every stage; nothing is read from disk.

    Batches hold what `SceneDataset` describes. Validation and test scenes come from other parts of the same list, so no
    training set contains them.

    Args:
        mel: sets sample rate and hop length.
        frames: mel frames of a clip, a multiple of 16 for the codec; 336 are 3.9 s.
        num_train, num_val, num_test: scenes of each split.
        batch_size: of all processes together.
        num_workers: processes that make scenes, of each training process.
        seed: of the list of scenes.
        in_memory: makes a training scene when it is first asked for and keeps it (0.34 MB for 3.9 s), in the training
            process itself: on two cores, workers that make scenes would take their time from the training.
        world: which scenes.
        hold_out: false trains on all combinations: for a judge, which must not hear what decoders never saw less well.
    """

    def __init__(self, mel: MelSettings | dict, frames: int, num_train: int = 20000, num_val: int = 500,
                 num_test: int = 500, batch_size: int = 16, num_workers: int = 2, seed: int = 0,
                 in_memory: bool = False, world: World | None = None, hold_out: bool = True) -> None:
        super().__init__()
        mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        num_samples = frames * mel.hop_length
        self.train = SceneDataset(num_train, num_samples, mel.sample_rate, seed, world=world, hold_out=hold_out)
        self.val = SceneDataset(num_val, num_samples, mel.sample_rate, seed, VALIDATION_START, "val", world)
        self.test = SceneDataset(num_test, num_samples, mel.sample_rate, seed, TEST_START, "test", world)
        self.batch_size, self.num_workers, self.in_memory = batch_size, num_workers, in_memory

    def train_dataloader(self) -> DataLoader:
        dataset, workers = (self.train.in_memory(), 0) if self.in_memory else (self.train, self.num_workers)
        return training_loader(dataset, self.batch_size, workers, self.train.seed, self.trainer)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test)

    def draws(self) -> Draws:
        """All scenes to train on, then to validate on, then to test on: what the token store is written from."""
        parts = [self.train, self.val, self.test]
        sources = [(part, i) for part, dataset in enumerate(parts) for i in range(len(dataset))]
        identity = {"scenes": [[part.length, part.num_samples, part.sample_rate, part.seed, part.start, part.split,
                                part.hold_out] for part in parts], "world": asdict(self.train.world)}
        return Draws(sources, SceneReader(parts), identity)

    def _loader(self, dataset: Dataset) -> DataLoader:
        return loader(dataset, self.batch_size, self.num_workers, self.trainer)


class SceneReader:
    """The item of a source (part, index)."""

    def __init__(self, parts: list[SceneDataset]) -> None:
        self.parts = parts

    def __call__(self, source: tuple[int, int]) -> list[Item]:
        scene = self.parts[source[0]][source[1]]
        clip = StoredClip(*(scene[name] for name in ("id", "captions", "labels", "split", "group")))
        return [Item(scene["waveform"].numpy(), clip)]
