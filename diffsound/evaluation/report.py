"""The page of an evaluation: what was scored, how sure that is, and clips to hear for oneself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote

from diffsound.evaluation.charts import line_plot, number, range_bar
from diffsound.evaluation.scores_file import ROWS, read_scores
from diffsound.whole_file import write_text

GROUPS = {"scenes": "What is heard in the scenes", "distances": "Distances between sets of clips",
          "text": "Clips and their texts", "captions": "Captions read back",
          "sentences": "Sentences in words that no training caption has"}
BY = {"kind": "By kind of request", "combination": "Seen and held-out combinations",
      "kind_combination": "The same by kind: held-out scenes are more often long ones",
      "sentences": "Those sentences by what is new in them"}
RANKS = {"worst": "The worst clips", "best": "The best clips"}
OFTEN = 8  # confusions that are told in words


def write_report(folder: Path) -> Path:
    """Write `folder`/report/index.html from `folder`/scores.json; returns its path.

    The page stands by itself but for clips and pictures, which scores.json names relative to `folder`/report. Sections
    of which scores.json says nothing are left out.

    Raises:
        FileNotFoundError: if scores.json, or a clip or picture it names, is not there.
        ValueError: if scores.json is of another format, or a key is missing or holds what it cannot.
    """
    scores = read_scores(folder / "scores.json")
    page = folder / "report" / "index.html"
    for example in scores.get("examples", ()):
        for kind in ("audio", "picture"):
            _must_be_beside(page, example[kind], f"{folder / 'scores.json'}: {kind} of example {example['id']}")
    sections = {  # anchor: (title, body); an empty body is left out
        **{group: (GROUPS.get(group, group), _score_table(scores["scores"], group))
           for group in _groups(scores["scores"])},
        **{f"by-{key}": (BY.get(key, f"By {key}"), _by_table(parts, scores["scores"]))
           for key, parts in scores.get("by", {}).items()},
        **{rank: (RANKS.get(rank, rank), _clips([e for e in scores.get("examples", ()) if e["rank"] == rank]))
           for rank in dict.fromkeys([*RANKS, *(example["rank"] for example in scores.get("examples", ()))])},
        "confusion": ("Heard instead", _confusion(**scores["confusion"]) if "confusion" in scores else ""),
        "sweeps": ("Sweeps", "".join(_sweep(sweep, scores["scores"]) for sweep in scores.get("sweeps", ()))),
        "checks": ("Self-checks", _checks(scores.get("checks", ()))),
        "skipped": ("Not scored", _skipped(scores.get("skipped", ()))),
        "protocol": ("Protocol", _mapping(scores["protocol"])),
    }
    sections = {anchor: section for anchor, section in sections.items() if section[1]}
    title = f"Evaluation of {scores['recipe']}"
    failed = [check for check in scores.get("checks", ()) if not check["passed"]]
    warning = f'<p class="fail">{len(failed)} self-check{"s" * (len(failed) > 1)} <a href="#checks">failed</a>.</p>' \
        if failed else ""
    links = "".join(f'<a href="#{escape(anchor)}">{escape(name)}</a>' for anchor, (name, _) in sections.items())
    body = "".join(f'<section><h2 id="{escape(anchor)}">{escape(name)}</h2>{content}</section>'
                   for anchor, (name, content) in sections.items())
    style = files("diffsound.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    write_text(
        page,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<style>{style}</style></head><body><h1>{escape(title)}</h1><p class="soft">{scores["clips"]} clips; '
        f'intervals hold 95 % of the bootstrap over clips.</p>{warning}<nav>{links}</nav>'
        f'<main>{body}</main></body></html>\n')
    return page


def _must_be_beside(page: Path, link: str, what: str) -> None:
    """A link that leaves the evaluation's folder would break as soon as that is copied elsewhere."""
    target = (page.parent / link).resolve()
    if not target.is_relative_to(page.parents[1].resolve()):
        raise ValueError(f"{what} is {link}: expected a path within the evaluation's folder, relative to report/")
    if not target.is_file():
        raise FileNotFoundError(f"{what} is {link}, and there is no {target}")


def _groups(scores: Mapping[str, Any]) -> list[str]:
    found = dict.fromkeys(score["group"] for score in scores.values())
    return [*(group for group in GROUPS if group in found), *(group for group in found if group not in GROUPS)]


