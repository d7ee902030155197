import pytest
import torch

from diffsound.diffusion import CosineSchedule, LinearSchedule, Mask, MaskUniform, Uniform

K, T, L = 7, 5, 3


def build(kind, schedule):
    return MaskUniform(K, schedule, 0.9) if kind is MaskUniform else kind(K, schedule)


@pytest.fixture(params=[Uniform, MaskUniform, Mask], ids=["uniform", "mask+uniform", "mask"])
def kind(request):
    return request.param


@pytest.fixture(params=[LinearSchedule, CosineSchedule], ids=["linear", "cosine"])
def transition(request, kind):
    return build(kind, request.param(T))


def matrix(numbers):
    """Q in full, (K+1, K+1), column = from; written independently of the class."""
    alpha, beta, gamma = (float(x) for x in numbers)
    q = torch.full((K + 1, K + 1), beta, dtype=torch.float64)
    q += alpha * torch.eye(K + 1, dtype=torch.float64)
    q[K, :] = gamma
    q[:, K] = 0
    q[K, K] = 1
    return q


def one_step(transition, t):
    return matrix(transition.between(torch.tensor(t - 1), torch.tensor(t)))


def test_cumulative_is_the_product_of_steps(transition):
    q_bar = torch.eye(K + 1, dtype=torch.float64)
    for t in range(1, T + 1):
        q_bar = one_step(transition, t) @ q_bar
        torch.testing.assert_close(q_bar, matrix(transition.bar[:, t]), atol=1e-6, rtol=1e-5)


def test_jumps_are_products_of_steps(transition):
    for s in range(T):
        for t in range(s + 1, T + 1):
            product = torch.eye(K + 1, dtype=torch.float64)
            for step in range(s + 1, t + 1):
                product = one_step(transition, step) @ product
            jump = matrix(transition.between(torch.tensor(s), torch.tensor(t)))
            torch.testing.assert_close(jump, product, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("num_timesteps", [1, 2, 100])
@pytest.mark.parametrize("schedule", [LinearSchedule, CosineSchedule])
def test_columns_are_distributions(kind, schedule, num_timesteps):
    transition = build(kind, schedule(num_timesteps))
    t = torch.arange(1, num_timesteps + 1)
    for alpha, beta, gamma in [transition.bar, transition.between(t - 1, t)]:
        assert min(alpha.min(), beta.min(), gamma.min()) >= 0
        torch.testing.assert_close(alpha + K * beta + gamma, torch.ones_like(alpha))
    assert transition.bar[:, 0].tolist() == [1, 0, 0]  # step 0 is the identity


def brute_posterior(transition, p_x_0, x_t, t, s):
    """Bayes' rule with full matrices, in float64, for one token."""
    q_s, q_t = matrix(transition.bar[:, s]), matrix(transition.bar[:, t])
    jump = torch.eye(K + 1, dtype=torch.float64)
    for step in range(s + 1, t + 1):
        jump = one_step(transition, step) @ jump
    total = torch.zeros(K + 1, dtype=torch.float64)
    for x_0 in range(K):
        if q_t[x_t, x_0] > 0:
            total += jump[x_t, :] * q_s[:, x_0] / q_t[x_t, x_0] * p_x_0[x_0].double()
    return total / total.sum()


@pytest.mark.parametrize("certain", [False, True], ids=["soft", "one-hot"])
def test_posterior_is_bayes_rule(transition, certain):
    for t in range(1, T + 1):
        for s in range(t):
            for x_t in range(K + 1):
                if transition.bar[2, t] == 0 and x_t == K:
                    continue  # the mask is not reachable
                p = torch.rand(K).softmax(-1)
                if certain:  # a code that can lead to x_t
                    p = torch.nn.functional.one_hot(torch.tensor(x_t % K), K).float()
                result = transition.posterior(p[None, None], *map(torch.tensor, ([[x_t]], [t], [s])))
                expected = brute_posterior(transition, p, x_t, t, s).float()
                torch.testing.assert_close(result[0, 0], expected, atol=2e-6, rtol=1e-4)


def test_posterior_sums_to_one_even_where_p_x_0_excludes_x_t(transition):
    p = torch.zeros(1, K + 1, K)
    p[..., 0] = 1
    x_t = torch.arange(K + 1)[None]
    if transition.bar[2, 1:].max() == 0:
        x_t = x_t.clamp(max=K - 1)
    result = transition.posterior(p, x_t, torch.tensor([T]))
    assert torch.isfinite(result).all()
    torch.testing.assert_close(result.sum(-1), torch.ones(1, K + 1))


def test_end_does_not_depend_on_the_start(kind):
    transition = build(kind, LinearSchedule(100))
    q = transition.marginal(torch.arange(K)[None], torch.tensor([100]))[0]
    assert (q - q[0]).abs().max() < 2e-5
    torch.testing.assert_close(transition.prior().expand_as(q), q, atol=2e-5, rtol=0)
    assert 0 <= transition.prior_divergence() < 1e-3


def test_corrupt_draws_from_the_marginal(transition):
    x_0 = torch.full((1, 40000), 2)
    for t in (1, T // 2, T):
        x_t = transition.corrupt(x_0, torch.tensor([t]))
        share = torch.bincount(x_t[0], minlength=K + 1) / x_t.numel()
        expected = transition.marginal(x_0[:, :1], torch.tensor([t]))[0, 0]
        assert (share - expected).abs().max() < 0.015


def test_clean_step_keeps_every_token(transition):
    x_0 = torch.randint(K, (2, 50))
    assert torch.equal(transition.corrupt(x_0, torch.tensor([0, 0])), x_0)


def test_mask_only_never_redraws_and_uniform_never_masks():
    x_0 = torch.randint(K, (4, 500))
    masked = Mask(K, LinearSchedule(T)).corrupt(x_0, torch.tensor([1, 2, 3, T]))
    assert ((masked == x_0) | (masked == K)).all()
    assert Uniform(K, LinearSchedule(T)).corrupt(x_0, torch.tensor([1, 2, 3, T])).max() < K


def test_mask_fraction_is_reached_at_the_last_step():
    assert MaskUniform(K, LinearSchedule(100), 0.9).bar[2, -1] == pytest.approx(0.9)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: MaskUniform(K, LinearSchedule(T), 1.0), "mask_fraction is 1.0"),
    (lambda: MaskUniform(K, LinearSchedule(T), 0.5, mask_start=0.4), "masks more than"),
    (lambda: Mask(1, LinearSchedule(T)), "codebook_size is 1"),
    (lambda: LinearSchedule(0), "num_timesteps is 0"),
    (lambda: LinearSchedule(5, start=2.0), "start is 2.0"),
])
def test_bad_numbers_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
