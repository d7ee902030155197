"""A bundle: a system as plain data, and what is said of one that is damaged."""

import copy
import shutil

import pytest
import torch
import yaml
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from tiny_system import tiny_system

from diffsound import pretrained
from diffsound.bundle import read_bundle, write_bundle
from diffsound.cli import main
from diffsound.diffusion import StridedSampler
from diffsound.mel import MelSettings
from diffsound.text_encoder import BERTTextEncoder, CLIPTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import Generator, MelGAN

MEL = MelSettings()


SIZES = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1}


def clip(**arguments):
    encoder = CLIPTextEncoder(SIZES, **arguments)
    encoder.load_state_dict({name: torch.randn_like(value) for name, value in encoder.state_dict().items()})
    return encoder


def build(trainable=True, vocoder=None, encoder=None):
    model = tiny_system(MEL, encoder or (None if trainable else clip()), vocoder)
    model.decoder.facts |= {"steps": 3}
    return model


@pytest.fixture
def folder(tmp_path):
    write_bundle(build(), tmp_path / "a" / "bundle", "# card\n", {"origin": "a test"})
    return tmp_path / "a" / "bundle"


@pytest.mark.parametrize("trainable", [True, False], ids=["trained encoder", "frozen encoder"])
@pytest.mark.parametrize("vocoder", ["griffin-lim", "melgan"])
def test_a_system_comes_back_from_its_folder_alone(tmp_path, trainable, vocoder):
    network = None if vocoder == "griffin-lim" else MelGAN(MEL, Generator(channels=2, residual_layers=1), mel_weight=1)
    model = build(trainable, network)
    write_bundle(model, tmp_path / "b", "# card\n", {"origin": "a test"})
    again = TextToSound.from_pretrained(str(tmp_path / "b"))
    for clip, other in zip(model(["rain"], [3]), again(["rain"], [3]), strict=True):
        assert torch.equal(clip.tokens, other.tokens)
        torch.testing.assert_close(clip.waveform, other.waveform, atol=1e-5, rtol=1e-4)
    assert (again.sampler.spec, again.columns) == (model.sampler.spec, 4)
    assert again.fingerprints == model.fingerprints
    bundle = read_bundle(tmp_path / "b")
    assert bundle.decoder.facts == model.decoder.facts
    assert bundle.facts == {"origin": "a test"}
    assert not any(p.requires_grad for part in bundle[:3] for p in part.parameters())


def test_half_the_size_and_signed_as_what_is_read_back(tmp_path):
    """The weights are the nearest float16, computed with as float32, and the fingerprints are of these."""
    model = build(False, MelGAN(MEL, Generator(channels=2, residual_layers=1), mel_weight=1))
    for name, half in (("whole", False), ("half", True)):
        write_bundle(model, tmp_path / name, "# card\n", {"origin": "a test"}, half=half)
    whole, half = (tmp_path / name / "model.safetensors" for name in ("whole", "half"))
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    again = TextToSound.from_pretrained(str(tmp_path / "half"))
    assert again.decoder.facts == model.decoder.facts | {"codec": again.codec.fingerprint}
    assert again.fingerprints.keys() == model.fingerprints.keys()
    assert all(again.fingerprints[name] != model.fingerprints[name] for name in ("decoder", "codec", "vocoder"))
    for name, value in model.codec.state_dict().items():
        read = again.codec.state_dict()[name]
        assert read.dtype == value.dtype
        torch.testing.assert_close(read, value.half().float() if value.is_floating_point() else value, atol=0, rtol=0)
    assert read_bundle(tmp_path / "half").facts == {"origin": "a test", "half": True}
    assert torch.equal(again("rain").tokens, TextToSound.from_pretrained(str(tmp_path / "half"))("rain").tokens)
    weights = load_file(half)
    name = next(name for name in weights if name.startswith("decoder.denoiser.") and weights[name].dim() == 2)
    weights[name][0] += 0.01
    save_file(weights, half)
    with pytest.raises(ValueError, match="the decoder in the bundle .* is not the one that was written"):
        TextToSound.from_pretrained(str(tmp_path / "half"))


