"""AudioSet's ontology of sounds: names, descriptions, and which class is a kind of which."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from diffsound.checked_json import read_json

_SHAPE = [{"id": str, "name": str, "description": str, "child_ids": [str], "restrictions": [str]}]


@dataclass
class SoundClass:
    """A class of the ontology. `parents` are names: none for a class at the top, several for some below."""

    id: str
    name: str
    description: str
    restrictions: list[str]  # "abstract" (a heading of the tree, no sound), "blacklist" (too hard for listeners)
    parents: list[str] = field(default_factory=list)


def read(path: str | os.PathLike) -> dict[str, SoundClass]:
    """The classes of an ontology.json (github.com/audioset/ontology) by name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a JSON list of classes with id, name, description, child_ids and restrictions, or if an
            id or name is there twice, or the id of a child is not there at all.
    """
    entries = read_json(Path(path), _SHAPE, version=1)
    names = {entry["id"]: entry["name"] for entry in entries}
    classes = {entry["name"]: SoundClass(*(entry[key] for key in ("id", "name", "description", "restrictions")))
               for entry in entries}
    for key, distinct in (("id", names), ("name", classes)):
        if len(distinct) < len(entries):
            values = [entry[key] for entry in entries]
            twice = next(value for value in values if values.count(value) > 1)
            raise ValueError(f"{path}: two classes have the {key} {twice!r}, expected one")
    for entry in entries:
        for child in entry["child_ids"]:
            if child not in names:
                raise ValueError(f"{path}: {entry['name']!r} has the child {child!r}, but no class has that id")
            classes[names[child]].parents.append(entry["name"])
    return classes
