import pytest
import torch

from diffsound.diffusion import ImportanceTimesteps, UniformTimesteps


def test_share_of_the_last_step():
    t, p = UniformTimesteps(10, last_step_probability=0.5).sample(20000)
    assert (t == 10).float().mean() == pytest.approx(0.55, abs=0.02)
    assert p[t == 10][0] == pytest.approx(0.55)
    assert t.min() == 1


def test_importance_weighting_keeps_the_estimate_unbiased():
    """Whatever t is drawn from, the mean of loss(t) / p(t) is the sum of loss over t."""
    loss = torch.linspace(0.1, 3.0, 10)
    steps = ImportanceTimesteps(10, warmup=0)
    for _ in range(3):
        steps.update(torch.arange(1, 11), loss)
    t, p = steps.sample(100000)
    assert abs((loss[t - 1] / p).mean() / loss.sum() - 1) < 0.02
    assert p[t == 10][0] > 2 * p[t == 3][0]


def test_uniform_until_every_step_was_seen():
    steps = ImportanceTimesteps(4, warmup=1)
    steps.update(torch.tensor([1, 2, 3, 1, 2, 3]), torch.ones(6))
    torch.testing.assert_close(steps.proposal(), torch.full((4,), 0.25))
    steps.update(torch.tensor([4, 4]), torch.full((2,), 5.0))
    assert steps.proposal()[3] > 0.4


def test_repeated_steps_of_a_batch_count_by_their_mean_in_any_order():
    a, b = ImportanceTimesteps(3), ImportanceTimesteps(3)
    t, loss = torch.tensor([2, 2, 1, 2]), torch.tensor([1.0, 3.0, 2.0, 5.0])
    a.update(t, loss)
    b.update(t.flip(0), loss.flip(0))
    torch.testing.assert_close(a.history, b.history)
    assert a.history[1] == pytest.approx((1 + 9 + 25) / 3 * 0.1)


def test_history_survives_a_checkpoint():
    a = ImportanceTimesteps(3)
    a.update(torch.tensor([1, 2, 3]), torch.tensor([1.0, 2.0, 3.0]))
    b = ImportanceTimesteps(3)
    b.load_state_dict(a.state_dict())
    torch.testing.assert_close(a.history, b.history)


@pytest.mark.golden
def test_proposal_is_the_original_one(golden):
    tensors, _ = golden("c_training_loss")
    steps = ImportanceTimesteps(len(tensors["Lt_history_before"]))
    steps.history.copy_(tensors["Lt_history_before"])
    steps.count.fill_(11)
    torch.testing.assert_close(steps.proposal(), tensors["importance.pt_all"], atol=1e-6, rtol=0)
