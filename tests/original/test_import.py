"""Small originals become the system that their weights mean."""

import re
import shlex

import pytest
import torch
import yaml
from originals import CODEC, MELGAN, SMALL, lightning, original_states, save, schedule, solver, write
from published import ROOT, state_dict_of

from diffsound import TextToSound
from diffsound.bundle import read_bundle
from diffsound.cli import main
from diffsound.diffusion import (
    AncestralSampler,
    Denoiser,
    DiscreteDiffusion,
    ImportanceTimesteps,
    LinearSchedule,
    Mask,
    MaskUniform,
    Uniform,
    VariationalBound,
)
from diffsound.mel import MelSettings
from diffsound.original import keys, parts
from diffsound.original.files import read_plain
from diffsound.original.importer import import_original
from diffsound.text_encoder import CLIPTextEncoder, Condition
from diffsound.vocoder import Generator, MelGAN
from diffsound.vqvae import VQVAE, Codebook, Decoder, Encoder, ReconstructionLoss

TEXTS, SEEDS = ["a dog barks", "rain, then a bell"], [3, 4]


def arguments(files, out, *more):
    return ["import-original", *(str(x) for pair in files.items() for x in pair), "--out", str(out), "--heads", "4",
            *more]


def built_by_hand(states, diffusion="ema"):
    """The same system from our classes, without the code of the import but for its names."""
    module, s = states[diffusion], SMALL
    clip = CLIPTextEncoder({"context_length": 77, "vocab_size": s["vocabulary"], "width": s["clip_width"], "heads": 1,
                            "layers": s["clip_layers"], "quick_gelu": True}, attend_padding=True)
    clip.tower.load_state_dict(keys.sort(state_dict_of(module, "condition_emb."), keys.CLIP, keys.CLIP_DROPS)[0])
    denoiser = Denoiser(s["codes"], s["steps"], s["rows"], s["columns"], s["layers"], s["width"], heads=4,
                        condition_width=s["clip_width"], positions="original")
    denoiser.load_state_dict(keys.sort(state_dict_of(module, "transformer."), keys.DENOISER, keys.DENOISER_DROPS)[0])
    decoder = DiscreteDiffusion(clip, denoiser, MaskUniform(s["codes"], LinearSchedule(s["steps"]), original=True),
                                VariationalBound(), ImportanceTimesteps(s["steps"]))
    codec = VQVAE(MelSettings(), Encoder(**CODEC), Decoder(**CODEC), Codebook(s["codes"], s["embed_dim"]),
                  s["embed_dim"], ReconstructionLoss())
    codec.load_state_dict(states["codec"])
    vocoder = MelGAN(MelSettings(), Generator(**MELGAN), mel_weight=1.0, fade_silence=False)
    vocoder.generator.load_state_dict(states["vocoder"])
    decoder.facts = {"codec": codec.fingerprint}
    sampler = AncestralSampler(start="mask", top_r=0.85)
    return TextToSound(decoder.eval(), codec.eval(), vocoder.eval(), sampler, s["columns"])


@pytest.fixture(scope="module")
def states():
    torch.manual_seed(5)
    return original_states()


@pytest.mark.parametrize(("ema", "zipped", "codec_file"), [
    (True, True, True), (False, True, True), (True, False, False)], ids=["average", "last weights", "old format"])
def test_the_bundle_gives_the_clips_of_the_same_weights(states, tmp_path, ema, zipped, codec_file, capsys):
    files = write(tmp_path, states, zipped)
    if not codec_file:
        del files["--vqvae"]
    assert main(arguments(files, tmp_path / "bundle", *([] if ema else ["--no-ema"]))) == 0
    told = capsys.readouterr().out
    assert "ModelCheckpoint" not in told
    imported = TextToSound.from_pretrained(str(tmp_path / "bundle"))
    expected = built_by_hand(states, "ema" if ema else "module")
    for clip, other in zip(imported(TEXTS, SEEDS), expected(TEXTS, SEEDS), strict=True):
        assert torch.equal(clip.tokens, other.tokens)
        torch.testing.assert_close(clip.waveform, other.waveform, atol=1e-5, rtol=1e-4)
    # of the file's last tables: its averages are rounded
    assert imported.decoder.transition.spec == expected.decoder.transition.spec
    assert told.splitlines()[0] in (tmp_path / "bundle" / "README.md").read_text()
    assert {file.name for file in (tmp_path / "bundle").iterdir()} == {"bundle.yaml", "model.safetensors", "README.md"}