def test_weights_that_float16_cannot_hold(tmp_path):
    model = build()
    with torch.no_grad():
        model.decoder.denoiser.head.bias[0] = 1e5
    with pytest.raises(ValueError, match=r"decoder.denoiser.head.bias has numbers of up to 1e\+05.* without half"):
        write_bundle(model, tmp_path / "b", "", half=True)
    assert list(tmp_path.iterdir()) == []


def test_weights_can_be_read_by_whom_the_rest_can(folder):
    modes = {file.name: file.stat().st_mode for file in folder.iterdir()}
    assert len(set(modes.values())) == 1, modes


@pytest.fixture
def hub(folder, monkeypatch, tmp_path):
    """The cache of a machine that has seen owner/name once and is offline now; its commit."""
    commit, cache = "c" * 40, tmp_path / "cache"
    place = cache / "models--owner--name"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return commit


def test_what_was_downloaded_works_offline(hub):
    model = TextToSound.from_pretrained("owner/name")
    assert model("rain").sidecar["bundle"] == {"name": "owner/name", "revision": hub}
    assert TextToSound.from_pretrained("owner/name", revision=hub).fingerprints == model.fingerprints
    for name, revision, told in [("owner/other", None, "owner/other"),
                                 ("owner/name", "v2", "owner/name at revision v2")]:
        with pytest.raises(ValueError, match=f"^{told} is neither a folder nor in the cache of this machine, and the "
                                             "hub cannot be reached: connect once, or copy its folder here"):
            TextToSound.from_pretrained(name, revision)


def test_of_the_hub_only_the_bundles_files_are_asked_for(folder, monkeypatch):
    asked = []

    def download(name, **options):
        asked.append((name, options))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    TextToSound.from_pretrained("owner/name", revision="v1.0")
    files = ["bundle.yaml", "model.safetensors", "README.md", "ATTRIBUTION.md"]
    assert asked == [("owner/name", {"revision": "v1.0", "allow_patterns": files})]


@pytest.mark.parametrize(("error", "message"), [
    (errors.RepositoryNotFoundError, "cannot be had from the hub .*check the name"),
    (errors.GatedRepoError, "agree on its page"), (errors.RevisionNotFoundError, "has no revision 'v9' on the hub"),
    (OSError, "cannot be had from the hub"), (RuntimeError, "cannot be had from the hub"),
])
def test_what_the_hub_answers_is_one_line(monkeypatch, error, message):
    class Answer(error):
        def __init__(self):
            Exception.__init__(self, "404: not found\n\nmore of it")

    def download(*args, **options):
        raise Answer

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(ValueError, match=message) as refused:
        TextToSound.from_pretrained("owner/name", revision="v9")
    assert "\n" not in str(refused.value)


def test_a_name_is_first_one_of_the_package(folder, monkeypatch):
    monkeypatch.setattr(pretrained, "BUNDLES", folder.parent)
    monkeypatch.chdir(folder)
    model = TextToSound.from_pretrained("bundle")
    assert model("rain").sidecar["bundle"] == {"name": "bundle", "revision": None}
    assert list(pretrained.shipped()) == ["bundle"]
    assert TextToSound.from_pretrained(".").bundle["name"] == "bundle"
    with pytest.raises(ValueError, match=r"no bundle 'tiny': expected one of the package \(bundle\), the folder"):
        TextToSound.from_pretrained("tiny")
    with pytest.raises(ValueError, match="no bundle ''"):
        TextToSound.from_pretrained("")
    with pytest.raises(ValueError, match="revision is 'v1', but .* is a folder"):
        TextToSound.from_pretrained("bundle", "v1")
    with pytest.raises(ValueError, match="'a/-b' is neither a folder nor a hub id"):
        TextToSound.from_pretrained("a/-b")


def test_precision_and_device_are_checked(folder):
    model = TextToSound.from_pretrained(str(folder), precision="int8")
    assert model("rain").sidecar["precision"] == "int8"
    assert model.sampler.num_steps == 3
    with pytest.raises(ValueError, match="precision is 'float8': sampler precision is 'float8', expected float32"):
        TextToSound.from_pretrained(str(folder), precision="float8")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ValueError, match=f"device is '{device}', which this machine or this torch does not have"):
            TextToSound.from_pretrained(str(folder), device=device)


@pytest.mark.parametrize(("front", "expected"), [
    ("# Tiny\n\nWhat it makes.\nMore.", "What it makes."), ("---\nlicense: mit\n---\n# A\n\n  Sounds. \n", "Sounds."),
    ("# Only\n", ""), ("", "")])
