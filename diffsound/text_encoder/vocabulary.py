"""How the vocabulary of `SmallTextEncoder` is made.

    python -m diffsound.text_encoder.vocabulary class_labels_indices.csv captions.csv

takes every word of our scene captions, of `words.txt` beside this file (words that tell of sounds, written for this
purpose) and of the given texts, then the pieces that those words share, so that a new word falls into known parts. The
file in the package was made with AudioSet's class names and the captions of ESC-10. An encoder trained with another
file refuses to load: its ids would mean other words.
"""

from __future__ import annotations

import argparse
import csv
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from diffsound.text_encoder.word_pieces import SPECIAL, VOCABULARY

WORDS = Path(__file__).with_name("words.txt")
CHARACTERS = sorted(set(string.ascii_lowercase + string.digits + string.punctuation))
SHARED_BY = 12  # a piece is worth an entry if so many words have it


def build_vocabulary(texts: Iterable[str]) -> list[str]:
    """Special entries, ASCII characters (alone and within a word), words by frequency, the pieces that they share."""
    counts = Counter(word for text in texts for word in re.findall("[a-z]+", text.lower()))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    inner = [f"##{character}" for character in CHARACTERS]
    return list(dict.fromkeys([*SPECIAL, *CHARACTERS, *inner, *words, *shared_pieces(words)]))


def shared_pieces(words: Iterable[str]) -> Iterator[str]:
    """Merge the most frequent pair of neighbouring pieces while many words have it (arXiv:1508.07909)."""
    split = [[word[0], *(f"##{character}" for character in word[1:])] for word in sorted(words)]
    while True:
        pairs = Counter(pair for pieces in split for pair in pairwise(pieces))
        count, best = max(((count, pair) for pair, count in pairs.items()), default=(0, None))
        if count < SHARED_BY:
            return
        merged = best[0] + best[1].removeprefix("##")
        yield merged
        for pieces in split:
            for i in range(len(pieces) - 2, -1, -1):
                if tuple(pieces[i:i + 2]) == best:
                    pieces[i:i + 2] = [merged]


def read_texts(path: Path) -> list[str]:
    """Lines of a text file, or the captions and class names of a .csv."""
    if path.suffix != ".csv":
        return path.read_text(encoding="utf-8").splitlines()
    with path.open(newline="", encoding="utf-8") as file:
        return [value for row in csv.DictReader(file) for name, value in row.items()
                if name == "display_name" or name.startswith("caption")]


def main() -> None:
    from diffsound.scenes import all_words

    parser = argparse.ArgumentParser(description="Write the vocabulary of SmallTextEncoder.")
    parser.add_argument("texts", nargs="*", type=Path, help="text files, or .csv with columns caption* or display_name")
    parser.add_argument("--output", type=Path, default=VOCABULARY)
    arguments = parser.parse_args()
    texts = [*all_words(), *(text for path in [WORDS, *arguments.texts] for text in read_texts(path))]
    vocabulary = build_vocabulary(texts)
    arguments.output.write_text("\n".join(vocabulary), encoding="utf-8")
    print(f"{len(vocabulary)} entries in {arguments.output}")


if __name__ == "__main__":
    main()
