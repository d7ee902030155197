"""What is asked of a system when it is evaluated: sentences, and real clips that they are true of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pytorch_lightning import LightningDataModule
from torch import from_numpy

from diffsound.data import AudioTextDataModule
from diffsound.evaluation.calibration import true_renderings
from diffsound.evaluation.clips import ClipSet
from diffsound.scenes import SceneDataModule, Structure, read
from diffsound.scenes.world import is_held_out


@dataclass(frozen=True)
class Subjects:
    """Sentences to make clips of, as the texts of a set of real clips.

    real: the reference.
    captions: all that people, or the grammar, said of each real clip.
    true: what a perfect system might make of each text: other renderings of the same scenes, or the real clips.
    others: real clips that are not in `real`, to compare distances with: `true`, of scenes, or another split.
    structures: what each text asks for, where that is known of all.
    combinations: "seen" or "held out", of scenes.
    split: that `real` is of, "" where it is not known.
    """

    real: ClipSet
    captions: tuple[tuple[str, ...], ...]
    true: ClipSet | None = None
    others: ClipSet | None = None
    structures: tuple[Structure, ...] | None = None
    combinations: tuple[str, ...] | None = None
    split: str = ""

    @classmethod
    def of_data(cls, data: LightningDataModule, number: int, seed: int) -> Subjects:
        """`number` test clips of a recipe's `audio` (validation clips, if it has no test split): the first scenes, and
        of recordings, whose files may be in the order of their classes, a random choice that is always the same.

        Raises:
            ValueError: if there are none, or the data are neither scenes nor clips with texts.
        """
        if number < 2:
            raise ValueError(f"--num-clips is {number}, expected at least 2: a distance between sets needs them")
        if isinstance(data, SceneDataModule):
            return cls._of_scenes(data, number, seed)
        if not isinstance(data, AudioTextDataModule):
            raise ValueError(f"audio.class_path is {type(data).__name__}: expected SceneDataModule or "
                             "AudioTextDataModule, or give --clips and --reference")
        data.setup("test")
        present = {clip.split for clip in data.clips}
        split = "test" if "test" in present else data.val_split
        real, captions = _of_split(data, split, number, "reference")
        rest = next((other for other in (data.val_split, "train") if other in present and other != split), None)
        others = _of_split(data, rest, len(real), "ceiling")[0] if rest else None
        return cls(real, captions, real, others, split=split)

    @classmethod
    def _of_scenes(cls, data: SceneDataModule, number: int, seed: int) -> Subjects:
        if number > len(data.test):
            raise ValueError(f"--num-clips is {number}, but audio.init_args.num_test is {len(data.test)}: expected 2 "
                             f"to {len(data.test)}")
        items = [data.test[i] for i in range(number)]
        real = ClipSet("reference", tuple(item["waveform"] for item in items), data.test.sample_rate,
                       tuple(item["text"] for item in items), tuple(f"{i:04d}" for i in range(number)))
        structures = tuple(Structure.from_dict(item["structure"]) for item in items)
        true = true_renderings(structures, real, data.test.world.rooms, seed)
        return cls(real, tuple(tuple(item["captions"]) for item in items), true, true, structures,
                   tuple(item["combination"] for item in items), data.test.split)

    @classmethod
    def of_texts(cls, clips: ClipSet, real: ClipSet, seed: int, split: str = "") -> Subjects:
        """For `clips` that are there already: what they ask for is read from their texts, if all are scenes'.

        A real clip of the same name but another text has nothing to do with them, and is given another name.
        """
        texts = dict(zip(clips.ids, clips.texts, strict=True))
        if any(texts.get(name, text) != text for name, text in zip(real.ids, real.texts, strict=True)):
            real = replace(real, ids=tuple(f"reference-{name}" for name in real.ids))
        captions = tuple((text,) for text in clips.texts)
        structures = tuple(read(text, "wide") for text in clips.texts)
        if not all(structures):
            return cls(real, captions, split=split)
        true = true_renderings(structures, clips, 0.0, seed)
        parts = tuple("held out" if is_held_out(structure) else "seen" for structure in structures)
        return cls(real, captions, true, true, structures, parts, split)


def _of_split(data: AudioTextDataModule, split: str, number: int, name: str
              ) -> tuple[ClipSet, tuple[tuple[str, ...], ...]]:
    """The start of each of `number` clips, or of all there are, as the recipe cuts them; silent after its end."""
    clips = [clip for clip in data.clips if clip.split == split]
    if not clips:
        raise ValueError(f"the recipe's manifest has no clip of the split {split!r}: expected some to compare with")
    clips = [clips[i] for i in sorted(np.random.default_rng(0).permutation(len(clips))[:number])]
    window = data.window
    waveforms = tuple(from_numpy(window.read(clip, None).copy()) for clip in clips)
    captions = tuple(tuple(clip.captions) or ("",) for clip in clips)
    texts = tuple(texts[0] for texts in captions)
    ids = tuple(f"{i:04d}" if name == "reference" else f"{name}-{i:04d}" for i in range(len(clips)))  # pairs with none
    return ClipSet(name, waveforms, window.sample_rate, texts, ids), captions
