"""Reads the results of a listening test: means and win rates, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from diffsound.checked_json import NUMBER, read_json
from diffsound.listening_test.make import FORMAT

KEY = {"format": int, "test": str, "questions": [str], "clips": {"*": {"system": str, "file": str, "text": str}}}
RESULT = {"format": int, "test": str, "listener": str,
          "answers": [{"question": str, "clips": [str], "answer": (*NUMBER, str)}]}
GRADES = (1, 2, 3, 4, 5)
CHOICES = {"left": 1.0, "equal": 0.5, "right": 0.0}  # what the clip on the left wins
DRAWS = 10_000  # of the bootstrap


def read(key_path: Path, result_paths: Sequence[Path]) -> dict[str, Any]:
    """What all listeners said.

    Returns:
        test, listeners, answers: the test's name and how many; mos, relevance: {system: estimate}; pairwise: a list of
        {a, b, wins, equal, losses, estimate...}, the value being the share that a wins, equal counting half; left: the
        share of decided pairs won by the left side, near 0.5 if the sides did not matter. An estimate is value, low
        and high (95 %), ratings and listeners; `resampled` says over what the bootstrap went.
    Raises:
        OSError, ValueError: if a file is missing, damaged, of another test, twice there, or has an answer that the
            page does not allow.
    """
    key = read_json(key_path, KEY, FORMAT)
    results = [_checked(path, key) for path in result_paths]
    if not results:
        raise ValueError("there are no results: give the files that listeners sent")
    seen: dict[str, Path] = {}
    for path, result in zip(result_paths, results, strict=True):
        if result["listener"] in seen:
            raise ValueError(f"{path} and {seen[result['listener']]} are both of listener {result['listener']}: "
                             "keep one")
        seen[result["listener"]] = path
    system = {clip: entry["system"] for clip, entry in key["clips"].items()}
    systems = sorted(set(system.values()))
    answers = [(result["listener"], answer) for result in results for answer in result["answers"]]
    summary: dict[str, Any] = {"format": FORMAT, "test": key["test"], "listeners": len(results),
                               "answers": len(answers)}
    for question in ("mos", "relevance"):
        if question in key["questions"]:
            grades = {name: [(listener, float(answer["answer"])) for listener, answer in answers
                             if answer["question"] == question and system[answer["clips"][0]] == name]
                      for name in systems}
            summary[question] = {name: estimate(of) for name, of in grades.items() if of}
    if "pairwise" in key["questions"]:
        pairs = [(listener, *(system[clip] for clip in answer["clips"]), CHOICES[answer["answer"]])
                 for listener, answer in answers if answer["question"] == "pairwise"]
        summary["pairwise"] = [_duel(a, b, pairs) for a, b in combinations(systems, 2)
                               if any({a, b} == set(pair[1:3]) for pair in pairs)]
        decided = [won for *_, won in pairs if won != CHOICES["equal"]]
        summary["left"] = float(np.mean(decided)) if decided else None
    return summary


def estimate(ratings: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Mean of (listener, value) pairs and its 95 % bootstrap interval.

    Whole listeners are drawn, since what one says hangs together; of a single listener the ratings are, and the
    interval then tells nothing of other listeners.
    """
    listeners = sorted({listener for listener, _ in ratings})
    groups = [[value for one, value in ratings if one == listener] for listener in listeners]
    if len(groups) == 1:
        groups = [[value] for value in groups[0]]
    sums, counts = np.array([[sum(group), len(group)] for group in groups], float).T
    drawn = np.random.default_rng(0).integers(len(groups), size=(DRAWS, len(groups)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return {"value": float(sums.sum() / counts.sum()), "low": float(low), "high": float(high), "ratings": len(ratings),
            "listeners": len(listeners), "resampled": "listeners" if len(listeners) > 1 else "ratings"}


def _duel(a: str, b: str, pairs: Sequence[tuple[str, str, str, float]]) -> dict[str, Any]:
    won = [(listener, value if left == a else 1 - value) for listener, left, right, value in pairs
           if {left, right} == {a, b}]
    return {"a": a, "b": b, "wins": sum(value == 1 for _, value in won), "equal": sum(value == 0.5 for _, value in won),
            "losses": sum(value == 0 for _, value in won), **estimate(won)}


def _checked(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    """One listener's results, of which every answer is one that the page allows."""
    result = read_json(path, RESULT, FORMAT)
    if result["test"] != key["test"]:
        raise ValueError(f"{path} belongs to test {result['test']}, the key to {key['test']}: give the key.json of its "
                         "own test")
    done = set()
    for number, answer in enumerate(result["answers"]):
        where = f"{path}: answers[{number}]"
        question, clips, given = answer["question"], answer["clips"], answer["answer"]
        if question not in key["questions"]:
            raise ValueError(f"{where}.question is {question!r}, expected one of {', '.join(key['questions'])}")
        allowed = tuple(CHOICES) if question == "pairwise" else GRADES
        if given not in allowed:
            raise ValueError(f"{where}.answer is {given!r}, expected one of {', '.join(map(str, allowed))}")
        known = [key["clips"].get(clip) for clip in clips]
        if len(clips) != (2 if question == "pairwise" else 1) or None in known:
            raise ValueError(f"{where}.clips is {', '.join(clips)}: not {question} clips of this test")
        if question == "pairwise" and not (known[0]["system"] != known[1]["system"]
                                           and known[0]["text"] == known[1]["text"]):
            raise ValueError(f"{where}.clips is {', '.join(clips)}: not of two systems and one text")
        if (question, *sorted(clips)) in done:
            raise ValueError(f"{where} answers {question} of {', '.join(clips)} a second time")
        done.add((question, *sorted(clips)))
    return result


def table(summary: dict[str, Any]) -> str:
    """The summary for a terminal."""
    lines = [f"test {summary['test']}: {summary['listeners']} listeners, {summary['answers']} answers"]
    titles = {"mos": "overall quality, 1 to 5", "relevance": "fit to the text, 1 to 5"}
    for question, title in titles.items():
        if summary.get(question):
            rows = [(name, one) for name, one in summary[question].items()]
            lines += ["", *_rows(title, rows)]
    if summary.get("pairwise"):
        rows = [(f"{one['a']} over {one['b']} ({one['wins']} won, {one['equal']} equal, {one['losses']} lost)", one)
                for one in summary["pairwise"]]
        lines += ["", *_rows("fits the text better (share won, equal counts half)", rows)]
        if summary["left"] is not None:
            lines.append(f"the left side won {summary['left']:.0%} of the decided pairs")
    if any(one["resampled"] == "ratings" for one in _estimates(summary)):
        lines += ["", "Intervals of a single listener go over ratings: they tell nothing of other listeners."]
    return "\n".join(lines)


def _rows(title: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    width = max(len(title), *(len(name) for name, _ in rows))
    return [f"{title:{width}}   mean   95 % interval   ratings   listeners",
            *(f"{name:{width}}  {one['value']:5.2f}   {one['low']:5.2f} to {one['high']:4.2f}   {one['ratings']:7d}   "
              f"{one['listeners']:9d}" for name, one in rows)]


def _estimates(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [*summary.get("mos", {}).values(), *summary.get("relevance", {}).values(), *summary.get("pairwise", ())]
