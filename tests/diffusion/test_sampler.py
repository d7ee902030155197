import pytest
import torch
from scipy.stats import chisquare

import diffsound.diffusion.transition as transition_module
from diffsound.diffusion import (
    AncestralSampler,
    ConfidenceSampler,
    Denoiser,
    FirstHittingSampler,
    LinearSchedule,
    Mask,
    MaskUniform,
    PuritySampler,
    RemaskingSampler,
    StridedSampler,
    Uniform,
)
from diffsound.diffusion.fast import FastDenoiser
from diffsound.draw import categorical, truncate, uniform_noise
from diffsound.original import keys
from diffsound.text_encoder.condition import Condition

K, T = 3, 20
JOINT = torch.tensor([[0.30, 0.03, 0.05], [0.02, 0.20, 0.05], [0.05, 0.20, 0.10]])  # of two tokens
EXACT = {  # samplers that claim to draw the joint distribution, when there are many steps
    "ancestral": (AncestralSampler(), 400, ("uniform", "mask+uniform", "mask")),
    "ancestral from masks": (AncestralSampler(start="mask"), 400, ("mask",)),
    "strided": (StridedSampler(200), 400, ("uniform", "mask+uniform", "mask")),
    "re-masking": (RemaskingSampler(400), 400, ("mask",)),
    "re-masking, often": (RemaskingSampler(400, cap=0.5), 400, ("mask",)),
    "first-hitting": (FirstHittingSampler(), T, ("mask",)),
}


def make(kind, num_timesteps=T):
    return {"uniform": Uniform, "mask": Mask, "mask+uniform": MaskUniform}[kind](K, LinearSchedule(num_timesteps))


def generators(n, seed=0):
    return [torch.Generator().manual_seed(seed + i) for i in range(n)]


def exact_denoiser(transition):
    """Logits of p(x_0 | x_t) for clips of independent pairs drawn from JOINT, by Bayes' rule over all pairs."""
    def denoise(x_t, t):
        pairs = x_t.unflatten(1, (-1, 2))
        likelihood = transition.marginal(torch.arange(K).expand(len(x_t), K), t)  # (B, from, to)
        likelihood = likelihood[:, None].expand(-1, pairs.shape[1], -1, -1)
        first, second = (likelihood.gather(3, pairs[..., i, None, None].expand(-1, -1, K, 1))[..., 0] for i in (0, 1))
        joint = JOINT * first[..., :, None] * second[..., None, :]
        joint = joint / joint.sum((2, 3), keepdim=True)
        return torch.stack([joint.sum(3), joint.sum(2)], 2).log().flatten(1, 2)
    return denoise


def pairs(sampler, transition, n):
    """How often each of the K * K pairs was drawn in fifty clips with n pairs in all."""
    x = sampler.sample(exact_denoiser(transition), transition, 2 * n // 50, generators(50)).view(n, 2)
    return torch.bincount(x[:, 0] * K + x[:, 1], minlength=K * K)


def p_value(counts):
    """Of the hypothesis that `counts` were drawn from JOINT."""
    joint = JOINT.flatten().double()
    return chisquare(counts, joint / joint.sum() * counts.sum()).pvalue


@pytest.fixture(params=["uniform", "mask+uniform", "mask"])
def transition(request):
    return make(request.param)


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (_, _, kinds) in EXACT.items() for kind in kinds])
def test_an_exact_sampler_draws_the_known_joint_distribution(name, kind):
    sampler, steps, _ = EXACT[name]
    assert p_value(pairs(sampler, make(kind, steps), 1500)) > 0.01


@pytest.mark.parametrize("sampler", [StridedSampler(2), StridedSampler(25, original=True, steps=[*range(400, 0, -16)]),
                                     ConfidenceSampler(2), PuritySampler(2, sharpness=1)])
def test_the_test_of_exactness_tells_a_sampler_that_is_not(sampler):
    assert p_value(pairs(sampler, make("mask+uniform", 400), 1500)) < 1e-3


