"""The comparison of decoders and samplers, at the smallest size."""

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from diffsound import ablation
from diffsound.ablation import AUTOREGRESSIVE, MATRICES, main, over_seeds
from diffsound.checkpoint import read_checkpoint
from diffsound.cli import main as command
from diffsound.pretraining_ablation import ARMS

RECIPE = Path("recipes/scenes.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a comparison that ran, and the options that made it."""
    folder = tmp_path_factory.mktemp("ablation")
    tiny = OmegaConf.merge(OmegaConf.load(RECIPE), OmegaConf.load("tests/tiny.yaml"))
    OmegaConf.save(tiny, folder / "tiny.yaml")
    options = ["--recipe", str(folder / "tiny.yaml"), "--out", str(folder / "out"), "--steps", "2", "--clips", "4",
               "--train.vqvae.max_steps", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "SAMPLERS", {name: (build, (min(steps[0], 3),), matrices)
                                             for name, (build, steps, matrices) in ablation.SAMPLERS.items()})
        main([*options, "--seeds", "1"])
    return folder / "out", options


def test_every_decoder_and_sampler_has_its_row(finished):
    rows = json.loads((finished[0] / "ablation.json").read_text())["rows"]
    assert {row["decoder"] for row in rows.values() if "seed" in row} == {*MATRICES, AUTOREGRESSIVE}
    found = {(row["sampler"], row["decoder"]): row["steps"] for row in rows.values() if "sampler" in row}
    assert set(found) == {(name, matrix) for name, (_, _, matrices) in ablation.SAMPLERS.items() for matrix in matrices}
    assert found["strided", "uniform"] == 3
    assert found["strided, original", "mask+uniform"] == 4  # always visits t = 1
    assert found["first-hitting", "mask"] == 20  # tokens
    for row in rows.values():
        assert row["seconds"] > 0
        assert row["distance"] >= 0
        assert row["f1_interval"][0] <= row["f1"] <= row["f1_interval"][1]
    assert (finished[0] / "ablation.png").stat().st_size > 10_000
    lines = (finished[0] / "ablation.md").read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(rows) + 4  # two headers of two lines
    assert len({line.count("|") for line in lines[:6]}) == 1


def test_options_change_the_recipe(finished):
    assert read_checkpoint(finished[0] / "runs/scenes/vqvae/last.ckpt")["facts"]["steps"] == 1


def test_the_matrices_differ_in_nothing_else(finished):
    files = [finished[0] / "recipes" / f"{name.replace('+', '-')}-0.yaml" for name in MATRICES]
    recipes = [OmegaConf.to_container(OmegaConf.load(path)) for path in files]
    names = [recipe["decoder"]["init_args"]["transition"].pop("class_path").split(".")[-1] for recipe in recipes]
    assert names == list(MATRICES.values())
    assert recipes[0] == recipes[1] == recipes[2]


def test_a_second_run_adds_what_is_missing_and_trains_nothing_again(finished, monkeypatch):
    folder, options = finished
    before = json.loads((folder / "ablation.json").read_text())["rows"]
    trained = []
    monkeypatch.setattr("diffsound.ablation.fit_once", lambda args, checkpoint, steps: trained.append(checkpoint.parts))
    monkeypatch.setattr("diffsound.ablation.load_module", lambda path: pytest.fail(f"{path} was loaded again"))
    monkeypatch.setattr(ablation, "SAMPLERS", {})
    main([*options, "--seeds", "1"])
    assert json.loads((folder / "ablation.json").read_text())["rows"] == before
    assert {parts[-2] for parts in trained} == {"vqvae"}


def test_figures_of_other_settings_are_not_mixed(finished):
    folder, options = finished
    with pytest.raises(ValueError, match="was made with other settings"):
        main([*options, "--steps", "3"])
    with pytest.raises(ValueError, match="--clips is 9, but there are 8"):
        main([*options, "--clips", "9", "--out", str(_copy(folder))])


def _copy(folder):
    """The same codec and tokens, nothing compared yet."""
    other = folder.with_name("other")
    shutil.copytree(folder / "runs", other / "runs")
    return other


@pytest.mark.parametrize(("options", "message"), [(["--recipe", "absent.yaml"], "there is no recipe absent.yaml"),
                                                  (["--recipe", str(RECIPE), "--seeds", "0"], "--seeds is 0")])
def test_bad_options_are_named(options, message, capsys):
    assert command(["ablation", *options]) == 1
    assert message in capsys.readouterr().err


def test_the_interval_is_of_student():
    assert over_seeds([1.0, 2.0, 3.0]) == "2.000 ± 2.484"  # 4.303 / sqrt(3)
    assert over_seeds([1.0, None]) == "1.000"
    assert over_seeds([None]) == "-"


def test_pretraining_is_compared_with_captions_alone(finished, tmp_path):
    options = [*finished[1][:2], "--out", str(tmp_path), "--train.vqvae.max_steps", "1", "--of", "pretraining",
               "--seeds", "1", "--steps", "2", "--pretrain-steps", "3", "--clips", "4", "--share", "0.4",
               "--fine-tune-rate", "1e-4"]
    shutil.copytree(finished[0] / "runs/scenes/vqvae", tmp_path / "runs/scenes/vqvae")
    main(options)
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    assert {row["arm"] for row in rows.values()} == set(ARMS)
    recipes = {path.stem: OmegaConf.load(path) for path in (tmp_path / "recipes").glob("*.yaml")}
    assert recipes["labels-masks-none-0"].tokens.init_args.label_text.init_args == {"masks": "none"}
    for name, steps, rate in [("alone", 2, 1.4e-3), ("alone-longer", 5, 1.4e-3), ("mbtg", 2, 1e-4),
                              ("mbtg-longer", 5, 1e-4), ("masks-none", 2, 1e-4)]:
        recipe = recipes[f"captions-{name}-0"]
        assert recipe.tokens.init_args.share == 0.4
        assert recipe.train.diffusion.learning_rate == rate
        checkpoint = read_checkpoint(tmp_path / f"runs/scenes/captions-{name}-0/last.ckpt")
        assert checkpoint["facts"]["steps"] == steps
    table = (tmp_path / "ablation.md").read_text()
    assert "16 clips with labels" in table
    assert sum(line.startswith("| ") for line in table.splitlines()) == len(ARMS) + 2
    before = (tmp_path / "ablation.json").stat().st_mtime_ns
    main(options)  # there is nothing left to do
    assert (tmp_path / "ablation.json").stat().st_mtime_ns == before
