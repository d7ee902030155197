"""How the parts are joined; the joined chain itself runs in test_smoke.py."""

import pytest
import torch
from tiny_system import tiny_codec, tiny_decoder

from diffsound.callbacks.clip_writer import clip_name
from diffsound.diffusion import (
    CrossEntropy,
    Denoiser,
    DiscreteDiffusion,
    LinearSchedule,
    Mask,
    StridedSampler,
    UniformTimesteps,
)
from diffsound.mel import MelSettings
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import GriffinLim

MEL = MelSettings()


@pytest.fixture(scope="module")
def codec():
    return tiny_codec(MEL)


@pytest.fixture(scope="module")
def decoder(codec):
    module = tiny_decoder(codec, layers=2, text="prefix", positions="column")
    for parameter in module.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.fixture(scope="module")
def model(codec, decoder):
    return TextToSound(decoder, codec, GriffinLim(MEL, iterations=2), StridedSampler(6, guidance_scale=1.5), columns=4)


TEXTS = ["rain", "a dog barks three times, then a very long train passes by", "wind", "a bell", "rain"]
SEEDS = [3, 1, 4, 1, 3]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [1, 0], [2]])
def test_a_clip_is_a_function_of_text_and_seed(model, order):
    together = model([TEXTS[i] for i in order], [SEEDS[i] for i in order])
    for i, clip in zip(order, together, strict=True):
        alone = model([TEXTS[i]], [SEEDS[i]])[0]
        assert torch.equal(clip.tokens, alone.tokens)
        torch.testing.assert_close(clip.waveform, alone.waveform, atol=1e-5, rtol=1e-4)


def test_threads_do_not_change_the_tokens(model):
    threads = torch.get_num_threads()
    tokens = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            tokens.append(model(TEXTS[:2], SEEDS[:2])[1].tokens)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*tokens)


def test_the_seed_decides_and_the_text_matters(model):
    a, b = model(["rain", "rain"], [1, 2])
    c = model(["a dog"], [1])[0]
    assert not torch.equal(a.tokens, b.tokens)
    assert not torch.equal(a.tokens, c.tokens)


def test_the_sidecar_holds_what_made_the_clip(model):
    sidecar = model(["rain"], [5])[0].sidecar
    assert (sidecar["text"], sidecar["seed"], sidecar["grid"]) == ("rain", 5, {"rows": 5, "columns": 4})
    assert sidecar["sampler"]["init_args"]["guidance_scale"] == 1.5
    assert set(sidecar["parts"]) == {"decoder", "codec", "vocoder"}
    assert len(sidecar["tokens"]) == 20


def test_a_negative_prompt_changes_the_clip_and_is_noted(model):
    (plain,), (other,), (same,) = (model(["rain"], [5], negatives) for negatives in (None, ["wind"], ["wind"]))
    assert not torch.equal(plain.tokens, other.tokens)
    assert torch.equal(other.tokens, same.tokens)
    assert (plain.sidecar["negative"], other.sidecar["negative"]) == (None, "wind")
    both = model(["a bell rings three times", "rain"], [1, 5], ["a long sentence with many words", "wind"])
    assert torch.equal(both[1].tokens, other.tokens)


@pytest.mark.parametrize(("seeds", "negatives", "message"), [([1], None, "2 clips and 1 seeds"),
                                                             ([1, 2], ["wind"], "2 texts and 1 negatives")])
def test_every_text_has_its_seed(model, seeds, negatives, message):
    with pytest.raises(ValueError, match=message):
        model(["rain", "wind"], seeds, negatives)
    with torch.no_grad(), pytest.raises(ValueError, match="1 texts, 2 generators"):
        model.decoder.generate(model.decoder.condition(["rain"]), 2, model.sampler, [torch.Generator()] * 2)


def test_guidance_asks_for_something_to_steer_away_from(codec, decoder):
    unguided = TextToSound(decoder, codec, GriffinLim(MEL, iterations=1), StridedSampler(2), 2)
    with pytest.raises(ValueError, match="does nothing at sampler"):
        unguided(["rain"], [0], ["wind"])
    trained = DiscreteDiffusion(decoder.encoder, decoder.denoiser, decoder.transition, CrossEntropy(),
                                UniformTimesteps(6), text_dropout=0).eval()
    trained.facts = decoder.facts
    guided = TextToSound(trained, codec, GriffinLim(MEL, iterations=1), StridedSampler(2, guidance_scale=2), 2)
    with pytest.raises(ValueError, match="trained with text_dropout 0"):
        guided(["rain"], [0])
    assert guided(["rain"], [0], [""])[0].tokens.shape == (10,)


def test_parts_that_do_not_belong_together_are_refused(codec, decoder):
    other = DiscreteDiffusion(SmallTextEncoder(width=16, layers=1), decoder.denoiser, decoder.transition,
                              CrossEntropy(), UniformTimesteps(6))
    other.facts = {"codec": "0123456789abcdef"}
    with pytest.raises(ValueError, match="trained on tokens of codec 0123456789abcdef"):
        TextToSound(other, codec, GriffinLim(MEL), StridedSampler(6), 4)
    with pytest.raises(ValueError, match=r"mel\.f_max: codec 7600.0, vocoder 8000"):
        TextToSound(decoder, codec, GriffinLim(MelSettings(f_max=8000)), StridedSampler(6), 4)
    with pytest.raises(ValueError, match="num_steps is 7"):
        TextToSound(decoder, codec, GriffinLim(MEL), StridedSampler(7), 4)
    with pytest.raises(ValueError, match="columns is 5"):
        TextToSound(decoder, codec, GriffinLim(MEL), StridedSampler(6), 5)


@pytest.mark.parametrize(("text", "message"), [("", "empty prompt"), ("  ", "empty prompt"),
                                               ("dog " * 300, "word pieces, this system reads")])
def test_prompts_that_cannot_be_read_are_refused(model, text, message):
    with pytest.raises(ValueError, match=message):
        model([text], [0])


def test_parts_of_other_sizes_are_named():
    def build(codes=16, steps=6, width=16):
        network = Denoiser(16, 6, 5, 4, layers=1, width=16, heads=2, condition_width=16)
        return DiscreteDiffusion(SmallTextEncoder(width=width, layers=1), network,
                                 Mask(codes, LinearSchedule(steps)), CrossEntropy(), UniformTimesteps(6))

    for options, message in [({"codes": 32}, "codebook_size 16, the transition 32"),
                             ({"steps": 7}, "num_timesteps 6, the transition 7"),
                             ({"width": 32}, "condition_width 16, the text encoder 32")]:
        with pytest.raises(ValueError, match=message):
            build(**options)


@pytest.mark.parametrize(("text", "name"), [("A dog barks!", "007-a-dog-barks"), ("../../etc", "007-etc"),
                                            ("狗叫", "007"), ("x" * 90, "007-" + "x" * 48)])
def test_file_names_are_safe(text, name):
    assert clip_name(7, text) == name
