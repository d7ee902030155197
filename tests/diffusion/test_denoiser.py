import pytest
import torch

from diffsound.diffusion import Denoiser
from diffsound.text_encoder import Condition

K, T, ROWS, COLUMNS, WIDTH = 7, 10, 3, 4, 16


@pytest.fixture(params=["cross", "prefix"])
def text(request):
    return request.param


@pytest.fixture(params=["token", "column"])
def denoiser(request, text):
    model = Denoiser(K, T, ROWS, COLUMNS, layers=2, width=WIDTH, heads=2, condition_width=8, text=text,
                     positions=request.param).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that nothing is hidden by small weights
    return model


def inputs(batch=2, columns=COLUMNS, words=5):
    condition = Condition(torch.randn(batch, words, 8), torch.ones(batch, words, dtype=torch.bool))
    return torch.randint(K + 1, (batch, ROWS * columns)), torch.randint(1, T + 1, (batch,)), condition


def test_padding_of_the_text_changes_nothing(denoiser):
    x, t, condition = inputs()
    padded = Condition(torch.cat([condition.embeddings, 9 * torch.randn(2, 3, 8)], 1),
                       torch.cat([condition.mask, torch.zeros(2, 3, dtype=torch.bool)], 1))
    torch.testing.assert_close(denoiser(x, t, condition), denoiser(x, t, padded), atol=1e-5, rtol=1e-4)


def test_clips_of_a_batch_do_not_mix(denoiser):
    x, t, condition = inputs(3)
    together = denoiser(x, t, condition)
    for i in range(3):
        words = Condition(condition.embeddings[i : i + 1], condition.mask[i : i + 1])
        alone = denoiser(x[i : i + 1], t[i : i + 1], words)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("columns", [1, 2, COLUMNS])
def test_any_length_up_to_the_longest(denoiser, columns):
    x, t, condition = inputs(columns=columns)
    assert denoiser(x, t, condition).shape == (2, ROWS * columns, K)


def test_every_input_matters(denoiser):
    x, t, condition = inputs()
    base = denoiser(x, t, condition)
    other_x = x.clone()
    other_x[:, 5] = (x[:, 5] + 1) % (K + 1)
    swapped = Condition(condition.embeddings.flip(0), condition.mask)
    for changed in (denoiser(other_x, t, condition), denoiser(x, t % T + 1, condition), denoiser(x, t, swapped)):
        assert (changed - base).abs().max() > 1e-3


def test_tokens_know_their_row_and_column(denoiser):
    """The same code everywhere still gives another answer at each place."""
    same = torch.zeros(1, ROWS * COLUMNS, dtype=torch.long)
    logits = denoiser(same, torch.ones(1, dtype=torch.long), inputs(1)[2])[0]
    distance = torch.cdist(logits, logits) + torch.eye(len(logits)) * 9
    assert distance.min() > 1e-3


@pytest.mark.parametrize("length", [ROWS * (COLUMNS + 1), ROWS + 1])
def test_a_length_that_does_not_fit_is_named(denoiser, length):
    _, t, condition = inputs()
    with pytest.raises(ValueError, match=f"{length} tokens"):
        denoiser(torch.zeros(2, length, dtype=torch.long), t, condition)


def test_published_size():
    with torch.device("meta"):
        model = Denoiser(256, 100)
    assert sum(p.numel() for p in model.parameters()) == 383_383_808  # Diffsound, K = 256
