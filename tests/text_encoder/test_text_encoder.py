"""What holds for every text encoder: independence, padding, caching, order, empty and over-long texts."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest
import torch

import diffsound.text_encoder
from diffsound.text_encoder import Condition, SmallTextEncoder, TextEncoder

TEXTS = ["a dog barks", "rain falls, then a man speaks while a bell rings", "a dog barks", ""]


class WordLengths(TextEncoder):
    """The smallest encoder: a word's id is its length."""

    def __init__(self, trainable: bool = False, max_tokens: int = 16, cache_size: int = 100) -> None:
        super().__init__(4, max_tokens, trainable, cache_size)
        self.table = torch.nn.Embedding(30, 4)
        self.texts_embedded = 0
        self.requires_grad_(trainable)
        self.train(trainable)

    def tokenize(self, text: str) -> list[int]:
        return [*(len(word) for word in text.split()), 29]

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.texts_embedded += len(ids)
        return self.table(ids)


@pytest.fixture(params=["frozen", "trainable", "small"])
def encoder(request):
    if request.param == "small":
        return SmallTextEncoder(width=32).eval()
    return WordLengths(trainable=request.param == "trainable")


def test_condition_is_padded_to_the_longest_text_with_zeros(encoder):
    condition = encoder(TEXTS)
    lengths = [len(encoder.tokenize(text)) for text in TEXTS]
    assert isinstance(condition, Condition)
    assert condition.embeddings.shape == (4, max(lengths), encoder.width)
    assert condition.embeddings.dtype == torch.float32
    assert condition.mask.sum(1).tolist() == lengths
    assert condition.mask[:, 0].all()
    assert condition.embeddings[~condition.mask].abs().sum() == 0


def test_a_text_does_not_depend_on_the_others(encoder):
    together = encoder(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = encoder([text])
        assert alone.mask.all()
        torch.testing.assert_close(alone.embeddings[0], together.embeddings[row][together.mask[row]], atol=1e-5, rtol=0)


def test_the_order_of_words_reaches_the_embeddings():
    encoder = SmallTextEncoder().eval()
    first, second = encoder(["a dog then a bell", "a bell then a dog"]).embeddings
    assert encoder.tokenize("dog bell") == encoder.tokenize("bell dog")[1::-1] + encoder.tokenize("")
    similarity = torch.cosine_similarity(first[1], second[4], dim=0)  # 'dog' at two places
    assert 0.2 < similarity < 0.95


def test_cached_texts_are_computed_once_and_give_the_same():
    plain, cached = WordLengths(cache_size=0), WordLengths(cache_size=2)
    cached.load_state_dict(plain.state_dict())
    for _ in range(3):
        for one, other in zip(plain(TEXTS), cached(TEXTS), strict=True):
            assert torch.equal(one, other)
    assert plain.texts_embedded == 9  # three different texts a call
    assert cached.texts_embedded == 3 + 1 + 1  # two of them were kept


def test_new_weights_empty_the_cache():
    encoder, other = WordLengths(), WordLengths()
    encoder(TEXTS)
    encoder.load_state_dict(other.state_dict())
    assert torch.equal(encoder(TEXTS).embeddings, other(TEXTS).embeddings)


def test_what_inference_mode_cached_can_be_trained_on():
    encoder = WordLengths()
    with torch.inference_mode():
        encoder(TEXTS)
    layer = torch.nn.Linear(4, 1)
    layer(encoder(TEXTS).embeddings).sum().backward()
    assert layer.weight.grad is not None


def test_frozen_means_eval_mode_float32_and_no_gradient():
    encoder = WordLengths().train()
    assert not encoder.training
    with torch.autocast("cpu", torch.bfloat16):
        embeddings = encoder(TEXTS).embeddings
    assert embeddings.dtype == torch.float32
    assert not embeddings.requires_grad
    assert WordLengths(trainable=True)(TEXTS).embeddings.requires_grad


def test_an_encoder_that_comes_trained_says_so():
    with pytest.raises(ValueError, match="WordLengths comes trained"):
        WordLengths().training_step({"text": ["a"]}, 0)


def test_an_over_long_text_is_cut_and_named_once():
    encoder = WordLengths(max_tokens=4)
    with pytest.warns(UserWarning, match="7 tokens is cut to .*init_args.max_tokens = 4.*'one two three four five"):
        ids, mask = encoder.token_ids(["one two three four five six"])
    assert ids.tolist() == [[3, 3, 5, 29]]  # the end token stays
    assert mask.all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder(["one two three four five seven"])


def test_predict_step_gives_the_condition():
    encoder = WordLengths()
    assert torch.equal(encoder.predict_step({"text": TEXTS}, 0).mask, encoder(TEXTS).mask)


def test_importing_the_package_imports_no_model_library():
    # Read, not run: Lightning itself brings some of them.
    for file in Path(diffsound.text_encoder.__file__).parent.glob("*.py"):
        imports = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [getattr(node, "module", None) or node.names[0].name for node in imports]
        assert not {name.split(".")[0] for name in names} & {"transformers", "open_clip", "tokenizers"}, file.name
