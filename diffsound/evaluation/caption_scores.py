"""Captions of what was made against captions of what was asked for: CIDEr, BLEU, ROUGE-L, and structures read back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffsound.evaluation.order import score
from diffsound.scenes import AXES, SOUNDS, Event, Request, Structure, read

Captions = Sequence[str]
SCENE_ROWS = ("precision", "recall", "order", "count", "attributes", "overlap")  # of `order.Score`
LENGTHS, PAUSES = {"short": 0.6, "long": 2.4}, {"fast": 0.05, "slow": 0.5}  # seconds, as `order.is_so` tells them
TINY, SMALL = 1e-15, 1e-9  # what BLEU's published code adds to a count of nothing


@dataclass(frozen=True)
class Rows:
    """What is known of each clip, and the score that it makes of any number of clips.

    values: (N, ...) float64, a clip a row.
    statistic: from such rows, drawn again or not, to one number; NaN where it has no meaning on them. Every clip's
        row is its own: drawing clips with replacement needs no second look at the captions.
    """

    values: np.ndarray
    statistic: Callable[[np.ndarray], float]

    @property
    def value(self) -> float:
        return self.statistic(self.values)


@dataclass
class CaptionScores:
    """`rows` by score, and what was left out, by score, with the reason."""

    rows: dict[str, Rows] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def caption_scores(candidates: Captions, references: Sequence[Captions], structures: Sequence[Structure] | None = None,
                   spice: bool = False) -> CaptionScores:
    """All scores of `candidates`, one caption a clip, that can be computed here.

    "cider", "rouge_l" (x 1, as published without per cent, CIDEr in 0..10) and "bleu_1" to "bleu_4" need the extra
    eval, "cider" and "spice" Java too; where these are missing the scores are in `skipped`. Given the `structures`
    that were asked for, "read", "f1", "order", "count", "attributes", "overlap" and "exact" of what candidates state.

    Args:
        candidates: N captions, of what is heard.
        references: N lists, one or more captions each, of what was asked for.
        structures: N structures that were asked for; None if they are not scenes.
        spice: whether to score SPICE too, minutes for a thousand clips.
    Raises:
        ValueError: if there are no captions, their numbers differ, or a clip has no reference.
    """
    _check(candidates, references, structures)
    scores = CaptionScores(scene_rows([read(text, "wide") for text in candidates], structures) if structures else {})
    for name, rows in (("cider", cider), ("bleu", bleu), ("rouge_l", rouge_l), *([("spice", spice_f)] * spice)):
        try:
            scores.rows |= rows(candidates, references)
        except OSError as error:
            scores.skipped[name] = str(error)
    return scores


def cider(candidates: Captions, references: Sequence[Captions]) -> dict[str, Rows]:
    """CIDEr-D (arXiv:1411.5726), words weighed by all the references together. 0 for a set of one clip.

    Raises:
        OSError: if pycocoevalcap, or the Java of its tokenizer, is not there.
    """
    package = _package("cider.cider", "CIDEr")
    theirs, ours = _tokens(references), _tokens([[text] for text in candidates])
    return {"cider": Rows(np.asarray(package.Cider().compute_score(theirs, ours)[1], dtype=np.float64), _mean)}


def bleu(candidates: Captions, references: Sequence[Captions]) -> dict[str, Rows]:
    """BLEU of up to 1, 2, 3 and 4 words, of all clips together, against the closest reference's length.

    Words are lower case, without punctuation; no Java is needed.

    Raises:
        OSError: if pycocoevalcap is not there.
    """
    package = _package("bleu.bleu_scorer", "BLEU")
    rows = []
    for candidate, texts in zip(candidates, references, strict=True):
        found = package.cook_test(_words(candidate), package.cook_refs(map(_words, texts)), eff="closest")
        rows.append([*found["correct"], *found["guess"], found["testlen"], found["reflen"]])
    values = np.array(rows, dtype=np.float64)
    return {f"bleu_{n}": Rows(values, lambda rows, n=n: _bleu(rows, n)) for n in range(1, 5)}


def rouge_l(candidates: Captions, references: Sequence[Captions]) -> dict[str, Rows]:
    """ROUGE-L, the longest common subsequence, against the best reference; words as in `bleu`.

    Raises:
        OSError: if pycocoevalcap is not there.
    """
    scorer = _package("rouge.rouge", "ROUGE-L").Rouge()
    values = [scorer.calc_score([_words(candidate)], [_words(text) for text in texts])
              for candidate, texts in zip(candidates, references, strict=True)]
    return {"rouge_l": Rows(np.array(values, dtype=np.float64), _mean)}


def spice_f(candidates: Captions, references: Sequence[Captions]) -> dict[str, Rows]:
    """SPICE (arXiv:1607.08822). Its models are 400 MB that nothing here fetches.

    Raises:
        OSError: if pycocoevalcap, Java, or a model is not there.
    """
    package = _package("spice.spice", "SPICE")
    folder = Path(package.__file__).parent / "lib"
    models = [f"stanford-corenlp-3.6.0{part}.jar" for part in ("", "-models")]
    if missing := [name for name in models if not (folder / name).is_file()]:
        raise OSError(f"SPICE needs {' and '.join(missing)} of Stanford CoreNLP 3.6.0 in {folder}: put them there, or "
                      "leave SPICE out")
    theirs, ours = _tokens(references), _tokens([[text] for text in candidates])
    scores = package.Spice().compute_score(theirs, ours)[1]
    return {"spice": Rows(np.array([one["All"]["f"] for one in scores], dtype=np.float64), _mean)}


def scene_rows(told: Sequence[Structure | None], asked: Sequence[Structure]) -> dict[str, Rows]:
    """How much of `asked` is `told`, counted as `order.score` counts what is heard; None tells nothing."""
    scores = [score(ideal_timeline(one) if one else [], truth) for one, truth in zip(told, asked, strict=True)]
    ratios = {name: np.array([getattr(one, name) for one in scores], dtype=np.float64) for name in SCENE_ROWS}
    both = np.concatenate([ratios.pop("precision"), ratios.pop("recall")], axis=1)
    exact = [one == truth for one, truth in zip(told, asked, strict=True)]
    return {"f1": Rows(both, _f1), **{name: Rows(values, _ratio) for name, values in ratios.items() if values.any()},
            "exact": Rows(np.array(exact, dtype=np.float64), _mean),
            "read": Rows(np.array([one is not None for one in told], dtype=np.float64), _mean)}


def ideal_timeline(structure: Structure) -> list[Event]:
    """Events that show `structure`, as plainly as can be: what a caption states, as something heard."""
    events: list[Event] = []
    now = 1.0
    for request in structure.events:
        now = request.at if request.at is not None else now
        pause = next((PAUSES[word] for word in request.attributes if word in PAUSES), 0.2)
        for _ in range(request.count):
            events.append(_event(request, now, _length(request)))
            now = events[-1].offset + pause
        now += 0.2
    if structure.background is not None:
        events.append(_event(structure.background, 0.0, now))
    return sorted(events, key=lambda event: event.onset)


def _event(request: Request, onset: float, length: float) -> Event:
    sides = {axis: 0.1 if low in request.attributes else 0.9 if high in request.attributes else 0.5
             for axis, (low, high) in AXES.items() if axis != "length"}
    return Event(request.name, onset, onset + length, sides)


def _length(request: Request) -> float:
    plain = 0.2 if SOUNDS[request.name].momentary else 1.2
    return next((LENGTHS[word] for word in request.attributes if word in LENGTHS), plain)


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _ratio(rows: np.ndarray) -> float:
    right, of = rows.sum(0)
    return float(right / of) if of else float("nan")


def _f1(rows: np.ndarray) -> float:
    right, stated, found, asked = rows.sum(0)
    precision, recall = right / max(stated, 1), found / max(asked, 1)
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _bleu(rows: np.ndarray, order: int) -> float:
    """From `correct` and `guess` of 1 to 4 words, and the lengths of candidates and references."""
    totals = rows.sum(0)
    correct, guess, (said, asked) = totals[:order], totals[4:4 + order], totals[8:]
    precision = np.exp(np.log((correct + TINY) / (guess + SMALL)).mean())
    ratio = (said + TINY) / (asked + SMALL)
    return float(precision * (np.exp(1 - 1 / ratio) if ratio < 1 else 1))


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+(?:['.]\w+)*", text.lower()))


def _tokens(texts: Sequence[Captions]) -> dict[int, list[str]]:
    """Captions as the published scores cut them (Penn Treebank), by clip."""
    if shutil.which("java") is None:
        raise OSError("CIDEr and SPICE cut words with a tokenizer in Java, and there is no command java: install a "
                      "Java runtime, or leave them out")
    tokenizer = _package("tokenizer.ptbtokenizer", "CIDEr").PTBTokenizer()
    # A clip of one empty caption must not become a line that is missing.
    return tokenizer.tokenize({i: [{"caption": " ".join(text.split()) or "."} for text in clip]
                               for i, clip in enumerate(texts)})


def _package(module: str, score_name: str):
    import importlib

    try:
        return importlib.import_module(f"pycocoevalcap.{module}")
    except ModuleNotFoundError as error:
        raise OSError(f"{score_name} needs the package pycocoevalcap: pip install -c constraints.txt -e '.[eval]', or "
                      "leave it out") from error


def _check(candidates: Captions, references: Sequence[Captions], structures: Sequence[Structure] | None) -> None:
    numbers = {"candidates": len(candidates), "references": len(references)}
    if structures is not None:
        numbers["structures"] = len(structures)
    if len(set(numbers.values())) > 1 or not candidates:
        told = ", ".join(f"{number} {name}" for name, number in numbers.items())
        raise ValueError(f"{told}: expected as many of each, one or more")
    if empty := [i for i, texts in enumerate(references) if not any(text.strip() for text in texts)]:
        raise ValueError(f"clip {empty[0]} has no reference caption: {len(empty)} of {len(references)} have none")
