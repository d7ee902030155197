"""How the words and vectors of `DistilledTextEncoder` are made.

    python -m diffsound.text_encoder.distil MODEL_FOLDER FREQUENCIES [more texts]

MODEL_FOLDER holds a sentence encoder as transformers reads it, FREQUENCIES a word at the start of each line, the most
frequent first, the texts are lines or captions as for `diffsound.text_encoder.vocabulary`. The vocabulary is that of
`SmallTextEncoder`, the words of scene captions, and the frequent words that are near in meaning to a word of sounds. A
word's vector is the sentence encoder's for the word alone, in its principal directions. The files in the package were
made with all-MiniLM-L6-v2 (Apache 2.0), the frequencies of symspellpy (MIT) and AudioSet's class names.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from diffsound.text_encoder.distilled import VECTORS, VOCABULARY
from diffsound.text_encoder.vocabulary import read_texts
from diffsound.text_encoder.word_pieces import read_vocabulary

DIRECTIONS = 96
NEAR = 0.45  # cosine to the nearest word of sounds
FREQUENT = 45_000  # words looked at


def sentence_vectors(folder: Path, texts: list[str]) -> Tensor:
    """(N, D) unit vectors: the mean of the encoder's embeddings of each text."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of like length together: little padding
    vectors = torch.empty(len(texts), model.config.hidden_size)
    for batch in torch.tensor(order).split(512):
        tokens = tokenizer([texts[i] for i in batch], return_tensors="pt", padding=True)
        mask = tokens["attention_mask"][..., None]
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state
        vectors[batch] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    return vectors


def near_words(candidates: list[str], vectors: Tensor, sounds: set[str]) -> list[str]:
    """Those of `candidates` whose vector is nearer than `NEAR` to that of one in `sounds`, itself among them."""
    seeds = vectors[[i for i, word in enumerate(candidates) if word in sounds]]
    nearest = torch.cat([(part @ seeds.T).amax(1) for part in vectors.split(4096)])
    return [word for word, near in zip(candidates, nearest.tolist(), strict=True) if near > NEAR]


def main_directions(vectors: Tensor, dimensions: int) -> Tensor:
    """(N, dimensions): the vectors without their mean, in their principal directions, mean square 1."""
    centred = vectors - vectors.mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # by rising eigenvalue
    turned = centred @ directions[:, -dimensions:].flip(-1)
    return turned / turned.square().mean().sqrt()


def main() -> None:
    from diffsound.scenes import all_words

    parser = argparse.ArgumentParser(description="Write the words and vectors of DistilledTextEncoder.")
    parser.add_argument("model", type=Path, help="folder of the sentence encoder")
    parser.add_argument("frequencies", type=Path, help="a word a line, the most frequent first")
    parser.add_argument("texts", nargs="*", type=Path, help="texts whose words tell of sounds, lines or .csv")
    arguments = parser.parse_args()
    own = all_words("wide")
    sounds = set(own) | {word for path in arguments.texts for text in read_texts(path)
                                 for word in re.findall("[a-z]{3,}", text.lower())}
    lines = arguments.frequencies.read_text(encoding="utf-8-sig").splitlines()
    words = [word for line in lines if re.fullmatch("[a-z]{2,}", word := (line.split() or [""])[0])][:FREQUENT]
    near = near_words(words, sentence_vectors(arguments.model, words), {word for word in sounds if len(word) > 2})
    vocabulary = list(dict.fromkeys([*read_vocabulary(), *own, *near]))
    whole = torch.tensor([bool(re.fullmatch("[a-z0-9]+", entry)) for entry in vocabulary])
    vectors = torch.zeros(len(vocabulary), DIRECTIONS)  # none for punctuation and pieces of words
    texts = [entry for entry, is_word in zip(vocabulary, whole.tolist(), strict=True) if is_word]
    vectors[whole] = main_directions(sentence_vectors(arguments.model, texts), DIRECTIONS)
    scale = vectors.abs().amax() / 127
    VOCABULARY.write_text("\n".join(vocabulary), encoding="utf-8")
    save_file({"vectors": (vectors / scale).round().to(torch.int8), "scale": scale}, VECTORS)
    print(f"{len(vocabulary)} entries, {int(whole.sum())} of them with a vector: {VOCABULARY}, {VECTORS}")


if __name__ == "__main__":
    main()
