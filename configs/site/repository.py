"""What the pages take from the repository by name: sections of the README, code, tests, and where links lead."""

from __future__ import annotations

import ast
import posixpath
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[2]
CARDS = ("diffsound/evaluation/judge/README.md", "diffsound/bundles/*/README.md")
SHOWN = (".png", ".jpg", ".svg", ".gif", ".wav", ".flac", ".ogg", ".mp3")  # files beside a card that it may show
INTRODUCTION, REST = "(introduction)", "(all other sections)"
FENCE = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1`*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'(?P<before>\]\(|(?:href|src)=")(?P<target>[^)"\s]+)')


def blocks(markdown: str, kind: str) -> list[list[str]]:
    """The lines of each code block of that kind."""
    return [body.split("\n")[:-1] for _, name, body in FENCE.findall(markdown) if name == kind]


def headings(markdown: str) -> Iterator[tuple[int, str, int]]:
    """(level, text, place) of the headings, not of what looks like one in a code block."""
    hidden = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), markdown)
    for match in re.finditer(r"^(#+) +(.+?) *$", hidden, re.MULTILINE):
        yield len(match[1]), match[2], match.start()


def slug(heading: str) -> str:
    """The anchor that GitHub and this site give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


class Readme:
    """The README in pieces, and on which page each is."""

    def __init__(self, text: str, pages: dict[str, str]) -> None:
        """`pages`: Markdown by address, such as index.md, whose blocks `readme` name the sections they show."""
        places = [(name, place) for level, name, place in headings(text) if level == 2]
        ends = [place for _, place in places[1:]] + [len(text)]
        self.sections = {INTRODUCTION: text[: places[0][1]]} | {
            name: text[place:end] for (name, place), end in zip(places, ends, strict=True)}
        shown = {uri: [name for block in blocks(page, "readme") for name in block] for uri, page in pages.items()}
        self.others = [name for name in self.sections if not any(name in names for names in shown.values())]
        self.page_of = {}  # of each anchor
        for uri, names in shown.items():
            for name in names:
                for section in self.others if name == REST else [name]:
                    for _, heading, _ in headings(self[section]):
                        self.page_of[slug(heading)] = uri

    def __getitem__(self, name: str) -> str:
        if name == REST:
            return "\n".join(self.sections[other] for other in self.others)
        if name not in self.sections:
            raise PluginError(f"the README has no section {name!r}, expected one of {', '.join(self.sections)}")
        return self.sections[name]


def code(name: str) -> str:
    """A block of Python with the definition `diffsound.module.Class.function`, as the source has it now."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        path = ROOT.joinpath(*parts[:length]).with_suffix(".py")
        if path.is_file():
            return _code(path, parts[length:])
    raise PluginError(f"there is no code {name}: expected module and name, such as diffsound.draw.truncate")


def test(name: str) -> str:
    """A folded block with the test `tests/file.py::test_name`; its title is what the test states."""
    path, _, function = name.partition("::")
    statement = function.removeprefix("test_").replace("_", " ")
    block = _code(ROOT / path, [function])
    return f'??? success "{statement[:1].upper()}{statement[1:]}"\n\n{textwrap.indent(block, "    ")}\n'


def _code(path: Path, names: list[str]) -> str:
    if not path.is_file():
        raise PluginError(f"there is no file {path.relative_to(ROOT)}")
    text = path.read_text()
    node: ast.AST = ast.parse(text)
    for name in names:
        found = [child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name]
        if not found:
            raise PluginError(f"{path.relative_to(ROOT)} has no {'.'.join(names)}: name what it has now")
        node = found[0]
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = text.splitlines()[start - 1: node.end_lineno]
    title = f"{path.relative_to(ROOT).as_posix()}, lines {start} to {node.end_lineno}"
    return f'``` {{ .python title="{title}" }}\n' + textwrap.dedent("\n".join(lines)) + "\n```"


def cards() -> dict[str, str]:
    """Address on the site of each model card in the repository, and of the pictures and sounds beside it."""
    found = {}
    for pattern in CARDS:
        for card in sorted(ROOT.glob(pattern)):
            uri = f"models/{card.parent.name}"
            found[card.relative_to(ROOT).as_posix()] = f"{uri}.md"
            for path in sorted(card.parent.iterdir()):
                if path.suffix in SHOWN:
                    found[path.relative_to(ROOT).as_posix()] = f"{uri}/{path.name}"
    return found


def relink(markdown: str, origin: str, uri: str, site: dict[str, str], readme: Readme) -> str:
    """`markdown` of the file `origin` of the repository with links as they lead from the page `uri`.

    `site` is the address of each file of the repository that is on the site. Links to others are left as they are, so
    that MkDocs reports them.
    """
    def change(match: re.Match) -> str:
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:|/", target) or (not target and origin != "README.md"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target)) if target else origin
        there = readme.page_of.get(anchor, "index.md") if path == "README.md" else site.get(path)
        if there is None:
            return match[0]
        here = posixpath.relpath(there, posixpath.dirname(uri) or ".") if there != uri or not anchor else ""
        return match["before"] + here + ("#" + anchor if anchor else "")

    return LINK.sub(change, markdown)
