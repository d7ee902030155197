"""YAML files that are looked at before anything is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

LONGEST_FILE = 2**20  # bytes
LONGEST_SCALAR = 10_000  # characters; a number such as 1:2:3... takes time with the square of its length
MOST_NODES = 20_000  # those of an alias are counted wherever it stands


class _Loader(yaml.SafeLoader):
    """Of bounded size."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > LONGEST_SCALAR:
            raise yaml.YAMLError(f"it has a value of {len(event.value)} characters, expected at most {LONGEST_SCALAR}")
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise yaml.YAMLError(f"it has more than {MOST_NODES} values")
        return super().compose_node(parent, index)


class _PlainLoader(_Loader):
    """Without aliases, by which a short file could become data of any size."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"it has the alias *{self.peek_event().anchor}, which is not needed here")
        return super().compose_node(parent, index)


def read_plain_yaml(path: Path) -> Any:
    """The content of a YAML file without aliases.

    Raises:
        ValueError: if it is too long, is not UTF-8, or is no such YAML.
    """
    text = _text(path)
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not plain YAML ({_first_line(error)})") from error


def check_recipe_yaml(path: Path) -> None:
    """Raise ValueError if `path` is no YAML mapping, or its aliases make data of it that nobody could walk through."""
    text = _text(path)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        count = _count(node, {}) if node is not None else 0
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML that can be read ({_first_line(error)})") from error
    if not isinstance(node, yaml.MappingNode | None):
        raise ValueError(f"{path} is no recipe: expected a mapping, such as name: scenes")
    if count > MOST_NODES:
        raise ValueError(f"{path} has {count} values with its aliases, expected at most {MOST_NODES}")


def _text(path: Path) -> str:
    if (size := path.stat().st_size) > LONGEST_FILE:
        raise ValueError(f"{path} has {size} bytes, expected at most {LONGEST_FILE}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Nodes below `node`, itself included. Raises ValueError at an alias of what it stands in."""
    if (count := known.get(id(node))) is not None:
        if count == 0:
            raise ValueError("it has an alias of what it stands in")
        return count
    known[id(node)] = 0
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    known[id(node)] = 1 + sum(_count(child, known) for child in children)
    return known[id(node)]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
