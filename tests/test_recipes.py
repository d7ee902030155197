"""Every recipe with every stage parses against the real signatures; nothing is loaded or trained."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from diffsound.recipe import _essence, build_part, changed_recipe, run

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
STAGES = sorted((ROOT / "configs" / "stage").glob("*.yaml"))
PRESETS = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name in ("vqvae", "decoder"))


def parse(capsys, recipe, stage, *extra):
    verb = {"predict": "predict", "tokenize": "predict"}.get(stage, "fit")
    with pytest.raises(SystemExit) as stop:
        run(verb, ["--config", str(recipe), "--config", str(ROOT / f"configs/stage/{stage}.yaml"), *extra,
                   "--print_config"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def has_parts(recipe, stage):
    overlay = yaml.safe_load(stage.read_text())
    named = re.findall(r"\$\{(\w+)\}", f"{overlay['model']} {overlay['data']}")
    return set(named) <= yaml.safe_load(recipe.read_text()).keys()


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_with_stage(recipe, stage, capsys):
    if stage.stem == "tagger" and recipe.stem not in ("scenes", "judge"):
        pytest.skip("only scenes have timelines to train the judge on")
    if not has_parts(recipe, stage):
        pytest.skip("a recipe of a finished system has nothing to train")
    assert "class_path: diffsound." in parse(capsys, recipe, stage.stem)


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
def test_the_longer_training_of_scenes_with_every_stage(stage, capsys):
    told = parse(capsys, ROOT / "recipes/scenes.yaml", stage.stem, "--config", str(ROOT / "configs/scenes/long.yaml"))
    assert "num_train: 60000" in told


@pytest.mark.parametrize("stage", ["vqvae", "tokenize", "pretrain", "diffusion", "predict"])
@pytest.mark.parametrize("recipe", ["audioset", "audiocaps"])
def test_the_published_recipes_at_a_size_for_a_laptop(recipe, stage, capsys):
    told = parse(capsys, ROOT / f"recipes/{recipe}.yaml", stage, "--config", str(ROOT / "configs/laptop.yaml"))
    settings = yaml.safe_load(told)
    assert (settings["frames"], settings["max_columns"], settings["name"]) == (336, 21, recipe)
    if stage in ("pretrain", "diffusion"):
        assert settings["model"]["init_args"]["text_encoder"]["class_path"].endswith("SmallTextEncoder")
        rate = settings["train"]["pretrain" if stage == "pretrain" else "diffusion"]["learning_rate"]
        assert settings["model"]["init_args"]["learning_rate"] == rate
    if stage == "predict":
        assert settings["model"]["init_args"]["vocoder"]["class_path"].endswith("GriffinLim")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_size_preset_means_the_same_over_every_recipe(preset, capsys):
    stage, part = ("vqvae", "encoder") if preset.parent.name == "vqvae" else ("diffusion", "denoiser")
    sizes = []
    for recipe in RECIPES:
        if not has_parts(recipe, ROOT / f"configs/stage/{stage}.yaml"):
            continue
        model = yaml.safe_load(parse(capsys, recipe, stage, "--config", str(preset)))["model"]
        sizes.append(model["init_args"][part]["init_args"])
    whole = yaml.safe_load(preset.read_text())["vqvae" if stage == "vqvae" else "decoder"]
    asked = whole["init_args"][part]["init_args"]
    for size in sizes:
        assert {key: size[key] for key in asked} == asked
    if stage == "vqvae":  # nothing of the recipe's own codec is left
        assert all(size == sizes[0] for size in sizes)


@pytest.mark.parametrize(("trainer", "stage"), [("ddp", "vqvae"), ("ddp", "diffusion"), ("fsdp", "diffusion"),
                                                ("fsdp", "autoregressive")])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_many_processes_with_every_recipe(recipe, trainer, stage, capsys):
    if not has_parts(recipe, ROOT / f"configs/stage/{stage}.yaml"):
        pytest.skip("the recipe has nothing to train in that stage")
    told = yaml.safe_load(parse(capsys, recipe, stage, "--config", str(ROOT / f"configs/trainer/{trainer}.yaml")))
    if trainer == "ddp":
        assert told["trainer"]["strategy"] == "ddp"
    else:
        assert told["trainer"]["strategy"]["class_path"] == "diffsound.sharding.ShardedDecoder"
        assert told["model"]["init_args"]["optimizer"] == "adamw"
        assert [entry["class_path"].rpartition(".")[2] for entry in told["trainer"]["callbacks"]] == \
            ["LastCheckpoint", "SeededSteps"]
    data = told["data"]["init_args"]
    assert data["batch_size"] == told["train"][stage]["batch_size"]


@pytest.mark.parametrize("kind", ["Uniform", "Mask"])
def test_the_matrix_is_one_line(kind, tmp_path, capsys):
    text = (ROOT / "recipes/scenes.yaml").read_text()
    assert text.count("class_path: diffsound.diffusion.MaskUniform") == 1
    recipe = tmp_path / "edited.yaml"
    recipe.write_text(text.replace("diffusion.MaskUniform", f"diffusion.{kind}"))
    transition = yaml.safe_load(parse(capsys, recipe, "diffusion"))["model"]["init_args"]["transition"]
    assert transition["class_path"] == f"diffsound.diffusion.{kind}"
    assert transition["init_args"]["codebook_size"] == 256


@pytest.mark.parametrize(("stage", "part"), [("diffusion", "decoder"), ("autoregressive", "autoregressive")])
def test_the_published_learning_rate_is_one_line(stage, part, capsys):
    out = parse(capsys, ROOT / "recipes/audiocaps.yaml", stage, f"--{part}.init_args.decay", "plateau")
    assert yaml.safe_load(out)["model"]["init_args"]["decay"] == "plateau"


@pytest.mark.parametrize("named", [True, False])
def test_how_labels_become_text_is_one_line_and_one_flag(named, tmp_path, capsys):
    text = (ROOT / "recipes/audioset.yaml").read_text()
    assert text.count("val_split: test}\nprompts") == 1
    line = ", label_text: {class_path: diffsound.data.LabelText, init_args: {masks: between, templates: 0.5}}"
    recipe = tmp_path / "edited.yaml"
    recipe.write_text(text.replace("val_split: test}\nprompts", f"val_split: test{line if named else ''}}}\nprompts"))

    def variant(*extra):
        arguments = yaml.safe_load(parse(capsys, recipe, "pretrain", *extra))["data"]["init_args"]
        assert arguments["text_from"] == "labels"
        return arguments["label_text"]

    assert variant() == ({"class_path": "diffsound.data.LabelText", "init_args":
                          {"masks": "between", "ontology": None, "synonyms": 0.0, "templates": 0.5}} if named else None)
    flagged = variant("--tokens.init_args.label_text.init_args.masks", "none")["init_args"]
    assert (flagged["masks"], flagged["templates"]) == ("none", 0.5 if named else 0.0)


def test_a_number_is_written_once(capsys):
    out = parse(capsys, ROOT / "recipes/scenes.yaml", "diffusion", "--num_timesteps", "7", "--mel.n_mels", "64")
    model = out[out.index("\nmodel:"):]
    assert model.count("num_timesteps: 7") >= 2 or out.count("num_timesteps: 7") >= 2
    assert "num_timesteps: 100" not in out


@pytest.mark.parametrize(("arguments", "message"), [
    (["--train.diffusion.max_stepz", "3"], "max_stepz"),
    (["--decoder.init_args.transition", "diffsound.diffusion.Maskk"], "Maskk"),
    (["--decoder.init_args.denoiser.init_args.layers", "many"], "many"),
    (["--tokens.init_args.label_text.init_args.masks", "everywhere"], "'between', 'none'.*everywhere"),
])
def test_a_mistake_is_named_in_one_line(arguments, message, capsys):
    with pytest.raises(ValueError, match=message) as error:
        run("fit", ["--config", str(ROOT / "recipes/scenes.yaml"), "--config",
                    str(ROOT / "configs/stage/diffusion.yaml"), *arguments])
    assert "usage:" not in str(error.value)


def test_options_change_a_recipe(tmp_path):
    recipe = ROOT / "recipes/scenes.yaml"
    assert changed_recipe(recipe, ["--name", "other", "--train.vqvae.max_steps", "5"]).train.vqvae.max_steps == 5
    assert changed_recipe(recipe, ["--config", str(ROOT / "tests/tiny.yaml")]).frames == 64
    sampler = "{class_path: diffsound.autoregressive.AutoregressiveSampler, init_args: {top_k: 9}}"
    changed = changed_recipe(recipe, ["--text_to_sound.init_args.sampler", sampler]).text_to_sound.init_args
    assert changed.sampler == yaml.safe_load(sampler)  # without num_steps of the class before
    assert changed.columns == 21
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(
        {"text_to_sound": {"init_args": {"sampler": yaml.safe_load(sampler), "columns": 7}}}))
    changed = changed_recipe(recipe, ["--config", str(tmp_path / "other.yaml")]).text_to_sound.init_args
    assert (changed.sampler, changed.columns) == (yaml.safe_load(sampler), 7)
    assert "decoder" in changed
    with pytest.raises(ValueError, match="expected --key value"):
        changed_recipe(recipe, ["--name=other"])
    with pytest.raises(FileNotFoundError, match="there is no recipe absent.yaml"):
        changed_recipe(Path("absent.yaml"), [])


def test_a_part_is_built_as_its_stage_would_build_it():
    recipe = changed_recipe(ROOT / "recipes/scenes.yaml", ["--audio.init_args.num_test", "5"])
    assert len(build_part(recipe, "audio").test) == 5
    with pytest.raises(ValueError, match="the recipe has no codec"):
        build_part(recipe, "codec")
    with pytest.raises(ValueError, match="no checkpoint at runs/scenes/diffusion/last.ckpt|train that stage first"):
        build_part(recipe, "text_to_sound")
    recipe.audio.init_args.num_tests = 5
    with pytest.raises(ValueError, match="num_tests"):
        build_part(recipe, "audio")


def test_what_other_choices_would_need_is_left_out():
    message = "Does not validate against any of the Union subtypes\nErrors:\n- top_r is 1.5\n- Import path A is not B"
    assert _essence(message) == "top_r is 1.5"
    assert _essence("Import path A is not B") == "Import path A is not B"


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; from diffsound.cli import main; main(['--help']); " \
           "sys.exit(bool({'torch', 'numpy', 'pytorch_lightning'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


BLOCKED = """
import sys, pytorch_lightning  # which looks for librosa itself
sys.modules.update(dict.fromkeys(("librosa", "open_clip")))  # None: not to be imported
import diffsound.recipe, diffsound.scenes, diffsound.vqvae, diffsound.vocoder, diffsound.diffusion
import diffsound.autoregressive, diffsound.text_encoder, diffsound.text_to_sound, diffsound.data.modules
"""


def test_training_imports_without_librosa_and_open_clip():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_curriculum_and_mixtures_as_the_docs_write_them(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("tokens: {init_args: {curriculum: {0: 1, 2000: 3, 6000: null}}}\n"
                       "audio: {init_args: {mixing: {class_path: diffsound.data.Mixing, "
                       "init_args: {per_clip: 2, further: [0, 0.7, 0.3]}}}}\n")
    recipe = changed_recipe(ROOT / "recipes/audioset.yaml", ["--config", str(overlay)])
    assert build_part(recipe, "tokens").curriculum == {0: 1, 2000: 3, 6000: None}
    assert build_part(recipe, "audio").mixing.per_clip == 2
