"""The captioner learns to say what it hears, ends, and survives a checkpoint."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from diffsound.attention import KeyValueCache
from diffsound.captioner import Captioner, MelEncoder, TextDecoder
from diffsound.data.loading import collate
from diffsound.mel import MelSettings
from diffsound.scenes import SceneDataset, Structure, World, read
from diffsound.scenes.world import DRAW
from diffsound.text_encoder.word_pieces import build_tokenizer, join_pieces, read_vocabulary

MEL = MelSettings()
SMALL = {"width": 64, "blocks": 1, "layers": 1, "heads": 2, "max_tokens": 24}


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_it_learns_a_few_scenes_by_heart_and_keeps_them_in_a_checkpoint(tmp_path):
    scenes = [SceneDataset(4, num_samples=44100, seed=1)[i] for i in range(4)]
    scenes = [{**scene, "captions": scene["captions"][:1]} for scene in scenes]
    captioner = Captioner(MEL, **SMALL, roughen=0, learning_rate=5e-3, warmup_steps=5)
    loader = DataLoader(scenes, batch_size=4, collate_fn=collate)
    trainer = Trainer(max_steps=60, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(captioner, loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = Captioner.from_checkpoint(tmp_path / "last.ckpt")
    said = again.caption(torch.stack([scene["waveform"] for scene in scenes]))
    right = [read(text) == Structure.from_dict(scene["structure"]) for text, scene in zip(said, scenes, strict=True)]
    assert sum(right) >= 3
    alone = again.caption(scenes[2]["waveform"][None])
    assert alone == said[2:3]  # whatever is beside it


def test_word_by_word_it_says_what_all_at_once_would_say():
    torch.manual_seed(0)
    decoder, sound = TextDecoder(50, width=32, heads=2, max_tokens=9).eval(), torch.randn(2, 7, 32)
    ids = torch.randint(50, (2, 9))
    caches = [KeyValueCache() for _ in decoder.blocks]
    steps = [decoder.next_logits(ids[:, i], i, sound, caches) for i in range(9)]
    torch.testing.assert_close(torch.stack(steps, 1), decoder(ids, sound))


def test_a_word_does_not_depend_on_later_words_but_on_the_sound():
    decoder, sound = TextDecoder(50, width=32, heads=2).eval(), torch.randn(1, 7, 32)
    ids = torch.randint(50, (1, 9))
    other = ids.clone()
    other[:, 5:] = 3
    torch.testing.assert_close(decoder(ids, sound)[:, :5], decoder(other, sound)[:, :5])
    assert not torch.allclose(decoder(ids, sound), decoder(ids, sound.flip(1) + 1))


def test_length_is_limited_and_nothing_special_is_said():
    captioner = Captioner(MEL, **SMALL).eval()
    with torch.no_grad():
        captioner.decoder.bias[captioner.unsaid] = 1e3
        captioner.decoder.bias[captioner.end] = -1e3  # never ends by itself
        texts = captioner.caption(torch.rand(2, 22050))
        assert all(text and "[" not in text for text in texts)
        assert all(len(captioner.tokenizer.encode(text).ids) <= 24 for text in texts)
        captioner.decoder.bias[captioner.end] = 2e3
        assert captioner.caption(torch.rand(2, 22050)) == ["", ""]


def test_a_text_without_a_list_of_captions_is_learned_too():
    """As in batches of recordings: a random one is drawn there."""
    captioner = Captioner(MEL, **SMALL).eval()
    captioner.log = lambda *arguments, **options: None
    texts = ["a dog barks", "a very long text " * 30]
    loss = captioner.training_step({"waveform": torch.rand(2, 16000), "text": texts}, 0)
    assert loss.isfinite()


def test_padding_costs_nothing():
    captioner = Captioner(MEL, **SMALL).eval()
    sound = torch.randn(1, 5, 64).expand(2, -1, -1)
    short, long = "a dog barks", "a dog barks, then rain falls"
    each = [float(captioner._caption_loss(sound[:1], [text])) for text in (short, long)]
    pieces = [len(captioner.tokenizer.encode(text).ids) + 1 for text in (short, long)]
    mean = sum(loss * number for loss, number in zip(each, pieces, strict=True)) / sum(pieces)
    assert float(captioner._caption_loss(sound, [short, long])) == pytest.approx(mean, rel=1e-5)


def test_words_of_another_vocabulary_are_refused():
    captioner = Captioner(MEL, **SMALL)
    weights = captioner.state_dict()
    weights["vocabulary_checksum"] = weights["vocabulary_checksum"] + 1
    with pytest.raises(ValueError, match="captioner was trained with another vocabulary.txt"):
        captioner.load_state_dict(weights)


def test_any_mel_and_length():
    for n_mels, frames in ((80, 336), (64, 100), (40, 8)):
        sound = MelEncoder(n_mels, width=32, blocks=1).eval()(torch.rand(2, n_mels, frames))
        assert sound.shape == (2, -(-frames // 8), 32)


def test_captions_survive_the_way_to_pieces_and_back():
    world = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)
    vocabulary = read_vocabulary()
    tokenizer = build_tokenizer(vocabulary)
    scenes = SceneDataset(60, num_samples=86016, seed=2, world=world)
    texts = [text for i in range(20) for text in scenes[i]["captions"]]
    texts += ["a horn at 1.5 seconds, (then) silence: what's that? a tick-tock!", ""]
    for text in texts:
        assert join_pieces(vocabulary[i] for i in tokenizer.encode(text).ids) == text


def test_a_batch_of_scenes_is_judged_by_exact_structure():
    logged = {}
    captioner = Captioner(MEL, **SMALL).eval()
    captioner._trainer = None
    captioner.log = lambda name, value, **options: logged.update({name: float(value)})
    scene = SceneDataset(1, num_samples=44100)[0]
    captioner.caption = lambda waveform: [scene["captions"][3]]
    captioner.validation_step(collate([scene]), 0)
    assert logged["val/exact"] == 1
    captioner.caption = lambda waveform: ["a dog barks, then it is silent"]
    captioner.validation_step(collate([scene]), 0)
    assert logged["val/exact"] == 0
    assert logged["val/loss"] > 0
