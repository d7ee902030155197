"""What MkDocs does with the pages before it builds them.

Code blocks of these kinds name what stands in their place; where there is no such thing the build fails:

    readme      sections of the README
    source      functions and classes, diffsound.module.name
    tests       tests, tests/file.py::name
    keys        (empty) the keys of a recipe
    classes     (empty) all classes that a recipe can name
    commands    (empty) the options of every verb
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import classes
import commands
import latex2mathml.converter
import repository
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from repository import ROOT, Readme

HERE = Path(__file__).parent
MATHS = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lay out the navigation: what it names, then what is there besides."""
    parts = {name: pages for entry in config.nav if isinstance(entry, dict) for name, pages in entry.items()}
    named = re.findall(r"[\w/-]+\.md", str(config.nav))
    parts["In depth"] += sorted(path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in named)
    parts["Reference"][-1]["Recipes"] += classes.pages()
    parts["Models"] += [uri for uri in repository.cards().values() if uri.endswith(".md")]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are not in docs/."""
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()}
    config.extra["readme"] = Readme((ROOT / "README.md").read_text(), pages)
    config.extra["site"] = {f"docs/{file.src_uri}": file.src_uri for file in files} | repository.cards()
    for path, uri in repository.cards().items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for name in (*config.extra_css, *config.extra["polyfills"]):
        if (HERE / name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(HERE / name)))
    for uri, markdown in classes.pages().items():
        files.append(File.generated(config, uri, content=markdown))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what the blocks name in their place, and turn links within the repository to the site's."""
    uri, site, readme = page.file.src_uri, config.extra["site"], config.extra["readme"]
    origin = next((path for path, there in site.items() if there == uri), uri)
    markdown = repository.relink(markdown, origin, uri, site, readme)
    fill = {
        "readme": lambda name: repository.relink(readme[name], "README.md", uri, site, readme),
        "source": repository.code, "tests": repository.test,
    }
    whole = {"keys": classes.keys, "classes": classes.overview, "commands": commands.reference}

    def replace(match: re.Match) -> str:
        kind, lines = match[2], match[3].splitlines()
        if kind in whole:
            return whole[kind]()
        return "\n\n".join(fill[kind](line) for line in lines) if kind in fill else match[0]

    return repository.FENCE.sub(replace, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML, which browsers set by themselves."""
    def replace(match: re.Match) -> str:
        display = "inline" if match[1] == "span" else "block"
        formula = latex2mathml.converter.convert(html.unescape(match[2]), display=display)
        if "\\" in formula:
            raise PluginError(f"{page.file.src_uri}: not known to latex2mathml: {match[2]}")
        return formula if display == "inline" else f'<div class="formula">{formula}</div>'

    return MATHS.sub(replace, content)
