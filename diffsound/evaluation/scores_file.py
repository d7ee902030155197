"""What `scores.json` must hold, checked before anything is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMAT = 1
NUMBER = (int, float)
ROWS = {  # what was scored, and how it is called in a table
    "made": "made", "ceiling": "true renderings (ceiling)", "rebuilt": "through codec and vocoder",
    "chance": "captions shuffled (chance)", "silence": "silence", "noise": "noise",
}
ESTIMATE = {"value": (*NUMBER, None), "low": (*NUMBER, None), "high": (*NUMBER, None), "clips": int}
EVENT = {"name": str, "onset?": (*NUMBER, None), "offset?": (*NUMBER, None)}
# A key with "?" may be absent; "*" stands for any key; [x] is a list of x; a tuple lists types, None for null.
SCHEMA = {
    "format": int, "recipe": str, "clips": int,
    "scores": {"*": {"label": str, "group": str, "better": str, "unit?": str,
                     **{f"{row}?": ESTIMATE for row in ROWS}}},
    "by?": {"*": {"*": {"*": ESTIMATE}}},
    "confusion?": {"classes": [str], "asked": [[NUMBER]]},
    "sweeps?": [{"over": str, "values": [(*NUMBER, str)], "scores": {"*": [(*NUMBER, None)]}}],
    "checks?": [{"name": str, "passed": bool, "detail": str}],
    "skipped?": [{"name": str, "why": str, "clips": int}],
    "protocol": {"*": object},
    "examples?": [{"id": str, "text": str, "audio": str, "picture": str, "seconds?": (*NUMBER, None),
                   "score?": (*NUMBER, None), "asked": [EVENT], "heard": [EVENT], "captioned?": (str, None),
                   "rank": str}],
}


def read_scores(path: Path) -> dict[str, Any]:
    """The content of a `scores.json`.

    In `confusion`, asked[i][j] with i != j counts the clips that asked for class i and in which class j was heard,
    though they did not ask for it; asked[i][i] counts those in which i was heard as asked.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not JSON, of another format, or a key is missing or holds another type.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: diffsound evaluate writes it")
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON that can be read ({error})") from error
    if isinstance(scores, dict) and scores.get("format", FORMAT) != FORMAT:
        raise ValueError(f"{path} has format {scores['format']!r}, expected {FORMAT}: evaluate again with this version")
    _check(scores, SCHEMA, str(path))
    for name, score in scores["scores"].items():
        if score["better"] not in ("higher", "lower"):
            raise ValueError(f"{path}: scores.{name}.better is {score['better']!r}, expected higher or lower")
    size = len(scores.get("confusion", {}).get("classes", ()))
    if "confusion" in scores and [len(row) for row in scores["confusion"]["asked"]] != [size] * size:
        raise ValueError(f"{path}: confusion.asked is not {size} x {size}, a row and a column for each of its classes")
    for number, sweep in enumerate(scores.get("sweeps", ())):
        for name, values in sweep["scores"].items():
            if len(values) != len(sweep["values"]):
                raise ValueError(f"{path}: sweeps[{number}].scores.{name} has {len(values)} values for "
                                 f"{len(sweep['values'])} of {sweep['over']}")
    return scores


def _check(value: Any, expected: Any, where: str) -> None:
    """Raise ValueError at the first place where `value` is not as `expected` (see SCHEMA)."""
    if isinstance(expected, dict):
        _check_type(value, dict, where)
        for key, inner in expected.items():
            if key == "*":
                for name, entry in value.items():
                    _check(entry, inner, f"{where}: {name}")
            elif key.removesuffix("?") in value:
                _check(value[key.removesuffix("?")], inner, f"{where}: {key.removesuffix('?')}")
            elif not key.endswith("?"):
                raise ValueError(f"{where}: the key {key!r} is missing")
    elif isinstance(expected, list):
        _check_type(value, list, where)
        for number, entry in enumerate(value):
            _check(entry, expected[0], f"{where}[{number}]")
    else:
        _check_type(value, expected, where)


def _check_type(value: Any, expected: Any, where: str) -> None:
    types = expected if isinstance(expected, tuple) else (expected,)
    fits = isinstance(value, tuple(kind or type(None) for kind in types))
    if not fits or (isinstance(value, bool) and not {bool, object} & set(types)):  # Python's True is also an int
        names = {dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number", None: "null",
                 bool: "true or false"}
        wanted = " or ".join(dict.fromkeys(names[kind] for kind in types))
        raise ValueError(f"{where} is {json.dumps(value)[:40]}, expected {wanted}")
