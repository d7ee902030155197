"""JSON files whose content is checked before anything is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NUMBER = (int, float)


def read_json(path: Path, expected: Any, version: int) -> Any:
    """The content of a file that holds a mapping with "format": `version`, of the shape `expected`.

    Args:
        expected: types, in the shape of the content. In a mapping a key with "?" may be absent and "*" stands for every
            key; [x] is a list of x; a tuple lists types of which one must fit, None for null, or is (shape, None);
            `object` is anything.
    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not JSON, is of another format, or does not have that shape; the message names the place.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    return parsed_json(path.read_bytes(), expected, version, str(path))


def parsed_json(data: bytes, expected: Any, version: int, where: str) -> Any:
    """The same of what such a file holds; `where` is what messages call it."""
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON that can be read ({error})") from error
    if isinstance(content, dict) and content.get("format", version) != version:
        raise ValueError(f"{where} has format {content['format']!r}, expected {version}: another version wrote it")
    check(content, expected, where)
    return content


def check(value: Any, expected: Any, where: str) -> None:
    """Raise ValueError at the first place where `value` is not as `expected` (see `read_json`)."""
    if isinstance(expected, tuple) and isinstance(expected[0], dict):
        if value is not None:
            check(value, expected[0], where)
    elif isinstance(expected, dict):
        _check_type(value, dict, where)
        for key, inner in expected.items():
            if key == "*":
                for name, entry in value.items():
                    check(entry, inner, f"{where}: {name}")
            elif key.removesuffix("?") in value:
                check(value[key.removesuffix("?")], inner, f"{where}: {key.removesuffix('?')}")
            elif not key.endswith("?"):
                raise ValueError(f"{where}: the key {key!r} is missing")
    elif isinstance(expected, list):
        _check_type(value, list, where)
        for number, entry in enumerate(value):
            check(entry, expected[0], f"{where}[{number}]")
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


def json_schema(expected: Any) -> dict[str, Any]:
    """The same shape (see `read_json`) as JSON Schema."""
    if expected is object:
        return {}
    if isinstance(expected, tuple) and isinstance(expected[0], dict):
        return {"anyOf": [json_schema(expected[0]), {"type": "null"}]}
    if isinstance(expected, dict):
        keys = {key: json_schema(inner) for key, inner in expected.items()}
        others = keys.pop("*", True)
        return {"type": "object", "properties": {key.removesuffix("?"): inner for key, inner in keys.items()},
                "required": [key for key in keys if not key.endswith("?")], "additionalProperties": others}
    if isinstance(expected, list):
        return {"type": "array", "items": json_schema(expected[0])}
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean",
             None: "null"}
    types = [names[kind] for kind in (expected if isinstance(expected, tuple) else (expected,))]
    return {"type": types[0] if len(types) == 1 else types}
