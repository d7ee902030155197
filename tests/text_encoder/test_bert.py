"""BERT from a folder: padding, order, missing weights."""

from __future__ import annotations

import pytest
import torch

from diffsound.text_encoder import BERTTextEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "bell", "bark", "##s", "ring", "then", ",", "rain"]
TEXTS = ["a dog barks, then rain", "rain", "", "[MASK] dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                         intermediate_size=64, max_position_embeddings=64)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_text_does_not_depend_on_the_others_or_on_padding(folder):
    together = BERTTextEncoder(str(folder), max_tokens=32)(TEXTS)
    encoder = BERTTextEncoder(str(folder), max_tokens=32)
    assert together.embeddings.shape == (4, 9, 32)
    assert together.mask.sum(1).tolist() == [9, 3, 2, 4]
    for row, text in enumerate(TEXTS):
        alone = encoder([text]).embeddings[0]
        torch.testing.assert_close(alone, together.embeddings[row][together.mask[row]], rtol=0, atol=1e-5)


def test_tokens_are_those_of_its_tokenizer(folder):
    encoder = BERTTextEncoder(str(folder), max_tokens=6)
    assert encoder.mask_token == "[MASK]"
    assert encoder.tokenize("[MASK] dog") == [2, 4, 6, 3]
    with pytest.warns(UserWarning, match="cut to text_encoder.init_args.max_tokens = 6"):
        ids, _ = encoder.token_ids(TEXTS[:1])
    assert ids.tolist() == [[2, 5, 6, 8, 9, 3]]


def test_the_mask_is_the_tokenizers_own_and_needs_no_weights(tmp_path):
    from transformers import BertTokenizerFast

    (tmp_path / "vocab.txt").write_text("\n".join(word.replace("[MASK]", "<mask>") for word in WORDS))
    BertTokenizerFast(str(tmp_path / "vocab.txt"), mask_token="<mask>").save_pretrained(tmp_path)
    assert BERTTextEncoder.read_mask_token(path=str(tmp_path), max_tokens=9) == "<mask>"
    with pytest.raises(ValueError, match="no BERT at text_encoder.init_args.path = .*nowhere"):
        BERTTextEncoder.read_mask_token(path=str(tmp_path / "nowhere"))


def test_the_order_of_words_matters(folder):
    a, b = BERTTextEncoder(str(folder), max_tokens=32)(["dog then bell", "bell then dog"]).embeddings
    assert (a[0] - b[0]).abs().max() > 1e-4


def test_trainable_reaches_every_weight(folder):
    encoder = BERTTextEncoder(str(folder), trainable=True, max_tokens=32).train()
    encoder(TEXTS).embeddings.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_missing_models_and_weights_are_refused(folder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    with pytest.raises(ValueError, match="no BERT at text_encoder.init_args.path = .*nowhere"):
        BERTTextEncoder(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="text_encoder.init_args.max_tokens 128 must be in 2..64"):
        BERTTextEncoder(str(folder))
    model = AutoModel.from_pretrained(folder)
    state = {name: value for name, value in model.state_dict().items() if "layer.1.output.dense" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lacks 2 weights, encoder.layer.1.output.dense.bias among them"):
        BERTTextEncoder(str(tmp_path), max_tokens=32)