def names_in(file):
    """All names of tensors in a file, those of the average as the account writes them."""
    contents = read_plain(file)
    average = {f"ema: {name}" for name in contents.get("ema", ())}
    return set(contents.get("state_dict", contents.get("model", contents))) | average


@pytest.mark.parametrize("codec_file", [True, False])
@pytest.mark.parametrize("ema", [True, False])
def test_every_tensor_is_kept_or_listed_in_the_bundle(states, tmp_path, ema, codec_file):
    states = states | {"codec": states["codec"] | {"loss.logvar": torch.ones(2)}}  # in --diffusion too
    files = write(tmp_path, states)
    codec, module = (set(state) - {"loss.logvar"} for state in (states["codec"], states["module"]))
    if not codec_file:
        del files["--vqvae"]
    trained = {name for name in module if name.startswith(("transformer.", "condition_emb."))
               and not name.endswith(("mask", "text_projection"))}
    expected = {"vocoder": set(states["vocoder"]), "diffusion": {"transformer.Lt_history", "transformer.Lt_count"}}
    expected["diffusion"] |= {f"{'ema: ' if ema else 'transformer.'}{name}" for name in trained}
    if codec_file:
        expected["vqvae"] = codec
    else:
        expected["diffusion"] |= {f"content_codec.{name}" for name in codec}
    assert main(arguments(files, tmp_path / "b", *([] if ema else ["--no-ema"]))) == 0
    left_out = yaml.safe_load((tmp_path / "b" / "bundle.yaml").read_text())["facts"]["left_out"]
    assert left_out.keys() == expected.keys()
    for flag, path in files.items():
        listed = dict(left_out[flag[2:]])
        entries = listed.pop("entries that hold no weights")
        assert (flag == "--vocoder") == (entries == [])
        listed = [name for names in listed.values() for name in names]
        assert len(listed) == len(set(listed))
        assert names_in(path) - set(listed) == expected[flag[2:]]
        assert set(listed) <= names_in(path)
    _, accounts = import_original(files["--diffusion"], files["--vocoder"], files.get("--vqvae"), 4, ema)
    assert [(account.flag, account.kept) for account in accounts] == [
        (flag, len(expected[flag[2:]])) for flag in files]


def test_entries_of_other_versions_are_listed_but_not_read(states, tmp_path, capsys):
    files = write(tmp_path, states)
    loop = []
    loop.append(loop)
    save(lightning(states["codec"]) | {"loops": {"fit_loop": {"epoch": [3]}}}, files["--vqvae"])
    save(solver(states) | {"scaler": {"scale": 65536.0, "growth_tracker": 3}, "loop": loop}, files["--diffusion"])
    assert main(arguments(files, tmp_path / "b")) == 0
    assert re.search(r"entries not read.*loops\n(.*\n)*.*entries not read.*scaler, loop\n", capsys.readouterr().out)


def test_the_model_comes_frozen_in_eval_mode(states, tmp_path):
    files = write(tmp_path, states)
    model, _ = import_original(files["--diffusion"], files["--vocoder"], heads=4)
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad for p in model.parameters())


def test_the_card_names_the_folder_as_it_was_given(states, tmp_path):
    out = tmp_path / "some weights" / "it's new"
    assert main(arguments(write(tmp_path, states), out)) == 0
    card = (out / "README.md").read_text()
    assert f"--text_to_sound.init_args.name {shlex.quote(str(out))} " in card
    assert f"from_pretrained({str(out)!r})" in card


