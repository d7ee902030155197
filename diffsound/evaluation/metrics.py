"""Distances between what was made and real sounds, from the logits or features that a judge gives for every clip.

The formulas and random draws of yangdongchao/Text-to-sound-Synthesis `Codebook/evaluation/metrics` (which has them from
torch-fidelity), in float64. They depend on the judge: compare only numbers of the same judge.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def kl_divergence(made: Tensor, real: Tensor, epsilon: float = 1e-6, reverse: bool = False) -> float:
    """How far the classes heard in each clip made are from those heard in the real clip it belongs to.

    The mean of `kl_divergences`: the published one is KL(real || made), in nats, and not the other way round.
    """
    return kl_divergences(made, real, epsilon, reverse).mean().item()


def kl_divergences(made: Tensor, real: Tensor, epsilon: float = 1e-6, reverse: bool = False) -> Tensor:
    """(N * S,) float64, one a clip made: KL(real || made) in nats, or KL(made || real) with `reverse`.

    Args:
        made: (N * S, C) logits; S clips made for every real one stand together, in the order of `real`.
        real: (N, C) logits.
        epsilon: added to the probabilities inside the second logarithm, as published.
        reverse: KL(made || real), which minds classes that are heard and should not be, where the other minds those
            that are missing.
    Raises:
        ValueError: if the rows of `made` are no multiple of those of `real`, the classes differ, a logit is not finite
            or `epsilon` is negative.
    """
    _check_pair(made, real)
    if not epsilon >= 0:
        raise ValueError(f"epsilon is {epsilon}, expected at least 0")
    samples, rest = divmod(len(made), len(real))
    if samples < 1 or rest:
        raise ValueError(f"{len(made)} clips made for {len(real)} real ones: expected as many for each of them")
    p, q = real.double().repeat_interleave(samples, 0), made.double()
    if reverse:
        p, q = q, p
    log_epsilon = torch.tensor(epsilon, dtype=torch.float64, device=made.device).log()
    # the logarithm of a sum by logarithms: finite without epsilon too, however sure the judge is
    difference = p.log_softmax(1) - torch.logaddexp(q.log_softmax(1), log_epsilon)
    return (p.softmax(1) * difference).sum(1)


def cosine_similarities(one: Tensor, other: Tensor) -> Tensor:
    """(N,) float64 in -1..1: of the rows of `one` (N, D) and `other` (N, D). The mean is the CLAP score of N clips and
    their texts.

    Raises:
        ValueError: if the shapes differ, or a number is not finite.
    """
    _check_pair(one, other)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} rows beside {len(other)}: expected a text for each clip")
    return torch.nn.functional.cosine_similarity(one.double(), other.double())


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 2020) -> tuple[float, float]:
    """Are single clips clear, and all together varied? exp of the mean KL(p(class | clip) || p(class)).

    arXiv:1606.03498. From 1 (all clips alike) to C (each clip one class, all classes as often).

    Args:
        logits: (N, C).
        splits: parts that are scored each by itself.
        seed: of the order in which clips are dealt to the parts; None keeps them as they are.
    Returns:
        Mean and standard deviation over the parts.
    Raises:
        ValueError: if there are fewer clips than `splits`, or a logit is not finite.
    """
    _check("logits", logits)
    if not 1 <= splits <= len(logits):
        raise ValueError(f"{len(logits)} clips cannot be dealt to {splits} splits")
    if seed is not None:
        logits = logits[_numpy_generator(seed).permutation(len(logits))]
    bounds = [part * len(logits) // splits for part in range(splits + 1)]
    scores = []
    for first, last in zip(bounds, bounds[1:], strict=False):
        log_p = logits[first:last].double().log_softmax(1)
        log_mean = log_p.logsumexp(0) - math.log(last - first)  # finite for a class that none has: 0 times it is 0
        scores.append((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp().item())
    return float(np.mean(scores)), float(np.std(scores))


def frechet_distance(made: Tensor, real: Tensor) -> float:
    """Squared distance between two sets of features, each taken for a Gaussian: the FID of arXiv:1706.08500.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with unbiased covariances. It is too large for small sets, and most of
    all for fewer clips than D: compare only sets of the same size.

    Args:
        made: (N, D) features.
        real: (M, D) features.
    Raises:
        ValueError: if a set has fewer than 2 rows, the widths differ, or a feature is not finite.
    """
    _check_pair(made, real, least=2)
    made, real = made.double(), real.double()
    # With S = R^T R, tr (S1 S2)^(1/2) is the sum of the singular values of R1 R2^T: no matrix root, whatever the rank.
    root_made, root_real = (torch.linalg.qr(x - x.mean(0), mode="r").R / (len(x) - 1) ** 0.5 for x in (made, real))
    cross = torch.linalg.svdvals(root_made @ root_real.T).sum()
    spread = root_made.square().sum() + root_real.square().sum() - 2 * cross
    return ((made.mean(0) - real.mean(0)).square().sum() + spread).item()


def kernel_distance(made: Tensor, real: Tensor, subsets: int = 100, subset_size: int = 1000,
                    seed: int = 2020) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy of the kernel (x y / D + 1)^3: the KID of arXiv:1801.01401.

    Needs no Gaussian, and is right on average for small sets too; about 0 (also below) if both are drawn alike.

    Args:
        made: (N, D) features.
        real: (M, D) features.
        subsets, subset_size: how many random subsets of how many rows of each set are compared.
        seed: of the subsets.
    Returns:
        Mean and standard deviation over the subsets.
    Raises:
        ValueError: if a set has fewer than `subset_size` rows, that is less than 2, there are no `subsets`, the widths
            differ, or a feature is not finite.
    """
    _check_pair(made, real)
    if subsets < 1:
        raise ValueError(f"subsets is {subsets}, expected at least 1")
    if not 2 <= subset_size <= min(len(made), len(real)):
        raise ValueError(f"subset_size {subset_size} does not fit {len(made)} clips made and {len(real)} real ones: "
                         f"expected 2 to {min(len(made), len(real))}")
    generator = _numpy_generator(seed)
    distances = []
    for _ in range(subsets):
        x, y = (each[generator.choice(len(each), subset_size, replace=False)].double() for each in (made, real))
        distances.append(_discrepancy(x, y))
    return float(np.mean(distances)), float(np.std(distances))


