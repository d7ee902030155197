"""Word vectors that are known beforehand: like words are alike, unseen words are embedded by what they mean alone."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from diffsound.text_encoder import DistilledTextEncoder
from diffsound.text_encoder.distil import main_directions, near_words
from diffsound.text_encoder.distilled import VECTORS, VOCABULARY, MeaningEmbedding
from diffsound.text_encoder.word_pieces import read_vocabulary


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return DistilledTextEncoder(width=64, layers=1).eval()


def similarity(encoder, first, second):
    one, other = (encoder.word.vectors[encoder.tokenize(word)[0]].float() for word in (first, second))
    return float(torch.cosine_similarity(one, other, dim=0))


@pytest.mark.parametrize(("word", "near", "far"), [
    ("dog", "puppy", "helicopter"), ("rain", "downpour", "dog"), ("bark", "howl", "drill"),
    ("helicopter", "chopper", "kitten"), ("cry", "weep", "engine"), ("sea", "ocean", "keyboard")])
def test_words_of_like_meaning_are_alike_before_any_training(encoder, word, near, far):
    assert similarity(encoder, word, near) > similarity(encoder, word, far) + 0.2


def test_words_and_vectors_belong_together():
    vocabulary, stored = read_vocabulary(VOCABULARY), load_file(VECTORS)
    assert len(vocabulary) == len(set(vocabulary)) == len(stored["vectors"])
    assert set(read_vocabulary()) <= set(vocabulary)
    assert stored["vectors"][:4].abs().sum() == 0  # [PAD], [UNK], [MASK], [END] mean nothing


def test_what_a_word_has_of_its_own_is_left_out_at_random_in_training_only():
    vectors = torch.randint(-127, 128, (6, 8), dtype=torch.int8)
    embedding = MeaningEmbedding(vectors, torch.tensor(0.01), width=4, own=2, own_dropout=0.5, noise=0.0)
    torch.nn.init.normal_(embedding.own.weight)
    ids = torch.zeros(1, 400, dtype=torch.int64)
    without = embedding.map(torch.cat([vectors[0] * 0.01, torch.zeros(2)]))
    away = (embedding.train()(ids)[0] - without).abs().amax(-1) < 1e-6
    assert 0.4 < away.float().mean() < 0.6
    torch.testing.assert_close(embedding.eval()(ids)[0], embedding.weight[:1].expand(400, -1))


def test_pieces_without_meaning_keep_what_they_have_of_their_own():
    embedding = MeaningEmbedding(torch.zeros(3, 8, dtype=torch.int8), torch.tensor(0.01), 4, 2, 0.9, noise=1.0)
    torch.nn.init.normal_(embedding.own.weight)
    ids = torch.tensor([[0, 1, 2]])
    torch.testing.assert_close(embedding.train()(ids), embedding.eval()(ids))


def test_an_unseen_word_has_nothing_of_its_own(encoder):
    ids = torch.tensor([encoder.tokenize("puppy")[:1]])
    meaning = encoder.word.vectors[ids] * encoder.word.scale
    alone = encoder.word.map(torch.nn.functional.pad(meaning, (0, encoder.word.own.embedding_dim)))
    torch.testing.assert_close(encoder.word(ids), alone)


def test_every_weight_learns(encoder):
    encoder.requires_grad_(True).train()
    encoder(["a dog barks, then rain falls"]).embeddings.square().sum().backward()
    untouched = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    encoder.zero_grad()
    encoder.eval()
    assert untouched == []


def test_a_checkpoint_brings_it_back(tmp_path, encoder):
    torch.save({"spec": encoder.spec, "state_dict": encoder.state_dict(), "facts": {}}, tmp_path / "encoder.ckpt")
    loaded = DistilledTextEncoder.from_checkpoint(tmp_path / "encoder.ckpt")
    texts = ["a puppy yaps", "two bells"]
    torch.testing.assert_close(loaded(texts).embeddings, encoder(texts).embeddings)


def test_near_words_are_those_within_reach_of_a_seed():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.3], [0.0, 1.0]]), dim=-1)
    assert near_words(["dog", "hound", "car"], vectors, {"dog"}) == ["dog", "hound"]


def test_main_directions_keep_the_angles_of_what_lies_in_few_dimensions():
    flat = torch.randn(50, 3) @ torch.randn(3, 20)
    kept = main_directions(flat, 3)
    centred = flat - flat.mean(0)
    expected = torch.cosine_similarity(centred[:1], centred)
    torch.testing.assert_close(torch.cosine_similarity(kept[:1], kept), expected, atol=1e-4, rtol=1e-4)
    assert kept.square().mean() == pytest.approx(1, rel=1e-4)
