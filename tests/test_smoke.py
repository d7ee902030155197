"""The whole chain by its own commands, at the smallest size: scenes, codec, tokens, vocoder, decoders, clips."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch

from diffsound.bundle import write_bundle
from diffsound.checkpoint import fingerprint
from diffsound.cli import main
from diffsound.data import TokenDataModule
from diffsound.data.token_store import TokenStore
from diffsound.diffusion import DiscreteDiffusion, StridedSampler
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import GriffinLim, MelGAN
from diffsound.vqvae import VQVAE

ROOT = Path(__file__).parents[1]
TINY = Path(__file__).with_name("tiny.yaml").read_text()


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """`command(verb, stage, *options)` -> exit status, with everything below one temporary folder."""
    folder = tmp_path_factory.mktemp("smoke")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "prompts.txt").write_text("rain falling\n\na dog barks, then a bell rings\ntwo knocks\n")

    def run(verb, stage, *options, recipe=ROOT / "recipes/scenes.yaml", tiny="tiny.yaml"):
        return main([verb, "--config", str(recipe), "--config",
                     str(ROOT / f"configs/stage/{stage}.yaml"), "--config", str(folder / tiny), "--runs",
                     str(folder / "runs"), "--prompts.init_args.file", str(folder / "prompts.txt"), *options])

    run.folder = folder / "runs" / "scenes"
    return run


@pytest.fixture(scope="module")
def codec(command):
    assert command("fit", "vqvae") == 0
    assert command("tokenize", "tokenize") == 0
    return command.folder / "vqvae" / "last.ckpt"


@pytest.fixture(scope="module")
def trained(command, codec):
    assert command("fit", "vocoder") == 0
    assert command("fit", "diffusion") == 0
    return command.folder


def test_token_store_holds_every_scene(command, codec):
    store = TokenStore(command.folder / "tokens")
    assert store.splits() == {"train": 16, "val": 8, "test": 4}
    assert store.columns == 4
    store.verify()


def test_clips_are_written_and_replayable(command, trained):
    assert command("predict", "predict") == 0
    sidecars = sorted((trained / "clips").glob("*.json"))
    assert [json.loads(path.read_text())["text"] for path in sidecars] == \
        ["rain falling", "a dog barks, then a bell rings", "two knocks"]
    model = TextToSound.from_checkpoints(str(trained / "diffusion/last.ckpt"), str(trained / "vqvae/last.ckpt"),
                                         GriffinLim(TokenStore(trained / "tokens").mel),
                                         StridedSampler(3, guidance_scale=2.0, top_r=0.9), columns=4)
    for path in sidecars:
        sidecar = json.loads(path.read_text())
        assert sidecar["sampler"] == model.sampler.spec
        assert sidecar["parts"] == model.fingerprints
        clip = model([sidecar["text"]], [sidecar["seed"]])[0]  # alone, where `predict` made three at once
        assert clip.tokens.tolist() == sidecar["tokens"]
        written, rate = soundfile.read(path.with_suffix(".wav"), dtype="float32")
        assert rate == 22050
        assert len(written) == 64 * 256
        torch.testing.assert_close(clip.waveform, torch.from_numpy(written), atol=1e-4, rtol=0)
        assert path.with_suffix(".png").stat().st_size > 1000
    assert not list((trained / "clips").glob("*.part"))


def test_the_trained_vocoder_makes_the_waveform(command, trained, tmp_path):
    recipe = tmp_path / "edited.yaml"
    text = (ROOT / "recipes/scenes.yaml").read_text()
    griffin_lim = '{class_path: diffsound.vocoder.GriffinLim, init_args: {mel: "${mel}"}}'
    assert griffin_lim in text
    recipe.write_text(text.replace(griffin_lim, "${runs}/${name}/vocoder/last.ckpt"))
    assert command("predict", "predict", recipe=recipe) == 0
    melgan = fingerprint(MelGAN.from_checkpoint(trained / "vocoder/last.ckpt"))
    for path in (trained / "clips").glob("*.json"):
        assert json.loads(path.read_text())["parts"]["vocoder"] == melgan


def test_another_seed_makes_another_clip(trained):
    model = TextToSound.from_checkpoints(str(trained / "diffusion/last.ckpt"), str(trained / "vqvae/last.ckpt"),
                                         GriffinLim(TokenStore(trained / "tokens").mel), StridedSampler(4), columns=3)
    a, b = model(["rain falling"] * 2, [1, 2])
    assert not torch.equal(a.tokens, b.tokens)
    assert a.waveform.shape == (3 * 16 * 256,)  # shorter than in training


@pytest.mark.parametrize("kind", ["Mask", "Uniform"])
def test_the_other_matrices_train_and_sample(command, trained, tmp_path, kind):
    recipe = tmp_path / "edited.yaml"
    recipe.write_text((ROOT / "recipes/scenes.yaml").read_text().replace("diffusion.MaskUniform", f"diffusion.{kind}"))
    assert command("fit", "diffusion", "--stage", kind, recipe=recipe) == 0
    decoder = DiscreteDiffusion.from_checkpoint(trained / kind / "last.ckpt")
    assert type(decoder.transition).__name__ == kind
    tokens = decoder.generate(decoder.condition(["rain"]), 4, StridedSampler(4), [torch.Generator()])
    assert tokens.min() >= 0
    assert tokens.max() < 16


def test_the_baseline_trains_and_makes_clips(command, trained, tmp_path):
    assert command("fit", "autoregressive") == 0
    recipe = tmp_path / "edited.yaml"
    text = (ROOT / "recipes/scenes.yaml").read_text()
    sampler = text[text.index("      class_path: diffsound.diffusion.StridedSampler"):text.index("    columns:")]
    recipe.write_text(text.replace("/diffusion/last.ckpt", "/autoregressive/last.ckpt").replace(
        sampler, "      class_path: diffsound.autoregressive.AutoregressiveSampler\n"))
    (command.folder.parents[1] / "no-sampler.yaml").write_text(
        "".join(line for line in TINY.splitlines(True) if not line.startswith("text_to_sound:")))
    assert command("predict", "predict", "--name", "scenes", recipe=recipe, tiny="no-sampler.yaml") == 0
    sidecar = json.loads(next((trained / "clips").glob("*.json")).read_text())
    assert sidecar["sampler"]["class_path"] == "diffsound.autoregressive.AutoregressiveSampler"


def test_pretraining_on_one_data_set_then_captions_of_another(command, trained):
    codec = str(trained / "vqvae/last.ckpt")
    other = ["--name", "captioned", "--audio.init_args.seed", "7"]
    assert command("fit", "pretrain") == 0
    assert command("tokenize", "tokenize", *other, "--model.init_args.path", codec) == 0
    assert command("fit", "diffusion", *other, "--start_from", str(trained / "pretrain/last.ckpt"),
                   "--train.diffusion.max_steps", "1") == 0
    assert command("predict", "predict", *other, "--text_to_sound.init_args.codec", codec) == 0
    sidecar = json.loads(next((trained.parent / "captioned/clips").glob("*.json")).read_text())
    assert sidecar["parts"]["codec"] == VQVAE.from_checkpoint(codec).whole_fingerprint


def test_a_bundle_is_trained_further(command, trained, tmp_path):
    model = TextToSound.from_checkpoints(str(trained / "diffusion/last.ckpt"), str(trained / "vqvae/last.ckpt"),
                                         GriffinLim(TokenStore(trained / "tokens").mel), StridedSampler(2), columns=4)
    bundle = tmp_path / "bundle"
    write_bundle(model, bundle, "A card.")
    other = ["--name", "further", "--audio.init_args.seed", "9"]
    assert command("tokenize", "tokenize", *other, "--model.init_args.path", str(bundle)) == 0
    assert command("fit", "diffusion", *other, "--start_from", str(bundle), "--train.diffusion.max_steps", "1") == 0
    before, after = (DiscreteDiffusion.from_checkpoint(folder / "diffusion/last.ckpt")
                     for folder in (trained, trained.parent / "further"))
    assert before.facts["codec"] == after.facts["codec"]
    moved = [(one - other).abs().max() for one, other in zip(before.parameters(), after.parameters(), strict=True)]
    assert 0 < max(moved) < 0.1  # a step away, not trained anew


def test_validate_scores_a_checkpoint(command, trained, capsys):
    assert command("validate", "diffusion", "--ckpt_path", str(trained / "diffusion/last.ckpt")) == 0
    assert "val/bound" in capsys.readouterr().out
    assert command("test", "diffusion", "--ckpt_path", str(trained / "diffusion/last.ckpt")) == 0
    told = capsys.readouterr().out
    assert "test/bound" in told
    assert "val/" not in told


def test_the_small_text_encoder_trains_by_itself_and_a_decoder_takes_it(command, codec):
    assert command("fit", "text_encoder") == 0
    path = command.folder / "text_encoder" / "last.ckpt"
    part = {"class_path": "diffsound.text_encoder.trained", "init_args": {"path": str(path)}}
    assert command("fit", "diffusion", "--stage", "on_top", "--text_encoder", json.dumps(part)) == 0
    decoder = DiscreteDiffusion.from_checkpoint(command.folder / "on_top" / "last.ckpt")
    words = torch.load(path, weights_only=True)["state_dict"]["word.weight"]
    assert torch.equal(decoder.encoder.word.weight, words)  # it stays as it was trained


def test_a_resumed_run_counts_on_and_keeps_its_codec(command, trained):
    options = ["--decoder.init_args.decay", "constant"]
    assert command("fit", "diffusion", "--stage", "half", "--train.diffusion.max_steps", "2", *options) == 0
    assert command("fit", "diffusion", "--stage", "rest", "--train.diffusion.max_steps", "4", *options, "--ckpt_path",
                   str(trained / "half/last.ckpt")) == 0
    ends = torch.load(trained / "rest/last.ckpt", weights_only=True)
    half = torch.load(trained / "half/last.ckpt", weights_only=True)
    assert any(not torch.equal(half["state_dict"][name], value) for name, value in half["current_model_state"].items())
    assert ends["global_step"] == 4
    assert ends["facts"]["steps"] == 4
    data = TokenDataModule(str(trained / "tokens"))
    data.setup("fit")
    assert ends["facts"]["codec"] == data.codec_fingerprint


def test_the_system_is_scored_by_a_judge(command, trained, capsys):
    folder = trained.parents[1]
    (folder / "s.csv").write_text("text,asks,new\nthe pooch yaps,dog,all words\na mutt before a moggy,dog > cat,words")
    assert main(["evaluate", "--recipe", str(ROOT / "recipes/scenes.yaml"), "--config", str(folder / "tiny.yaml"),
                 "--runs", str(folder / "runs"), "--num-clips", "4", "--sentences", str(folder / "s.csv"), "--out",
                 str(folder / "evaluation")]) == 0
    told = capsys.readouterr().out
    assert "event F1, held-out sentences" in told
    assert "order, training captions" in told
    content = json.loads((folder / "evaluation/scores.json").read_text())
    assert content["clips"] == 4
    assert {"kind", "sentences"} <= content["by"].keys()


@pytest.mark.parametrize(("stage", "options", "message"), [
    ("diffusion", ["--codebook_size", "32"], "codebook_size 32, the token store 16"),
    ("diffusion", ["--max_columns", "2"], "4 columns, the decoder at most 2"),
    ("diffusion", ["--ckpt_path", "{folder}/vqvae/last.ckpt"], "written by diffsound.vqvae.VQVAE"),
    ("diffusion", ["--ckpt_path", "nowhere.ckpt"], "no file nowhere.ckpt"),
    ("predict", ["--text_to_sound.init_args.codec", "{folder}/vocoder/last.ckpt"], "is a checkpoint of MelGAN"),
    ("predict", ["--text_to_sound.init_args.decoder", "{folder}/none.ckpt"], "train that stage first"),
    ("predict", ["--prompts.init_args.file", "{folder}/vqvae/last.ckpt"], "not"),
    ("predict", ["--text_to_sound.init_args.columns", "9"], "columns is 9, this decoder makes 1 to 4"),
    ("predict", ["--text_to_sound.init_args.sampler.init_args.num_steps", "30"], "num_steps is 30"),
])
def test_mistakes_are_answered_in_one_line(command, trained, capfd, stage, options, message):
    verb = "predict" if stage == "predict" else "fit"
    options = [option.format(folder=trained) for option in options]
    assert command(verb, stage, "--stage", "mistake", *options) == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("diffsound: error: ")
    assert message in error
    assert len(error) < 500


def test_a_vocoder_of_another_mel_is_refused(command, trained, capfd):
    assert command("fit", "vocoder", "--stage", "other-mel", "--mel.f_max", "8000") == 0
    assert command("predict", "predict", "--text_to_sound.init_args.vocoder",
                   str(trained / "other-mel/last.ckpt")) == 1
    assert "mel.f_max: codec 7600.0, vocoder 8000.0" in capfd.readouterr().err


def test_ctrl_c_keeps_a_whole_checkpoint(command, trained, tmp_path):
    script = "import sys; from diffsound.cli import main; sys.exit(main(sys.argv[1:]))"
    tiny = command.folder.parents[1] / "tiny.yaml"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "fit", "--config", str(ROOT / "recipes/scenes.yaml"), "--config",
         str(ROOT / "configs/stage/diffusion.yaml"), "--config", str(tiny), "--runs", str(command.folder.parent),
         "--stage", "stopped", "--train.diffusion.max_steps", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's background jobs ignore it
    events = command.folder / "stopped"
    deadline = time.monotonic() + 120
    while not list(events.glob("events*")) and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    try:
        output = process.communicate(timeout=240)[0]
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Traceback" not in output
    assert torch.load(events / "last.ckpt", weights_only=True)["global_step"] > 0
    assert DiscreteDiffusion.from_checkpoint(events / "last.ckpt")
