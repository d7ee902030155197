"""The page at /api: the schema of the API to read, without scripts."""

from __future__ import annotations

import math
import re
from html import escape
from typing import Any

KEYS = {"minLength": "at least {} characters", "maxLength": "at most {} characters", "minimum": "at least {}",
        "exclusiveMinimum": "more than {}", "maximum": "at most {}", "exclusiveMaximum": "less than {}"}


def api_page(schema: dict[str, Any]) -> str:
    """HTML of an OpenAPI schema: every path with what it takes and what it answers."""
    every = [(method, path, one) for path, methods in schema["paths"].items() for method, one in methods.items()]
    common = {status: answer for status, answer in every[0][2]["responses"].items()
              if all(one["responses"].get(status) == answer for *_, one in every)}
    parts = [_operation(schema, *one, common) for one in every]
    info = schema["info"]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css"></head><body><main>
<h1>{escape(info["title"])} API</h1>
<p>{escape(info.get("summary", ""))} Bodies and answers are JSON, errors <code>{{"detail": "what and why"}}</code>. The
schema: <a href="/openapi.json">/openapi.json</a>. The page: <a href="/">/</a>.</p>
<p>What any request may be answered:</p><ul>{_answers(common)}</ul>
{"".join(parts)}</main></body></html>
"""


def _operation(schema: dict[str, Any], method: str, path: str, one: dict[str, Any], common: dict[str, Any]) -> str:
    words = escape(" ".join((one.get("description") or one.get("summary", "")).split()))
    text = re.sub("`([^`]+)`", r"<code>\1</code>", words)
    content = one.get("requestBody", {}).get("content", {})
    bodies = "".join(_body(_resolved(schema, of_kind["schema"])) for of_kind in content.values())
    answers = _answers({status: answer for status, answer in one["responses"].items() if status not in common})
    return (f'<section class="card"><h2><code>{method.upper()} {escape(path)}</code></h2><p>{text}</p>{bodies}'
            f"<ul>{answers}</ul></section>\n")


def _answers(answers: dict[str, Any]) -> str:
    return "".join(f"<li><code>{status}</code> {_answer(answer)}</li>" for status, answer in sorted(answers.items()))


def _answer(answer: dict[str, Any]) -> str:
    kinds = [kind for kind in answer.get("content", {}) if kind != "application/json"]
    return escape(", ".join([answer["description"], *kinds]))


def _body(body: dict[str, Any]) -> str:
    if not all("description" in field for field in body.get("properties", {"": {}}).values()):
        return f"<p>Body: {escape(body.get('description', body.get('type', '')))}.</p>"
    required = body.get("required", ())
    rows = "".join(f"<li><code>{escape(name)}</code> {escape(_field(field, name in required))}</li>"
                   for name, field in body["properties"].items())
    return f"<p>Body:</p><ul>{rows}</ul>"


def _field(field: dict[str, Any], required: bool) -> str:
    own = next((option for option in field.get("anyOf", ()) if option.get("type") != "null"), {}) | field
    limits = [words.format(_number(own[key])) for key, words in KEYS.items() if key in own]
    return f"({own['type']}{', required' if required else ''}): " + "; ".join([field.get("description", ""), *limits])


def _number(value: float) -> str:
    return f"{int(value)}" if value == int(value) else f"{math.floor(value * 1000) / 1000}"


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    for name in part.get("$ref", "#").split("/")[1:]:
        schema = schema[name]
    return schema if "$ref" in part else part
