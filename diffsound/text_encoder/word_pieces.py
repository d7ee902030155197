"""The word pieces of `SmallTextEncoder` and the tokenizer over them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = Path(__file__).with_name("vocabulary.txt")  # one entry a line, the line number is the id
PAD, UNKNOWN, MASK, END = SPECIAL = ("[PAD]", "[UNK]", "[MASK]", "[END]")


def read_vocabulary(path: Path = VOCABULARY) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def build_tokenizer(vocabulary: list[str]) -> Tokenizer:
    """Lower case, no accents, punctuation apart, then the longest known piece first (WordPiece, arXiv:1609.08144)."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=1000))
    plain = {"[\u2018\u2019]": "'", "[\u201c\u201d]": '"', "[\u2013\u2014]": "-"}  # what typesetting made of them
    tokenizer.normalizer = normalizers.Sequence([
        *(normalizers.Replace(Regex(pattern), character) for pattern, character in plain.items()),
        normalizers.BertNormalizer(strip_accents=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(MASK, normalized=False)])
    return tokenizer


def join_pieces(pieces: Iterable[str]) -> str:
    """The text of which the tokenizer makes `pieces`, but for capitals and the spaces around punctuation."""
    text = " ".join(pieces).replace(" ##", "").removeprefix("##")
    text = re.sub(r" ([,.;:!?%)\]])|([(\[]) ", r"\1\2", text)
    return re.sub(r"(?<=\w) ?(['-]) ?(?=\w)|(?<=\d)(\.) (?=\d)", r"\1\2", text)


def vocabulary_checksum(vocabulary: list[str]) -> Tensor:
    """Of which words the ids mean: kept in a checkpoint."""
    return torch.tensor(zlib.crc32("\n".join(vocabulary).encode()))


def refuse_other_vocabulary(state_dict: dict, prefix: str, own: Tensor, part: str) -> None:
    """Raises:
        ValueError: if the weights in `state_dict` belong to a `part` with other words.
    """
    if int(state_dict.get(f"{prefix}vocabulary_checksum", own)) != int(own):
        raise ValueError(f"the checkpoint's {part} was trained with another vocabulary.txt: use the version of the "
                         "package that wrote it, or train again")
