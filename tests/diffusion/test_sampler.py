import pytest
import torch

from diffsound.diffusion import AncestralSampler, LinearSchedule, Mask, MaskUniform, StridedSampler, Uniform
from diffsound.draw import categorical, truncate, uniform_noise

K, T = 4, 20
JOINT = torch.tensor([[0.30, 0.00, 0.05, 0.00], [0.00, 0.20, 0.00, 0.00], [0.05, 0.00, 0.10, 0.10],
                      [0.00, 0.00, 0.00, 0.20]])  # of two tokens


def generators(n, seed=0):
    return [torch.Generator().manual_seed(seed + i) for i in range(n)]


def exact_denoiser(transition):
    """Logits of p(x_0 | x_t) for tokens drawn from JOINT, by Bayes' rule over all pairs."""
    def denoise(x_t, t):
        likelihood = transition.marginal(torch.arange(K).expand(len(x_t), K), t)  # (B, from, to)
        first, second = (likelihood.gather(2, x_t[:, i, None, None].expand(-1, K, 1))[..., 0] for i in range(2))
        joint = JOINT * first[:, :, None] * second[:, None, :]
        joint = joint / joint.sum((1, 2), keepdim=True)
        return torch.stack([joint.sum(2), joint.sum(1)], 1).log()
    return denoise


@pytest.fixture(params=["uniform", "mask+uniform", "mask"])
def transition(request):
    schedule = LinearSchedule(T)
    return {"uniform": lambda: Uniform(K, schedule), "mask": lambda: Mask(K, schedule),
            "mask+uniform": lambda: MaskUniform(K, schedule)}[request.param]()


def test_ancestral_sampling_draws_the_known_joint_distribution(transition):
    n = 4000
    x = AncestralSampler().sample(exact_denoiser(transition), transition, 2, generators(n))
    share = torch.bincount(x[:, 0] * K + x[:, 1], minlength=K * K).view(K, K) / n
    # T = 20 steps draw the two tokens of a step independently, which costs a few percent of impossible pairs.
    assert (share - JOINT).abs().max() < 0.05
    torch.testing.assert_close(share.sum(0), JOINT.sum(0), atol=0.04, rtol=0)
    torch.testing.assert_close(share.sum(1), JOINT.sum(1), atol=0.04, rtol=0)


def test_more_steps_come_closer_to_the_joint_distribution(transition):
    n, distances = 3000, []
    for steps in (1, 4, T):
        x = StridedSampler(steps).sample(exact_denoiser(transition), transition, 2, generators(n))
        share = torch.bincount(x[:, 0] * K + x[:, 1], minlength=K * K).view(K, K) / n
        distances.append((share - JOINT).abs().sum())
    assert distances[0] > distances[1] > distances[2]


def test_strided_with_all_steps_is_ancestral(transition):
    denoise = exact_denoiser(transition)
    every = AncestralSampler().sample(denoise, transition, 2, generators(50))
    strided = StridedSampler(T).sample(denoise, transition, 2, generators(50))
    assert torch.equal(every, strided)


@pytest.mark.parametrize("steps", [1, 3, 7, T])
def test_strided_steps_go_from_the_end_to_the_start(steps):
    visited = StridedSampler(steps).steps(T)
    assert visited[0] == T
    assert visited[-1] == 0
    assert len(visited) == steps + 1
    assert all(a > b for a, b in zip(visited, visited[1:], strict=False))


def test_a_clip_does_not_depend_on_its_neighbours(transition):
    denoise, sampler = exact_denoiser(transition), AncestralSampler()
    together = sampler.sample(denoise, transition, 2, generators(6))
    alone = torch.cat([sampler.sample(denoise, transition, 2, [g]) for g in generators(6)])
    reversed_order = sampler.sample(denoise, transition, 2, generators(6)[::-1]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, reversed_order)


def test_given_tokens_are_kept_and_the_rest_follows_them(transition):
    keep = torch.tensor([[1, -1]]).repeat(300, 1)
    x = AncestralSampler().sample(exact_denoiser(transition), transition, 2, generators(300), keep)
    assert (x[:, 0] == 1).all()
    assert (x[:, 1] == 1).float().mean() > 0.5  # 1 is only ever followed by 1


def test_result_has_no_mask(transition):
    x = StridedSampler(3).sample(lambda x_t, t: torch.randn(*x_t.shape, K), transition, 9, generators(20))
    assert x.min() >= 0
    assert x.max() < K


def test_truncation_keeps_the_top_and_sums_to_one():
    p = torch.tensor([0.4, 0.3, 0.2, 0.1])
    torch.testing.assert_close(truncate(p, top_r=0.5), torch.tensor([4 / 7, 3 / 7, 0, 0]))
    torch.testing.assert_close(truncate(p, top_r=0.0), torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(truncate(p, top_r=1.0), p)
    torch.testing.assert_close(truncate(p, top_k=1), torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(truncate(p, top_k=9), p)


@pytest.mark.golden
def test_truncation_keeps_the_entries_that_the_original_keeps(golden):
    tensors, _ = golden("h_truncation")
    p = tensors["log_prob"][:, :-1].exp().transpose(1, 2)
    for name, expected in tensors.items():
        if name.startswith("out.top") and name.endswith("r"):
            kept = truncate(p, top_r=float(name.removeprefix("out.top").removesuffix("r"))) > 0
        elif name.startswith("out.top"):
            kept = truncate(p, top_k=int(name.removeprefix("out.top").removesuffix("p"))) > 0
        else:
            continue
        original = expected[:, :-1].transpose(1, 2) > -70
        differing = (p * (kept != original)).sum(-1)  # in the last bit of the cumulative sum
        assert differing.max() < 1e-5, name


def test_categorical_has_the_given_shares_and_never_draws_a_weight_of_zero():
    p = torch.tensor([0.0, 3.0, 0.0, 1.0, 0.0])
    u = uniform_noise((100000,), generators(1), torch.device("cpu"))[0]
    share = torch.bincount(categorical(p, u), minlength=5) / len(u)
    torch.testing.assert_close(share, p / 4, atol=0.01, rtol=0)
    assert categorical(p.expand(2, 5), torch.tensor([0.0, 1.0])).tolist() == [1, 3]  # also at both ends


@pytest.mark.parametrize(("t", "s"), [(1, 0), (8, 7), (T, T - 1), (15, 3), (T, 0)])
def test_drawing_earlier_tokens_has_the_shares_of_the_posterior(transition, t, s):
    n, p_x_0 = 60000, torch.tensor([0.5, 0.3, 0.2, 0.0])
    for token in range(K + 1):
        if transition.bar[2, t] == 0 and token == K:
            continue  # never reached
        x_t, steps = torch.tensor([[token]]), (torch.tensor([t]), torch.tensor([s]))
        expected = transition.posterior(p_x_0[None, None], x_t, *steps)[0, 0]
        drawn = transition.draw_earlier(p_x_0.expand(1, n, K), x_t.expand(1, n), *steps, torch.rand(1, n, 3))
        share = torch.bincount(drawn[0], minlength=K + 1) / n
        torch.testing.assert_close(share, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: AncestralSampler(temperature=0), "temperature is 0"),
    (lambda: AncestralSampler(top_r=1.5), "top_r is 1.5"),
    (lambda: AncestralSampler(top_k=0), "top_k is 0"), (lambda: StridedSampler(0), "num_steps is 0"),
    (lambda: StridedSampler(30).steps(T), "num_steps is 30"),
])
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
