"""Files that cannot become a bundle: one line that names the flag, the file and the reason, and nothing is written."""

import os
import pickle
import re
import sys
import types
from collections import OrderedDict
from pathlib import Path
from unittest import mock

import numpy
import originals
import pytest
import torch

from diffsound.cli import main
from diffsound.original.files import NAMED, Inert, read_plain
from diffsound.vocoder import Discriminator, Generator


@pytest.fixture(scope="module")
def good():
    torch.manual_seed(6)
    return originals.original_states(vocabulary=40)


@pytest.fixture
def states(good):
    """A copy whose tensors may be exchanged."""
    return {name: dict(state) for name, state in good.items()}


def refused(files, capsys, *more):
    """The message of an import that fails and leaves nothing behind."""
    out = Path(files["--diffusion"]).parent / "made" / "bundle"
    flags = [str(x) for pair in files.items() for x in pair]
    assert main(["import-original", *flags, "--out", str(out), "--heads", "4", *more]) == 1
    printed = capsys.readouterr()
    assert not out.parent.exists()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    return printed.err


def test_a_good_one_is_not_refused(states, tmp_path):
    files = originals.write(tmp_path, states)
    flags = [str(x) for pair in files.items() for x in pair]
    assert main(["import-original", *flags, "--out", str(tmp_path / "b"), "--heads", "4"]) == 0


WRONG = {
    "vocoder as codec": ("--vqvae", lambda s: s["vocoder"], "this is a MelGAN generator, expected a VQ-VAE"),
    "discriminator": ("--vocoder", lambda s: Discriminator(1, 4, 16).state_dict(), "this is a MelGAN discriminator"),
    "codec as decoder": ("--diffusion", lambda s: originals.lightning(s["codec"]),
                         "this is a VQ-VAE, expected a diffusion decoder"),
    "decoder as vocoder": ("--vocoder", originals.solver, "this is a diffusion decoder, expected a MelGAN generator"),
    "autoregressive": ("--diffusion", lambda s: {"state_dict": {"transformer.tok_emb.weight": torch.zeros(2, 2)}},
                       "this is an autoregressive decoder"),
    "our own": ("--vqvae", lambda s: {"spec": {}, "state_dict": {}}, "checkpoint of this package"),
    "a tensor": ("--vocoder", lambda s: torch.zeros(2), "this is a file with a Tensor in it"),
    "empty": ("--vocoder", lambda s: {}, r"this is an unknown file \(empty\)"),
    "no state": ("--vqvae", lambda s: {"state_dict": torch.ones(2)}, r"this is an unknown file \(state_dict, ...\)"),
    "average no state": ("--diffusion", lambda s: originals.solver(s) | {"ema": torch.ones(2)},
                         "the weights are no dict of tensors"),
    "unknown entry": ("--diffusion", lambda s: originals.solver(s) | {"extra": [{"x": (torch.ones(1),)}]},
                      "the entry extra holds tensors and is not known"),
    "expanded": ("--vocoder", lambda s: {"model.1.weight_v": torch.ones(1, 1, 1).expand(4096, 80, 7)},
                 r"model.1.weight_v is \(4096, 80, 7\), of which the file holds only 4 bytes"),
    "no place": ("--vocoder", lambda s: {"model.1.weight_v": torch.ones(9, device="meta")},
                 "no tensor of plain num.*meta"),
    "complex": ("--vocoder", lambda s: {"model.1.weight_v": torch.ones(9) + 1j}, "no tensor of plain num.*complex64"),
    "sparse": ("--vocoder", lambda s: {"model.1.weight_v": torch.eye(9).to_sparse()}, "no tensor of plain num.*sparse"),
    "quantised": ("--vocoder", lambda s: {
        "model.1.weight_v": torch.quantize_per_tensor(torch.ones(9), 1, 0, torch.qint8)}, "no tensor of .*qint8"),
    "no tensor": ("--vocoder", lambda s: s["vocoder"] | {"model.1.bias": "text"}, "model.1.bias is no tensor but str"),
    "unknown weight of the codec": ("--vqvae", lambda s: originals.lightning(s["codec"] | {"new.x": torch.ones(1)}),
                                    r"the weight new.x \(1,\) is not known"),
    "unknown weight of the vocoder": ("--vocoder", lambda s: s["vocoder"] | {"modal.1": torch.ones(1)},
                                      r"the weight modal.1 \(1,\) is not known"),
    "another size": ("--vocoder", lambda s: s["vocoder"] | {"model.3.bias": torch.zeros(3)},
                     r"model.3.bias is \(3,\), expected \(16,\)"),
    "missing": ("--vocoder", lambda s: {name: value for name, value in s["vocoder"].items() if name != "model.3.bias"},
                "model.3.bias is missing"),
    "no number": ("--vocoder", lambda s: s["vocoder"] | {"model.3.bias": torch.full((16,), torch.nan)},
                  "the weight model.3.bias is not finite"),
    "no codec has these bands": ("--vocoder", lambda s: Generator(**originals.MELGAN | {"n_mels": 100}).state_dict(),
                                 "takes mels of 100 bands, the grid .* has 5 rows of 16"),
    "other bands": ("--vocoder", lambda s: Generator(**originals.MELGAN | {"n_mels": 64}).state_dict(),
                    "takes mels of 64 bands, the grid .* has 5 rows of 16"),
    "other hop": ("--vocoder", lambda s: Generator(**originals.MELGAN | {"ratios": (8, 8, 2)}).state_dict(),
                  "128 samples of a frame"),
    "another codec": ("--vqvae", lambda s: originals.lightning(originals.codec_state(16, 6)),
                      "another codec than in --diffusion .*encoder.conv_in.weight has other numbers"),
    "codec of other size": ("--vqvae", lambda s: originals.lightning(
        s["codec"] | {"quantize.embedding.weight": torch.zeros(32, 6)}),
        r"quantize.embedding.weight is \(32, 6\) here, \(16, 6\) there"),
}


