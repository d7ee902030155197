import pytest
import torch

from diffsound.diffusion import (
    CrossEntropy,
    ImportanceTimesteps,
    LinearSchedule,
    Mask,
    MaskUniform,
    Uniform,
    VariationalBound,
)
from diffsound.diffusion.loss import bound_term

K, T, L = 5, 6, 3
KINDS = [Uniform, MaskUniform, Mask]


@pytest.mark.parametrize("kind", KINDS)
def test_bound_is_zero_for_the_true_answer_and_positive_otherwise(kind):
    transition = kind(K, LinearSchedule(T))
    x_0, t = torch.randint(K, (T, L)), torch.arange(1, T + 1)
    x_t = transition.corrupt(x_0, t)
    certain = torch.nn.functional.one_hot(x_0, K) * 60.0
    assert bound_term(transition, certain, x_0, x_t, t).abs().max() < 1e-4
    assert bound_term(transition, torch.randn(T, L, K), x_0, x_t, t).min() > -1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_bound_holds(kind):
    """Summed over t and averaged over x_t, the terms are at least the true negative log-likelihood.

    One token, a network that answers p(x_0) whatever it sees: then p(x_0) itself is the model's likelihood.
    """
    transition, n = kind(K, LinearSchedule(T)), 4000
    p = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05])
    for x_0 in (0, 4):
        total = transition.prior_divergence()
        for t in range(1, T + 1):
            start, steps = torch.full((n, 1), x_0), torch.full((n,), t)
            x_t = transition.corrupt(start, steps)
            total = total + bound_term(transition, p.log().expand(n, 1, K), start, x_t, steps).mean()
        assert total > -p[x_0].log() - 0.15


def test_bound_at_the_first_step_is_the_likelihood_of_x_0():
    transition = MaskUniform(K, LinearSchedule(T))
    logits, x_0 = torch.randn(4, L, K), torch.randint(K, (4, L))
    x_t, t = torch.full((4, L), K), torch.ones(4, dtype=torch.long)
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), x_0, reduction="none")
    torch.testing.assert_close(bound_term(transition, logits, x_0, x_t, t), expected, atol=1e-4, rtol=1e-4)


def test_unmasked_tokens_cost_nothing_with_masks_alone():
    transition = Mask(K, LinearSchedule(T))
    x_0, t = torch.randint(K, (2, L)), torch.tensor([2, 5])
    assert bound_term(transition, torch.randn(2, L, K), x_0, x_0, t).abs().max() < 1e-5


@pytest.mark.parametrize("loss", [VariationalBound(), CrossEntropy(), CrossEntropy(0.5)])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_and_lower_the_loss(loss, kind):
    transition = kind(K, LinearSchedule(T))
    x_0, t = torch.randint(K, (T, L)), torch.arange(1, T + 1)
    x_t, p = transition.corrupt(x_0, t), torch.full((T,), 1 / T)
    logits = torch.randn(T, L, K, requires_grad=True)
    before = loss(transition, logits, x_0, x_t, t, p).total
    before.backward()
    assert torch.isfinite(logits.grad).all()
    after = loss(transition, logits - 0.01 * logits.grad / logits.grad.norm().clamp(min=1e-9), x_0, x_t, t, p).total
    assert after < before


def test_estimate_does_not_depend_on_how_t_was_drawn():
    """Weighted by 1/p, draws concentrated on one step have the expectation of uniform draws."""
    transition, loss = MaskUniform(K, LinearSchedule(2)), VariationalBound(auxiliary_weight=0.0)
    x_0, x_t = torch.zeros(2, L, dtype=torch.long), torch.full((2, L), K)
    logits, t = torch.randn(2, L, K), torch.tensor([1, 2])
    each = [loss(transition, logits[i : i + 1], x_0[:1], x_t[:1], t[i : i + 1], torch.ones(1)).total for i in range(2)]
    for p in (torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])):
        per_clip = [loss(transition, logits[i : i + 1], x_0[:1], x_t[:1], t[i : i + 1], p[i : i + 1]).total
                    for i in range(2)]
        torch.testing.assert_close(p[0] * per_clip[0] + p[1] * per_clip[1], each[0] + each[1])


@pytest.fixture(params=["default", "no_aux", "mw_nonadaptive", "mask_only", "uniform_only"])
def published(request, golden):
    """Transition, loss and tensors of one variant of the published training step."""
    tensors, settings = golden("c_training_loss")
    variant = settings["variants"][request.param]
    fraction = {"mask_uniform": 0.9, "mask": 0.99999, "uniform": 0.1}[variant["transition"]]
    assert variant["mask_weight"][0] == 1
    loss = VariationalBound(variant["aux"], "rising" if variant["adaptive"] else "constant", variant["mask_weight"][1])
    own = {name.removeprefix(f"{request.param}."): value for name, value in tensors.items()}
    own |= {"logits": tensors["logits"].transpose(1, 2), "t": tensors["t"] + 1}
    return MaskUniform(settings["K"], LinearSchedule(settings["T"]), fraction, original=True), loss, own


