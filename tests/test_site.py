"""The documentation site, built as `make docs` does: whole, true to the code, and without anything from elsewhere."""

import inspect
import os
import pydoc
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import browser, served, visited  # noqa: F401

from diffsound.cli import verbs

if any(find_spec(name) is None for name in ("mkdocs", "material", "latex2mathml")):
    pytest.skip("the extra docs is not installed", allow_module_level=True)

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "configs" / "site"
sys.path.insert(0, str(SOURCES))
LOADING = {"script": ("src",), "link": ("href",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src",),
           "audio": ("src",), "video": ("src",), "use": ("href",), "object": ("data",), "embed": ("src",)}


class Html(HTMLParser):
    """Ids, links, what is loaded, and the text of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loads, self.texts = set(), [], [], []
        self.feed(path.read_text())
        self.text = "".join(self.texts)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.texts.append(" " if tag == "br" else "")
        self.ids.add(values.get("id"))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.loads += [values[name] for name in LOADING.get(tag, ()) if values.get(name)]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(SOURCES / "mkdocs.yml"),
               "--site-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT,
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """{"recipes/index.html": Html}."""
    return {path.relative_to(site).as_posix(): Html(path) for path in sorted(site.rglob("*.html"))}


def test_every_link_leads_to_a_page_that_is_there_and_to_a_place_on_it(site, pages):
    dead = []
    for name, page in pages.items():
        if name == "404.html":  # its links are the server's, from the root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            there = (site / name).parent / unquote(parts.path) if parts.path else site / name
            there = (there / "index.html" if there.is_dir() else there).resolve()
            known = pages.get(there.relative_to(site).as_posix())
            if not there.is_file() or (parts.fragment and known and unquote(parts.fragment) not in known.ids):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert [(name, load) for name, page in pages.items() for load in page.loads if re.match(r"(\w+:)?//", load)] == []
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text()), path


def test_pages_fit_wide_and_narrow_screens_and_load_without_an_error(site, pages, browser):  # noqa: F811
    with served(site) as address, visited(browser, address) as page:
        for name in pages:
            page.goto(f"{address}/{name}")
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 844})
                page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")  # once nothing moves


def test_search_works_in_a_page_that_was_opened_as_a_file(site, browser):  # noqa: F811
    page = browser.new_page()
    page.goto((site / "recipes" / "index.html").as_uri())
    page.get_by_role("textbox", name="Search").fill("StridedSampler")
    page.get_by_role("link", name="StridedSampler").first.wait_for()
    page.close()


def named_in(value):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from named_in(item)
    elif isinstance(value, str) and value.startswith("diffsound."):
        yield value


def test_everything_that_recipes_name_has_an_entry_with_all_its_arguments(pages):
    files = [path for folder in ("recipes", "configs") for path in (ROOT / folder).rglob("*.yaml")]
    names = {name for path in files for name in named_in(yaml.safe_load(path.read_text()))}
    assert len(names) > 30
    entries = {name: page for uri, page in pages.items() if uri.startswith("recipes/") for name in page.ids}
    assert names - entries.keys() == set()
    text = " ".join(entries["diffsound.diffusion.PuritySampler"].text.split())
    own = text[text.index("diffsound.diffusion.PuritySampler"):]
    for line in ("num_steps: int = 25", "sharpness: float = 0.0 raises p(x_0 | x_t)", "guidance_scale: float = 1.0",
                 "precision: Literal['float32', 'bfloat16', 'int8'] = 'float32'"):
        assert line in own
    choices = " ".join(pages["recipes/diffusion.html"].text.split())
    assert "transition: Transition the corruption. One of Mask, MaskUniform, Uniform." in choices


def test_every_argument_of_a_recipe_is_described():
    import classes

    for entry in classes.entries().values():
        undescribed = classes._parameters(entry.value).keys() - classes._texts(entry.value).keys()
        assert undescribed == set() or entry.name == "diffsound.recipe.Training", entry.name


def test_every_verb_has_its_options(pages):
    page = pages["commands.html"]
    assert set(verbs()) - page.ids <= {"fit", "validate", "test", "tokenize", "predict", "generate-many"}
    text = " ".join(page.text.split())
    for option in ("--best-of N makes so many takes", "--format {wav,flac,ogg,mp3} (default: wav)", "--start_from",
                   "--seed N other numbers, other takes (default: 0)", "--rows ROWS (default: 2000000)"):
        assert option in text


def test_formulas_are_set_and_the_code_beside_them_is_the_source(site, pages):
    content = (site / "maths.html").read_text()
    assert content.count("<math") > 50
    assert not re.search(r"<math[^>]*>(?:(?!</math>).)*\\", content, re.DOTALL)
    shown = [line.strip() for block in re.findall(r"<pre.*?</pre>", content, re.DOTALL)
             for line in unescape(re.sub(r"<[^>]+>", "", block)).splitlines()]
    import repository

    blocks = repository.blocks((ROOT / "docs" / "maths.md").read_text(), "source")
    names = [name for block in blocks for name in block if not name.endswith(".denoise")]  # defined within another
    assert len(names) > 30
    for name in names:
        lines = [line.strip() for line in inspect.getsource(pydoc.locate(name)).splitlines()]
        assert lines == shown[shown.index(lines[0]):][:len(lines)] or "\n".join(lines) in "\n".join(shown), name


def test_names_that_are_gone_stop_the_build(tmp_path, monkeypatch):
    import repository
    from mkdocs.exceptions import PluginError

    assert "def truncate" in repository.code("diffsound.draw.truncate")
    for wrong in (lambda: repository.code("diffsound.draw.cut"), lambda: repository.code("diffsound.drawing.truncate"),
                  lambda: repository.test("tests/test_site.py::test_nothing"),
                  lambda: repository.Readme("# A\n\n## B\n", {})["C"]):
        with pytest.raises(PluginError):
            wrong()


def test_a_new_model_card_appears_by_itself_with_its_pictures(tmp_path, monkeypatch):
    import repository

    folder = tmp_path / "diffsound" / "bundles" / "new"
    folder.mkdir(parents=True)
    for name in ("README.md", "clips.png", "model.safetensors"):
        (folder / name).write_text("![](clips.png)")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    cards = repository.cards()
    assert cards == {"diffsound/bundles/new/README.md": "models/new.md",
                     "diffsound/bundles/new/clips.png": "models/new/clips.png"}
    readme = repository.Readme("# A\n\n## B\n\n### Of C\n", {"index.md": "```readme\nB\n```\n"})
    relink = lambda text, origin, uri: repository.relink(text, origin, uri, cards, readme)  # noqa: E731
    assert relink("![](clips.png)", "diffsound/bundles/new/README.md", "models/new.md") == "![](new/clips.png)"
    assert relink('<img src="diffsound/bundles/new/clips.png">', "README.md", "index.md") == \
        '<img src="models/new/clips.png">'
    assert relink("[c](../README.md#of-c)", "docs/x.md", "in/x.md") == "[c](../index.md#of-c)"
    assert relink("[c](#of-c) [d](https://e.org/f#g)", "README.md", "index.md") == "[c](#of-c) [d](https://e.org/f#g)"
