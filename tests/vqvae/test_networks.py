import json

import pytest
import torch
from published import state_dict_of
from torch import nn

from diffsound.original import keys
from diffsound.vqvae import Codebook, Decoder, Encoder
from diffsound.vqvae.networks import PositionNorm

TINY = {"channels": 8, "channel_multipliers": [1, 2, 2], "res_blocks": 1, "z_channels": 6, "patch_size": 4}
LOCAL = TINY | {"attention": False, "norm": "position"}


def test_keys_and_shapes_are_those_of_the_published_checkpoint(shared_data):
    path = shared_data.parent / "reference" / "original-keys" / "vqvae.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    base = {"channels": 128, "channel_multipliers": [1, 1, 2, 2, 4], "res_blocks": 2, "z_channels": 256}
    with torch.device("meta"):
        codec = nn.ModuleDict({"encoder": Encoder(**base), "decoder": Decoder(**base), "quantize": Codebook(256, 256),
                               "quant_conv": nn.Conv2d(256, 256, 1), "post_quant_conv": nn.Conv2d(256, 256, 1)})
    published = {name: shape for name, shape in json.loads(path.read_text()).items() if not name.startswith("loss.")}
    assert {name: list(value.shape) for name, value in codec.state_dict().items()} == published


@pytest.mark.golden
def test_encoder_and_decoder_agree_with_the_original(golden):
    tensors, settings = golden("e_vqvae")
    config, (state, _) = settings["ddconfig"], keys.sort(state_dict_of(tensors), keys.CODEC, keys.CODEC_DROPS)
    sizes = {"channels": config["ch"], "channel_multipliers": config["ch_mult"],
             "res_blocks": config["num_res_blocks"], "z_channels": config["z_channels"]}
    codec = nn.ModuleDict({"encoder": Encoder(**sizes), "decoder": Decoder(**sizes),
                           "quantize": Codebook(settings["n_embed"], settings["embed_dim"]),
                           "quant_conv": nn.Conv2d(config["z_channels"], settings["embed_dim"], 1),
                           "post_quant_conv": nn.Conv2d(settings["embed_dim"], config["z_channels"], 1)})
    codec.load_state_dict(state)
    with torch.no_grad():
        encoded = codec["encoder"](tensors["mel"])
        rebuilt = codec["decoder"](codec["post_quant_conv"](tensors["quantized"]))
        torch.testing.assert_close(encoded, tensors["encoder_out"], atol=1e-4, rtol=0)
        torch.testing.assert_close(codec["quant_conv"](encoded), tensors["pre_quant"], atol=1e-4, rtol=0)
    torch.testing.assert_close(rebuilt, tensors["reconstruction"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("patch_size", "multipliers"), [(1, [1, 1, 1, 1, 2]), (4, [1, 2, 2]), (16, [1])])
def test_a_cell_is_16_by_16_at_every_patch_size(patch_size, multipliers):
    sizes = TINY | {"patch_size": patch_size, "channel_multipliers": multipliers}
    z = Encoder(**sizes)(torch.randn(2, 1, 80, 96))
    assert z.shape == (2, 6, 5, 6)
    assert Decoder(**sizes)(z).shape == (2, 1, 80, 96)


@pytest.mark.parametrize("part", [Encoder, Decoder])
def test_a_wrong_number_of_levels_is_refused(part):
    with pytest.raises(ValueError, match="patch_size 4 and 2 channel_multipliers shrink the picture by 8, expected"):
        part(**TINY | {"channel_multipliers": [1, 2]})


def test_position_norm_looks_at_one_position_only():
    norm = PositionNorm(8)
    x = torch.randn(1, 8, 3, 4, requires_grad=True)
    norm(x)[0, :, 1, 2].square().sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    assert touched.nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize(("choice", "changes_far_away"), [
    ({}, False), ({"norm": "group"}, True), ({"attention": True}, True)], ids=["local", "group norm", "attention"])
def test_only_a_local_encoder_ignores_far_away_sound(choice, changes_far_away):
    encoder = Encoder(**LOCAL | choice)
    x = torch.randn(1, 1, 80, 16 * 40)
    louder_end = x.clone()
    louder_end[..., -16:] *= 3
    with torch.no_grad():
        change = (encoder(louder_end) - encoder(x)).abs().amax((0, 1, 2))
    assert change[-1] > 0
    assert bool((change[:20] > 0).any()) == changes_far_away
