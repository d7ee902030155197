"""The standard scores of a set of clips beside a reference, each with an interval over the clips made.

    FD    Frechet distance of the features of whole clips
    FAD   Frechet distance of the features of all windows of about 1 s of all clips
    KID   kernel distance of the features of whole clips, over all pairs
    KL    KL(reference || made) of the classes heard, in pairs of clips of the same id; and KL(made || reference)
    IS    inception score of the classes heard in the clips made

All depend on the extractor and carry its name. FAD is published with VGGish features of 0.96 s; with another extractor
the same formula gives numbers that must not be put beside those.

The reference is the yardstick and is held fixed: intervals tell how a score would vary with other clips made. Distances
between distributions grow when clips repeat, as they do in a draw; their intervals are therefore centred on the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffsound.evaluation.clips import ClipSet, paired_rows
from diffsound.evaluation.estimate import Estimate, bootstrap_mean, draw_counts, interval
from diffsound.evaluation.extractors import Extractor
from diffsound.evaluation.metrics import (
    cosine_similarities,
    frechet_distance,
    inception_score,
    kernel,
    kl_divergences,
    whole_kernel_distance,
)

FRECHET_REPEATS = 100  # a draw decomposes a (D, D) matrix: some ms for 128 features, seconds for 2048
LABELS = {  # of the keys of `standard_scores`, before the extractor's name: label, direction, unit
    "fad": ("FAD", "lower", ""), "fd": ("FD", "lower", ""), "kid": ("KID", "lower", ""),
    "kl": ("KL(reference || made)", "lower", "nats"), "kl_reverse": ("KL(made || reference)", "lower", "nats"),
    "inception": ("inception score", "higher", ""),
}


@dataclass(frozen=True)
class HeardSet:
    """All that an extractor hears in a set of clips, so that each set is heard once for all scores."""

    name: str  # of the clips
    extractor: str
    ids: tuple[str, ...]
    features: Tensor  # (N, D)
    logits: Tensor | None  # (N, C)
    unbiased: Tensor | None  # (N, C), where the inception score takes other logits
    windows: Tensor | None = None  # (W, D)
    owner: Tensor | None = None  # (W,), the clip of each window

    def __len__(self) -> int:
        return len(self.ids)


class TooFewClips(ValueError):
    """A covariance cannot be estimated from so few rows."""


def hear(clips: ClipSet, extractor: Extractor, windows: bool = True) -> HeardSet:
    """Features of all clips, and of their seconds for FAD unless `windows` is False."""
    heard = extractor(clips.waveforms, clips.sample_rate)
    parts = extractor.windows(clips.waveforms, clips.sample_rate) if windows else (None, None)
    return HeardSet(clips.name, extractor.name, clips.ids, *heard, *parts)


def standard_scores(made: ClipSet | HeardSet, reference: ClipSet | HeardSet, extractor: Extractor | None = None, *,
                    splits: int = 10, repeats: int = 1000, frechet_repeats: int = FRECHET_REPEATS, seed: int = 0,
                    level: float = 0.95, skipped: list[dict] | None = None) -> dict[str, Estimate]:
    """The scores above by name: "fd_tagger", "kl_reverse_tagger", ...; see `describe` for what each is.

    Args:
        made, reference: clips, heard here with `extractor`; or what `hear` gave, to hear a set once for many calls.
        splits: of the inception score, as published; its value depends on them.
        repeats, frechet_repeats, seed, level: of the bootstrap; Frechet distances are slow and get draws of their own.
        skipped: a list to which {"name", "why", "clips"} of what cannot be scored is added.
    Raises:
        ValueError: if the sets were heard by different extractors, or clips are given without one.
    """
    if isinstance(made, ClipSet) or isinstance(reference, ClipSet):
        if extractor is None:
            raise ValueError("standard_scores was given clips without an extractor: give one, or what `hear` returned")
        made, reference = (hear(each, extractor) if isinstance(each, ClipSet) else each for each in (made, reference))
    if made.extractor != reference.extractor:
        raise ValueError(f"{made.name} was heard by {made.extractor}, {reference.name} by {reference.extractor}: "
                         "expected the same extractor")
    scores: dict[str, Estimate] = {}

    def attempt(kind: str, compute: Callable[[], Estimate]) -> None:
        name = f"{kind}_{made.extractor}"
        try:
            scores[name] = compute()
        except ValueError as error:
            if skipped is not None:
                skipped.append({"name": describe(name)["label"], "why": str(error), "clips": len(made)})

    def windowed() -> Estimate:
        if made.windows is None or reference.windows is None:
            raise ValueError("windows were not heard: call hear(clips, extractor, windows=True)")
        return frechet_estimate(made.windows, reference.windows, made.owner, frechet_repeats, seed, level)

    def divergence(reverse: bool) -> Estimate:
        made_logits, real_logits = _paired_logits(made, reference)
        return bootstrap_mean(kl_divergences(made_logits, real_logits, reverse=reverse), repeats, seed, level)

    attempt("fad", windowed)
    attempt("fd", lambda: frechet_estimate(made.features, reference.features, None, frechet_repeats, seed, level))
    attempt("kid", lambda: kernel_estimate(made.features, reference.features, repeats, seed, level))
    attempt("kl", lambda: divergence(False))
    attempt("kl_reverse", lambda: divergence(True))
    attempt("inception", lambda: inception_estimate(
        _logits(made) if made.unbiased is None else made.unbiased, splits, repeats, seed, level))
    return scores


def clap_score(audio: Tensor, text: Tensor, repeats: int = 1000, seed: int = 0, level: float = 0.95) -> Estimate:
    """Mean cosine of the embeddings (N, D) of clips and of the texts they were made for, -1..1: higher is better."""
    return bootstrap_mean(cosine_similarities(audio, text), repeats, seed, level)


def describe(name: str) -> dict[str, str]:
    """label, group, direction ("better") and unit of a key of `standard_scores`."""
    kind = max((kind for kind in LABELS if name.startswith(f"{kind}_")), key=len, default=None)
    if kind is None:
        raise ValueError(f"{name!r} is no standard score: expected one of {', '.join(LABELS)} and an extractor")
    label, better, unit = LABELS[kind]
    return {"label": f"{label} ({name.removeprefix(kind + '_')})", "group": "distances", "better": better, "unit": unit}


def require_rows(rows: int, width: int, what: str) -> None:
    """Raises `TooFewClips` where a covariance of `width` features would not have full rank."""
    if rows <= width:
        raise TooFewClips(f"{what} has {rows} rows for {width} features: their covariance needs at least {width + 1}; "
                          "give more clips")


def frechet_estimate(made: Tensor, reference: Tensor, owner: Tensor | None = None, repeats: int = FRECHET_REPEATS,
                     seed: int = 0, level: float = 0.95) -> Estimate:
    """`frechet_distance` of rows (N, D) and (M, D), drawn by clips: all windows of a clip together.

    Args:
        owner: (N,) the clip of each row of `made`; by default each is a clip.
    Raises:
        TooFewClips: if a set has not more rows than features.
    """
    require_rows(len(made), made.shape[1], "made")
    require_rows(len(reference), reference.shape[1], "the reference")
    value = frechet_distance(made, reference)
    owner = torch.arange(len(made)) if owner is None else owner
    clips = int(owner.max()) + 1
    x, y = made.double(), reference.double()
    mean, centred = y.mean(0), y - y.mean(0)
    root = torch.linalg.qr(centred, mode="r").R / (len(y) - 1) ** 0.5  # R^T R is the covariance
    turned, spread = x @ root.T, root.square().sum()
    draws = []
    for counts in torch.from_numpy(draw_counts(clips, repeats, seed)):
        weight = counts[owner][:, None]
        total = weight.sum()
        own_mean, turned_mean = ((weight * rows).sum(0) / total for rows in (x, turned))
        own_spread = (weight * (x - own_mean).square()).sum() / (total - 1)
        scaled = weight.sqrt() * (turned - turned_mean)
        # tr (S1 S2)^(1/2) by the eigenvalues of R S1 R^T: half the digits of `frechet_distance`, a fifth of the time
        cross = torch.linalg.eigvalsh(scaled.T @ scaled / (total - 1)).clamp(min=0).sqrt().sum()
        draws.append(float((own_mean - mean).square().sum() + own_spread + spread - 2 * cross))
    return interval(value, draws, clips, level, centred=True)


def kernel_estimate(made: Tensor, reference: Tensor, repeats: int = 1000, seed: int = 0,
                    level: float = 0.95) -> Estimate:
    """`whole_kernel_distance` of (N, D) and (M, D) features, drawn by clips; no feature is computed twice."""
    value = whole_kernel_distance(made, reference)
    x, y = made.double(), reference.double()
    counts = torch.from_numpy(draw_counts(len(x), repeats, seed))
    own, between = kernel(x, x), kernel(x, y).mean(1)
    within = ((counts @ own) * counts).sum(1) - counts @ own.diagonal()  # a clip is not compared with itself
    theirs = kernel(y, y)
    constant = (theirs.sum() - theirs.trace()) / (len(y) * (len(y) - 1))
    draws = within / (len(x) * (len(x) - 1)) + constant - 2 * counts @ between / len(x)
    return interval(value, draws.numpy(), len(x), level, centred=True)


def inception_estimate(logits: Tensor, splits: int = 10, repeats: int = 1000, seed: int = 0,
                       level: float = 0.95) -> Estimate:
    """Mean over the splits of `inception_score` of (N, C) logits, drawn by clips."""
    value = inception_score(logits, splits)[0]
    log_p = logits.double().log_softmax(1)
    p = log_p.exp()
    p_log_p = (p * log_p).sum(1)
    bounds = [part * len(p) // splits for part in range(splits + 1)]
    sizes = [last - first for first, last in zip(bounds, bounds[1:], strict=False)]
    generator, draws = np.random.default_rng(seed), []
    for _ in range(repeats):
        share = torch.from_numpy(generator.multinomial(sizes, [1 / len(p)] * len(p)) / np.array(sizes)[:, None])
        mean = share @ p  # (splits, C)
        draws.append(float((share @ p_log_p - torch.xlogy(mean, mean).sum(1)).exp().mean()))
    return interval(value, draws, len(p), level, centred=True)


def _logits(heard: HeardSet) -> Tensor:
    if heard.logits is None:
        raise ValueError(f"{heard.extractor} has features but no classes")
    return heard.logits


def _paired_logits(made: HeardSet, reference: HeardSet) -> tuple[Tensor, Tensor]:
    logits = _logits(made), _logits(reference)
    rows = paired_rows(made.name, made.ids, reference.name, reference.ids)
    return logits[0], logits[1][torch.tensor(rows)]

