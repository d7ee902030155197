"""Did the sound do what the caption said: which events, in which order, how many, how? Exact, from a timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from statistics import mean

from diffsound.scenes import AXES, SOUNDS, Event, Request, Structure

Ratio = tuple[float, float]  # (right, of)
SLACK = 0.1  # seconds that a sound may ring on into the next one, or be covered by one that it goes on under
ON_TIME = 0.5  # seconds by which a sound asked for at a second may miss it
# Below the first a sound is low, faint, ...; above the second it is high, loud, ...; between them it is ordinary.
POSITION, LENGTH, PAUSE = (1 / 3, 2 / 3), (0.9, 1.7), (0.1, 0.4)  # of a range; seconds; seconds between repetitions


@dataclass(frozen=True)
class Score:
    """One clip against one request. Each entry is (right, of), so that scores add up over clips."""

    precision: Ratio  # of the classes heard, those asked for
    recall: Ratio  # of the classes asked for, those heard
    order: Ratio  # of the pairs asked for one after the other, those heard so: the first is over before the second
    order_when_heard: Ratio  # the same, of the pairs of which both are heard; a coin toss gives a half
    overlap: Ratio  # of the sounds asked for during another one, those that begin while it is heard, and before its end
    count: Ratio  # of the momentary sounds asked for, those heard as often as asked
    attributes: Ratio  # of the attributes asked for, those heard
    onset_error: Ratio  # seconds from the onsets asked for to those heard, of so many heard
    unasked: Ratio  # of the events heard, those of classes that were not asked for
    exact: Ratio  # (1, 1) if all classes, orders, overlaps, counts, attributes and seconds are right, nothing unasked


def score(heard: Sequence[Event], asked: Structure) -> Score:
    """How much of `asked` is `heard`, an estimated or true timeline."""
    times: dict[str, list[Event]] = {}
    for event in sorted(heard, key=lambda event: event.onset):
        times.setdefault(event.name, []).append(event)
    found = [name for name in asked.names if name in times]
    countable = [request for request in asked.requests if SOUNDS[request.name].momentary]
    counted = sum(len(times.get(request.name, ())) == request.count for request in countable)
    successions = [(a.name, b.name) for a, b in combinations(asked.events, 2)]
    both = [(a, b) for a, b in successions if a in times and b in times]
    in_order = sum(times[a][-1].offset < times[b][0].onset + SLACK for a, b in both)
    said = [(request, word) for request in asked.requests for word in request.attributes]
    fronts = asked.events if asked.background else ()
    within = sum(_within(times.get(front.name), times.get(asked.background.name)) for front in fronts)
    timed = [request for request in asked.events if request.at is not None and request.name in times]
    parts = {
        "precision": (len(found), len(times)),
        "recall": (len(found), len(asked.names)),
        "order": (in_order, len(successions)),
        "order_when_heard": (in_order, len(both)),
        "overlap": (within, len(fronts)),
        "count": (counted, len(countable)),
        "attributes": (sum(is_so(word, request, times.get(request.name, [])) for request, word in said), len(said)),
    }
    late = [abs(times[request.name][0].onset - request.at) for request in timed]
    exact = all(right == of for right, of in parts.values()) and max(late, default=0.0) <= ON_TIME
    return Score(
        **parts, exact=(int(exact), 1), onset_error=(sum(late), len(late)),
        unasked=(sum(event.name not in asked.names for event in heard), len(heard)))


def fulfilment(one: Score) -> float:
    """A single number for one clip, 0 to 1: the mean over what was asked for (its sounds, orders, overlaps, counts,
    attributes), and over nothing else being heard, of the share that is right."""
    parts = [getattr(one, name) for name in ("precision", "recall", "order", "overlap", "count", "attributes")]
    return mean(right / of for right, of in parts if of)


def is_so(word: str, request: Request, events: Sequence[Event]) -> bool:
    """Whether `events`, all that is heard of a request, are high, fast, ...; False if what tells is not known."""
    axis = next(axis for axis, words in AXES.items() if word in words)
    (below, above), sign = POSITION, 1
    if axis == "length":
        (below, above), values = LENGTH, _span(events)
    elif axis == "rate" and SOUNDS[request.name].momentary:
        (above, below), sign = PAUSE, -1  # the shorter the pauses, the faster
        values = [later.onset - earlier.offset for earlier, later in zip(events, events[1:], strict=False)]
    else:
        values = [event.positions[axis] for event in events if axis in event.positions]
    if not values:
        return False
    if word == AXES[axis][1]:
        return sign * mean(values) > sign * above
    return sign * mean(values) < sign * below


def _span(events: Sequence[Event]) -> list[float]:
    """Seconds from the first onset to the last end of a sustained sound: a judge may hear it in several parts."""
    return [max(event.offset for event in events) - min(event.onset for event in events)] if events else []


def summarise(scores: Iterable[Score]) -> dict[str, float]:
    """Ratios over all clips, in 0..1 (`onset_error` in seconds), and the F1 of `precision` and `recall`; what no clip
    asked for is left out."""
    scores = list(scores)
    summary = {}
    for name in (field.name for field in fields(Score)):
        right, of = (sum(getattr(one, name)[entry] for one in scores) for entry in (0, 1))
        if of:
            summary[name] = right / of
    precision, recall = summary.get("precision", 0.0), summary.get("recall", 0.0)
    return {"f1": 2 * precision * recall / max(precision + recall, 1e-9), **summary}


def summarise_by(scores: Sequence[Score], groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """`summarise` for each group (a kind of structure, "seen" or "held out"), so that a weak cell cannot hide."""
    members: dict[str, list[Score]] = {}
    for one, group in zip(scores, groups, strict=True):
        members.setdefault(group, []).append(one)
    return {group: summarise(members[group]) for group in sorted(members)}


def _within(inner: list[Event] | None, outer: list[Event] | None) -> bool:
    if not inner or not outer:
        return False
    return all(event.onset < outer[-1].offset and any(one.onset < event.onset < one.offset + SLACK for one in outer)
               for event in inner)
