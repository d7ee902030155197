"""The denoiser for sampling against the denoiser itself."""

import copy

import pytest
import torch
import torch.nn.functional as F

from diffsound.diffusion import (
    CrossEntropy,
    Denoiser,
    DiscreteDiffusion,
    LinearSchedule,
    MaskUniform,
    StridedSampler,
    UniformTimesteps,
)
from diffsound.diffusion.fast import FastDenoiser, Int8Product
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_encoder.condition import Condition

K, T, ROWS, COLUMNS = 16, 10, 5, 4


def network(text="cross", positions="token", width=32):
    denoiser = Denoiser(K, T, ROWS, COLUMNS, layers=2, width=width, heads=4, condition_width=12, text=text,
                        positions=positions)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return denoiser.eval()


def inputs(batch=3, padded=True, columns=COLUMNS):
    condition = Condition(torch.randn(batch, 6, 12), torch.ones(batch, 6, dtype=torch.bool))
    if padded:
        condition.mask[1, 2:] = False
    return torch.randint(K + 1, (batch, ROWS * columns)), condition


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("t", [[7, 7, 7], [1, 10, 4]])
@pytest.mark.parametrize("positions", ["token", "column", "original"])
@pytest.mark.parametrize("text", ["cross", "prefix"])
def test_it_computes_what_the_denoiser_computes(text, positions, t, padded):
    denoiser, (x_t, condition), t = network(text, positions), inputs(padded=padded), torch.tensor(t)
    with torch.no_grad():
        expected = denoiser(x_t, t, condition)
    torch.testing.assert_close(FastDenoiser(denoiser).prepare(condition)(x_t, t), expected, atol=2e-5, rtol=1e-4)


def test_shorter_clips_work_and_longer_ones_are_refused():
    denoiser, (x_t, condition) = network(), inputs(columns=2)
    fast, t = FastDenoiser(denoiser).prepare(condition), torch.full((3,), 2)
    torch.testing.assert_close(fast(x_t, t), denoiser(x_t, t, condition).detach(), atol=2e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="25 tokens are not 1 to 4 columns"):
        fast(torch.zeros(3, 25, dtype=torch.long), t)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_lower_precision_draws_from_nearly_the_same_distribution(precision):
    """Mean KL divergence below 0.01 nats a token: what no sampling of less than hundreds of tokens could tell."""
    denoiser, (x_t, condition), t = network(width=64), inputs(), torch.tensor([2, 6, 10])
    exact = denoiser(x_t, t, condition).detach().log_softmax(-1)
    near = FastDenoiser(denoiser, precision).prepare(condition)(x_t, t).log_softmax(-1)
    assert not torch.equal(exact, near)
    assert F.kl_div(near, exact, reduction="none", log_target=True).sum(-1).mean() < 0.01


def test_int8_is_a_product_within_its_rounding_whatever_the_scales():
    weight, bias = torch.randn(24, 40) * torch.logspace(-3, 3, 24)[:, None], torch.randn(24)
    x = torch.randn(2, 7, 40) * torch.logspace(-2, 2, 7)[:, None]
    error = Int8Product(weight, bias)(x) - F.linear(x, weight, bias)
    bound = (x.abs().amax(-1, keepdim=True) / 254 * weight.abs().sum(1)  # half a step of x, of W, and of both
             + weight.abs().amax(1) / 254 * x.abs().sum(-1, keepdim=True)
             + 40 * x.abs().amax(-1, keepdim=True) * weight.abs().amax(1) / 254**2)
    assert (error.abs() <= bound * 1.01 + 1e-4).all()
    assert torch.equal(Int8Product(weight, bias)(torch.zeros(1, 3, 40)), bias.expand(1, 3, 24))


def test_int8_rows_do_not_depend_on_each_other():
    layer, x = Int8Product(torch.randn(32, 16), torch.randn(32)), torch.randn(40, 16)
    assert torch.equal(layer(x[None])[0, 5], layer(x[None, 5:6])[0, 0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("text", ["cross", "prefix"])
def test_it_follows_the_precision_of_the_trainer(text, precision):
    denoiser, (x_t, condition), t = network(text), inputs(), torch.tensor([2, 6, 10])
    expected = FastDenoiser(denoiser, precision).prepare(condition)(x_t, t)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = FastDenoiser(denoiser, precision).prepare(condition)(x_t, t)
    assert torch.equal(mixed, expected)
    true = FastDenoiser(copy.deepcopy(denoiser).bfloat16(), precision).prepare(condition)(x_t, t)
    assert true.dtype == torch.bfloat16
    assert F.kl_div(true.float().log_softmax(-1), expected.log_softmax(-1), log_target=True) < 0.02


@pytest.fixture
def module():
    return DiscreteDiffusion(SmallTextEncoder(width=12, layers=1), network(), MaskUniform(K, LinearSchedule(T)),
                             CrossEntropy(), UniformTimesteps(T)).eval()


def tokens(module, **options):
    with torch.no_grad():
        condition = module.condition(["rain"])
    return module.generate(condition, COLUMNS, StridedSampler(5, **options), [torch.Generator().manual_seed(1)])


def test_weights_that_change_are_seen(module):
    frozen = copy.deepcopy(module).requires_grad_(False)
    before = tokens(frozen)
    assert torch.equal(before, tokens(frozen))
    assert frozen._laid_out is not None
    for changed in (module, frozen):
        with torch.no_grad():
            changed.denoiser.head.weight.mul_(-3)
            changed.denoiser.blocks[0].feed[0].weight.mul_(-3)
    assert module._laid_out is None
    assert torch.equal(tokens(module), tokens(frozen))
    assert not torch.equal(before, tokens(frozen))


def test_a_copy_of_a_module_that_sampled_has_weights_of_its_own(module):
    module.requires_grad_(False)
    expected, other = tokens(module), copy.deepcopy(module)
    assert torch.equal(tokens(other), expected)
    with torch.no_grad():
        module.denoiser.blocks[0].feed[0].weight.mul_(-3)
    assert torch.equal(tokens(other), expected)


def test_a_module_made_for_inference_samples(module):
    with torch.inference_mode():
        other = copy.deepcopy(module).requires_grad_(False)
        assert torch.equal(tokens(other), tokens(module))


def test_precision_is_the_samplers_and_is_named_when_unknown(module):
    module.requires_grad_(False)
    tokens(module, precision="int8")
    assert module._laid_out[0][0] == "int8"
    assert StridedSampler(5, precision="int8").spec["init_args"]["precision"] == "int8"
    with pytest.raises(ValueError, match="precision is 'float16', expected float32, bfloat16, int8"):
        StridedSampler(precision="float16")
