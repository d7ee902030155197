from types import SimpleNamespace

import pytest
import torch
from torch import nn

from diffsound.diffusion import Denoiser
from diffsound.optimizer import Muon, WarmUpThenPlateau, hidden_matrices, optimization


def rates(max_steps, steps, **options):
    module = nn.Linear(1, 1)
    module.trainer = SimpleNamespace(max_steps=max_steps, precision="32-true")
    made = optimization(module, 2.0, (0.9, 0.99), **options)
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


def test_warm_up_is_linear_then_constant():
    assert rates(-1, 6, warmup_steps=4) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0])


def test_cosine_ends_at_zero_and_never_rises_after_warm_up():
    lr = rates(20, 21, warmup_steps=5, decay="cosine")
    assert max(lr) == pytest.approx(2.0)
    assert lr[20] == pytest.approx(0.0, abs=1e-9)
    assert all(a >= b for a, b in zip(lr[5:], lr[6:], strict=False))


def test_cosine_without_an_end_is_refused():
    with pytest.raises(ValueError, match="needs trainer.max_steps"):
        rates(-1, 1, decay="cosine")


def plateau(rate=1.0, warmup_steps=0, **options):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), rate)
    return optimizer.param_groups[0], WarmUpThenPlateau(optimizer, warmup_steps, **options)


def test_warm_up_before_a_plateau_starts_at_its_own_rate_and_ignores_the_loss():
    group, schedule = plateau(warmup_steps=4, start_rate=0.2, patience=0)
    seen = [group["lr"]]
    for _ in range(4):
        schedule.step(1.0)
        seen.append(group["lr"])
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    schedule.step(1.0)  # the first loss that counts is the best so far, however large
    assert group["lr"] == pytest.approx(1.0)
    schedule.step(1.0)
    assert group["lr"] == pytest.approx(0.5)


def test_warm_up_never_falls():
    group, schedule = plateau(rate=1e-6, warmup_steps=3)
    schedule.step(1.0)
    assert group["lr"] == 1e-6


@pytest.mark.parametrize(("loss", "rate"), [(0.89, 1.0), (0.91, 0.5)])
def test_less_than_a_tenth_better_is_no_improvement(loss, rate):
    group, schedule = plateau(patience=1)
    for each in (1.0, loss, loss):
        schedule.step(each)
    assert group["lr"] == pytest.approx(rate)


def test_the_rate_has_a_floor():
    group, schedule = plateau(patience=0, min_rate=0.2)
    for _ in range(9):
        schedule.step(1.0)
    assert group["lr"] == pytest.approx(0.2)


@pytest.mark.parametrize("stop", [2, 5, 9])
def test_a_resumed_plateau_goes_on_as_if_it_had_never_stopped(stop):
    losses = torch.rand(14, generator=torch.Generator().manual_seed(0)).tolist()
    options = {"warmup_steps": 3, "start_rate": 0.1, "patience": 1}
    group, schedule = plateau(**options)
    expected = []
    for loss in losses:
        schedule.step(loss)
        expected.append(group["lr"])
    _, stopped = plateau(**options)
    for loss in losses[:stop]:
        stopped.step(loss)
    group, resumed = plateau(**options)
    resumed.load_state_dict(stopped.state_dict())
    group["lr"] = expected[stop - 1]  # as the optimizer's own state does
    for loss, rate in zip(losses[stop:], expected[stop:], strict=True):
        resumed.step(loss)
        assert group["lr"] == rate


@pytest.mark.golden
def test_the_published_schedule(golden):
    tensors, settings = golden("k_schedule_ema")
    rule = settings["scheduler"]
    assert rule["threshold_mode"] == "rel"
    group, schedule = plateau(rule["warmup_lr"], rule["warmup"], start_rate=settings["base_lr"], factor=rule["factor"],
                              patience=rule["patience"], threshold=rule["threshold"], min_rate=rule["min_lr"])
    assert group["lr"] == settings["base_lr"]
    rate, best, bad = [], [], []
    for loss in tensors["loss"]:
        schedule.step(loss)
        rate.append(group["lr"])
        best.append(min(schedule.best, 1e30))  # stands for infinity
        bad.append(schedule.num_bad_epochs)
    for mine, name in [(rate, "lr_after_step"), (best, "best")]:
        torch.testing.assert_close(torch.tensor(mine, dtype=torch.float64), tensors[name], rtol=1e-12, atol=0)
    assert bad == tensors["bad"].tolist()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(2))
        self.head = nn.Linear(8, 5)

    def forward(self, ids):
        x = self.embedding(ids)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def trained(net, optimizer, steps, start=0):
    for step in range(start, start + steps):
        ids = torch.randint(5, (4, 3), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(ids).flatten(0, 1), ids.flatten()).backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in net.parameters()]


def muon(net):
    matrices = hidden_matrices(net)
    ids = {id(matrix) for matrix in matrices}
    return Muon(matrices, [p for p in net.parameters() if id(p) not in ids], 1e-2, (0.9, 0.99), 0.1)


def network():
    torch.manual_seed(0)
    return Net()


def test_muon_takes_the_matrices_of_blocks_alone():
    net = network()
    assert {id(matrix) for matrix in hidden_matrices(net)} == {
        id(layer.weight) for block in net.blocks for layer in block if isinstance(layer, nn.Linear)}
    net.blocks[0].requires_grad_(False)
    assert len(hidden_matrices(net)) == 2


def test_muon_leaves_embeddings_head_and_the_scales_of_norms_to_adamw():
    denoiser = Denoiser(8, 4, 5, 4, layers=2, width=16, heads=2, condition_width=16)
    names = {id(parameter): name for name, parameter in denoiser.named_parameters()}
    taken = {names[id(matrix)].split(".", 2)[2] for matrix in hidden_matrices(denoiser)}
    assert taken == {f"attend_{to}.{part}.weight" for to in ("self", "text")
                     for part in ("query", "key", "value", "out")} | {"feed.0.weight", "feed.2.weight"}


def test_muon_is_one_optimizer_for_matrices_and_adamw_for_the_rest():
    net, twin = network(), network()
    both = trained(net, muon(net), 5)
    matrices = hidden_matrices(twin)
    ids = {id(matrix) for matrix in matrices}
    parts = [torch.optim.Muon(matrices, 1e-2, 0.1, adjust_lr_fn="match_rms_adamw"),
             torch.optim.AdamW([p for p in twin.parameters() if id(p) not in ids], 1e-2, betas=(0.9, 0.99),
                               weight_decay=0.1)]

    class Both:
        def zero_grad(self):
            for part in parts:
                part.zero_grad()

        def step(self):
            for part in parts:
                part.step()

    assert all(a.equal(b) for a, b in zip(both, trained(twin, Both(), 5), strict=True))


def test_muon_goes_on_from_its_saved_state():
    net, twin = network(), network()
    unbroken = trained(net, muon(net), 6)
    first = muon(twin)
    trained(twin, first, 3)
    second = muon(twin)
    second.load_state_dict(first.state_dict())
    assert all(a.equal(b) for a, b in zip(unbroken, trained(twin, second, 3, start=3), strict=True))


def test_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer is 'sgd', expected adamw or muon"):
        rates(-1, 1, optimizer="sgd")
