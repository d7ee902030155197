"""Which positions of a text's condition belong to which of its words."""

from __future__ import annotations

import re
from itertools import pairwise, takewhile
from typing import NamedTuple

from diffsound.text_encoder import TextEncoder


class Word(NamedTuple):
    """A word as it is written, with the punctuation at it, or what a text encoder adds: (start), (end), (padding)."""

    text: str
    places: range  # of its word pieces among the positions 0..S-1 of the condition


def words_of(encoder: TextEncoder, text: str, length: int) -> list[Word]:
    """The words of `text`, which is cut at spaces, and what `encoder` puts around them: all of 0..length-1, in order.

    Args:
        length: S of the condition of `text` alone. 1 where the encoder makes one vector of the whole text, which is
            one word then.
    """
    if length == 1:
        return [Word(text, range(1))]
    found = list(re.finditer(r"\S+", text))
    ends = [_end(encoder, text[:stop]) for stop in (0, *(word.end() for word in found))]
    words = [Word(word[0], range(*places)) for word, places in zip(found, pairwise(ends), strict=True)]
    around = [Word("(start)", range(ends[0])), *words, Word("(end)", range(ends[-1], ends[-1] + 1)),
              Word("(padding)", range(ends[-1] + 1, length))]
    return [word for word in around if word.places]


def _end(encoder: TextEncoder, text: str) -> int:
    """Where the pieces of `text` end: where its ids would differ if the text went on."""
    pairs = zip(encoder.tokenize(text), encoder.tokenize(f"{text} a"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
