"""What saves memory, gradient checkpointing and bfloat16, leaves the training as it is."""

from __future__ import annotations

import pytest
import torch
from training_process import DECODERS, fit, write_store

from diffsound.autoregressive import GPT
from diffsound.checkpoint import load_module, rebuild
from diffsound.diffusion import Denoiser
from diffsound.text_encoder import Condition

SIZE = {"rows": 3, "max_columns": 4, "layers": 2, "width": 16, "heads": 2, "condition_width": 8, "dropout": 0.5}
NETWORKS = {"denoiser": lambda **options: Denoiser(7, 10, **SIZE, **options),
            "prefix": lambda **options: Denoiser(7, 10, text="prefix", positions="column", **SIZE, **options),
            "gpt": lambda **options: GPT(7, **SIZE, **options)}


def gradients(network, tokens, condition):
    """With dropout, and how often the blocks were computed."""
    calls = []
    for block in network.blocks:
        block.feed.register_forward_pre_hook(lambda *_: calls.append(1))
    torch.manual_seed(5)
    steps = (torch.tensor([3, 9]),) if isinstance(network, Denoiser) else ()
    network(tokens, *steps, condition).square().mean().backward()
    return {name: weight.grad for name, weight in network.named_parameters()}, len(calls)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_gradient_checkpointing_computes_blocks_twice_and_the_same_gradients(make):
    plain, thrifty = make(), make(gradient_checkpointing=True)
    thrifty.load_state_dict(plain.state_dict())
    tokens, condition = torch.randint(7, (2, 12)), Condition(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
    expected, once = gradients(plain, tokens, condition)
    found, twice = gradients(thrifty, tokens, condition)
    assert (once, twice) == (2, 4)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=0)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_gradient_checkpointing_is_no_part_of_the_model(make):
    assert make(gradient_checkpointing=True).spec == make().spec  # nor of its fingerprint, nor missing in an old file
    assert not rebuild(make(gradient_checkpointing=True).spec).gradient_checkpointing


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", DECODERS)
def test_bfloat16_learns_and_its_checkpoint_is_an_ordinary_one(name, tmp_path):
    store = write_store(tmp_path / "tokens")
    options = {"steps": 40, "batch_size": 8, "save_every": 100, "val_check_interval": 40}
    halved = fit(DECODERS[name](), store, tmp_path / "halved", precision="bf16-mixed", **options)
    exact = fit(DECODERS[name](), store, tmp_path / "exact", **options)
    assert halved.losses != exact.losses
    assert halved.losses == pytest.approx(exact.losses, rel=0.02)
    assert halved.metrics["val/bound"] == pytest.approx(exact.metrics["val/bound"], rel=0.02)
    assert name == "bound" or sum(halved.losses[-8:]) < 0.97 * sum(halved.losses[:8])  # the bound's leap with t
    weights = load_module(tmp_path / "halved/last.ckpt").state_dict()
    assert all(weight.dtype == torch.float32 for weight in weights.values() if weight.is_floating_point())
