"""The published schedules and q functions: corrected, so that columns sum to one (N = K), and as in the original."""

import pytest
import torch

from diffsound.diffusion import LinearSchedule, MaskUniform

pytestmark = pytest.mark.golden
# In the original every matrix masks a part: "mask" leaves 1e-6 to the codes, "uniform" sends a tenth to the mask.
MASK_FRACTION = {"mask_uniform": 0.9, "mask": 0.99999, "uniform": 0.1}


def build(name, num_timesteps, codebook_size, original=False):
    schedule = LinearSchedule(num_timesteps)
    return MaskUniform(codebook_size, schedule, MASK_FRACTION[name], original=original), schedule


@pytest.mark.parametrize("name", MASK_FRACTION)
def test_schedules(golden, name):
    tensors, settings = golden("a_schedules")
    for config in settings["configs"]:
        steps, codes = config["T"], config["K"]
        transition, schedule = build(name, steps, codes)
        bar, t = transition.cumulative(schedule), torch.arange(1, steps + 1)
        step = transition.between(t - 1, t, bar)
        for i, letter in enumerate("abc"):
            prefix = f"T{steps}.K{codes}.N{codes}.{name}.{letter}"
            torch.testing.assert_close(step[i], tensors[f"{prefix}t"], atol=1e-12, rtol=0)
            original = tensors[f"{prefix}tt"].roll(1)  # there the identity stands last, here first
            torch.testing.assert_close(bar[i], original, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", MASK_FRACTION)
@pytest.mark.parametrize("kind", ["soft", "onehot"])
def test_posterior(golden, name, kind):
    tensors, settings = golden("b_q_functions")
    transition, _ = build(name, settings["T"], settings["K"])
    p_x_0 = tensors[f"log_x0_{kind}"][:, :-1].exp().transpose(1, 2)
    result = transition.posterior(p_x_0 / p_x_0.sum(-1, keepdim=True), tensors["xt"], tensors["t"] + 1)
    exact = tensors[f"{name}.exact_posterior_prob.{kind}"].transpose(1, 2).float()
    torch.testing.assert_close(result, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", MASK_FRACTION)
def test_marginals(golden, name):
    """q(x_t | x_0) and q(x_t | x_{t-1}) of the original divide by K + 1 codes; with K in its place they are ours."""
    tensors, settings = golden("b_q_functions")
    codes, t = settings["K"], tensors["t"] + 1
    transition, _ = build(name, settings["T"], codes)
    for ours, steps in [(transition.marginal(tensors["x0"], t), t), (transition.marginal(tensors["x0"], t - 1), t - 1)]:
        key = "onehot" if steps is t else "onehot_t_minus_1"
        original = tensors[f"{name}.q_pred.{key}"].exp().transpose(1, 2)
        spread = transition.bar[1, steps][:, None, None] * (1 - codes / (codes + 1))  # what N = K + 1 lost, per code
        torch.testing.assert_close(ours[..., :-1] - spread, original[..., :-1], atol=1e-5, rtol=0)
        torch.testing.assert_close(ours[..., -1], original[..., -1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", MASK_FRACTION)
def test_original_schedules(golden, name):
    tensors, settings = golden("a_schedules")
    for config in settings["configs"]:
        steps, codes = config["T"], config["K"]
        transition, schedule = build(name, steps, codes, original=True)
        bar, t = transition.cumulative(schedule), torch.arange(1, steps + 1)
        step = transition.between(t - 1, t, bar)
        for i, letter in enumerate("abc"):
            prefix = f"T{steps}.K{codes}.N{codes + 1}.{name}.{letter}"
            torch.testing.assert_close(step[i], tensors[f"{prefix}t"], atol=1e-12, rtol=0)
            torch.testing.assert_close(bar[i], tensors[f"{prefix}tt"].roll(1), atol=1e-12, rtol=0)


def assert_logs_close(result, expected):
    """`result` (B, L, K+1) are probabilities, `expected` (B, K+1, L) logarithms; those above -60 count."""
    log, expected = result.log(), expected.transpose(1, 2)
    torch.testing.assert_close(log[expected > -60], expected[expected > -60], atol=1e-5, rtol=0)
    assert (log[expected <= -60] < -50).all()


@pytest.mark.parametrize("name", MASK_FRACTION)
def test_original_marginals(golden, name):
    tensors, settings = golden("b_q_functions")
    transition, _ = build(name, settings["T"], settings["K"], original=True)
    t = tensors["t"] + 1
    assert_logs_close(transition.marginal(tensors["x0"], t), tensors[f"{name}.q_pred.onehot"])
    assert_logs_close(transition.marginal(tensors["x0"], t - 1), tensors[f"{name}.q_pred.onehot_t_minus_1"])


@pytest.mark.parametrize("name", MASK_FRACTION)
def test_original_posterior(golden, name):
    tensors, settings = golden("b_q_functions")
    transition, _ = build(name, settings["T"], settings["K"], original=True)
    t, p_x_0 = tensors["t"] + 1, tensors["log_x0_soft"][:, :-1].exp().transpose(1, 2)
    assert_logs_close(transition.posterior(p_x_0, tensors["xt"], t), tensors[f"{name}.q_posterior.soft"])
    assert_logs_close(transition.true_posterior(tensors["x0"], tensors["xt"], t), tensors[f"{name}.q_posterior.onehot"])
