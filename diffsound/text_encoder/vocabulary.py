"""Word pieces of `SmallTextEncoder`, and how its `vocabulary.txt` was made.

    python -m diffsound.text_encoder.vocabulary class_labels_indices.csv captions.csv

writes every word of our scene captions and of the given texts, then the pieces that those words share, so that words
that are new fall into parts that are known. The file in the package was made from the class names of AudioSet and
captions for ESC-10. Encoders trained with another file refuse to load: their ids would mean other words.
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = Path(__file__).with_name("vocabulary.txt")  # one entry a line, the line number is the id
PAD, UNKNOWN, MASK, END = SPECIAL = ("[PAD]", "[UNK]", "[MASK]", "[END]")
CHARACTERS = sorted(set(string.ascii_lowercase + string.digits + string.punctuation))


def read_vocabulary() -> list[str]:
    return FILE.read_text(encoding="utf-8").split("\n")


def build_tokenizer(vocabulary: list[str]) -> Tokenizer:
    """Lower case, no accents, punctuation apart, then the longest known piece first (WordPiece, arXiv:1609.08144)."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=1000))
    typographic = [normalizers.Replace(Regex("[\u2018\u2019]"), "'"), normalizers.Replace(Regex("[\u201c\u201d]"), '"'),
                   normalizers.Replace(Regex("[\u2013\u2014]"), "-")]
    tokenizer.normalizer = normalizers.Sequence([*typographic, normalizers.BertNormalizer(strip_accents=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(MASK, normalized=False)])
    return tokenizer


def build_vocabulary(texts: Iterable[str]) -> list[str]:
    """Special entries, all ASCII characters (alone and within a word), the words by frequency, the pieces they share."""
    counts = Counter(word for text in texts for word in re.findall("[a-z]+", text.lower()))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    inner = [f"##{character}" for character in CHARACTERS]
    return list(dict.fromkeys([*SPECIAL, *CHARACTERS, *inner, *words, *shared_pieces(words)]))


def shared_pieces(words: Iterable[str]) -> Iterator[str]:
    """Merge the most frequent pair of neighbouring pieces until no pair occurs in two words (arXiv:1508.07909)."""
    split = [[word[0], *(f"##{character}" for character in word[1:])] for word in sorted(words)]
    while True:
        pairs = Counter(pair for pieces in split for pair in pairwise(pieces))
        count, best = max(((count, pair) for pair, count in pairs.items()), default=(0, None))
        if count < 2:
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
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    vocabulary = build_vocabulary([*all_words(), *(text for path in arguments.texts for text in read_texts(path))])
    arguments.output.write_text("\n".join(vocabulary), encoding="utf-8")
    print(f"{len(vocabulary)} entries in {arguments.output}")


if __name__ == "__main__":
    main()
