"""The word pieces of `SmallTextEncoder` and the tokenizer over them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = Path(__file__).with_name("vocabulary.txt")  # one entry a line, the line number is the id
PAD, UNKNOWN, MASK, END = SPECIAL = ("[PAD]", "[UNK]", "[MASK]", "[END]")


def read_vocabulary() -> list[str]:
    return VOCABULARY.read_text(encoding="utf-8").split("\n")


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
