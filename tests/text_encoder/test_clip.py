"""CLIP's text tower: published token ids and features, weights from several places, never random ones."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from published import state_dict_of
from safetensors.torch import load_file, save_file

from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.text_encoder import CLIPTextEncoder

TEXTS = ["a dog barks", "rain falls, then a man speaks while a bell rings", "", "[MASK] dog [MASK]"]


def register(folder, name: str, embed_dim: int = 32, **text) -> str:
    """Make open_clip know a model of which only the text tower matters."""
    config = {"embed_dim": embed_dim, "quick_gelu": True, "text_cfg": text,
              "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}}
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")
    return name


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(model name, file of random weights): CLIP's own vocabulary and length, but two narrow layers."""
    folder = tmp_path_factory.mktemp("clip")
    name = register(folder, "tiny-clip", 24, context_length=77, vocab_size=49408, width=32, heads=2, layers=2)
    torch.manual_seed(0)
    state = open_clip.create_model(name).state_dict()
    state = {key: value.contiguous() for key, value in state.items()}
    save_file(state, folder / "weights.safetensors")
    return name, folder / "weights.safetensors"


@pytest.fixture(scope="module")
def encoder(tiny):
    return CLIPTextEncoder(tiny[0], str(tiny[1]))


@pytest.mark.golden
@pytest.mark.filterwarnings("ignore:a text of")
def test_token_ids_are_the_published_ones(golden, tiny):
    tensors, settings = golden("m_text")
    ids, mask = CLIPTextEncoder(tiny[0], str(tiny[1])).token_ids(settings["texts"])
    assert torch.equal(ids, tensors["token"][:, :ids.shape[1]])
    assert torch.equal(mask, tensors["mask"][:, :ids.shape[1]])
    padded, attended = CLIPTextEncoder(tiny[0], str(tiny[1]), attend_padding=True).token_ids(settings["texts"])
    assert torch.equal(padded, tensors["token"])
    assert attended.all()


def test_the_mask_is_one_word_piece_and_needs_no_weights(encoder):
    assert CLIPTextEncoder.read_mask_token(path="absent") == encoder.mask_token == "mask"
    assert len(encoder.tokenize(encoder.mask_token)) == 3  # with start and end
    dog = encoder.tokenize("dog")[1]
    assert encoder.tokenize("mask dog mask")[2] == dog