def test_a_card_is_told_by_its_first_line(tmp_path, front, expected):
    (tmp_path / "README.md").write_text(front)
    assert pretrained.described(tmp_path) == expected


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe whose text_to_sound names checkpoints of random weights, with a MelGAN."""
    folder = tmp_path_factory.mktemp("recipe")
    model = build(vocoder=MelGAN(MEL, Generator(channels=2, residual_layers=1), mel_weight=1))
    for name in ("decoder", "codec", "vocoder"):
        part = getattr(model, name)
        torch.save({"spec": part.spec, "facts": part.facts, "state_dict": part.state_dict()}, folder / f"{name}.ckpt")
    paths = {name: "${runs}/" + f"{name}.ckpt" for name in ("decoder", "codec", "vocoder")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "small", "runs": "nowhere", "text_to_sound": {
        "class_path": "diffsound.TextToSound.from_checkpoints",
        "init_args": {**paths, "sampler": StridedSampler(2).spec, "columns": 3}}}))
    (folder / "card.md").write_text("# Small\n\nNoise.\n")
    return folder


@pytest.mark.parametrize("half", [False, True])
def test_the_command_packs_a_recipe(recipe, tmp_path, half, capsys):
    arguments = ["bundle", "--recipe", str(recipe / "recipe.yaml"), "--runs", str(recipe), "--out", str(tmp_path / "b"),
                 "--card", str(recipe / "card.md"),
                 *(["--half", "--attribution", str(recipe / "who.md")] if half else [])]
    (recipe / "who.md").write_text("- a dog, by somebody")
    assert main(arguments) == 0
    assert (tmp_path / "b" / "ATTRIBUTION.md").is_file() == half
    assert f"wrote {tmp_path / 'b'}, " in capsys.readouterr().out
    model = TextToSound.from_pretrained(str(tmp_path / "b"))
    assert (model.sampler.num_steps, model.columns) == (2, 3)
    assert (tmp_path / "b" / "README.md").read_text() == "# Small\n\nNoise.\n"
    assert read_bundle(tmp_path / "b").facts["recipe"] == "small"
    trained = TextToSound.from_checkpoints(*(str(recipe / f"{name}.ckpt") for name in ("decoder", "codec", "vocoder")),
                                           StridedSampler(2), 3)
    assert (model.fingerprints == trained.fingerprints) != half
    if not half:
        assert torch.equal(model("rain").waveform, trained("rain").waveform)
    assert main(arguments) == 1
    assert "exists: choose another folder" in capsys.readouterr().err


def test_what_the_command_cannot_pack(recipe, tmp_path, capsys):
    def refused(**changes):
        given = {"recipe": recipe / "recipe.yaml", "runs": recipe, "card": recipe / "card.md", "out": tmp_path / "b",
                 **changes}
        status = main(["bundle", *(str(word) for key, value in given.items() for word in (f"--{key}", value))])
        assert list(tmp_path.glob("b*")) == []
        return status, capsys.readouterr().err

    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "other.yaml").write_text("text_to_sound: {class_path: diffsound.TextToSound.from_pretrained}")
    for changes, message in [({"card": tmp_path / "no.md"}, "no.md is not there: write what"),
                             ({"card": tmp_path / "empty.md"}, "empty.md is empty"),
                             ({"recipe": tmp_path / "no.yaml"}, "there is no recipe"),
                             ({"recipe": tmp_path / "other.yaml"}, "expected diffsound.TextToSound.from_checkpoints"),
                             ({"runs": tmp_path}, "no checkpoint at")]:
        status, told = refused(**changes)
        assert (status, message in told) == (1, True), told


def test_sampler_and_length_can_be_others(folder):
    model = TextToSound.from_pretrained(str(folder), sampler=StridedSampler(2), columns=2)
    assert (model.sampler.num_steps, model.columns) == (2, 2)
    assert model(["rain"], [0])[0].tokens.shape == (10,)
    with pytest.raises(ValueError, match="columns is 5, this decoder makes 1 to 4"):
        TextToSound.from_pretrained(str(folder), columns=5)


def test_nothing_is_overwritten_and_nothing_half_is_left(folder, monkeypatch):
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_bundle(build(), folder, "")

    def disk_full(*args):
        raise OSError("no space left")

    monkeypatch.setattr("diffsound.bundle.save_file", disk_full)
    with pytest.raises(OSError, match="no space left"):
        write_bundle(build(), folder.with_name("c"), "")
    with pytest.raises(OSError, match="no space left"):
        write_bundle(build(), folder.parent / "new" / "newer" / "c", "")
    assert [file.name for file in folder.parent.iterdir()] == ["bundle"]


def test_a_frozen_text_encoder_has_a_fingerprint_too(tmp_path):
    model = build(trainable=False)
    assert model(["rain"], [3])[0].sidecar["parts"].keys() == {"decoder", "codec", "vocoder", "text_encoder"}
    write_bundle(model, tmp_path / "b", "")
    weights = load_file(tmp_path / "b" / "model.safetensors")
    weights["text_encoder.tower.ln_final.bias"][3] += 1e-3
    save_file(weights, tmp_path / "b" / "model.safetensors")
    with pytest.raises(ValueError, match="the text_encoder in the bundle .* is not the one that was written"):
        TextToSound.from_pretrained(str(tmp_path / "b"))


@pytest.mark.parametrize("trainable", [True, False])
def test_clip_from_a_file_becomes_part_of_the_bundle(tmp_path, trainable):
    save_file({name.removeprefix("tower."): value.contiguous() for name, value in clip().state_dict().items()},
              tmp_path / "clip.safetensors")
    model = build(encoder=CLIPTextEncoder(SIZES, str(tmp_path / "clip.safetensors"), trainable=trainable))
    write_bundle(model, tmp_path / "b", "")
    (tmp_path / "clip.safetensors").unlink()
    assert str(tmp_path) not in (tmp_path / "b" / "bundle.yaml").read_text()
    again = TextToSound.from_pretrained(str(tmp_path / "b"))
    assert torch.equal(again(["rain"], [3])[0].tokens, model(["rain"], [3])[0].tokens)
    write_bundle(again, tmp_path / "c", "")  # which changes nothing any more
    assert (tmp_path / "c" / "bundle.yaml").read_text() == (tmp_path / "b" / "bundle.yaml").read_text()


def test_bert_is_not_written(tmp_path):
    model = build()
    bert = BERTTextEncoder.__new__(BERTTextEncoder, "somewhere")
    torch.nn.Module.__init__(bert)
    model.decoder.text_encoder = bert
    with pytest.raises(ValueError, match="cannot hold BERTTextEncoder"):
        write_bundle(model, tmp_path / "b", "")


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("CLIPTextEncoder", {"model": "ViT-B-32-quickgelu", "pretrained": "hf-hub:some/name"}, "weights from elsewhere"),
    ("CLIPTextEncoder", {"model": SIZES, "path": "/etc/passwd"}, "weights from elsewhere"),
    ("CLIPTextEncoder", {}, "weights from elsewhere"),
    ("BERTTextEncoder", {"path": "some/name"}, "it needs BERTTextEncoder"),
])
def test_a_bundle_reads_nothing_but_itself(folder, monkeypatch, name, arguments, message):
    monkeypatch.setattr(f"diffsound.text_encoder.{name}.__init__", lambda *args, **kwargs: pytest.fail("was built"))
    encoder = {"class_path": f"diffsound.text_encoder.{name}", "init_args": arguments}
    for part in ("decoder", "codec"):
        edited(folder, lambda d, part=part: d["parts"][part]["init_args"].update(text_encoder=encoder))
        with pytest.raises(ValueError, match=f"the bundle {folder} .*{message}"):
            read_bundle(folder)


def test_a_folded_vocoder_is_not_written(tmp_path):
    model = build(vocoder=MelGAN(MEL, Generator(channels=2, residual_layers=1), mel_weight=1))
    model.vocoder.generator.fold_weight_norm()
    with pytest.raises(ValueError, match="normalisation is folded"):
        write_bundle(model, tmp_path / "b", "")


def edited(folder, edit):
    description = yaml.safe_load((folder / "bundle.yaml").read_text())
    edit(description)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description, sort_keys=False))


@pytest.mark.parametrize(("edit", "message"), [
    (lambda d: d.update(format=2), "format 2, this version reads format 1"),
    (lambda d: d.pop("parts"), "expected the keys"),
    (lambda d: d["parts"].pop("codec"), "expected the keys decoder, codec, vocoder, found decoder, vocoder"),
    (lambda d: d["parts"].update(judge={}), "expected the keys decoder, codec, vocoder, found .*judge"),
    (lambda d: d["parts"].update(text_encoder={"fingerprint": "0"}), "the text_encoder in the bundle .*missing"),
    (lambda d: d["parts"].update(text_encoder=3), "parts.text_encoder does not fit"),
    (lambda d: d["parts"].update(codec=copy.deepcopy(d["parts"]["vocoder"])), "its codec is a GriffinLim"),
    (lambda d: d["parts"]["vocoder"].update(copy.deepcopy(d["sampler"])), "its vocoder is a StridedSampler"),
    (lambda d: d.update(sampler=None), "expected sampler of type dict, found 'None'"),
    (lambda d: d.update(sampler={}), "sampler does not fit"),
    (lambda d: d["sampler"].update(init_args=None), "expected init_args of type dict"),
    (lambda d: d["sampler"].update(class_path="diffsound.diffusion.Mask"), "does not fit together"),
    (lambda d: d.update(columns="53"), "expected columns of type int, found '53'"),
    (lambda d: d.update(columns=0), "columns is 0, this decoder makes 1 to 4"),
    (lambda d: d["parts"]["decoder"]["facts"].pop("codec"), "trained on tokens of codec None"),
    (lambda d: d.update(facts=None), "expected facts of type dict"),
    (lambda d: d["parts"]["codec"].update(facts=None), "parts.codec .* expected facts of type dict"),
    (lambda d: d["parts"]["codec"].update(init_args=None), "parts.codec .* expected init_args of type dict"),
    (lambda d: d["parts"]["codec"].update(fingerprint=3), "parts.codec .* expected fingerprint of type str"),
    (lambda d: d["parts"]["codec"]["init_args"].update(mel=None), "does not fit together"),
    (lambda d: d["parts"]["codec"]["init_args"]["encoder"].update(init_args=None), "does not fit together"),
    (lambda d: d["parts"]["codec"]["init_args"]["encoder"]["init_args"].update(channels="8"), "does not fit together"),
    (lambda d: d["parts"]["codec"]["init_args"].update(mel={"n_mels": 3}), "does not fit together"),
    (lambda d: d["parts"]["codec"].update(class_path="os.system"), r"needs the class os\.system"),
    (lambda d: d["parts"]["decoder"]["init_args"]["denoiser"]["init_args"].update(width=64), "does not fit together"),
    (lambda d: d["parts"]["decoder"]["init_args"]["transition"]["init_args"].update(codebook_size=32),
     "codebook_size 16, the transition 32"),
    (lambda d: d["parts"]["decoder"].update(fingerprint="0"), "the decoder in the bundle .* damaged or mixed"),
])
def test_a_description_that_does_not_fit(folder, edit, message):
    edited(folder, edit)
    with pytest.raises(ValueError, match=message) as refused:
        TextToSound.from_pretrained(str(folder))
    assert str(folder) in str(refused.value)


def test_what_is_used_twice_is_written_twice_and_no_alias_is_read(folder):
    twice = {"a": [1]}
    write_bundle(build(), folder.with_name("b"), "", {"first": twice, "second": twice})
    assert read_bundle(folder.with_name("b")).facts["second"] == twice
    text = (folder / "bundle.yaml").read_text()
    (folder / "bundle.yaml").write_text(text.replace("origin: a test", "origin: &a [1, 2]\n  again: [*a, *a]"))
    with pytest.raises(ValueError, match=r"bundle.yaml .*the alias \*a"):
        read_bundle(folder)


def test_damaged_files(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "decoder.extra": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit together"):
        read_bundle(folder)
    save_file({**weights, "other.extra": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="1 weights of no part, other.extra among them"):
        read_bundle(folder)
    changed = copy.deepcopy(weights)
    changed["decoder.denoiser.head.bias"] += 1
    save_file(changed, folder / "model.safetensors")
    with pytest.raises(ValueError, match="the decoder in the bundle .* is not the one that was written"):
        TextToSound.from_pretrained(str(folder))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="does not fit together"):
        read_bundle(folder)
    (folder / "bundle.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ValueError, match="is not plain YAML"):
        read_bundle(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no model.safetensors"):
        read_bundle(folder)