@pytest.mark.parametrize(("flag", "contents", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file(states, tmp_path, capsys, flag, contents, message):
    files = originals.write(tmp_path, states)
    files[flag] = originals.save(contents(states), tmp_path / "wrong.bin")
    error = refused(files, capsys)
    assert f"{flag} {files[flag]}: " in error
    assert re.search(message, error), error


def change(part, name, value):
    def edit(states):
        old = states[part].get(name)
        states[part][name] = value(old) if callable(value) else value
    return edit


def remove(*places):
    def edit(states):
        for part, name in places:
            del states[part][name]
    return edit


EMA, LAST = ("ema", "module")
BIAS = "transformer.blocks.1.mlp.0.bias"
BROKEN = {
    "no number in the average": (change(EMA, BIAS, lambda x: x * torch.inf), [], "feed.0.bias is not finite"),
    "no number in the last weights": (change(LAST, BIAS, lambda x: x * torch.nan), ["--no-ema"], "is not finite"),
    "no number in the codec": (change("codec", "encoder.conv_in.bias", lambda x: x * torch.nan), [], "is not finite"),
    "average of another size": (change(EMA, BIAS, torch.zeros(3)), [], "'model' and 'ema' differ: " + BIAS),
    "average lacks one": (remove((EMA, BIAS)), [], "'model' and 'ema' differ: " + BIAS),
    "a weight is missing": (remove((EMA, BIAS), (LAST, BIAS)), [], "feed.0.bias is missing"),
    "no average": (lambda s: s[EMA].clear(), [], "no moving average .* take the last weights with --no-ema"),
    "unknown weight": (change(LAST, "transformer.new", torch.ones(2)), ["--no-ema"],
                       r"the weight transformer.transformer.new \(2,\) is not known"),
    "another schedule": (change(LAST, "log_cumprod_at", lambda x: x * 1.1), ["--no-ema"],
                         "schedule is not the published linear"),
    "another schedule of the average": (change(EMA, "log_cumprod_at", lambda x: x * 1.1), [],
                                        "'model' and 'ema' differ: log_cumprod_at has other numbers"),
    "no number in a table of the average": (change(EMA, "log_at", lambda x: x * torch.nan), [],
                                            "'model' and 'ema' differ: log_at has other numbers"),
    "one entry of the schedule": (change(LAST, "log_ct", lambda x: x + torch.eye(len(x))[3]), ["--no-ema"],
                                  r"log_ct\[3\]"),
    "schedule of the corrected size": (lambda s: [s[each].update(originals.schedule(15, 12)) for each in (EMA, LAST)],
                                       [], "not the published linear one over K . 1 classes"),
    "schedule of other length": (lambda s: s[EMA].update(originals.schedule(16, 11)), ["--no-ema"], "differ: log_"),
    "no schedule": (remove((EMA, "log_bt"), (LAST, "log_bt")), [], "the weight log_bt is missing"),
    "another order": (change("order", "forward_shuffle_idx", torch.arange(20)), [], "orders the tokens"),
    "no order": (remove(("order", "forward_shuffle_idx")), [], "first_stage_permuter, .* is missing"),
    "heads": (lambda s: None, ["--heads", "5"], "--heads 5 does not divide the width of the denoiser, 32"),
    "classes": (change(EMA, "transformer.to_logits.1.weight", lambda x: x[:-1]), [], "differ: transformer.to_logits"),
    "codes of the codec": (lambda s: s.update(codec=originals.codec_state(32, 6)), [],
                           "the codec has 32 codes, the denoiser 16"),
}


@pytest.mark.parametrize(("edit", "options", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_decoder(states, tmp_path, capsys, edit, options, message):
    edit(states)
    files = originals.write(tmp_path, states)
    error = refused(files, capsys, *options)
    assert str(tmp_path) in error
    assert re.search(message, error), error


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("flag", ["--vqvae", "--diffusion", "--vocoder"])
def test_a_truncated_file(states, tmp_path, capsys, flag, zipped):
    files = originals.write(tmp_path, states, zipped)
    files[flag].write_bytes(files[flag].read_bytes()[:-5000])
    assert f"{flag} {files[flag]}: the file cannot be read: it is truncated" in refused(files, capsys)


def test_what_is_damaged_is_not_called_truncated(tmp_path):
    for contents, reason in ((b"not a checkpoint", "Unsupported operand 110"),
                             (b"\x80\x02]q\x00K\x01K\x02s.", "SETITEM")):
        (tmp_path / "a.pt").write_bytes(contents)
        with pytest.raises(ValueError, match=f"it is damaged, or none of torch.save .*{reason}") as refused:
            read_plain(tmp_path / "a.pt")
        assert "weights_only" not in str(refused.value)


@pytest.mark.parametrize("contents", [b"", b"not a checkpoint", b"\x80\x02}q\x00."], ids=["empty", "text", "no file"])
def test_no_checkpoint_at_all(states, tmp_path, capsys, contents):
    files = originals.write(tmp_path, states)
    files["--vocoder"].write_bytes(contents)
    assert f"--vocoder {files['--vocoder']}: " in refused(files, capsys)
    files["--vocoder"] = tmp_path / "nowhere.pt"
    assert "nowhere.pt: there is no such file" in refused(files, capsys)


def test_an_existing_folder_is_left_alone(states, tmp_path, capsys):
    files = originals.write(tmp_path, states)
    (tmp_path / "b").mkdir()
    flags = [str(x) for pair in files.items() for x in pair]
    assert main(["import-original", *flags, "--out", str(tmp_path / "b")]) == 1
    assert "exists: choose another folder" in capsys.readouterr().err
    assert not list((tmp_path / "b").iterdir())


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (os.fspath(self.trace),)


class EvilState:
    """As harmless in name as what Lightning leaves in a file, with code where its state is."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return originals.ModelCheckpoint, (), {"state": Evil(self.trace)}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", [Evil, EvilState])
def test_code_in_a_pickle_is_not_run(states, tmp_path, capsys, kind, zipped):
    files, trace = originals.write(tmp_path, states), tmp_path / "trace"
    contents = originals.solver(states)
    contents["clip_grad_norm"] = kind(trace)
    originals.save(contents, files["--diffusion"], zipped)
    error = refused(files, capsys)
    assert re.search(r"the file needs (posix|nt)\.mkdir, which could be any code", error)
    files["--vocoder"].write_bytes(pickle.dumps(Evil(trace)))
    refused(files, capsys)
    assert not trace.exists()


@pytest.mark.parametrize("name", NAMED)
def test_classes_beside_the_weights_are_read_as_nothing_or_as_a_dict(tmp_path, name):
    module, _, short = name.rpartition(".")
    kind = type(short, (dict,) if short == "AttributeDict" else (), {"__module__": module})
    entry = kind(lr=1e-3) if issubclass(kind, dict) else kind()
    if not issubclass(kind, dict):
        entry.best = 3  # a state, of which nothing is kept
    stand_in = types.ModuleType(module)
    setattr(stand_in, short, kind)
    with mock.patch.dict(sys.modules, {module: stand_in}):
        torch.save({kind: entry, "weight": torch.ones(2)}, tmp_path / "a.pt")
    ours, (_, weight) = NAMED[name], read_plain(tmp_path / "a.pt").items()
    assert torch.equal(weight[1], torch.ones(2))
    read = read_plain(tmp_path / "a.pt")[ours]
    assert type(read) is ours
    assert read == {"lr": 1e-3} if ours is dict else not vars(read)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_numpy_are_skipped(tmp_path, module):
    pickled = pickle.dumps({"loss": numpy.float64(0.5), "weight": 1}, protocol=2)
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        pickled = pickled.replace(name, module.encode())
    torch.save(torch.ones(1), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    numbers = [pickle.dumps(x, protocol=2) for x in (torch.serialization.MAGIC_NUMBER, 1001, {})]
    (tmp_path / "a.pt").write_bytes(b"".join(numbers) + pickled + pickle.dumps([], protocol=2))
    read = read_plain(tmp_path / "a.pt")
    assert isinstance(read["loss"], Inert)
    assert read["weight"] == 1


def test_an_unknown_class_is_named(tmp_path):
    class Settings:
        pass

    Settings.__module__, Settings.__qualname__ = originals.__name__, "Settings"
    originals.Settings = Settings
    torch.save(OrderedDict(a=Settings()), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="the file needs originals.Settings"):
        read_plain(tmp_path / "a.pt")