def test_more_steps_come_closer_to_the_ancestral_sampler(transition):
    n, ancestral = 3000, pairs(AncestralSampler(), transition, 3000)
    distances = [(pairs(StridedSampler(steps), transition, n) - ancestral).abs().sum() / n for steps in (1, 4, 10, T)]
    assert distances[0] > distances[1] > distances[2] > distances[3] == 0


def test_strided_with_all_steps_is_ancestral(transition):
    denoise = exact_denoiser(transition)
    every = AncestralSampler().sample(denoise, transition, 2, generators(50))
    strided = StridedSampler(T).sample(denoise, transition, 2, generators(50))
    assert torch.equal(every, strided)


@pytest.mark.parametrize("steps", [1, 3, 7, T])
def test_strided_steps_go_from_the_end_to_the_start(steps):
    visited = StridedSampler(steps).steps(T)
    assert visited[0] == T
    assert visited[-1] >= 1
    assert len(visited) == steps
    assert all(a > b for a, b in zip(visited, visited[1:], strict=False))


SAMPLERS = [(AncestralSampler(), "uniform"), (AncestralSampler(), "mask+uniform"), (StridedSampler(7), "mask"),
            (StridedSampler(steps=[20, 11, 10, 2]), "mask+uniform"), (AncestralSampler(start="mask"), "mask+uniform"),
            (StridedSampler(num_steps=7, original=True), "mask+uniform"),
            (ConfidenceSampler(5), "mask"), (ConfidenceSampler(5), "mask+uniform"), (PuritySampler(6), "mask+uniform"),
            (PuritySampler(6, sharpness=1, start="mask"), "mask"), (RemaskingSampler(10, cap=0.3), "mask"),
            (FirstHittingSampler(), "mask")]


@pytest.fixture(params=SAMPLERS, ids=lambda pair: f"{type(pair[0]).__name__}-{pair[1]}")
def pair(request):
    return request.param[0], make(request.param[1])


def stubborn_denoiser(length):
    """Logits that depend on everything: all tokens of the clip, their places, and t."""
    weight = torch.randn(K + 1, length, K, generator=torch.Generator().manual_seed(1))

    def denoise(x_t, t):
        shared = weight[x_t, torch.arange(length)].mean(1, keepdim=True)
        return 2 * shared + weight[x_t, torch.arange(length)] + t[:, None, None] / T
    return denoise


def test_a_clip_does_not_depend_on_its_neighbours(pair):
    sampler, transition = pair
    denoise = stubborn_denoiser(9)
    together = sampler.sample(denoise, transition, 9, generators(6))
    alone = torch.cat([sampler.sample(denoise, transition, 9, [g]) for g in generators(6)])
    reversed_order = sampler.sample(denoise, transition, 9, generators(6)[::-1]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, reversed_order)
    assert not torch.equal(together, sampler.sample(denoise, transition, 9, generators(6, seed=50)))


def test_result_has_no_mask(pair):
    sampler, transition = pair
    x = sampler.sample(lambda x_t, t: torch.randn(*x_t.shape, K), transition, 9, generators(20))
    assert x.min() >= 0
    assert x.max() < K


def test_given_tokens_are_kept_and_the_rest_follows_them(pair):
    sampler, transition = pair
    keep, hidden = torch.tensor([[1, -1]]).repeat(300, 1), []
    denoise = exact_denoiser(transition)

    def watched(x_t, t):
        hidden.append((x_t[:, 0] == K).any().item())
        return denoise(x_t, t)

    x = sampler.sample(watched, transition, 2, generators(300), keep)
    assert not any(hidden)
    assert (x[:, 0] == 1).all()
    if not (isinstance(sampler, ConfidenceSampler) and isinstance(transition, MaskUniform)):  # codes at T are noise
        assert (x[:, 1] == 1).float().mean() > 0.5  # .74 of the pairs that begin with 1, .43 of all