@pytest.mark.golden
def test_the_original_variant_has_the_published_loss_and_gradient(published):
    transition, loss, tensors = published
    logits = tensors["logits"].clone().requires_grad_()
    result = loss(transition, logits, tensors["x0"], tensors["xt"], tensors["t"], tensors["pt"])
    result.total.backward()
    # The original's sums of float32 logarithms, each within 4e-6 of exact, are divided by the probability of t.
    torch.testing.assert_close(result.total, tensors["loss"], atol=1e-5, rtol=3e-5)
    torch.testing.assert_close(logits.grad.transpose(1, 2), tensors["grad_logits"], atol=2e-5, rtol=1e-4)


@pytest.mark.golden
def test_the_original_variant_has_the_published_posteriors(published):
    transition, _, tensors = published
    p_x_0, x_t, t = tensors["logits"].softmax(-1), tensors["xt"], tensors["t"]
    for ours, name in [(transition.posterior(p_x_0, x_t, t), "log_model_prob"),
                       (transition.true_posterior(tensors["x0"], x_t, t), "log_true_prob")]:
        expected = tensors[name].transpose(1, 2)
        torch.testing.assert_close(ours.log()[expected > -60], expected[expected > -60], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_the_original_variant_has_the_published_history(published):
    """Importance sampling learns from the nats of each clip, as the original does."""
    transition, loss, tensors = published
    timesteps = ImportanceTimesteps(transition.num_timesteps)
    timesteps.history.copy_(tensors["Lt_history_before"])
    timesteps.count.copy_(tensors["Lt_count_before"])
    per_clip = loss(transition, tensors["logits"], tensors["x0"], tensors["xt"], tensors["t"], tensors["pt"]).per_clip
    timesteps.update(tensors["t"], per_clip)
    torch.testing.assert_close(timesteps.history, tensors["Lt_history_after"], atol=1e-5, rtol=1e-5)
    assert torch.equal(timesteps.count, tensors["Lt_count_after"])


@pytest.mark.golden
def test_the_original_variant_corrupts_as_published(published):
    transition, _, tensors = published
    u = tensors["uniform_noise"].transpose(1, 2)
    noise = -((-(u + 1e-30).log()) + 1e-30).log()
    x_t = (transition.marginal(tensors["x0"], tensors["t"]).clamp(min=1e-30).log() + noise).argmax(-1)
    assert torch.equal(x_t, tensors["xt"])


@pytest.mark.golden
@pytest.mark.parametrize("transition", ["mask_uniform", "mask"])
def test_the_corrected_loss_is_close_to_the_published_one(golden, transition):
    """The corrected posterior moves the published values a little: N = K, and no weight for the mask class."""
    tensors, settings = golden("c_training_loss")
    variant = {"mask_uniform": "default", "mask": "mask_only"}[transition]
    fraction = {"mask_uniform": 0.9, "mask": 0.99999}[transition]
    exact = MaskUniform(settings["K"], LinearSchedule(settings["T"]), fraction)
    logits, t = tensors["logits"].transpose(1, 2), tensors["t"] + 1
    bound = bound_term(exact, logits, tensors["x0"], tensors[f"{variant}.xt"], t).sum(-1)
    original = torch.where(tensors["t"] == 0, tensors[f"{variant}.decoder_nll_per_sample"],
                           tensors[f"{variant}.kl_per_sample"])
    torch.testing.assert_close(bound, original, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_weighted_loss_teaches_is_turned_back_into_the_posterior(kind, weight):
    """Bayes' rule written out, for one token: the loss is least at logits that `unweighted` makes p(x_0 | x_t)."""
    transition, loss = kind(K, LinearSchedule(T)), CrossEntropy(weight)
    prior = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05])
    for t in (1, 3, T):
        given = transition.marginal(torch.arange(K)[:, None], torch.full((K,), t))[:, 0]  # q(x_t | x_0): (K, K + 1)
        for x_t in range(K + 1):
            posterior = prior * given[:, x_t]
            if posterior.sum() < 1e-6:
                continue
            posterior = posterior / posterior.sum()
            weights = torch.where(torch.arange(K) == x_t, weight, 1.0)
            taught = (weights * posterior).clamp(min=1e-12).log().requires_grad_()
            (weights * posterior * -taught.log_softmax(-1)).sum().backward()  # the mean of the loss over x_0
            assert taught.grad.abs().max() < 1e-6
            answer = loss.unweighted(taught.detach()[None, None], torch.tensor([[x_t]])).softmax(-1)[0, 0]
            torch.testing.assert_close(answer, posterior, atol=1e-5, rtol=1e-4)


def test_unweighted_leaves_what_was_never_weighed():
    logits, x_t = torch.randn(2, L, K), torch.randint(K + 1, (2, L))
    for loss in (VariationalBound(), CrossEntropy(0.0), CrossEntropy(1.0)):
        assert torch.equal(loss.unweighted(logits, x_t), logits)
    with pytest.raises(ValueError, match="intact_weight is 1.5"):
        CrossEntropy(1.5)
