"""The networks of MelGAN: published numbers and keys, lengths, widths, weight normalisation."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from published import state_dict_of

from diffsound.original import keys
from diffsound.vocoder import Discriminator, Generator
from diffsound.vocoder.networks import Conv1d


@pytest.fixture
def generator():
    return Generator(n_mels=6, channels=4, residual_layers=2, ratios=(5, 4, 2))


@pytest.mark.golden
def test_generator_gives_the_published_numbers(golden):
    tensors, settings = golden("f_melgan")
    c = settings["config"]
    generator = Generator(c["n_mel_channels"], c["ngf"], c["n_residual_layers"], tuple(c["ratios"]))
    generator.load_state_dict(keys.sort(state_dict_of(tensors), keys.MELGAN)[0])
    torch.testing.assert_close(generator(tensors["mel"]), tensors["wave"].squeeze(1), rtol=0, atol=1e-4)


@pytest.mark.golden
@pytest.mark.parametrize(("network", "name"), [(Generator, "melgan"), (Discriminator, "melgan_discriminator")])
def test_published_sizes_have_the_published_keys(network, name):
    path = Path(__file__).parents[3] / "shared" / "reference" / "original-keys" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with torch.device("meta"):
        shapes = {key: list(value.shape) for key, value in network().state_dict().items()}
    assert shapes == json.loads(path.read_text())


def test_weight_has_the_norm_g_and_the_direction_v():
    conv = Conv1d(3, 5, 4)
    with torch.no_grad():
        conv.weight_g.copy_(torch.arange(1.0, 6)[:, None, None])
    torch.testing.assert_close(conv.weight.norm(dim=(1, 2)), torch.arange(1.0, 6))
    torch.testing.assert_close(torch.cosine_similarity(conv.weight.flatten(1), conv.weight_v.flatten(1)), torch.ones(5))


def test_folding_keeps_the_output(generator):
    mel = torch.rand(2, 6, 9)
    expected = generator(mel)
    folded = copy.deepcopy(generator).fold_weight_norm()
    assert not any("weight_g" in name for name in folded.state_dict())
    torch.testing.assert_close(folded(mel), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("frames", [4, 5, 31])
def test_every_frame_becomes_one_hop_of_samples(generator, frames):
    waveform = generator(torch.rand(2, 6, frames))
    assert waveform.shape == (2, frames * 40)
    assert waveform.abs().max() <= 1


def test_without_gradients_it_makes_the_same_sound(generator):
    mel = torch.rand(3, 6, 21)
    given, expected = mel.clone(), generator(mel).detach()
    with torch.no_grad():
        torch.testing.assert_close(generator(mel), expected, rtol=0, atol=1e-6)
    assert torch.equal(mel, given)  # nothing of it was overwritten


def test_too_few_frames_are_refused(generator):
    with pytest.raises(ValueError, match="3 frames"):
        generator(torch.rand(1, 6, 3))


@pytest.mark.parametrize(("channels", "max_channels"), [(16, 1024), (4, 16), (12, 100), (32, 2048), (8, 8)])
def test_discriminator_widths_grow_to_their_maximum_and_fit_each_other(channels, max_channels):
    maps = Discriminator(2, channels, max_channels)(torch.randn(1, 1024))
    widths = [channels]
    for _ in range(4):
        widths.append(min(4 * widths[-1], max_channels))
    widths += [min(2 * widths[-1], max_channels), 1]
    assert [[m.shape[1] for m in scale] for scale in maps] == [widths] * 2


def test_each_scale_hears_half_the_sample_rate_of_the_one_before():
    maps = Discriminator(3, 4, 16)(torch.randn(2, 4096))
    assert [scale[0].shape[-1] for scale in maps] == [4096, 2048, 1024]
