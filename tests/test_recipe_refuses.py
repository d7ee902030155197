"""Recipes of strangers: they name classes, and no more is made of them than of a recipe."""

from __future__ import annotations

import pytest

from diffsound.cli import main
from diffsound.recipe import build_part, changed_recipe, read_recipe, resolved

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
ECHOES = "a0: ha\n" + "".join(f'a{i}: "${{a{i - 1}}}${{a{i - 1}}}"\n' for i in range(1, 40))
COPIES = "a0: {b: ha, c: ha}\n" + "".join(f'a{i}: {{b: "${{a{i - 1}}}", c: "${{a{i - 1}}}"}}\n' for i in range(1, 40))


@pytest.mark.parametrize(("text", "message"), [
    (LAUGHS, r"has \d+ values with its aliases, expected at most 20000"),
    ("a: &a\n  b: *a\n", "is not YAML that can be read .*an alias of what it stands in"),
    (ECHOES, r"the recipe has \d+ values and characters once its \$\{...\} are put in"),
    (COPIES, r"the recipe has \d+ values and characters once its \$\{...\} are put in"),
    ("a: ${b}\nb: ${a}", r"\$\{[ab]\} of the recipe leads back to itself"),
    ("a: {b: '${a}'}", r"\$\{a\} of the recipe leads back to itself"),
    ("".join(f"a{i}: ${{a{i + 1}}}\n" for i in range(3000)), r"lead from one to another a thousand times"),
    ("a: ${nowhere}", "the recipe cannot be read .*nowhere"),
    ("a: ${b", "is no recipe"),
    ("a: !!python/object/apply:os.mkdir [made]", "is no recipe .*could not determine a constructor"),
    ("!!python/object/apply:os.mkdir [made]", "no recipe|not YAML"),
    ("- 1", "is no recipe: expected a mapping"),
    ("3", "is no recipe: expected a mapping"),
    ("a: [", "is not YAML that can be read"),
    ("[" * 10_000, "is not YAML that can be read"),
    ("a: " + "1:" * 6000 + "1", "a value of 12001 characters"),
    ("a: 1\na: 2", "is no recipe .*duplicate"),
    ("null: 1", "is no recipe"),
    ("\0", "is not YAML that can be read"),
    ("a: [" + "1," * 30_000 + "]", "more than 20000 values"),
])
def test_what_is_no_recipe(tmp_path, monkeypatch, capsys, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        resolved(changed_recipe(tmp_path / "r.yaml", []))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
    if "nowhere" not in text:  # of which the parser tells, with the options in mind
        assert main(["fit", "--config", str(tmp_path / "r.yaml")]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_files_that_are_too_long_or_no_text(tmp_path):
    with (tmp_path / "r.yaml").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match="r.yaml has 2147483648 bytes, expected at most 1048576"):
        read_recipe(tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ValueError, match="r.yaml is not UTF-8"):
        read_recipe(tmp_path / "r.yaml")
    with pytest.raises(FileNotFoundError, match="there is no recipe .*no.yaml"):
        changed_recipe(tmp_path / "no.yaml", [])


def test_what_one_file_makes_of_another_is_looked_at_too(tmp_path):
    lines = ECHOES.splitlines(keepends=True)
    for name, half in (("one", lines[::2]), ("two", lines[1::2])):
        (tmp_path / f"{name}.yaml").write_text("".join(half))
    with pytest.raises(ValueError, match="values and characters once"):
        resolved(changed_recipe(tmp_path / "one.yaml", ["--config", str(tmp_path / "two.yaml")]))


def test_a_part_is_of_its_kind_or_not_built(tmp_path):
    for class_path in ("os.mkdir", "subprocess.Popen", "pathlib.Path", "diffsound.mel.MelSettings"):
        (tmp_path / "r.yaml").write_text(f"vocoder: {{class_path: {class_path}, init_args: {{path: {tmp_path}/made}}}}")
        with pytest.raises(ValueError, match="vocoder"):
            build_part(changed_recipe(tmp_path / "r.yaml", []), "vocoder")
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]