def _score_table(scores: Mapping[str, Any], group: str) -> str:
    members = [score for score in scores.values() if score["group"] == group]
    rows = [row for row in ROWS if any(row in score for score in members)]
    bars = [_bar(score) for score in members]
    head = [*(ROWS[row] for row in rows), *(["made, from chance to ceiling"] if any(bars) else [])]
    lines = []
    for score, bar in zip(members, bars, strict=True):
        cells = [_cell(score.get(row), "made" if row == "made" else "") for row in rows]
        if any(bars):
            cells.append(f"<td>{bar}</td>")
        lines.append(f'<tr><th scope="row">{_label(score)}</th>{"".join(cells)}</tr>')
    return _table("scores", ["", *head], lines)


def _bar(score: Mapping[str, Any]) -> str:
    """How far the made clips are from chance (0) to the ceiling (1); empty if one of them is not known."""
    if not {"made", "ceiling", "chance"} <= score.keys():
        return ""
    made, chance, ceiling = score["made"], score["chance"]["value"], score["ceiling"]["value"]
    points = [chance, ceiling, made["value"], made["low"], made["high"]]
    if any(point is None or not isfinite(point) for point in points) or chance == ceiling:
        return ""
    value, *ends = ((point - chance) / (ceiling - chance) for point in points[2:])
    low, high = min(ends), max(ends)
    said = f"{value:.0%} of the way from chance to ceiling ({low:.0%} to {high:.0%})"
    return f"{range_bar(value, low, high, said)}<small>{value:.0%}</small>"


def _by_table(parts: Mapping[str, Mapping[str, Any]], scores: Mapping[str, Any]) -> str:
    names = [name for name in dict.fromkeys([*scores, *(name for part in parts.values() for name in part)])
             if any(name in part for part in parts.values())]
    lines = []
    for part, values in parts.items():
        clips = max((value["clips"] for value in values.values()), default=0)
        lines.append(f'<tr><th scope="row">{escape(part)}</th><td>{clips}</td>'
                     + "".join(_cell(values.get(name)) for name in names) + "</tr>")
    return _table("", ["", "clips", *(_label(scores.get(name, {"label": name})) for name in names)], lines, raw=True)


def _label(score: Mapping[str, Any]) -> str:
    """Name, unit, an arrow that shows where better is, and what must be known of the score."""
    unit = f" ({score['unit']})" if score.get("unit") else ""
    arrow = {"higher": "↑", "lower": "↓"}.get(score.get("better", ""))
    direction = f' <span class="direction" role="img" aria-label="{score["better"]} is better" ' \
                f'title="{score["better"]} is better">{arrow}</span>' if arrow else ""
    note = f"<small>{escape(score['note'])}</small>" if score.get("note") else ""
    return escape(score["label"] + unit) + direction + note


def _cell(estimate: Mapping[str, Any] | None, kind: str = "") -> str:
    if estimate is None or estimate["value"] is None:
        return '<td class="soft">–</td>'
    interval = ""
    if estimate["low"] is not None and estimate["high"] is not None:
        interval = f"<small>{number(estimate['low'])} to {number(estimate['high'])}</small>"
    return (f'<td class="{kind}" title="{estimate["clips"]} clips">{number(estimate["value"])}{interval}</td>')


def _table(kind: str, head: Sequence[str], lines: Sequence[str], raw: bool = False) -> str:
    if not lines:
        return ""
    cells = "".join(f'<th scope="col">{name if raw else escape(name)}</th>' if name else "<td></td>" for name in head)
    box = "wide tall" if kind == "heat" else "wide"
    return (f'<div class="{box}" tabindex="0"><table class="{kind}"><thead><tr>{cells}</tr></thead>'
            f'<tbody>{"".join(lines)}</tbody></table></div>')


def _clips(examples: Sequence[Mapping[str, Any]]) -> str:
    figures = []
    for example in examples:
        notes = [f"clip {example['id']}"]
        notes += [f"score {number(example['score'])}"] if example.get("score") is not None else []
        notes += [f"{example['seconds']:.1f} s"] if example.get("seconds") is not None else []
        notes += [f"captioned “{example['captioned']}”"] if example.get("captioned") else []
        told = f"asked: {_told(example['asked'])}; heard: {_told(example['heard'])}"
        audio, picture = quote(example["audio"]), quote(example["picture"])
        figures.append(f'<figure><figcaption>{escape(example["text"])}<small>{escape("; ".join(notes))}</small>'
                       f'</figcaption><a href="{picture}"><img src="{picture}" alt="{escape(told)}"></a>'
                       f'<audio controls preload="none" src="{audio}" aria-label="{escape(example["text"])}"></audio>'
                       "</figure>")
    return f'<div class="clips">{"".join(figures)}</div>' if figures else ""


