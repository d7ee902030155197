"""Checkpoints and weights of strangers: nothing in them is run, and nothing is made of what cannot be theirs."""

from __future__ import annotations

import json
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from tiny_system import tiny_codec, tiny_decoder

from diffsound.checkpoint import load_module, read_checkpoint
from diffsound.data.token_store import TokenStore
from diffsound.evaluation.extractors.panns import PANNsExtractor
from diffsound.evaluation.extractors.state import read_state
from diffsound.mel import MelSettings
from diffsound.original.files import read_plain
from diffsound.original.importer import import_original
from diffsound.plain_weights import plain_state, read_safetensors, read_torch
from diffsound.text_encoder import CLIPTextEncoder


@pytest.fixture(scope="module")
def good():
    decoder = tiny_decoder(tiny_codec(MelSettings()))
    return {"spec": decoder.spec, "facts": {"codec": "0", "steps": 3}, "state_dict": decoder.state_dict()}


HEAD = "denoiser.head.bias"


def edited(good, **changes):
    """A copy with other weights, by name, or other entries."""
    copy = {**good, "spec": json.loads(json.dumps(good["spec"])), "state_dict": dict(good["state_dict"])}
    for name, value in changes.items():
        copy["state_dict" if name == HEAD else name] = value
    return copy


def with_head(good, value):
    return edited(good) | {"state_dict": good["state_dict"] | {HEAD: value}}


def with_sizes(good, **sizes):
    checkpoint = edited(good)
    checkpoint["spec"]["init_args"]["denoiser"]["init_args"].update(sizes)
    return checkpoint


def with_words(good, **sizes):
    checkpoint = edited(good)
    checkpoint["spec"]["init_args"]["text_encoder"]["init_args"].update(sizes)
    return checkpoint


def laughs():
    """A tree of 2^40 leaves in a few bytes: a pickle can name one list many times."""
    tree = ["ha"]
    for _ in range(40):
        tree = [tree, tree]
    return tree


def loop():
    itself = {}
    itself["itself"] = itself
    return itself


def test_the_good_one_is_read(good, tmp_path):
    torch.save(good, tmp_path / "a.ckpt")
    assert load_module(tmp_path / "a.ckpt").facts["steps"] == 3
    torch.save(with_head(good, good["state_dict"][HEAD].half()), tmp_path / "half.ckpt")
    assert load_module(tmp_path / "half.ckpt").state_dict()[HEAD].dtype == torch.float32


@pytest.mark.parametrize(("edit", "message"), [
    (lambda c: with_head(c, c["state_dict"][HEAD].double()), f"{HEAD} is float64, expected float32"),
    (lambda c: with_head(c, c["state_dict"][HEAD].int()), f"{HEAD} is int32, expected float32"),
    (lambda c: with_head(c, c["state_dict"][HEAD] * torch.nan), f"{HEAD} is not finite"),
    (lambda c: with_head(c, c["state_dict"][HEAD] / 0), f"{HEAD} is not finite"),
    (lambda c: with_head(c, c["state_dict"][HEAD] + 1j), "no tensor of plain numbers"),
    (lambda c: with_head(c, torch.eye(3).to_sparse()), "no tensor of plain numbers"),
    (lambda c: with_head(c, torch.ones(1).expand(10**12)), "of which the file holds only 4 bytes"),
    (lambda c: with_head(c, "text"), f"{HEAD} is no tensor but str"),
    (lambda c: with_head(c, torch.ones(3)), "size mismatch"),
    (lambda c: edited(c, state_dict={}), "it would take more than|Missing key"),
    (lambda c: edited(c, state_dict=[1]), "the weights are no dict"),
    (lambda c: edited(c, state_dict={3: torch.ones(1)}), "3 is no tensor"),
    (lambda c: edited(c, spec=laughs()), "spec has more than 100000 values"),
    (lambda c: edited(c, spec={"class_path": laughs()}), "spec has more than 100000 values"),
    (lambda c: edited(c, spec=loop()), "spec has more than 100000 values"),
    (lambda c: edited(c, facts=laughs()), "facts has more than 100000 values"),
    (lambda c: edited(c, facts={"a": torch.ones(1)}), "facts holds Tensor, expected plain data"),
    (lambda c: edited(c, facts={1: 2}), "facts has the key '1', expected text"),
    (lambda c: edited(c, facts=3), "facts is no mapping"),
    (lambda c: edited(c, spec=[]), "spec is no mapping"),
    (lambda c: edited(c, spec={}), "without class_path and init_args"),
    (lambda c: edited(c, spec={"class_path": "os.system", "init_args": {"command": "true"}}), "needs the class os.sys"),
    (lambda c: edited(c, spec=c["spec"] | {"init_args": 3}), "without class_path and init_args"),
    (lambda c: edited(c, spec={"class_path": "diffsound.diffusion.LinearSchedule", "init_args": {}}), "expected a Mod"),
    (lambda c: with_sizes(c, width=10**9), "more than|overflow"),
    (lambda c: with_sizes(c, layers=10**9), "it would take more than"),
    (lambda c: with_words(c, layers=10**9), "it would take more than"),
    (lambda c: with_sizes(c, num_timesteps=10**9), "it would take more than"),
    (lambda c: with_sizes(c, width=2**13), "it would take more than"),
    (lambda c: with_sizes(c, width="8"), ".*"),
])
def test_what_is_no_checkpoint(good, tmp_path, edit, message):
    torch.save(edit(good), tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=message) as refused:
        load_module(tmp_path / "a.ckpt")
    assert str(tmp_path / "a.ckpt") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_weights_that_are_no_numbers_do_not_go_on_training(good):
    decoder = tiny_decoder(tiny_codec(MelSettings()))
    decoder.on_load_checkpoint(edited(good))
    with pytest.raises(ValueError, match=f"the weight {HEAD} is not finite"):
        decoder.on_load_checkpoint(with_head(good, good["state_dict"][HEAD] * torch.nan))