@pytest.mark.parametrize("kind", ["mask", "mask+uniform"])
@pytest.mark.parametrize("first", [T, 12])
def test_confidence_asks_at_the_step_that_fits_what_is_masked_and_keeps_what_it_drew(kind, first):
    transition, asked, drawn = make(kind), [], []
    x_t = torch.full((1, 400), K)
    x_t[:, round(400 * transition.bar[2, first].item()):] = 0

    def denoise(x_t, t):
        asked.append((t[0].item(), (x_t == K).float().mean().item()))
        return stubborn_denoiser(400)(x_t, t)

    ConfidenceSampler(6).sample(denoise, transition, 400, generators(1), begin=(x_t, first),
                                on_step=lambda number, x: drawn.append(x))
    for t, share in asked:
        assert (transition.bar[2] - share).abs().argmin() == pytest.approx(t, abs=1)
    for before, after in zip(drawn, drawn[1:], strict=False):
        assert torch.equal(after[before != K], before[before != K])


def test_first_hitting_asks_as_often_as_there_are_tokens_to_make():
    asked, keep = [], torch.tensor([[0, 1, -1, 2, -1, -1]])
    FirstHittingSampler().sample(lambda x_t, t: (asked.append(t), stubborn_denoiser(6)(x_t, t))[1], make("mask"), 6,
                                 generators(1), keep)
    assert len(asked) == 3


def test_first_hitting_times_are_those_of_the_process():
    """Of n masked tokens the first to be revealed (backwards in time) waits until a share n / (n + 1) is masked."""
    transition, shares, n = make("mask", 1000), [], 600
    FirstHittingSampler().sample(
        lambda x_t, t: (shares.append(transition.bar[2, t].mean().item()), torch.zeros(len(x_t), 4, K))[1],
        transition, 4, generators(n))
    assert shares == pytest.approx([0.8, 0.6, 0.4, 0.2], abs=0.03)


def test_sharpness_changes_what_is_drawn_and_not_which_tokens():
    sharp, plain = [], []
    for sampler, order in ((PuritySampler(6, sharpness=5), sharp), (PuritySampler(6), plain)):
        sampler.sample(lambda x_t, t: stubborn_denoiser(30)(torch.full_like(x_t, K), t), make("mask"), 30,
                       generators(2), on_step=lambda number, x, order=order: order.append(x))
    assert all(torch.equal(a == K, b == K) for a, b in zip(sharp, plain, strict=True))
    assert not torch.equal(sharp[-1], plain[-1])


@pytest.mark.parametrize("sampler", [ConfidenceSampler(4), PuritySampler(4), FirstHittingSampler()])
def test_counting_samplers_reveal_as_many_as_they_say(sampler):
    transition, seen = make("mask"), []
    sampler.sample(stubborn_denoiser(30), transition, 30, generators(3),
                   on_step=lambda number, x: seen.append((x == K).sum(-1)))
    assert all((later <= earlier).all() for earlier, later in zip(seen, seen[1:], strict=False))
    assert (seen[-1] == 0).all()
    if isinstance(sampler, FirstHittingSampler):
        assert len(seen) == 30
        assert all(n.unique().tolist() == [29 - i] for i, n in enumerate(seen))
    else:
        assert len(seen) == 4
    if isinstance(sampler, ConfidenceSampler):  # cosine
        assert [n[0].item() for n in seen] == [27, 21, 11, 0]


def test_confidence_reveals_the_surest_token_first():
    logits = torch.tensor([0.1, 3.0, 1.0, 8.0, 2.0])[:, None] * torch.tensor([1.0, 0.0, 0.0])
    seen = []
    ConfidenceSampler(5, choice_temperature=0).sample(
        lambda x_t, t: logits.expand(len(x_t), 5, K), make("mask"), 5, generators(50),
        on_step=lambda number, x: seen.append(x != K))
    assert (seen[0].sum(-1) == 1).all()
    assert seen[0][:, 3].all()
    assert seen[2][:, 1].float().mean() > 0.8  # not where an unlikely code was drawn


