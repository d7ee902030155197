"""README, docs/ and model cards as they lie in the repository: links lead somewhere, commands can be called."""

import re
import shlex
from pathlib import Path

import pytest

from diffsound.cli import verbs

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "diffsound").rglob("README.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def anchors(path):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(path):
    generated = {"docs/recipes", "docs/commands.md"}  # the site's, of which only the file can be looked at
    text = FENCE.sub("", path.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.is_file() or there.is_dir(), f"{target}: no such file"
        shown = there.relative_to(ROOT).as_posix()
        if anchor and there.suffix == ".md" and not shown.startswith(tuple(generated)) \
                and "```readme" not in there.read_text():  # sections of the README are on the site alone
            assert anchor in anchors(there), f"{target}: no such heading"


def calls(path):
    """The shell commands of a file, each as a list of words."""
    for kind, body in FENCE.findall(path.read_text()):
        for line in body.replace("\\\n", " ").splitlines() if kind == "bash" else ():
            if re.match(r"(\.venv/bin/)?diffsound |make ", line):
                yield shlex.split(line, comments=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_name_verbs_targets_and_files_that_are_there(path):
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for program, name, *words in calls(path):
        assert name in (targets if program == "make" else [*verbs(), "VERB"]), name
        for file in re.findall(r"\b(?:recipes|configs)/[\w/]+\.yaml", " ".join(words)):
            assert (ROOT / file).is_file() or "my-" in file, file


def test_the_tutorial_calls_everything_from_clips_to_a_page():
    called = [call[1] for call in calls(ROOT / "docs" / "tutorial.md")]
    assert called == ["setup", "train-vqvae", "tokenize", "train-diffusion", "bundle", "generate", "generate", "replay",
                      "evaluate", "serve"]
