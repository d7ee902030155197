"""Checks that run with every evaluation: can these numbers be believed?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.extractors import Extractor
from diffsound.evaluation.metrics import frechet_distance, kernel, kl_divergence, whole_kernel_distance
from diffsound.evaluation.standard import HeardSet

SILENT_PEAK = 1e-3  # -60 dB re full scale
FULL_SCALE, CLIPPED_SHARE = 0.999, 0.01  # a clip is clipped if this share of its samples is at full scale
ALLOWED_SHARE = 0.01  # of the clips made that may be silent, clipped or a copy, if those of the reference are not more
TOLERANCE = 1e-6  # of the spread of the features
HEARD_AGAIN = 8  # clips that the extractor hears a second time, in another order


@dataclass(frozen=True)
class Check:
    """One result. If `fatal`, no score of this evaluation should be shown where it has not passed."""

    name: str
    passed: bool
    detail: str
    fatal: bool = True

    def as_dict(self) -> dict[str, str | bool]:
        return asdict(self)


class FailedChecks(ValueError):
    """All that failed, in one message."""


def require_passed(checks: Iterable[Check]) -> None:
    """Raises `FailedChecks` naming every fatal check that failed; the others are warnings."""
    failed = [check for check in checks if check.fatal and not check.passed]
    if failed:
        raise FailedChecks(f"{len(failed)} checks of the evaluation failed: "
                           + "; ".join(f"{check.name}: {check.detail}" for check in failed))


def check_clips(made: ClipSet, reference: ClipSet, reference_hash: str | None = None) -> list[Check]:
    """What needs no extractor: the hash of the reference, and what is wrong with the clips made.

    Silence, clipping and copies are warnings, each beside the share in the reference; all clips silent is fatal.
    """
    if reference_hash is None:
        same = Check("reference", True, f"{len(reference)} clips, hash {reference.fingerprint[:16]}")
    else:
        same = Check("reference", reference.fingerprint.startswith(reference_hash) and bool(reference_hash),
                     f"hash {reference.fingerprint[:max(16, len(reference_hash))]}, expected {reference_hash}")
    silent = len(silent_clips(made))
    sounding = Check("something is heard", silent < len(made),
                     f"{silent} of {len(made)} clips are silent (peak below {SILENT_PEAK})")
    return [same, sounding, *(
        share_check(name, find(made), len(made), len(find(reference)), len(reference), "in the reference")
        for name, find in (("silent clips", silent_clips), ("clipped clips", clipped_clips),
                           ("copies", copied_clips)))]


def check_scores(made: HeardSet, reference: HeardSet, clips: ClipSet | None = None,
                 extractor: Extractor | None = None) -> list[Check]:
    """What must hold of the distances themselves, on the features of this evaluation.

    Args:
        clips, extractor: the clips made and what heard them, to hear some of them again in another order.
    """
    checks = [_attempt("finite features", lambda: _finite(made, reference)),
              _attempt("same set against itself", lambda: _itself(reference)),
              _attempt("order of clips", lambda: _order(made, reference)),
              _enough(made, reference)]
    if clips is not None and extractor is not None:
        checks.insert(3, _attempt("order of hearing", lambda: _heard_again(made, clips, extractor)))
    return [Check(f"{check.name} ({made.extractor})", check.passed, check.detail, check.fatal) for check in checks]


def silent_clips(clips: ClipSet) -> list[str]:
    """Ids of the clips whose peak is below -60 dB."""
    return [name for name, x in zip(clips.ids, clips.waveforms, strict=True) if x.abs().max() < SILENT_PEAK]


def clipped_clips(clips: ClipSet) -> list[str]:
    """Ids of the clips with more than a hundredth of their samples at full scale."""
    return [name for name, x in zip(clips.ids, clips.waveforms, strict=True)
            if (x.abs() >= FULL_SCALE).float().mean() > CLIPPED_SHARE]


def copied_clips(clips: ClipSet) -> list[str]:
    """Ids of the clips that are, to 16 bits, the same as an earlier one; silent ones are not counted again."""
    seen: Counter[str] = Counter()
    silent, copies = set(silent_clips(clips)), []
    for name, x in zip(clips.ids, clips.waveforms, strict=True):
        if name not in silent:
            key = hashlib.sha256((x * 32767).round().to(torch.int32).cpu().numpy().tobytes()).hexdigest()
            copies += [name] if seen[key] else []
            seen[key] += 1
    return copies


def share_check(name: str, found: Sequence[str], made: int, there: int, others: int, where: str) -> Check:
    """A warning if the clips `found`, by id, are more than a hundredth of those `made`, and a larger share than `there`
    are of `others`, clips as they should be; `where` says what these are."""
    detail = f"{len(found)} of {made} made, {there} of {others} {where}"
    if found:
        detail += f" ({', '.join(found[:5])}{', ...' if len(found) > 5 else ''})"
    return Check(name, len(found) / made <= max(ALLOWED_SHARE, there / others), detail, fatal=False)


def _attempt(name: str, compute: Callable[[], tuple[bool, str]]) -> Check:
    """Every check is run, whatever happens in the one before."""
    try:
        return Check(name, *compute())
    except Exception as error:  # told with the others, by name
        return Check(name, False, f"{type(error).__name__}: {error}")


def _finite(made: HeardSet, reference: HeardSet) -> tuple[bool, str]:
    broken = [f"{heard.name} {name}" for heard in (made, reference)
              for name in ("features", "logits", "unbiased", "windows")
              if getattr(heard, name) is not None and not getattr(heard, name).isfinite().all()]
    return not broken, f"not finite: {', '.join(broken)}" if broken else f"{made.features.shape[1]} features a clip"


def _itself(heard: HeardSet) -> tuple[bool, str]:
    x = heard.features
    distance, scale = frechet_distance(x, x), _spread(x)
    # Without the pairs of a clip with itself, the kernel distance of a set to itself is not 0 but known exactly.
    own = kernel(x.double(), x.double())
    diagonal = own.diagonal().mean()
    others = (own.sum() - own.trace()) / (len(x) * (len(x) - 1))
    kid = whole_kernel_distance(x, x) - 2 * (others - diagonal).item() / len(x)
    kl = kl_divergence(heard.logits, heard.logits, epsilon=0) if heard.logits is not None else 0.0
    passed = abs(distance) <= TOLERANCE * scale and abs(kid) <= TOLERANCE * diagonal.item() and abs(kl) <= TOLERANCE
    return passed, f"FD {distance:.1e} of a spread of {scale:.1e}, KID off by {kid:.1e}, KL {kl:.1e}"


def _order(made: HeardSet, reference: HeardSet) -> tuple[bool, str]:
    generator = torch.Generator().manual_seed(0)
    x, y = made.features, reference.features
    shuffled = x[torch.randperm(len(x), generator=generator)]
    worst = 0.0
    scales = _spread(y), kernel(y.double(), y.double()).diagonal().mean().item()  # of a set beside itself both are 0
    for distance, scale in zip((frechet_distance, whole_kernel_distance), scales, strict=True):
        first, second = distance(x, y), distance(shuffled, y.flip(0))
        worst = max(worst, abs(first - second) / max(abs(first), TOLERANCE * scale))
    return worst <= 1e-5, f"FD and KID change by {worst:.1e} of their value when clips are shuffled"


def _heard_again(made: HeardSet, clips: ClipSet, extractor: Extractor) -> tuple[bool, str]:
    rows = list(range(min(HEARD_AGAIN, len(clips))))[::-1]
    again = extractor([clips.waveforms[row] for row in rows], clips.sample_rate).features
    change = ((again - made.features[rows]).norm() / made.features[rows].norm().clamp(min=1e-12)).item()
    return change <= 1e-3, f"features of {len(rows)} clips change by {change:.1e} in another order and batch"


def _enough(made: HeardSet, reference: HeardSet) -> Check:
    """No failure of the others: the scores that need more are left out, by name."""
    width = made.features.shape[1]
    fewest = min(len(made), len(reference))
    return Check("enough clips for a covariance", fewest > width,
                 f"{len(made)} made and {len(reference)} in the reference, {width} features need {width + 1} of each",
                 fatal=False)


def _spread(x: Tensor) -> float:
    """Trace of the covariance, and a little of the mean, for sets whose clips are all alike."""
    x = x.double()
    return (x.var(0).sum() + x.mean(0).square().sum() + 1e-12).item()