def _told(events: Sequence[Mapping[str, Any]]) -> str:
    """The timeline for who does not see the picture."""
    told = []
    for event in events:
        times = "" if event.get("onset") is None or event.get("offset") is None \
            else f" {event['onset']:.1f} to {event['offset']:.1f} s"
        told.append(event["name"].replace("_", " ") + times)
    return ", ".join(told) or "nothing"


def _confusion(classes: Sequence[str], asked: Sequence[Sequence[float]]) -> str:
    """A heat map of the classes that take part, rows asked, columns heard unasked, and the most frequent in words."""
    names = [name.replace("_", " ") for name in classes]
    counts = {(i, j): asked[i][j] for i in range(len(names)) for j in range(len(names)) if i != j and asked[i][j]}
    if not counts:
        return "<p>Nothing was heard that was not asked for.</p>"
    rows, columns = sorted({i for i, _ in counts}), sorted({j for _, j in counts})
    most = max(counts.values())
    lines = []
    for i in rows:
        cells = []
        for j in columns:
            if i == j:
                own = f"{asked[i][j]:g}" if asked[i][j] else "·"
                cells.append(f'<td class="same" title="{escape(names[i])} asked and heard">{own}</td>')
            elif (i, j) in counts:
                said = f"{names[i]} asked, {names[j]} heard: {counts[i, j]:g}"
                cells.append(f'<td style="--heat:{0.12 + 0.5 * counts[i, j] / most:.2f}" title="{escape(said)}">'
                             f"{counts[i, j]:g}</td>")
            else:
                cells.append("<td></td>")
        lines.append(f'<tr><th scope="row">{escape(names[i])}</th>{"".join(cells)}</tr>')
    often = sorted(counts, key=counts.get, reverse=True)[:OFTEN]
    words = "; ".join(f"{names[i]} asked, {names[j]} heard ({counts[i, j]:g})" for i, j in often)
    table = _table("heat", ["", *(names[j] for j in columns)], lines)
    return (f"<p>Rows: a class that a clip asked for and that is not heard. Columns: what is, though not asked for. "
            f"Cells: clips. Classes without any are left out.</p><p>Most often: {escape(words)}.</p>{table}")


def _sweep(sweep: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    over = sweep["over"].replace("_", " ")
    plots = []
    for name, heights in sweep["scores"].items():
        score = scores.get(name, {"label": name, "better": ""})
        arrow = {"higher": " ↑", "lower": " ↓"}.get(score["better"], "")
        unit = f" ({score['unit']})" if score.get("unit") else ""
        plots.append(line_plot(score["label"] + unit + arrow, over, sweep["values"], heights))
    return f'<h3>Over {escape(over)}</h3><div class="plots">{"".join(plots)}</div>' if any(plots) else ""


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(f'<li><span class="{"pass" if check["passed"] else "fail"}">'
                    f'{"✓ pass" if check["passed"] else "✗ fail"}</span> {escape(check["name"])} '
                    f'<span class="soft">{escape(check["detail"])}</span></li>' for check in checks)
    return f'<ul class="checks">{items}</ul>' if items else ""


def _skipped(skipped: Sequence[Mapping[str, Any]]) -> str:
    lines = [f'<tr><th scope="row">{escape(one["name"])}</th><td>{escape(one["why"])}</td><td>{one["clips"]}</td></tr>'
             for one in skipped]
    return _table("", ["score", "reason", "clips without it"], lines)


def _mapping(values: Mapping[str, Any]) -> str:
    """A definition list; mappings within it are lists of their own."""
    parts = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            content = _mapping(value)
        elif isinstance(value, (list, tuple)):
            content = escape(", ".join(str(entry) for entry in value))
        else:
            content = escape("–" if value is None else str(value))
        parts.append(f"<dt>{escape(str(key).replace('_', ' '))}</dt><dd>{content}</dd>")
    return f"<dl>{''.join(parts)}</dl>" if parts else ""
