"""Bundles of strangers: whatever is in the folder, it is read or refused in one line, and nothing is allocated or run
that a bundle of its size would not need."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_system import tiny_system

from diffsound import pretrained
from diffsound.bundle import read_bundle, write_bundle
from diffsound.mel import MelSettings
from diffsound.text_to_sound import TextToSound


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "bundle"
    write_bundle(tiny_system(MelSettings()), folder, "# card\n\nNoise.\n")
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "bundle")


def refused(folder, message):
    """Told in one line of bearable length, and at once."""
    start = time.process_time()
    with pytest.raises(ValueError, match=message) as error:
        read_bundle(folder)
    assert time.process_time() - start < 10
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", ["bundle.yaml", "model.safetensors"])
def test_a_link_out_of_the_folder(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    for target in ("../elsewhere", tmp_path / "elsewhere"):
        (folder / name).symlink_to(target)
        refused(folder, f"{name} is a link to {tmp_path / 'elsewhere'}, expected a file in that folder")
        (folder / name).unlink()
    (tmp_path / "elsewhere").rename(folder / "inside")
    (folder / name).symlink_to("inside")
    read_bundle(folder)


def test_a_card_that_is_a_link_shows_no_other_file(folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("../secret")
    for reader in (pretrained.card, pretrained.described):
        with pytest.raises(ValueError, match="README.md is a link to .*secret, expected a file in that folder"):
            reader(folder)
    (folder / "README.md").unlink()
    (folder / "README.md").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="README.md is not UTF-8"):
        pretrained.card(folder)


@pytest.fixture
def snapshot(folder, tmp_path):
    """The cache of the hub, whose files are links to blobs beside the snapshots; it is itself behind a link."""
    place = tmp_path / "disk" / "models--owner--name"
    (place / "blobs").mkdir(parents=True)
    (place / "snapshots" / ("c" * 40)).mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(place / "blobs" / f"{number:040x}")
        (place / "snapshots" / ("c" * 40) / file.name).symlink_to(f"../../blobs/{number:040x}")
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    return tmp_path / "cache" / "models--owner--name" / "snapshots" / ("c" * 40)


def test_links_of_the_hubs_cache_are_its_own(snapshot):
    assert TextToSound.from_pretrained(str(snapshot)).columns == 4
    assert pretrained.described(snapshot) == "Noise."


def test_a_link_out_of_the_hubs_cache(snapshot, tmp_path):
    shutil.copy(snapshot / "bundle.yaml", tmp_path / "elsewhere")
    (snapshot / "bundle.yaml").unlink()
    (snapshot / "bundle.yaml").symlink_to(tmp_path / "elsewhere")
    refused(snapshot, "bundle.yaml is a link to .*elsewhere")
    (snapshot / "bundle.yaml").unlink()
    (snapshot / "bundle.yaml").symlink_to(f"../../blobs/{1:040x}")
    read_bundle(snapshot)
    blobs = tmp_path / "disk" / "models--owner--name" / "blobs"  # a link in the place of all blobs
    blobs.rename(tmp_path / "moved")
    blobs.symlink_to(tmp_path / "moved")
    refused(snapshot, "is a link to .*moved")


def with_header(folder, edit):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    edit(header)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + size:])


def first_two(header):
    names = sorted((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    return [header[name] for name in names[:2]]


@pytest.mark.parametrize("edit", [
    lambda header: first_two(header)[1].update(data_offsets=first_two(header)[0]["data_offsets"]),  # one over the other
    lambda header: first_two(header)[1]["data_offsets"].__setitem__(0, first_two(header)[1]["data_offsets"][0] + 4),
    lambda header: first_two(header)[0]["data_offsets"].__setitem__(1, 2**62),
    lambda header: first_two(header)[0]["data_offsets"].__setitem__(0, -4),
    lambda header: first_two(header)[0].update(shape=[2**40, 2**40]),
    lambda header: first_two(header)[0].update(shape=[10**30]),
    lambda header: first_two(header)[0].update(dtype="Q64"),
    lambda header: header.update(a=header),
    lambda header: header.clear(),
], ids=["overlap", "hole", "beyond the file", "below 0", "shape overflows", "shape of no integer", "dtype", "recursion",
        "empty"])
def test_a_header_that_is_wrong(folder, edit):
    def changed(header):
        try:
            edit(header)
            json.dumps(header)
        except ValueError:  # what JSON cannot write
            header.pop("a")
            header["a"] = {"dtype": "F32"}

    with_header(folder, changed)
    refused(folder, "does not fit together")


@pytest.mark.parametrize("length", [0, 1, 2**22 + 1, 10**8, 2**63, 2**64 - 1])
def test_a_header_of_absurd_length(folder, length):
    path = folder / "model.safetensors"
    with path.open("r+b") as file:
        file.write(length.to_bytes(8, "little"))
    if 1 < length < 2**40:
        os.truncate(path, length + 100)  # it is there, in a file with a hole
    refused(folder, "does not fit together")


@pytest.mark.parametrize("data", [b"", b"\x02", b"PK\x03\x04", b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00truetR."])
def test_weights_that_are_no_safetensors(folder, data):
    (folder / "model.safetensors").write_bytes(data)
    refused(folder, "no .safetensors file")


def test_a_description_that_is_too_long(folder):
    path = folder / "bundle.yaml"
    text = path.read_text()
    os.truncate(path, 2**31)
    refused(folder, "bundle.yaml has 2147483648 bytes, expected at most 1048576")
    path.write_text(text + "x: " + "1:" * 20_000 + "1\n")  # of base 60
    refused(folder, "a value of 40001 characters, expected at most 10000")
    path.write_text(text.replace("facts: {}", "facts: {x: [" + "1," * 30_000 + "]}", 1))
    refused(folder, "it has more than 20000 values")
    path.write_text("[" * 100_000)
    refused(folder, "is not plain YAML")
    path.write_bytes(b"\xff\xfe")
    refused(folder, "is not UTF-8")


def with_weights(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors")


HEAD, WORDS = "decoder.denoiser.head.bias", "decoder.text_encoder.vocabulary_checksum"


@pytest.mark.parametrize(("name", "kind"), [
    (HEAD, torch.float64), (HEAD, torch.int32), (HEAD, torch.uint8), (HEAD, torch.bool), (WORDS, torch.float32),
    (WORDS, torch.int32)])
def test_numbers_of_another_kind(folder, name, kind):
    with_weights(folder, lambda weights: weights.update({name: weights[name].to(kind)}))
    refused(folder, f"the weight {name.partition('.')[2]} is {str(kind)[6:]}, expected (float32|int64)")


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers(folder, kind, value):
    def edit(weights):
        weights[HEAD] = weights[HEAD].to(kind)
        weights[HEAD][3] = value

    with_weights(folder, edit)
    refused(folder, "the weight denoiser.head.bias is not finite")


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    model = tiny_system(MelSettings())
    with torch.no_grad():
        model.decoder.denoiser.head.bias[0] = torch.nan
    with pytest.raises(ValueError, match="decoder.denoiser.head.bias is not finite"):
        write_bundle(model, tmp_path / "b", "")
    assert list(tmp_path.iterdir()) == []


HUGE = [10**7, 2**24, 10**30]  # the last is beyond what any number may be
SIZES = [("decoder", "denoiser", name) for name in ("width", "layers", "feed_forward", "num_timesteps", "codebook_size",
                                                    "rows", "max_columns", "condition_width")]
SIZES += [("decoder", "text_encoder", name) for name in ("width", "layers", "max_tokens")]
SIZES += [("codec", "encoder", name) for name in ("channels", "res_blocks", "z_channels")]
SIZES += [("vocoder", "mel", name) for name in ("n_fft", "n_mels")]


@pytest.mark.parametrize(("part", "inner", "name"), SIZES, ids=[".".join(size) for size in SIZES])
def test_sizes_that_would_fill_the_memory(folder, part, inner, name):
    """10^9 layers too, each of which is small."""
    description = yaml.safe_load((folder / "bundle.yaml").read_text())
    for value in HUGE:
        place = description["parts"][part]["init_args"][inner]
        place = place.get("init_args", place)
        place[name] = value
        (folder / "bundle.yaml").write_text(yaml.safe_dump(description))
        refused(folder, "does not fit together")


@pytest.mark.parametrize(("part", "arguments"), [
    ("vocoder", {"iterations": 10**9}), ("vocoder", {"momentum": float("nan")}), ("sampler", {"num_steps": 10**9}),
    ("sampler", {"top_k": 10**40})])
def test_numbers_that_would_take_for_ever(folder, part, arguments):
    description = yaml.safe_load((folder / "bundle.yaml").read_text())
    (description["parts"] | description)[part]["init_args"].update(arguments)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))
    refused(folder, "does not fit together")


def test_a_size_is_refused_before_anything_is_allocated(folder, monkeypatch):
    """The same numbers, with as much memory as they ask for, would fit: so it is the count that refuses them."""
    description = yaml.safe_load((folder / "bundle.yaml").read_text())
    description["parts"]["decoder"]["init_args"]["denoiser"]["init_args"]["width"] = 2**13
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))
    refused(folder, r"it would take more than 13\d MB, .* a size in it is wrong")
