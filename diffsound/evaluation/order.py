"""Did the sound do what the caption said: which events, in which order, how many? Exact answers from a timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations

from diffsound.scenes import SOUNDS, Event, Structure

Ratio = tuple[int, int]  # (right, of)


@dataclass(frozen=True)
class Score:
    """One clip against one request. Each entry is (right, of), so that scores add up over clips."""

    precision: Ratio  # of the classes heard, those asked for
    recall: Ratio  # of the classes asked for, those heard
    order: Ratio  # of the pairs asked for one after the other, those heard so: the first is over before the second
    order_when_heard: Ratio  # the same, of the pairs of which both are heard; a coin toss gives a half
    overlap: Ratio  # of the sounds asked for during another one, those heard within it
    count: Ratio  # of the momentary sounds asked for, those heard as often as asked
    exact: Ratio  # (1, 1) if all of the above is right


def score(heard: Sequence[Event], asked: Structure) -> Score:
    """How much of `asked` is `heard`, an estimated or true timeline."""
    times: dict[str, list[Event]] = {}
    for event in sorted(heard, key=lambda event: event.onset):
        times.setdefault(event.name, []).append(event)
    found = [name for name in asked.names if name in times]
    countable = [(name, n) for name, n in zip(asked.names, asked.counts, strict=True) if SOUNDS[name].momentary]
    counted = sum(len(times.get(name, ())) == n for name, n in countable)
    successions = list(combinations(asked.names, 2)) if asked.relation == "then" else []
    both = [(a, b) for a, b in successions if a in times and b in times]
    in_order = sum(times[a][-1].onset < times[b][0].onset for a, b in both)
    within = asked.relation == "while" and len(found) == 2 and _within(*(times[name] for name in asked.names))
    parts = {
        "precision": (len(found), len(times)),
        "recall": (len(found), len(asked.names)),
        "order": (in_order, len(successions)),
        "order_when_heard": (in_order, len(both)),
        "overlap": (int(within), int(asked.relation == "while")),
        "count": (counted, len(countable)),
    }
    exact = all(right == of for right, of in parts.values())
    return Score(**parts, exact=(int(exact), 1))


def summarise(scores: Iterable[Score]) -> dict[str, float]:
    """Ratios over all clips, in 0..1, and the F1 of `precision` and `recall`; what no clip asked for is left out."""
    scores = list(scores)
    summary = {}
    for name in (field.name for field in fields(Score)):
        right, of = (sum(getattr(one, name)[entry] for one in scores) for entry in (0, 1))
        if of:
            summary[name] = right / of
    precision, recall = summary.get("precision", 0.0), summary.get("recall", 0.0)
    return {"f1": 2 * precision * recall / max(precision + recall, 1e-9), **summary}


def summarise_by_kind(scores: Sequence[Score], asked: Sequence[Structure]) -> dict[str, dict[str, float]]:
    """`summarise` for each kind of structure (single, count, then, ...), so that a weak cell cannot hide."""
    groups: dict[str, list[Score]] = {}
    for one, structure in zip(scores, asked, strict=True):
        groups.setdefault(structure.kind, []).append(one)
    return {kind: summarise(groups[kind]) for kind in sorted(groups)}


def _within(inner: list[Event], outer: list[Event]) -> bool:
    return all(outer[0].onset < event.onset < outer[-1].offset for event in inner)