def test_remasking_takes_codes_back_and_keeps_the_marginal():
    transition, n = make("mask", 50), 400
    back, shares = [], []
    last = [torch.full((n, 12), K)]

    def look(number, x):
        back.append(((last[0] != K) & (x == K)).any().item())
        shares.append((x == K).float().mean().item())
        last[0] = x

    sampler = RemaskingSampler(50, cap=0.2)
    sampler.sample(lambda x_t, t: torch.zeros(*x_t.shape, K), transition, 12, generators(n), on_step=look)
    assert any(back)
    expected = transition.bar[2, torch.tensor([*range(49, -1, -1)])]
    torch.testing.assert_close(torch.tensor(shares), expected, atol=0.03, rtol=0)


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
    n, p_x_0 = 60000, torch.tensor([0.6, 0.4, 0.0])
    for token in range(K + 1):
        if transition.bar[2, t] == 0 and token == K:
            continue  # never reached
        x_t, steps = torch.tensor([[token]]), (torch.tensor([t]), torch.tensor([s]))
        expected = transition.posterior(p_x_0[None, None], x_t, *steps)[0, 0]
        drawn = transition.draw_earlier(p_x_0.expand(1, n, K), x_t.expand(1, n), *steps, torch.rand(1, n, 3))
        share = torch.bincount(drawn[0], minlength=K + 1) / n
        torch.testing.assert_close(share, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(("trend", "scales"), [("constant", [3, 3, 3]), ("linear", [1, 2, 3]),
                                               ("annealed", [3, 2, 1])])
def test_guidance_runs_over_the_steps_as_its_trend_says(trend, scales):
    sampler = AncestralSampler(guidance_scale=3, guidance_trend=trend)
    assert [float(sampler.guidance(progress)) for progress in (0, 0.5, 1)] == pytest.approx(scales)


def test_guidance_of_one_is_the_conditional_distribution_and_more_moves_away_from_the_other():
    logits, without = torch.randn(4, 5), torch.randn(4, 5)
    same = AncestralSampler(guidance_scale=1).steer(logits, without, 0.3)
    torch.testing.assert_close(same.softmax(-1), logits.softmax(-1))
    ratio = logits.softmax(-1) / without.softmax(-1)
    more = AncestralSampler(guidance_scale=2).steer(logits, without, 0.3).softmax(-1)
    torch.testing.assert_close(more, torch.nn.functional.normalize(logits.softmax(-1) * ratio, p=1, dim=-1))


def test_sampling_may_begin_in_the_middle():
    transition, times = make("mask+uniform"), []

    def denoise(x_t, t):
        times.append(t[0].item())
        return stubborn_denoiser(9)(x_t, t)

    x_8 = transition.corrupt(torch.randint(K, (4, 9)), torch.full((4,), 8))
    StridedSampler(steps=[20, 10, 5, 2]).sample(denoise, transition, 9, generators(4), begin=(x_8, 8))
    assert times == [8, 5, 2]


def gumbel_argmax(noise, after):
    """The original's way of drawing from weights p (B, L, K+1), by its stored uniform noise, a draw after the other."""
    draws = iter(noise)

    def draw(p, u):
        uniform = next(draws).transpose(1, 2)
        gumbel = -torch.log(-torch.log(uniform + 1e-30) + 1e-30)
        x = (p.log() + gumbel).argmax(-1)
        after.append(x)
        return x
    return draw


@pytest.mark.golden
def test_trajectories_are_those_of_the_original(golden, monkeypatch):
    tensors, settings = golden("i_sampling")
    size = settings["config"]
    rows, columns = size["spatial"]
    prefix = "state_dict.transformer."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    denoiser = Denoiser(size["K"], size["T"], rows, columns, size["n_layer"], size["n_embd"], size["n_head"],
                        condition_width=size["condition_dim"], positions="original")
    denoiser.load_state_dict(keys.sort(state, keys.DENOISER, keys.DENOISER_DROPS)[0])
    transition = MaskUniform(size["K"], LinearSchedule(size["T"]), original=True)
    condition = Condition(tensors["cond"], torch.ones(tensors["cond"].shape[:2], dtype=torch.bool))
    denoise = FastDenoiser(denoiser).prepare(condition)
    runs = [name.removesuffix(".final_tokens") for name in tensors if name.endswith(".final_tokens")]
    assert runs
    for run in runs:
        name, _, truncation = run.partition("_top")
        options = {"top_r": float(truncation[:-1])} if truncation.endswith("r") else {}
        options |= {"top_k": int(truncation[:-1])} if truncation.endswith("p") else {}
        noise, begin, after = tensors[f"{run}.uniform_noise"], None, []
        draw = gumbel_argmax(noise, after)
        sampler = AncestralSampler(start="mask", **options)
        if name.startswith("fast"):
            stride = int(name.removeprefix("fast")) + 1
            steps = [*range(size["T"], 0, -stride)]
            sampler = StridedSampler(steps=steps, original=True, start="mask", **options)
        if name.startswith("filter"):
            first = int(size["T"] * float(name.removeprefix("filter")))
            x_0 = tensors["filter.x0"]
            begin = draw(transition.marginal(x_0, torch.full((len(x_0),), first)), None), first
        monkeypatch.setattr(transition_module, "categorical", draw)
        x = sampler.sample(denoise, transition, rows * columns, generators(noise.shape[1]), begin=begin)
        assert len(after) == len(noise), run
        expected = tensors[f"{run}.tokens_after_each_draw"]
        same = (torch.stack(after) == expected).float().mean()
        assert same == 1, f"{run}: {same}"
        assert torch.equal(x, tensors[f"{run}.final_tokens"]), run


@pytest.mark.parametrize(("build", "message"), [
    (lambda: AncestralSampler(temperature=0), "temperature is 0"),
    (lambda: AncestralSampler(top_r=1.5), "top_r is 1.5"),
    (lambda: AncestralSampler(top_k=0), "top_k is 0"), (lambda: StridedSampler(0), "num_steps is 0"),
    (lambda: StridedSampler(30).steps(T), "num_steps is 30"),
    (lambda: AncestralSampler(top_r=0.0), r"top_r is 0.0, expected a probability in \(0, 1\]"),
    (lambda: AncestralSampler(top_p=-1), "top_p is -1"),
    (lambda: AncestralSampler(top_p=0.5, top_r=0.5), "same truncation"),
    (lambda: AncestralSampler(guidance_scale=-1), "guidance_scale is -1"),
    (lambda: AncestralSampler(guidance_trend="up"), "guidance_trend is 'up'"),
    (lambda: StridedSampler(steps=[20, 0]), r"steps are \[20, 0\]"),
    (lambda: StridedSampler(steps=[5, 20]), r"steps are \[5, 20\]"),
    (lambda: StridedSampler(steps=[]), r"steps are \[\]"),
    (lambda: StridedSampler(steps=[30, 2]).steps(T), "begin at 30"),
    (lambda: StridedSampler(steps=[7, 2]).steps(T), "begin at 7"),
    (lambda: ConfidenceSampler(0), "num_steps is 0"), (lambda: ConfidenceSampler(choice_temperature=-1), "is -1"),
    (lambda: ConfidenceSampler(start="prior").check(make("mask+uniform")), "trained with MaskUniform"),
    (lambda: RemaskingSampler(original=True), "original is true"),
    (lambda: AncestralSampler().sample(exact_denoiser(make("mask")), make("mask"), 2, generators(2),
                                       begin=(torch.zeros(1, 2, dtype=torch.long), 3)), r"from tokens \(1, 2\)"),
    (lambda: PuritySampler(sharpness=-1), "sharpness is -1"), (lambda: RemaskingSampler(cap=2), "cap is 2"),
    (lambda: AncestralSampler(start="mask").check(make("uniform")), "Uniform has no mask"),
    (lambda: PuritySampler().check(make("uniform")), "Uniform has no mask"),
    (lambda: FirstHittingSampler().check(make("mask+uniform")), "trained with MaskUniform"),
    (lambda: RemaskingSampler(5).check(make("uniform")), "trained with Uniform"),
    (lambda: AncestralSampler().sample(lambda x_t, t: torch.full((1, 2, K), torch.nan), make("mask"), 2,
                                       generators(1)), "NaN"),
    (lambda: AncestralSampler().sample(exact_denoiser(make("mask")), make("mask"), 2, generators(1),
                                       begin=(torch.zeros(1, 2, dtype=torch.long), 21)), "begin at step 21"),
])
def test_bad_settings_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