@pytest.mark.golden
def test_features_are_the_published_ones(golden, tmp_path):
    tensors, settings = golden("m_text")
    c = settings["clip_config"]
    name = register(tmp_path, "golden-clip", c["projection"], context_length=c["context"], vocab_size=c["vocab"],
                    width=c["width"], heads=c["heads"], layers=c["layers"])
    save_file(state_dict_of(tensors), tmp_path / "weights.safetensors")
    encoder = CLIPTextEncoder(name, str(tmp_path / "weights.safetensors"), max_tokens=c["context"])
    ids = tensors["clip_ids"]
    features = encoder.embed(ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(features, tensors["clip_features"], rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.embed(ids[:, :7], ids[:, :7] > -1), features[:, :7])  # causal
    pooling = CLIPTextEncoder(name, str(tmp_path / "weights.safetensors"), max_tokens=c["context"], pooled=True)
    pooled = pooling.embed(ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(pooled, tensors["clip_pooled_projected"][:, None], rtol=0, atol=1e-5)


def test_embeddings_have_length_one_and_a_text_does_not_depend_on_the_others(encoder):
    together = encoder(TEXTS)
    torch.testing.assert_close(together.embeddings.norm(dim=-1), together.mask.float())
    fresh = CLIPTextEncoder(*encoder.spec["init_args"].values())
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(fresh([text]).embeddings[0], together.embeddings[row][together.mask[row]])


def test_attended_padding_fills_all_positions_and_leaves_the_text_alone(tiny, encoder):
    attending = CLIPTextEncoder(tiny[0], str(tiny[1]), attend_padding=True)
    condition = attending(TEXTS)
    assert condition.mask.shape == (4, 77)
    assert condition.mask.all()
    plain = encoder(TEXTS)
    torch.testing.assert_close(condition.embeddings[:, :plain.mask.shape[1]][plain.mask], plain.embeddings[plain.mask])


def test_pooled_is_the_end_token_projected_whatever_stands_behind_it(tiny, encoder):
    pooling = CLIPTextEncoder(tiny[0], str(tiny[1]), pooled=True)
    condition = pooling(TEXTS)
    assert pooling.width == 24
    assert condition.embeddings.shape == (4, 1, pooling.width)
    assert condition.mask.shape == (4, 1)
    assert condition.mask.all()
    plain = encoder(TEXTS)
    last = plain.embeddings[torch.arange(4), plain.mask.sum(1) - 1]  # of length 1
    expected = torch.nn.functional.normalize(last @ load_file(tiny[1])["text_projection"], dim=-1)
    torch.testing.assert_close(torch.nn.functional.normalize(condition.embeddings[:, 0], dim=-1), expected)
    assert (condition.embeddings.norm(dim=-1) - 1).abs().min() > 1e-2  # but not scaled itself
    attending = CLIPTextEncoder(tiny[0], str(tiny[1]), pooled=True, attend_padding=True)
    torch.testing.assert_close(attending(TEXTS).embeddings, condition.embeddings)
    torch.testing.assert_close(pooling(TEXTS[2:]).embeddings, condition.embeddings[2:])


def test_pooled_needs_a_projection(tiny, tmp_path):
    state = load_file(tiny[1])
    del state["text_projection"]
    save_file(state, tmp_path / "no-projection.safetensors")
    with pytest.raises(ValueError, match="does not fit .*text_projection"):
        CLIPTextEncoder(tiny[0], str(tmp_path / "no-projection.safetensors"), pooled=True)


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_pooled_text_conditions_the_published_baseline(tiny):
    encoder = CLIPTextEncoder(tiny[0], str(tiny[1]), pooled=True)
    network = GPT(codebook_size=6, rows=3, max_columns=4, layers=1, width=16, heads=2, condition_width=encoder.width,
                  positions="sequence")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    decoder = Autoregressive(encoder, network, text_dropout=0.5)
    batch = {"tokens": torch.randint(6, (4, 12)), "text": TEXTS}
    decoder.train()
    decoder.training_step(batch, 0).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.text_projection.parameters())
    decoder.eval()
    generators = [torch.Generator().manual_seed(0) for _ in TEXTS]
    tokens = decoder.generate(decoder.condition(TEXTS), 4, AutoregressiveSampler(guidance_scale=2.0), generators)
    assert tokens.shape == (4, 12)
    assert len(tokens.unique(dim=0)) > 1  # the same noise, another text


def test_the_order_of_words_matters(encoder):
    a, b = encoder(["a dog then a bell", "a bell then a dog"]).embeddings
    assert (a[-1] - b[-1]).abs().max() > 1e-3


def test_folders_and_pickled_state_dicts_hold_the_same_weights(tiny, encoder, tmp_path):
    state = load_file(tiny[1])
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "clip.pt")
    save_file(state, tmp_path / "open_clip_model.safetensors")
    for path in (tmp_path / "clip.pt", tmp_path):
        assert torch.equal(CLIPTextEncoder(tiny[0], str(path))(TEXTS).embeddings, encoder(TEXTS).embeddings)


