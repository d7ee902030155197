"""What `scores.json` must hold, checked before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffsound.checked_json import NUMBER, read_json

FORMAT = 1
ROWS = {  # what was scored, and how it is called in a table
    "made": "made", "ceiling": "true renderings (ceiling)", "rebuilt": "through codec and vocoder",
    "chance": "captions shuffled (chance)", "silence": "silence", "noise": "noise",
}
ESTIMATE = {"value": (*NUMBER, None), "low": (*NUMBER, None), "high": (*NUMBER, None), "clips": int}
EVENT = {"name": str, "onset?": (*NUMBER, None), "offset?": (*NUMBER, None)}
SCHEMA = {
    "format": int, "recipe": str, "clips": int,
    "scores": {"*": {"label": str, "group": str, "better": str, "unit?": str, "note?": str,
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

    In `confusion`, asked[i][j] with i != j counts the clips that asked for class i, which was not heard, and in which
    class j was heard, though they did not ask for it; asked[i][i] counts those in which i was heard as asked.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not JSON, of another format, or a key is missing or holds another type.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: diffsound evaluate writes it")
    scores = read_json(path, SCHEMA, FORMAT)
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
