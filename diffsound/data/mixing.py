"""Mixes of clips, with captions that are true of them: combinations of sounds that nobody recorded together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from types import MappingProxyType

import numpy as np

from diffsound.data import audio
from diffsound.data.manifest import Clip

FLOOR = 30  # dB below its own loudest moment a part is no longer heard: where it begins and ends
_FRAME = 0.02  # seconds over which energy is measured
_FADE = 0.02  # seconds, where a part was cut
_MARGIN = 0.1  # seconds by which parts lie apart, overlap, or stick out
_SHORTEST = 0.3  # seconds; no part is cut to less
_SILENT = 1e-10  # mean square
_QUIETEST = 10 ** (-30 / 20)  # of the A curve: else rumble would be made so loud that nothing else is left
_TRIES = 64  # candidates looked at for partners

# For each relation and number of parts what tells them in the order of time, and what tells them the other way round,
# which comes as often: else the order of the words would give away the order of the sounds. {0}, {1}, ... begin in this
# order in "then" and "overlap". In "while" the last is the longest, told second or first, and the others lie in it, one
# after another. Parts may be clauses ("a dog barks") or nouns ("a dog barking").
TEMPLATES: dict[tuple[str, int], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("then", 2): (("{0}, then {1}", "{0}, and then {1}", "first {0}, and then {1}", "{0}, and after that {1}",
                   "{0} before {1}", "after {0}, {1}"),
                  ("{1}, and before that {0}", "{1}, but first {0}", "{1} after {0}", "before {1}, {0}")),
    ("then", 3): (("{0}, then {1}, then {2}", "first {0}, then {1}, and finally {2}",
                   "{0}, after that {1}, and after that {2}"),
                  ("{2}, before that {1}, and before that {0}", "{2}, but first {0}, and then {1}")),
    ("while", 2): (("{0}, and all the while {1}", "{0}, and before, during and after that {1}", "{0} while {1}"),
                   ("{1}, and meanwhile {0}", "{1}, and in the middle of it {0}", "{1}, and in between {0}")),
    ("while", 3): (("{0}, then {1}, and all the while {2}", "first {0}, and then {1}, and all the while {2}"),
                   ("{2}, and meanwhile first {0}, then {1}", "{2}, and meanwhile {1}, but first {0}")),
    ("overlap", 2): (("{0} and {1}", "{0}, and also {1}", "{0}, and partly at the same time {1}",
                      "{0}, and before that ends, {1}"),
                     ("{1} and {0}", "{1}, and also {0}", "{1}, and partly at the same time {0}")),
    ("overlap", 3): (("{0}, {1} and {2}", "{0}, and before that ends, {1}, and before that ends, {2}",
                      "{0}, {1}, and also {2}"),
                     ("{2}, {1} and {0}", "{2}, {1}, and also {0}")),
}
_RELATIONS = MappingProxyType({"then": 1.0, "while": 1.0, "overlap": 1.0})
_COMPOUND = re.compile(r",|\b(and|then|before|after|while|as|during|followed|with)\b")
_UNCLEAR = re.compile(r"\} |^(before|after) ")  # where a compound part may seem to be joined by half

Placed = list[tuple[int, int, np.ndarray]]  # (which part, its first sample, its sound), in the order of TEMPLATES


@dataclass(frozen=True)
class Mixed:
    """A mix, or a clip by itself: waveform (num_samples,) float32 in [-1, 1], captions, labels by first onset."""

    waveform: np.ndarray
    captions: list[str]
    labels: list[str]


class Mixing:
    """Draws further clips to a clip and mixes them, as AudioGen (arXiv:2209.15352) and TANGO (arXiv:2304.13731) do,
    with captions that tell how the sounds lie in time, as in Make-An-Audio (arXiv:2301.12661).

    Args:
        per_clip: draws of each clip.
        further: weights of taking no, one and two further clips.
        snr_db: bounds of the level of the first clip over that of a further one, dB, drawn evenly.
        equal_loudness: how often both have the same loudness (A-weighted level) instead.
        relations: weights of "then" (one begins after the other has ended), "while" (one lies inside the other) and
            "overlap" (one begins before the other ends). Where the clips allow one relation only, it is that one.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, per_clip: int = 1, further: Sequence[float] = (0, 0.7, 0.3),
                 snr_db: tuple[float, float] = (-5, 5), equal_loudness: float = 0.5,
                 relations: Mapping[str, float] = _RELATIONS) -> None:
        if per_clip < 1:
            raise ValueError(f"mixing.init_args.per_clip {per_clip} must be at least 1")
        if not 1 <= len(further) <= 3 or min(further) < 0 or not 0 < sum(further) < np.inf:
            raise ValueError(f"mixing.init_args.further {list(further)}: expected weights of zero, one and two further "
                             "clips, none negative, not all 0")
        if len(snr_db) != 2 or not -np.inf < snr_db[0] <= snr_db[1] < np.inf:
            raise ValueError(f"mixing.init_args.snr_db {list(snr_db)}: expected the lowest and the highest, in dB")
        if not 0 <= equal_loudness <= 1:
            raise ValueError(f"mixing.init_args.equal_loudness {equal_loudness} must be in [0, 1]")
        if not relations.keys() <= _RELATIONS.keys() or min(relations.values(), default=0) < 0 \
                or not 0 < sum(relations.values()) < np.inf:
            raise ValueError(f"mixing.init_args.relations {dict(relations)}: expected weights of "
                             f"{', '.join(_RELATIONS)}, none negative, not all 0")
        self.per_clip, self.snr_db, self.equal_loudness = per_clip, tuple(snr_db), equal_loudness
        self.further = [weight / sum(further) for weight in further]
        self.relations = {name: weight / sum(relations.values()) for name, weight in relations.items() if weight > 0}

    def partners(self, index: int, candidates: Sequence[int], rng: np.random.Generator,
                 labels: Sequence[Collection[str]] | None = None) -> list[int]:
        """Which further clips to mix with clip `index`: as many as are drawn, distinct, never itself.

        With `labels`, those of every clip by its index, never clips of which one has all the labels of the other: of a
        dog and a dog nobody could tell which is meant. Fewer than drawn where the candidates do not give more.
        """
        wanted = int(rng.choice(len(self.further), p=self.further))
        size = len(candidates)
        order = rng.permutation(size) if size <= _TRIES else rng.integers(size, size=_TRIES)
        chosen = [index]
        for place in order:
            if len(chosen) > wanted:
                break
            other = int(candidates[place])
            if other not in chosen and (labels is None or
                                        not any(_alike(labels[other], labels[known]) for known in chosen)):
                chosen.append(other)
        return chosen[1:]

    def mix(self, parts: Sequence[tuple[np.ndarray, Clip]], num_samples: int, sample_rate: int,
            rng: np.random.Generator) -> Mixed:
        """The parts at places and levels drawn with `rng`, and captions that are true of them.

        Of each part is taken what is heard of it, cut where it is too long. Silent parts are left out, then the last
        ones if no relation can be had of all; a part that is left alone keeps its captions and is cropped or padded.
        There are as many captions as the part with the most has, and none if a part has none.

        Args:
            parts: waveforms (n,) float32 at `sample_rate` Hz, of any length, each with its clip.

        Raises:
            ValueError: if there are no parts, or more than three.
        """
        if not 1 <= len(parts) <= 3:
            raise ValueError(f"expected one to three parts to mix, found {len(parts)}")
        parts = [(np.asarray(waveform, np.float32), clip) for waveform, clip in parts]
        parts = [part for part in parts if _active(part[0], sample_rate).any()] or parts[:1]
        clips = [clip for _, clip in parts]
        for count in range(len(parts), 1, -1):
            sounds = [_trim(waveform, sample_rate) for waveform, _ in parts[:count]]
            relations = rng.choice(list(self.relations), len(self.relations), replace=False,
                                   p=list(self.relations.values()))
            for relation in relations:
                placed = _place(relation, sounds, num_samples, sample_rate, rng)
                if placed is not None:
                    return Mixed(self._sum(placed, num_samples, sample_rate, rng),
                                 _captions(relation, [clips[part] for part, _, _ in placed], rng),
                                 _labels([clips[part] for part, _, _ in sorted(placed, key=lambda each: each[1])]))
        waveform = audio.fit_length(parts[0][0], num_samples, rng)
        return Mixed(_unclipped(waveform), list(clips[0].captions), _labels(clips[:1]))

    def _sum(self, placed: Placed, num_samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        mixed = np.zeros(num_samples, np.float32)
        placed = sorted(placed, key=lambda each: each[0])
        first = placed[0][2]
        for part, start, sound in placed:
            gain = 1.0
            if part > 0 and rng.random() < self.equal_loudness:
                gain = _level(_a_weighted(first, sample_rate), first, sample_rate) \
                    / _level(_a_weighted(sound, sample_rate), sound, sample_rate)
            elif part > 0:
                gain = _level(first, first, sample_rate) / _level(sound, sound, sample_rate) \
                    * 10 ** (-rng.uniform(*self.snr_db) / 20)
            mixed[start:start + len(sound)] += np.float32(gain) * sound
        return _unclipped(mixed)


def _place(relation: str, sounds: list[np.ndarray], total: int, rate: int, rng: np.random.Generator) -> Placed | None:
    """Sounds cut and placed in `total` samples as the relation has it; None if it cannot be had."""
    attempt = {"then": _then, "while": _while, "overlap": _overlap}[relation]
    orders = list(permutations(range(len(sounds))))
    for i in rng.permutation(len(orders)):
        placed = attempt([(part, sounds[part]) for part in orders[i]], total, rate, rng)
        if placed is not None:
            return placed
    return None


Parts = list[tuple[int, np.ndarray]]


def _then(parts: Parts, total: int, rate: int, rng: np.random.Generator) -> Placed | None:
    margin = round(_MARGIN * rate)
    parts = _cut_to(parts, total - margin * (len(parts) - 1), rate, rng)
    return None if parts is None else _in_a_row(parts, 0, total, margin, rng)


def _while(parts: Parts, total: int, rate: int, rng: np.random.Generator) -> Placed | None:
    margin = round(_MARGIN * rate)
    longest = max(parts, key=lambda part: len(part[1]))
    outer = _cut_to([longest], total, rate, rng)
    if outer is None:
        return None
    (part, sound), = outer
    room = min(len(sound) - 2 * margin, round(0.8 * len(sound)))
    inner = _cut_to([each for each in parts if each is not longest], room - margin * (len(parts) - 2), rate, rng)
    if inner is None:
        return None
    start = int(rng.integers(total - len(sound) + 1))
    return [*_in_a_row(inner, start + margin, start + len(sound) - margin, margin, rng), (part, start, sound)]


def _overlap(parts: Parts, total: int, rate: int, rng: np.random.Generator) -> Placed | None:
    margin = round(_MARGIN * rate)
    cut = [_cut_to([part], round(total / len(parts) * 1.4), rate, rng) for part in parts]
    if None in cut:
        return None
    lengths = [len(sound) for (_, sound), in cut]
    earliest = [max(margin, before - length + margin) for before, length in zip(lengths, lengths[1:], strict=False)]
    starts = [0]
    for i, first in enumerate(earliest):  # each begins after the one before begins, and ends after it ends
        last = min(lengths[i] - margin, total - lengths[-1] - sum(earliest[i + 1:]) - starts[i])
        if first > last:
            return None
        starts.append(starts[i] + int(rng.integers(first, last + 1)))
    shift = int(rng.integers(total - starts[-1] - lengths[-1] + 1))
    return [(part, shift + start, sound) for ((part, sound),), start in zip(cut, starts, strict=True)]


def _in_a_row(parts: Parts, begin: int, end: int, margin: int, rng: np.random.Generator) -> Placed:
    spare = end - begin - margin * (len(parts) - 1) - sum(len(sound) for _, sound in parts)
    shifts = np.sort(rng.integers(spare + 1, size=len(parts)))
    placed = []
    for (part, sound), shift in zip(parts, shifts, strict=True):
        placed.append((part, begin + int(shift), sound))
        begin += len(sound) + margin
    return placed


def _cut_to(parts: Parts, room: int, rate: int, rng: np.random.Generator) -> Parts | None:
    """The longest cut, at random places, until all fit into `room` samples together; None if that is too short."""
    lengths = sorted(len(sound) for _, sound in parts)
    limit, left = lengths[-1], room
    for i, length in enumerate(lengths):  # what the shorter ones leave is shared out among the longer ones
        limit = left // (len(lengths) - i)
        if length > limit:
            break
        left -= length
    else:
        return parts
    if limit < _SHORTEST * rate:
        return None
    cut: Parts = []
    for part, sound in parts:
        if len(sound) > limit:
            start = int(rng.integers(len(sound) - limit + 1))
            sound = _trim(_faded(sound, start, start + limit, rate), rate)
            if sound is None or len(sound) < _SHORTEST * rate:
                return None
        cut.append((part, sound))
    return cut


def _trim(waveform: np.ndarray, rate: int) -> np.ndarray | None:
    """The span in which something is heard, a fade's length more at each side; None of silence."""
    active = _active(waveform, rate)
    if not active.any():
        return None
    frame, fade = round(_FRAME * rate), round(_FADE * rate)
    places = np.flatnonzero(active)
    return _faded(waveform, max(0, places[0] * frame - fade),
                  min(len(waveform), (places[-1] + 1) * frame + fade), rate)


def _faded(waveform: np.ndarray, start: int, end: int, rate: int) -> np.ndarray:
    """waveform[start:end], faded where something was cut off."""
    piece = waveform[start:end].copy()
    ramp = np.linspace(0, 1, min(round(_FADE * rate), len(piece)), dtype=np.float32)
    if start > 0:
        piece[:len(ramp)] *= ramp
    if end < len(waveform):
        piece[len(piece) - len(ramp):] *= ramp[::-1]
    return piece


def _power(waveform: np.ndarray, rate: int) -> np.ndarray:
    """(frames,) mean squares of frames side by side, the last one padded with zeros."""
    frame = round(_FRAME * rate)
    padded = np.pad(waveform, (0, -len(waveform) % frame))
    return np.mean(padded.reshape(-1, frame).astype(np.float64) ** 2, axis=1)


def _active(waveform: np.ndarray, rate: int) -> np.ndarray:
    """(frames,) bool: where something is heard."""
    power = _power(waveform, rate)
    loudest = power.max(initial=0)
    return (power > loudest * 10 ** (-FLOOR / 10)) & (loudest > _SILENT)


def _level(waveform: np.ndarray, sound: np.ndarray, rate: int) -> float:
    """Root mean square of `waveform` where something is heard of `sound`: pauses do not count."""
    return float(np.sqrt(np.mean(_power(waveform, rate)[_active(sound, rate)])))


def _a_weighted(waveform: np.ndarray, rate: int) -> np.ndarray:
    """By the A curve of IEC 61672, as the ear weighs frequencies; no less than 30 dB below its highest."""
    squared = np.fft.rfftfreq(len(waveform), 1 / rate) ** 2
    curve = 1.2589 * 12194**2 * squared**2 / ((squared + 20.6**2) * (squared + 12194**2)
                                             * np.sqrt((squared + 107.7**2) * (squared + 737.9**2)))
    return np.fft.irfft(np.fft.rfft(waveform) * np.maximum(curve, _QUIETEST), len(waveform))


def _unclipped(waveform: np.ndarray) -> np.ndarray:
    return np.clip(waveform / max(1, np.abs(waveform).max(initial=0)), -1, 1).astype(np.float32)


def _captions(relation: str, clips: list[Clip], rng: np.random.Generator) -> list[str]:
    texts = [[text for text in map(_phrase, clip.captions) if text] for clip in clips]
    if not all(texts):
        return []
    captions = []
    for _ in range(max(map(len, texts))):
        phrases = [of_clip[int(rng.integers(len(of_clip)))] for of_clip in texts]
        templates = TEMPLATES[relation, len(clips)][int(rng.integers(2))]
        if any(_COMPOUND.search(phrase) for phrase in phrases):
            templates = tuple(template for template in templates if not _UNCLEAR.search(template))
        captions.append(templates[int(rng.integers(len(templates)))].format(*phrases))
    return list(dict.fromkeys(captions))


def _phrase(caption: str) -> str:
    """A caption as a part of a sentence: no full stop, a small first letter unless the word is I or TV."""
    text = " ".join(caption.split()).rstrip(" .!;:,")
    word = text.partition(" ")[0]
    if word[1:] == word[1:].lower() and word.partition("'")[0] != "I":
        text = text[:1].lower() + text[1:]
    return text


def _labels(clips: list[Clip]) -> list[str]:
    return list(dict.fromkeys(label for clip in clips for label in clip.labels))


def _alike(one: Collection[str], other: Collection[str]) -> bool:
    return bool(one and other) and (set(one) <= set(other) or set(other) <= set(one))
