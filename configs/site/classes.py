"""What a recipe can name, from the signatures and docstrings of the code."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import pydoc
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import docstring_parser
import yaml
from pytorch_lightning import Callback, LightningDataModule
from pytorch_lightning.cli import LightningArgumentParser

from diffsound import checkpoint
from diffsound.blocks import Bulk
from diffsound.checkpoint import Rebuildable
from diffsound.recipe import DATA, MODULES, RecipeCLI, Training

ROOT = Path(__file__).resolve().parents[2]
TITLES = {"vqvae": "Codec", "text_encoder": "Text encoders", "diffusion": "Diffusion decoder",
          "autoregressive": "Autoregressive decoder", "vocoder": "Vocoders", "data": "Data", "scenes": "Scenes",
          "evaluation": "Judge", "captioner": "Captioner", "callbacks": "Callbacks",
          "system": "Whole system and settings"}
PACKAGES = (*checkpoint._PACKAGES, "data", "scenes", "callbacks")
SETTINGS = (Training, Bulk)  # of keys that stand at the top of a recipe
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$", re.MULTILINE)


class Entry(NamedTuple):
    """Something that a recipe can name."""

    name: str  # as recipes write it
    value: Any  # class, function or class method
    of: type  # what it is, or gives
    base: bool  # of others; does nothing by itself

    @property
    def page(self) -> str:
        package = self.name.split(".")[1]
        return f"{package if package in PACKAGES else 'system'}.md"

    @property
    def short(self) -> str:
        """Without the module."""
        *parts, last = self.name.split(".")
        return ".".join([*(part for part in parts if not part.islower()), last])

    def link(self, folder: str = "") -> str:
        return f"[`{self.short}`]({folder}{self.page}#{self.name})"


@functools.cache
def entries() -> dict[str, Entry]:
    """All of them by name: what packages offer, what recipes name, and what these take as arguments."""
    found: dict[str, Entry] = {}

    def add(name: str, value: Any) -> None:
        if name in found:
            return
        found[name] = Entry(name, value, _of(value), base=False)
        for hint in _hints(value).values():
            for kind in _classes_in(hint):
                public = checkpoint._public_name(kind)
                if public.startswith("diffsound.") and pydoc.locate(public) is kind:
                    add(public, kind)

    for package in PACKAGES:
        module = importlib.import_module(f"diffsound.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and issubclass(_of(value), (Rebuildable, LightningDataModule, Callback)):
                add(f"diffsound.{package}.{name}", value)
    for cls in SETTINGS:
        add(checkpoint._public_name(cls), cls)
    for name in named():
        add(name, pydoc.locate(name))
    bases = {name for name, entry in found.items() if entry.value is entry.of and _does_nothing(entry.of)
             and any(other.of is not entry.of and issubclass(other.of, entry.of) for other in found.values())}
    return {name: entry._replace(base=name in bases) for name, entry in sorted(found.items())}


def entry_of(cls: type) -> Entry:
    """That of the class itself."""
    return next(entry for entry in entries().values() if entry.value is cls)


@functools.cache
def named() -> dict[str, list[str]]:
    """Names of this package in recipes/ and configs/, and the files that have them."""
    found: dict[str, list[str]] = {}
    for path in sorted([*ROOT.glob("recipes/*.yaml"), *ROOT.glob("configs/*.yaml"), *ROOT.glob("configs/*/*.yaml")]):
        for name in sorted(set(_names(yaml.safe_load(path.read_text())))):
            found.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    return found


def pages() -> dict[str, str]:
    """Markdown of the generated pages by address."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries().values():
        grouped.setdefault(f"recipes/{entry.page}", []).append(entry)
    return {uri: _page(uri, group) for uri, group in sorted(grouped.items(), key=lambda item: _order(item[0]))}


def overview() -> str:
    """A table of all of them."""
    lines = ["| for | classes |", "|---|---|"]
    for uri, markdown in pages().items():
        group = [entry for entry in entries().values() if f"recipes/{entry.page}" == uri and not entry.base]
        title = markdown.partition("\n")[0].removeprefix("# ")
        lines.append(f"| [{title}]({uri.removeprefix('recipes/')}) | {', '.join(entry.link() for entry in group)} |")
    return "\n".join(lines)


def keys() -> str:
    """The keys at the top of a recipe, and what the recipes of the repository put there."""
    parser = LightningArgumentParser()
    RecipeCLI.add_arguments_to_parser(None, parser)
    recipes = [yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("recipes/*.yaml"))]
    lines = []
    for action in parser._actions:
        key = action.dest
        if "." in key or key in ("help", "config") or key.endswith(".help"):
            continue
        if key in (*MODULES, *DATA):
            used = sorted({recipe[key]["class_path"] for recipe in recipes if key in recipe})
            lines.append(f"- **`{key}`** with `class_path` and `init_args`: "
                         + ", ".join(entries()[name].link() for name in used if name in entries()))
            continue
        kind = getattr(action, "basetype", None)
        if kind is not None:
            lines.append(f"- **`{key}`**: {entry_of(kind).link()}")
        else:
            lines.append(f"- **`{key}`**, default `{action.default}`: {prose(action.help)}")
    return "\n".join(lines)


def _page(uri: str, group: list[Entry]) -> str:
    package = uri.removeprefix("recipes/").removesuffix(".md")
    about = importlib.import_module(f"diffsound.{package}").__doc__ if package in PACKAGES else \
        "The whole system, and settings that several parts share."
    title = TITLES.get(package, package)
    lines = [f"# {title}", "", prose(about), ""]
    for entry in sorted(group, key=_place):
        lines += [f"## {entry.short} {{#{entry.name}}}", "", *_describe(entry), ""]
    return "\n".join(lines)