def test_what_training_goes_on_from_is_kept(states, tmp_path):
    assert main(arguments(write(tmp_path, states), tmp_path / "bundle")) == 0
    decoder = read_bundle(tmp_path / "bundle").decoder
    assert torch.equal(decoder.timesteps.history, states["module"]["Lt_history"])
    assert torch.equal(decoder.timesteps.count, states["module"]["Lt_count"])
    assert decoder.loss.auxiliary_trend == "rising"
    arguments_of = yaml.safe_load((tmp_path / "bundle" / "bundle.yaml").read_text())["parts"]["decoder"]["init_args"]
    assert arguments_of["transition"]["init_args"]["original"] is True
    assert arguments_of["denoiser"]["init_args"]["positions"] == "original"


@pytest.mark.parametrize(("masked", "kind"), [(0.9, MaskUniform), (0.1, MaskUniform), (0.99999, MaskUniform),
                                              (0.75, MaskUniform)])
def test_the_transition_is_read_off_the_tables(masked, kind):
    transition = parts.build_transition(schedule(16, 100, masked), 16, 100)
    expected = kind(16, LinearSchedule(100), masked, original=True)
    assert transition.spec == expected.spec


@pytest.mark.parametrize("kind", [Uniform, Mask])
def test_pure_transitions_are_read_off_their_tables(kind):
    schedule_of, t = LinearSchedule(10), torch.arange(1, 11)
    expected, tables = kind(16, schedule_of, original=True), {}
    bar = expected.cumulative(schedule_of)
    for prefix, table in (("log_cumprod_", bar.roll(-1, 1)), ("log_", expected.between(t - 1, t, bar))):
        tables |= {f"{prefix}{letter}t": table[i].log() for i, letter in enumerate("abc")}
        tables[f"{prefix.replace('log_', 'log_1_min_')}ct"] = (1 - table[2]).clamp(min=1e-30).log()
    assert parts.build_transition(tables, 16, 10).spec == expected.spec


@pytest.mark.golden
def test_the_published_codec_from_its_weights(golden):
    tensors, settings = golden("e_vqvae")
    n_mels = 16 * settings["latent_hw"][0]
    weights, _ = keys.sort(state_dict_of(tensors), keys.CODEC, keys.CODEC_DROPS)
    codec = parts.build_codec(weights, MelSettings(n_mels=n_mels))
    mel = (tensors["mel"][:, 0] + 1) / 2
    with torch.no_grad():
        rebuilt, quantized = codec(mel)
        assert torch.equal(codec.encode_mel(mel), tensors["tokens_column_major"])
        torch.testing.assert_close(2 * rebuilt - 1, tensors["reconstruction"][:, 0], atol=1e-4, rtol=0)
        torch.testing.assert_close(quantized.loss, tensors["quant_loss"], atol=1e-4, rtol=0)
        decoded = codec.decode(tensors["tokens_column_major"], settings["latent_hw"][1])
    torch.testing.assert_close(decoded, ((tensors["reconstruction"][:, 0] + 1) / 2).clamp(0, 1), atol=1e-4, rtol=0)
    parts.check_order(tensors["permuter.forward_shuffle_idx"], tensors["permuter.backward_shuffle_idx"],
                      *settings["latent_hw"])


def published_decoder(tensors, settings):
    """Denoiser and transition from the state dict of a fixture."""
    state, c = state_dict_of(tensors), settings["config"]
    weights, _ = keys.sort(state_dict_of(state, "transformer."), keys.DENOISER, keys.DENOISER_DROPS)
    denoiser = parts.fill(Denoiser(**parts.denoiser_sizes(weights), heads=c.get("n_head", 4), positions="original"),
                          weights)
    return denoiser, parts.build_transition(state, denoiser.codebook_size, denoiser.num_timesteps)