def whole_kernel_distance(made: Tensor, real: Tensor) -> float:
    """What `kernel_distance` estimates from random subsets, from all pairs of clips at once: no draw, less spread.

    Args:
        made: (N, D) features.
        real: (M, D) features.
    Raises:
        ValueError: if a set has fewer than 2 rows, the widths differ, or a feature is not finite.
    """
    _check_pair(made, real, least=2)
    return _discrepancy(made.double(), real.double())


def _discrepancy(x: Tensor, y: Tensor) -> float:
    within = sum((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y)))
    return (within - 2 * kernel(x, y).mean()).item()


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(N, M): of the rows of `x` (N, D) and `y` (M, D)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _numpy_generator(seed: int) -> np.random.RandomState:
    return np.random.RandomState(seed)  # NumPy's old generator, as published


def _check(name: str, x: Tensor) -> None:
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected rows, one a clip")
    if not x.isfinite().all():
        raise ValueError(f"{name} has numbers that are not finite: the judge is broken, or what it heard")


def _check_pair(made: Tensor, real: Tensor, least: int = 1) -> None:
    _check("made", made)
    _check("real", real)
    if made.shape[1] != real.shape[1]:
        raise ValueError(f"made has shape {tuple(made.shape)}, real {tuple(real.shape)}: expected rows of the same "
                         "width, from the same judge")
    if min(len(made), len(real)) < least:
        raise ValueError(f"{len(made)} clips made and {len(real)} real ones have no distance between sets: it needs at "
                         f"least {least} of each")
