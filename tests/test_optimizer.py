from types import SimpleNamespace

import pytest
from torch import nn

from diffsound.optimizer import adam


def rates(max_steps, steps, **options):
    module = nn.Linear(1, 1)
    module.trainer = SimpleNamespace(max_steps=max_steps, precision="32-true")
    made = adam(module, 2.0, (0.9, 0.99), **options)
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
