"""Several sources of sound as one: scenes and recordings for one codec, and one token store of both."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from diffsound.data.draws import Draws, Item
from diffsound.data.loading import Key, loader, training_loader


class JoinedDataModule(LightningDataModule):
    """Batches {"waveform": (B, N), "text": list[str]} of clips of all parts, which must be of one length.

    Args:
        parts: data modules of sounds, such as `SceneDataModule` and `AudioTextDataModule`.
        times: how often the training clips of each part come in an epoch (default: once); validation takes each once.
        batch_size, num_workers: of the whole; those of the parts are not used.
        seed: of the order; scenes, captions and crops go by the seed of their part.
    Raises:
        ValueError: if there are no parts, or not one of `times` for each.
    """

    def __init__(self, parts: list[LightningDataModule], times: list[int] | None = None, batch_size: int = 16,
                 num_workers: int = 2, seed: int = 0) -> None:
        super().__init__()
        times = [1] * len(parts) if times is None else times
        if not parts or len(times) != len(parts) or min(times) < 1:
            raise ValueError(f"audio.init_args.parts has {len(parts)} parts, times is {times}: expected at least one "
                             "part, and for each a number of times, at least 1")
        self.parts, self.times = parts, times
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed

    def prepare_data(self) -> None:
        for part in self._parts():
            part.prepare_data()

    def setup(self, stage: str) -> None:
        for part in self._parts():
            part.setup(stage)

    def train_dataloader(self) -> DataLoader:
        datasets = [part.train_dataloader().dataset for part in self._parts()]
        joined = Joined([dataset for dataset, times in zip(datasets, self.times, strict=True) for _ in range(times)])
        return training_loader(joined, self.batch_size, self.num_workers, self.seed, self.trainer)

    def val_dataloader(self) -> DataLoader:
        joined = Joined([part.val_dataloader().dataset for part in self._parts()])
        return loader(joined, self.batch_size, self.num_workers, self.trainer)

    def test_dataloader(self) -> DataLoader:
        joined = Joined([part.test_dataloader().dataset for part in self._parts()])
        return loader(joined, self.batch_size, self.num_workers, self.trainer)

    def draws(self) -> Draws:
        """Those of the parts, one after the other."""
        draws = [part.draws() for part in self._parts()]
        sources = [(number, i) for number, of_part in enumerate(draws) for i in range(len(of_part.sources))]
        return Draws(_Sources(sources, draws), _Reader([of_part.read for of_part in draws]),
                     {"parts": [of_part.identity for of_part in draws]})

    def teardown(self, stage: str) -> None:
        for part in self._parts():
            part.teardown(stage)

    def _parts(self) -> list[LightningDataModule]:
        for part in self.parts:
            part.trainer = self.trainer
        return self.parts


class Joined(Dataset):
    """{"waveform", "text"} of the items of several datasets, one after the other."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets, self.ends = datasets, list(accumulate(map(len, datasets)))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (None, key)
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        number = bisect.bisect_right(self.ends, index)
        index -= self.ends[number] - len(self.datasets[number])
        item = self.datasets[number][index if epoch is None else (epoch, index)]
        return {"waveform": item["waveform"], "text": item["text"]}


class _Sources(Sequence):
    """(number of the part, its source)."""

    def __init__(self, places: list[tuple[int, int]], draws: list[Draws]) -> None:
        self.places, self.draws = places, draws

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> tuple[int, Any]:
        number, index = self.places[i]
        return number, self.draws[number].sources[index]


class _Reader:
    """Reads a source by the reader of its part."""

    def __init__(self, readers: list[Any]) -> None:
        self.readers = readers

    def __call__(self, source: tuple[int, Any]) -> list[Item]:
        return self.readers[source[0]](source[1])