class Evil:
    def __reduce__(self):
        return open, ("run", "w")


def written(path, kind):
    """A file of torch.save that is made to harm."""
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"a": Evil()}))
    elif kind == "zip":
        torch.save({"a": Evil()}, path)
    else:
        torch.save({"a": torch.zeros(2**20)}, path)
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if kind == "bomb" else zipfile.ZIP_STORED) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        if kind == "too long":  # a size in the list of files that is not true
            data = path.read_bytes()
            place = data.rindex((2**22).to_bytes(4, "little"))
            path.write_bytes(data[:place] + (2**31).to_bytes(4, "little") + data[place + 4:])


def melgan(path):
    import_original(path, path)


@pytest.mark.parametrize("kind", ["pickle", "zip", "bomb", "too long"])
@pytest.mark.parametrize("read", [
    read_checkpoint, load_module, read_torch, read_plain, melgan, PANNsExtractor,
    lambda path: read_state(path, "a network", "--flag"),
    lambda path: CLIPTextEncoder({"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
                                 str(path))],
    ids=["checkpoint", "module", "torch", "published", "import", "panns", "state", "clip"])
def test_a_file_that_would_run_something_or_unpack_to_more_than_it_is(tmp_path, monkeypatch, kind, read):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.pt", kind)
    with pytest.raises(ValueError, match=".+") as refused:
        read(tmp_path / "a.pt")
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_generator_whose_sizes_its_weights_do_not_fill(tmp_path):
    """Forty upsamplings would make 2^40 channels of the one at the end."""
    state = {f"model.{i}.weight_v": torch.ones(1, 1, 2) for i in range(3, 43)} | {
        "model.1.weight_v": torch.ones(1, 80, 7), "model.43.weight_v": torch.ones(1, 2, 7)}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="--vocoder .*a.pt: (no module has|it would take|the sizes)"):
        melgan(tmp_path / "a.pt")


def test_weights_of_an_extractor(tmp_path):
    network = torch.nn.BatchNorm1d(2)
    from diffsound.evaluation.extractors.state import fill

    for name, value, message in [("weight", torch.ones(2).double(), "weight is float64"),
                                 ("weight", torch.ones(2) * torch.nan, "weight is not finite"),
                                 ("weight", torch.ones(2, dtype=torch.int32), "weight is int32, expected float32")]:
        with pytest.raises(ValueError, match=f"given by --flag are not those of X: the {message}|{message}"):
            fill(network, network.state_dict() | {name: value}, "X", "--flag")


def test_clip_with_weights_that_are_no_numbers(tmp_path):
    sizes = {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    state = {name.removeprefix("tower."): torch.zeros_like(value)
             for name, value in CLIPTextEncoder(sizes).state_dict().items()}
    state["ln_final.bias"] += torch.nan
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="a.safetensors has NaN or infinite weights, ln_final.bias among them"):
        CLIPTextEncoder(sizes, str(tmp_path / "a.safetensors"))


def test_tensors_are_taken_as_they_are_named(tmp_path):
    save_file({"a": torch.arange(3)}, tmp_path / "a.safetensors")
    assert read_safetensors(tmp_path / "a.safetensors")["a"].tolist() == [0, 1, 2]
    assert list(plain_state({"a": torch.ones(2)})) == ["a"]


@pytest.mark.parametrize("name", ["../tokens-00000.npy", "/etc/passwd", "a/tokens-00000.npy", "tokens-00000.npy\0", "",
                                  "..", "C:\\tokens-00000.npy", "store.json"])
@pytest.mark.parametrize("key", ["tokens", "clips", "files"])
def test_a_token_store_names_no_file_elsewhere(tmp_path, name, key):
    from training_process import write_store

    path = write_store(tmp_path / "store") / "store.json"
    index = json.loads(path.read_text())
    shard = index["shards"][0]
    shard[key] = {name: {"bytes": 0, "sha256": ""}} if key == "files" else name
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match="store.json names the file .* in its own folder"):
        TokenStore(path.parent)


@pytest.mark.parametrize("edit", [
    lambda index: [], lambda index: index | {"shards": 3}, lambda index: index | {"rows": "5"},
    lambda index: index | {"rows": -5}, lambda index: index | {"mel": {"n_fft": "a"}},
    lambda index: index | {"mel": {"other": 3}}, lambda index: index | {"shards": [{}]},
    lambda index: index | {"columns": 10**30}, lambda index: index | {"mel": None}])
def test_an_index_of_tokens_that_is_none(tmp_path, edit):
    from training_process import write_store

    path = write_store(tmp_path / "store") / "store.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"store\.json|tokens-00000"):
        TokenStore(path.parent)
