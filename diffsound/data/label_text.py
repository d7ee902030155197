"""Labels to text with random masks: mask-based text generation for pretraining where clips have labels only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def label_text(labels: Sequence[str], rng: np.random.Generator, mask: str = "[MASK]") -> str:
    """A text from the labels of a clip: "[MASK] [MASK] dog [MASK] rain".

    Labels come in random order, lower case, each with one or two masks on a side chosen at random, so that a text
    encoder meets the words where a caption would have them, among others (Diffsound, arXiv:2207.09983, Sec. III-C).
    `mask` is the text encoder's own mask token.

    Raises:
        ValueError: if there are no labels.
    """
    if not labels:
        raise ValueError("a clip without labels: give it labels in the manifest, or take text_from: captions")
    words = []
    for index in rng.permutation(len(labels)):
        masks = [mask] * int(rng.integers(1, 3))
        label = [labels[index].lower()]
        words += label + masks if rng.random() < 0.5 else masks + label
    return " ".join(words)
