"""A bundle: a system as plain data, and what is said of one that is damaged."""

import copy

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from diffsound.bundle import read_bundle, write_bundle
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
from diffsound.text_encoder import CLIPTextEncoder, SmallTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import Generator, GriffinLim, MelGAN
from diffsound.vqvae import VQVAE, Decoder, Encoder, FiniteScalar, ReconstructionLoss

MEL = MelSettings()


def build(trainable=True, vocoder=None):
    torch.manual_seed(1)
    size = {"channels": 8, "channel_multipliers": [1], "res_blocks": 1, "z_channels": 8, "attention": False,
            "norm": "position", "patch_size": 16}
    codec = VQVAE(MEL, Encoder(**size), Decoder(**size), FiniteScalar([4, 4]), 2, ReconstructionLoss()).eval()
    denoiser = Denoiser(16, 6, 5, 4, layers=1, width=32, heads=2, condition_width=16)
    encoder = SmallTextEncoder(width=16, layers=1)
    if not trainable:
        encoder = CLIPTextEncoder({"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1})
        encoder.load_state_dict({name: torch.randn_like(value) for name, value in encoder.state_dict().items()})
    decoder = DiscreteDiffusion(encoder, denoiser, Mask(16, LinearSchedule(6)), CrossEntropy(), UniformTimesteps(6))
    decoder.facts = {"codec": codec.fingerprint, "steps": 3}
    return TextToSound(decoder.eval(), codec, vocoder or GriffinLim(MEL, iterations=1),
                       StridedSampler(3, guidance_scale=1.5), 4)


@pytest.fixture
def folder(tmp_path):
    write_bundle(build(), tmp_path / "a" / "bundle", "# card\n", {"origin": "a test"})
    return tmp_path / "a" / "bundle"


@pytest.mark.parametrize("trainable", [True, False], ids=["trained encoder", "frozen encoder"])
@pytest.mark.parametrize("vocoder", ["griffin-lim", "melgan"])
def test_a_system_comes_back_from_its_folder_alone(tmp_path, trainable, vocoder):
    network = None if vocoder == "griffin-lim" else MelGAN(MEL, Generator(channels=2, residual_layers=1), mel_weight=1)
    model = build(trainable, network)
    write_bundle(model, tmp_path / "b", "# card\n", {"origin": "a test"})
    again = TextToSound.from_bundle(str(tmp_path / "b"))
    for clip, other in zip(model(["rain"], [3]), again(["rain"], [3]), strict=True):
        assert torch.equal(clip.tokens, other.tokens)
        torch.testing.assert_close(clip.waveform, other.waveform, atol=1e-5, rtol=1e-4)
    assert (again.sampler.spec, again.columns) == (model.sampler.spec, 4)
    assert again.fingerprints == model.fingerprints
    bundle = read_bundle(tmp_path / "b")
    assert bundle.decoder.facts == model.decoder.facts
    assert bundle.facts == {"origin": "a test"}
    assert not any(p.requires_grad for part in bundle[:3] for p in part.parameters())


def test_sampler_and_length_can_be_others(folder):
    model = TextToSound.from_bundle(str(folder), StridedSampler(2), columns=2)
    assert (model.sampler.num_steps, model.columns) == (2, 2)
    assert model(["rain"], [0])[0].tokens.shape == (10,)
    with pytest.raises(ValueError, match="columns is 5, this decoder makes 1 to 4"):
        TextToSound.from_bundle(str(folder), columns=5)


def test_nothing_is_overwritten_and_nothing_half_is_left(folder, monkeypatch):
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_bundle(build(), folder, "")

    def disk_full(*args):
        raise OSError("no space left")

    monkeypatch.setattr("diffsound.bundle.save_file", disk_full)
    with pytest.raises(OSError, match="no space left"):
        write_bundle(build(), folder.with_name("c"), "")
    assert [file.name for file in folder.parent.iterdir()] == ["bundle"]


def test_a_folded_vocoder_is_not_written(tmp_path):
    model = build(vocoder=MelGAN(MEL, Generator(channels=2, residual_layers=1), mel_weight=1))
    model.vocoder.generator.fold_weight_norm()
    with pytest.raises(ValueError, match="normalisation is folded"):
        write_bundle(model, tmp_path / "b", "")


def edited(folder, edit):
    description = yaml.safe_load((folder / "bundle.yaml").read_text())
    edit(description)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description, sort_keys=False))


@pytest.mark.parametrize(("edit", "message"), [
    (lambda d: d.update(format=2), "format 2, this version reads format 1"),
    (lambda d: d.pop("parts"), "expected the keys"),
    (lambda d: d["parts"].pop("codec"), "does not fit together"),
    (lambda d: d["parts"]["codec"].update(class_path="os.system"), r"needs the class os\.system"),
    (lambda d: d["parts"]["decoder"]["init_args"]["denoiser"]["init_args"].update(width=64), "does not fit together"),
    (lambda d: d["parts"]["decoder"]["init_args"]["transition"]["init_args"].update(codebook_size=32),
     "codebook_size 16, the transition 32"),
    (lambda d: d["parts"]["decoder"].update(fingerprint="0"), "the decoder in the bundle .* damaged or mixed"),
])
def test_a_description_that_does_not_fit(folder, edit, message):
    edited(folder, edit)
    with pytest.raises(ValueError, match=message):
        TextToSound.from_bundle(str(folder))


def test_damaged_files(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "decoder.extra": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit together"):
        read_bundle(folder)
    save_file({**weights, "other.extra": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="1 weights of no part, other.extra among them"):
        read_bundle(folder)
    changed = copy.deepcopy(weights)
    changed["decoder.denoiser.head.bias"] += 1
    save_file(changed, folder / "model.safetensors")
    with pytest.raises(ValueError, match="the decoder in the bundle .* is not the one that was written"):
        TextToSound.from_bundle(str(folder))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="does not fit together"):
        read_bundle(folder)
    (folder / "bundle.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ValueError, match="is not YAML"):
        read_bundle(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no model.safetensors"):
        read_bundle(folder)
