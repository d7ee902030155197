"""The small encoder: every text has pieces, the vocabulary is checked, it learns and comes back."""

from __future__ import annotations

import copy
import csv
import string

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from diffsound.text_encoder import SmallTextEncoder, trained
from diffsound.text_encoder.vocabulary import SPECIAL, WORDS, build_vocabulary, main, read_texts, shared_pieces
from diffsound.text_encoder.word_pieces import VOCABULARY, build_tokenizer, read_vocabulary

TEXTS = ["a dog barks, then rain falls", "a bell rings while wind blows", "two knocks", "a cat meows three times"] * 4


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(read_vocabulary())


def test_vocabulary_is_one_of_different_pieces_and_pads_with_zero():
    vocabulary = read_vocabulary()
    assert tuple(vocabulary[:4]) == SPECIAL == ("[PAD]", "[UNK]", "[MASK]", "[END]")
    assert len(vocabulary) == len(set(vocabulary))
    assert 3000 < len(vocabulary) < 4500
    assert all(piece == piece.strip() and piece for piece in vocabulary)


@pytest.mark.parametrize("text", [string.printable, "supercalifragilistic", "Café “naïve” — it’s", "x" * 300, "R2D2!?"])
def test_every_ascii_text_has_pieces(tokenizer, text):
    assert "[UNK]" not in tokenizer.encode(text).tokens


def test_the_mask_is_one_piece_and_needs_no_weights(tokenizer):
    assert SmallTextEncoder.read_mask_token() == "[MASK]"
    assert tokenizer.encode("[MASK] dog").tokens == ["[MASK]", "dog"]


def test_pieces_spell_the_text(tokenizer):
    pieces = tokenizer.encode("An Unheardofword, [MASK] twice!").tokens
    assert "".join(piece.removeprefix("##") for piece in pieces) == "anunheardofword,[MASK]twice!"
    assert pieces[-4:] == [",", "[MASK]", "twice", "!"]


def test_words_of_scene_captions_are_whole(tokenizer):
    from diffsound.scenes import all_words

    assert [word for word in all_words() if len(tokenizer.encode(word).tokens) != 1] == []


def test_captions_that_people_write_stay_short(tokenizer, shared_data):
    with (shared_data / "captions" / "audiocaps" / "val.csv").open() as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    words = sum(len(caption.split()) for caption in captions)
    assert sum(len(tokenizer.encode(caption).ids) for caption in captions) < 1.25 * words


def test_vocabulary_holds_all_words_and_shares_pieces():
    words = [f"{start}{end}" for start in "abcdefghijklm" for end in ("ing", "ed")]
    vocabulary = build_vocabulary([" ".join(words), "aing"])
    assert set(words) <= set(vocabulary)
    assert vocabulary[len(SPECIAL):].index("aing") < vocabulary[len(SPECIAL):].index("bing")  # the more frequent first
    assert list(shared_pieces(words)) == ["##ng", "##ing", "##ed"]


def test_the_file_in_the_package_contains_what_the_program_makes_of_our_own_words(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["vocabulary", "--output", str(tmp_path / "v.txt")])
    main()
    own = (tmp_path / "v.txt").read_text().split("\n")
    assert f"{len(own)} entries" in capsys.readouterr().out
    words = {word for line in read_texts(WORDS) for word in line.split()}
    assert words <= set(own)
    assert words <= set(VOCABULARY.read_text().split("\n"))


def test_texts_are_read_from_lines_and_from_caption_columns(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo")
    (tmp_path / "b.csv").write_text('file,caption_1,caption_2,display_name\nx.wav,"three, four",five,six\n')
    assert read_texts(tmp_path / "a.txt") == ["one", "two"]
    assert read_texts(tmp_path / "b.csv") == ["three, four", "five", "six"]


def test_positions_are_loud_enough_beside_words():
    encoder = SmallTextEncoder()
    assert abs(encoder.word.weight.std() - 0.5) < 0.02
    assert abs(encoder.position.std() - 0.3) < 0.02


def test_masked_words_are_learned_and_the_checkpoint_brings_the_encoder_back(tmp_path):
    encoder = SmallTextEncoder(width=32, learning_rate=3e-3, warmup_steps=0)
    untrained = encoder._masked_word_loss(TEXTS * 4, torch.Generator().manual_seed(0)).item()
    trainer = Trainer(max_epochs=15, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)
    data = [{"text": text} for text in TEXTS * 4]
    trainer.fit(encoder, DataLoader(data, batch_size=16), DataLoader(data, batch_size=64))
    assert trainer.callback_metrics["val/loss"] < 0.8 * untrained

    trainer.save_checkpoint(tmp_path / "small.ckpt")
    loaded = SmallTextEncoder.from_checkpoint(tmp_path / "small.ckpt")
    torch.testing.assert_close(loaded(TEXTS).embeddings, encoder.eval()(TEXTS).embeddings)


@pytest.mark.parametrize(("dilations", "reach"), [(None, 4), ([1, 1], 4), ([1, 4], 10)])
def test_a_word_is_read_with_as_many_neighbours_as_the_convolutions_reach(dilations, reach):
    encoder = SmallTextEncoder(width=16, layers=2, dilations=dilations).eval()
    words = ["dog"] * 30
    start = encoder([" ".join(words)]).embeddings[0]
    words[15] = "rain"
    changed = (encoder([" ".join(words)]).embeddings[0] - start).abs().amax(1) > 1e-6
    assert changed.nonzero().flatten().tolist()[0] == 15 - reach
    assert changed.nonzero().flatten().tolist()[-1] == 15 + reach


def test_dilations_of_other_layers_are_refused():
    with pytest.raises(ValueError, match=r"dilations is \[1, 2\], expected 3"):
        SmallTextEncoder(width=16, layers=3, dilations=[1, 2])


def test_a_text_without_masked_words_has_no_loss():
    assert SmallTextEncoder(width=32)._masked_word_loss([""]) == 0


def test_another_vocabulary_is_refused():
    encoder = SmallTextEncoder(width=32)
    state = copy.deepcopy(encoder.state_dict())
    encoder.load_state_dict(state)
    state["vocabulary_checksum"] += 1
    with pytest.raises(ValueError, match=r"another vocabulary\.txt"):
        encoder.load_state_dict(state)


def test_a_word_is_told_by_its_neighbours_and_no_further():
    encoder = SmallTextEncoder(width=32, layers=2).eval()
    after, before, far = encoder(["rain after a dog barks near the old stone house again",
                                  "rain before a dog barks near the old stone house again",
                                  "wind after a dog barks near the old stone house again"]).embeddings
    differs = (before != after).any(-1)
    assert differs[:6].all()  # two layers of two words each way from word 1
    assert not differs[6:].any()
    assert not (after == far).all()
    assert torch.equal(after[5:], far[5:])


def test_a_loaded_encoder_stays_as_it_was_inside_a_module_that_trains(tmp_path):
    encoder = SmallTextEncoder(width=16, dropout=0.5)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(encoder)
    trainer.save_checkpoint(tmp_path / "small.ckpt")
    held = torch.nn.ModuleList([trained(str(tmp_path / "small.ckpt"))]).train()[0]
    torch.testing.assert_close(held(TEXTS).embeddings, held(TEXTS).embeddings, rtol=0, atol=0)
    assert encoder.train().training  # one that learns has its dropout