def test_weights_of_transformers_are_the_same_under_other_names(tmp_path):
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(1)
    theirs = CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=49408, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        hidden_act="quick_gelu", eos_token_id=49407, projection_dim=24)).eval()
    theirs.save_pretrained(tmp_path)
    text_tower = load_file(tmp_path / "model.safetensors")
    bare = {key.removeprefix("text_model."): value for key, value in text_tower.items()}  # as in a CLIPTextModel
    image_tower = {f"vision_model.{key}": value + 1 for key, value in bare.items()}  # as in a whole CLIPModel
    save_file(bare, tmp_path / "bare.safetensors")
    save_file(text_tower | image_tower, tmp_path / "clip.safetensors")
    name = register(tmp_path, "tiny-clip-2", 24, context_length=77, vocab_size=49408, width=32, heads=2, layers=2)
    for path in (tmp_path, tmp_path / "bare.safetensors", tmp_path / "clip.safetensors"):
        encoder = CLIPTextEncoder(name, str(path))
        ids, mask = encoder.token_ids(TEXTS)
        expected = theirs(ids)
        torch.testing.assert_close(encoder.embed(ids, mask),
                                   torch.nn.functional.normalize(expected.last_hidden_state, dim=-1), rtol=0, atol=1e-5)
        pooled = CLIPTextEncoder(name, str(path), pooled=True).embed(ids, mask)
        torch.testing.assert_close(pooled, expected.text_embeds[:, None], rtol=0, atol=1e-5)


def test_frozen_unless_trainable(tiny, encoder):
    assert not any(p.requires_grad for p in encoder.parameters())
    trainable = CLIPTextEncoder(tiny[0], str(tiny[1]), trainable=True)
    trainable.train()(TEXTS).embeddings.sum().backward()
    assert all(p.grad is not None for p in trainable.parameters())


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_missing_or_unfitting_weights_say_what_to_do(tiny, tmp_path, monkeypatch):
    name, file = tiny
    with pytest.raises(ValueError, match="no CLIP weights at text_encoder.init_args.path = /nowhere/clip.pt"):
        CLIPTextEncoder(name, "/nowhere/clip.pt")
    with pytest.raises(ValueError, match="open_clip_model.safetensors"):
        CLIPTextEncoder(name, str(tmp_path))
    with pytest.raises(ValueError, match="none of open_clip's tags"):
        CLIPTextEncoder(name, pretrained="openai")
    with pytest.raises(ValueError, match="set text_encoder.init_args.path"):
        CLIPTextEncoder(name, pretrained=None)
    with pytest.raises(ValueError, match="does not fit text_encoder.init_args.model 'ViT-B-32-quickgelu'"):
        CLIPTextEncoder(path=str(file))
    with pytest.raises(ValueError, match="not an open_clip model with a plain CLIP text tower"):
        CLIPTextEncoder("roberta-ViT-B-32", str(file))
    with pytest.raises(ValueError, match="text_encoder.init_args.max_tokens 78"):
        CLIPTextEncoder(name, str(file), max_tokens=78)
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "program.pt")
    with pytest.raises(ValueError, match="not a plain state dict"):
        CLIPTextEncoder(name, str(tmp_path / "program.pt"))

    def no_network(*args, **kwargs):
        raise FileNotFoundError("no network")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", no_network)
    for source in ("openai", "hf-hub:owner/name"):
        with pytest.raises(ValueError, match="could not be downloaded from .*set text_encoder.init_args.path"):
            CLIPTextEncoder(pretrained=source)


def test_sizes_alone_make_a_tower_that_waits_for_its_weights(tiny, encoder):
    sizes = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, "quick_gelu": True}
    empty = CLIPTextEncoder(sizes)
    assert all(value.isnan().all() for value in empty.state_dict().values())  # never random
    for waiting in (empty, CLIPTextEncoder(sizes, trainable=True)):
        with pytest.raises(ValueError, match=r"sizes but no weights: set text_encoder\.init_args\.path"):
            waiting(["a dog"])
    with pytest.raises(ValueError, match=r"init_args\.pooled needs embed_dim"):
        CLIPTextEncoder(sizes, pooled=True)
    empty.load_state_dict(encoder.state_dict())
    assert torch.equal(empty(TEXTS).embeddings, encoder(TEXTS).embeddings)
    assert torch.equal(CLIPTextEncoder(sizes, str(tiny[1]))(TEXTS).embeddings, encoder(TEXTS).embeddings)