@pytest.mark.golden
def test_the_published_denoiser_from_its_weights(golden):
    tensors, settings = golden("d_transformer")
    denoiser, transition = published_decoder(tensors, settings)
    assert (denoiser.rows, denoiser.max_columns) == tuple(settings["config"]["spatial"])
    condition = Condition(tensors["cond"], torch.ones(tensors["cond"].shape[:2], dtype=torch.bool))
    with torch.no_grad():
        logits = denoiser(tensors["tokens"], tensors["t"] + 1, condition)
    torch.testing.assert_close(logits.transpose(1, 2), tensors["logits"], atol=1e-5, rtol=0)
    assert transition.spec == MaskUniform(settings["config"]["K"], LinearSchedule(), original=True).spec


@pytest.mark.golden
def test_a_whole_published_trajectory_from_its_weights(golden):
    tensors, settings = golden("i_sampling")
    denoiser, transition = published_decoder(tensors, settings)
    condition = Condition(tensors["cond"], torch.ones(tensors["cond"].shape[:2], dtype=torch.bool))
    x = torch.full_like(tensors["full.final_tokens"], denoiser.codebook_size)  # all masked
    steps = denoiser.num_timesteps
    for k, (noise, expected) in enumerate(zip(tensors["full.uniform_noise"], tensors["full.tokens_after_each_draw"],
                                              strict=True)):
        t = torch.full((len(x),), steps - k)
        with torch.no_grad():
            p = transition.posterior(denoiser(x, t, condition).softmax(-1), x, t)
        gumbel = -torch.log(-torch.log(noise + 1e-30) + 1e-30)
        x = (p.log() + gumbel.transpose(1, 2)).argmax(-1)
        assert (x != expected).sum() <= 1  # near ties
        x = expected


@pytest.mark.golden
def test_the_published_vocoder_from_its_weights(golden):
    tensors, settings = golden("f_melgan")
    vocoder = parts.build_vocoder(keys.sort(state_dict_of(tensors), keys.MELGAN)[0])
    assert vocoder.generator.spec["init_args"]["ratios"] == settings["config"]["ratios"]
    with torch.no_grad():
        torch.testing.assert_close(vocoder(tensors["mel"]), tensors["wave"].squeeze(1), rtol=0, atol=1e-4)


@pytest.mark.golden
def test_the_published_text_tower_from_its_weights(golden):
    tensors, settings = golden("m_text")
    encoder = parts.build_text_encoder(keys.sort(state_dict_of(tensors), keys.CLIP, keys.CLIP_DROPS)[0])
    assert encoder.spec["init_args"]["model"]["heads"] == settings["clip_config"]["heads"]
    ids = tensors["clip_ids"]
    with torch.no_grad():
        features = encoder.embed(ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(features, tensors["clip_features"], rtol=0, atol=1e-5)


def test_the_corrected_process_is_one_word_away(states, tmp_path):
    assert main(arguments(write(tmp_path, states), tmp_path / "bundle")) == 0
    file = tmp_path / "bundle" / "bundle.yaml"
    lines = file.read_text().replace("original: true", "original: false").splitlines(keepends=True)
    lines.remove(next(line for line in lines if "fingerprint" in line))  # the decoder's, which comes first
    file.write_text("".join(lines))
    model = TextToSound.from_pretrained(str(tmp_path / "bundle"))
    assert not model.decoder.transition.original
    assert model(TEXTS[:1], SEEDS[:1])[0].waveform.isfinite().all()


def test_the_recipe_makes_clips_from_it(states, tmp_path):
    assert main(arguments(write(tmp_path, states), tmp_path / "bundle")) == 0
    (tmp_path / "prompts.txt").write_text("a dog barks\n")
    assert main(["predict", "--config", str(ROOT / "recipes/original.yaml"), "--config",
                 str(ROOT / "configs/stage/predict.yaml"), "--text_to_sound.init_args.name", str(tmp_path / "bundle"),
                 "--text_to_sound.init_args.columns", "4", "--prompts.init_args.file", str(tmp_path / "prompts.txt"),
                 "--runs", str(tmp_path / "runs"), "--trainer.accelerator", "cpu"]) == 0
    clips = tmp_path / "runs" / "original" / "clips"
    assert {file.suffix for file in clips.iterdir()} == {".wav", ".png", ".json"}