def _describe(entry: Entry) -> Iterator[str]:
    kinds = [other.link() for other in _choices(entry.of) if other.name != entry.name]
    if entry.base:
        yield f"`{entry.name}`: not named itself, but one of {', '.join(kinds)}."
    else:
        yield f"`{entry.name}`" + (f", in {', '.join(f'`{path}`' for path in named()[entry.name])}"
                                   if entry.name in named() else "")
    yield ""
    yield prose(SECTION.split(inspect.getdoc(entry.value) or "")[0])
    yield ""
    texts, hints = _texts(entry.value), _hints(entry.value)
    for name, parameter in _parameters(entry.value).items():
        written = f"{name}: {_annotation(parameter, hints.get(name))}" + (
            "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}")
        choices = [other.link() for kind in _classes_in(hints.get(name)) if kind.__module__.startswith("diffsound.")
                   for other in _choices(kind)]
        said = [prose(texts[name])] if name in texts else []
        said += [f"{'One of' if len(choices) > 1 else 'See'} {', '.join(choices)}."] if choices else []
        yield f"- `{written}`" + (f"<br>{' '.join(said)}" if said else "")


def _of(value: Any) -> type:
    """The class itself, or the class of what a function or class method gives."""
    if inspect.isclass(value):
        return value
    if inspect.ismethod(value):
        return value.__self__
    given = typing.get_type_hints(value).get("return")
    return given if inspect.isclass(given) else object


def _choices(kind: type) -> list[Entry]:
    """What may stand where a `kind` is expected."""
    return [entry for entry in entries().values() if not entry.base and issubclass(entry.of, kind)]


def _owners(value: Any) -> list[Any]:
    """The class and those it inherits from, the last first; or the function."""
    return [cls for cls in reversed(value.__mro__) if cls.__module__.startswith("diffsound.")] \
        if inspect.isclass(value) else [value]


def _parameters(value: Any) -> dict[str, inspect.Parameter]:
    """What it is built from."""
    of_checkpoints = inspect.isclass(value) and issubclass(value, Rebuildable)
    found = (checkpoint._signature if of_checkpoints else inspect.signature)(value).parameters
    return {name: parameter for name, parameter in found.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)}


def _texts(value: Any) -> dict[str, str]:
    """What docstrings, or the comments of a data class, say of its arguments."""
    found: dict[str, str] = {}
    for owner in [*(_owners(value.__self__) if inspect.ismethod(value) else []), *_owners(value)]:
        if dataclasses.is_dataclass(owner):
            found |= dict(re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(owner), re.MULTILINE))
        for text in (vars(owner).get("__doc__") if inspect.isclass(owner) else inspect.getdoc(owner),
                     owner.__init__.__doc__ if "__init__" in vars(owner) else None):
            for argument in docstring_parser.google.parse(text or "").params:
                found |= {name.strip(): argument.description for name in argument.arg_name.split(",")}
    return found


def _hints(value: Any) -> dict[str, Any]:
    """Types of its arguments."""
    found: dict[str, Any] = {}
    for owner in _owners(value):
        function = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        with contextlib.suppress(NameError, TypeError):  # of what only type checkers import
            found |= typing.get_type_hints(function)
    found.pop("return", None)
    return found


def _classes_in(hint: Any) -> Iterator[type]:
    parts = typing.get_args(hint)
    if inspect.isclass(hint) and not parts:
        yield hint
    for part in parts:
        yield from _classes_in(part)


def _does_nothing(cls: type) -> bool:
    methods = (getattr(cls, name) for name in dir(cls) if not name.startswith("__"))
    return any("raise NotImplementedError" in inspect.getsource(method) for method in methods
               if inspect.isfunction(method) and method.__module__.startswith("diffsound."))


def _annotation(parameter: inspect.Parameter, hint: Any) -> str:
    written = parameter.annotation
    if not isinstance(written, str):
        return "Any" if written is parameter.empty else inspect.formatannotation(written)
    if re.fullmatch(r"\w+", written) and hint is not None and not inspect.isclass(hint):
        return str(hint).replace("typing.", "")  # what is behind a name such as Precision
    return written


def _default(default: Any) -> str:
    return "..." if "<factory>" in repr(default) else repr(default)


def prose(text: str, folder: str = "") -> str:
    """Plain text as Markdown: papers and classes become links, and nothing becomes a tag. `folder` is the classes'."""
    parts = re.split(r"(`[^`]*`)", text.strip())
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), ("*", "\\*"), ("[MASK]", "\\[MASK]")):
        parts[::2] = [part.replace(plain, safe) for part in parts[::2]]
    paper = re.compile(r"arXiv:(\d{4}\.\d{5})")
    parts[::2] = [paper.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", part) for part in parts[::2]]
    links = {f"`{entry.short}`": entry.link(folder) for entry in entries().values() if inspect.isclass(entry.value)}
    links["`diffsound.optimizer.optimization`"] = f"[optimizers]({folder}index.md#optimizers)"
    parts[1::2] = [links.get(part, part) for part in parts[1::2]]
    return "".join(parts)


def _names(value: Any) -> Iterator[str]:
    """Dotted names of this package in data."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(item)
    elif isinstance(value, str) and re.fullmatch(r"diffsound(\.\w+)+", value):
        yield value


def _place(entry: Entry) -> tuple:
    """In the source: what trains first, then file by file."""
    path = inspect.getsourcefile(entry.value)
    return not path.endswith("module.py"), path, inspect.getsourcelines(entry.value)[1]


def _order(uri: str) -> int:
    package = uri.removeprefix("recipes/").removesuffix(".md")
    return list(TITLES).index(package) if package in TITLES else len(TITLES)
