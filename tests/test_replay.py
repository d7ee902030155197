"""`diffsound replay`: a sidecar is enough to make its clip again, and what a sidecar of anybody cannot do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import soundfile
import torch
from tiny_system import tiny_decoder, tiny_system

from diffsound import pretrained
from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.bundle import write_bundle
from diffsound.cli import main
from diffsound.diffusion import ConfidenceSampler, FirstHittingSampler
from diffsound.mel import MelSettings
from diffsound.sidecar import FORMAT, read_sidecar
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import Generator, GriffinLim, MelGAN

MEL = MelSettings()


@pytest.fixture(autouse=True)
def threads():
    """The command sets the number of threads of its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """`small` with Griffin-Lim, `neural` with a MelGAN, `other` with the codec of `small` and another decoder."""
    folder = tmp_path_factory.mktemp("bundles")
    small = tiny_system(MEL)
    write_bundle(small, folder / "small", "# Small\n\nNoise.\n")
    torch.manual_seed(5)
    melgan = MelGAN(MEL, Generator(channels=4, residual_layers=1), mel_weight=1)
    write_bundle(tiny_system(MEL, vocoder=melgan), folder / "neural", "# Neural\n\nNoise.\n")
    decoder, vocoder = tiny_decoder(small.codec, layers=2), GriffinLim(MEL, iterations=3)
    write_bundle(TextToSound(decoder, small.codec, vocoder, small.sampler, 4), folder / "other", "# Other\n\nNoise.\n")
    return folder


@pytest.fixture
def replay(bundles, monkeypatch, capsys):
    """`replay(*arguments)` -> exit status and what was told."""
    monkeypatch.setattr(pretrained, "BUNDLES", bundles)

    def run(*arguments):
        status = main(["replay", *map(str, arguments)])
        told = capsys.readouterr()
        return status, told.out if status == 0 else told.err

    return run


@pytest.fixture
def clip(bundles, monkeypatch, tmp_path):
    """The sidecar of a clip beside its sound, made in a batch."""
    monkeypatch.setattr(pretrained, "BUNDLES", bundles)
    model = TextToSound.from_pretrained("small")
    model(["a long sentence about a bell", "rain", "wind"], seed=3, negative="noise", guidance=2.0, steps=5)[1].save(
        tmp_path / "rain.flac", loudness=-25)
    return tmp_path / "rain.json"


def edit(path, **changes):
    sidecar = json.loads(path.read_text())
    for key, value in changes.items():
        place = sidecar
        *outer, last = key.split("__")
        for name in outer:
            place = place[name]
        place[last] = value
    path.write_text(json.dumps(sidecar))


@pytest.mark.parametrize("bundle", ["small", "neural"])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_the_clip_is_the_same_to_the_last_bit(replay, bundles, tmp_path, bundle, suffix):
    model = TextToSound.from_pretrained(str(bundles / bundle))
    made = model(["a bell", "rain", "wind"], seed=1, duration=0.5)[2]
    made.save(tmp_path / f"wind{suffix}", loudness=-30)
    status, told = replay(tmp_path / "wind.json", "--out", tmp_path / f"again{suffix}")
    assert status == 0
    assert f"the same {len(made.waveform)} samples of 15 tokens, bit for bit" in told
    (one, rate), (two, same_rate) = (soundfile.read(tmp_path / f"{name}{suffix}") for name in ("wind", "again"))
    assert rate == same_rate
    assert np.array_equal(one, two)
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("wind", "again"))
    del first["seconds"], second["seconds"]
    assert first == second


def test_another_process_makes_the_same_clip_with_the_sidecars_threads(replay, bundles, tmp_path):
    """Two threads there, whatever OMP_NUM_THREADS says here; MelGAN's last bits depend on it."""
    torch.set_num_threads(2)
    TextToSound.from_pretrained(str(bundles / "neural"))("rain", seed=4).save(tmp_path / "rain.wav")
    code = ("import sys\nfrom diffsound import pretrained\nfrom diffsound.cli import main\nfrom pathlib import Path\n"
            f"pretrained.BUNDLES = Path({str(bundles)!r})\nsys.exit(main(['replay', sys.argv[1]]))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "rain.json")], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the same 16384 samples of 20 tokens, bit for bit\n"


@pytest.mark.parametrize("sampler", [ConfidenceSampler(3), FirstHittingSampler(top_k=4)], ids=["sure", "exact"])
def test_every_sampler_comes_back(replay, bundles, tmp_path, sampler):
    TextToSound.from_pretrained(str(bundles / "small"))("rain", seed=2, sampler=sampler).save(tmp_path / "a.wav")
    assert replay(tmp_path / "a.json")[0] == 0


def test_the_baseline_comes_back_too(replay, bundles, tmp_path):
    small = TextToSound.from_pretrained(str(bundles / "small"))
    torch.manual_seed(3)
    network = GPT(16, 5, 4, layers=1, width=16, heads=2, condition_width=16)
    decoder = Autoregressive(SmallTextEncoder(width=16, layers=1), network).eval()
    decoder.facts = {"codec": small.codec.fingerprint}
    write_bundle(TextToSound(decoder, small.codec, small.vocoder, AutoregressiveSampler(), 4), tmp_path / "b", "# B\n")
    TextToSound.from_pretrained(str(tmp_path / "b"))("rain", guidance=2.0).save(tmp_path / "a.wav")
    assert replay(tmp_path / "a.json", "--model", tmp_path / "b")[0] == 0


def test_what_differs_is_told(replay, clip):
    edit(clip, tokens=[*json.loads(clip.read_text())["tokens"][:-1], 3], sha256="0" * 64, versions__torch="1.0",
         hardware="abacus")
    status, told = replay(clip)
    assert status == 1
    assert "it is not the same clip: 1 of 20 tokens are others and the samples are others" in told
    assert f"torch '1.0' in the sidecar, '{torch.__version__}' here; hardware 'abacus' in the sidecar" in told
    assert "--from-tokens" in told


def test_other_versions_do_not_matter_where_the_clip_is_the_same(replay, clip):
    edit(clip, versions__diffsound="0.0.1")
    status, told = replay(clip)
    assert status == 0
    assert f"bit for bit (diffsound '0.0.1' in the sidecar, '{version('diffsound')}' here)" in told


def test_another_bundle_makes_the_sound_of_the_tokens_if_its_codec_is_the_same(replay, clip, bundles, tmp_path):
    status, told = replay(clip, "--model", bundles / "other", "--out", tmp_path / "new.wav")
    assert status == 1
    assert "made by another bundle (decoder '" in told
    assert "; vocoder '" in told
    assert not (tmp_path / "new.wav").exists()
    status, told = replay(clip, "--model", bundles / "other", "--from-tokens", "--out", tmp_path / "new.wav")
    assert status == 0
    assert "other 16384 samples of 20 tokens (rain.flac: it differs by up to" in told
    assert (tmp_path / "new.wav").is_file()
    edit(clip, parts__codec="0123456789abcdef")
    status, told = replay(clip, "--model", bundles / "other", "--from-tokens")
    assert status == 1
    assert "the tokens are of another codec (codec '0123456789abcdef' in the sidecar" in told


def test_from_tokens_draws_nothing(replay, clip, monkeypatch):
    monkeypatch.setattr("diffsound.diffusion.DiscreteDiffusion.generate", lambda *args: pytest.fail("was drawn"))
    status, told = replay(clip, "--from-tokens")
    assert status == 0
    assert told == "the same 16384 samples of 20 tokens, bit for bit\n"


def test_a_device_that_is_not_here(replay, clip):
    edit(clip, device="cuda:99")
    status, told = replay(clip)
    assert status == 1
    assert "the clip's device is 'cuda:99', which this machine or this torch does not have" in told
    status, told = replay(clip, "--from-tokens")
    assert status == 0
    assert "device 'cuda:99' in the sidecar, 'cpu' here" in told


def test_a_sound_that_was_changed_is_found_and_can_be_written_again(replay, clip, tmp_path):
    samples, rate = soundfile.read(clip.with_suffix(".flac"))
    samples[5] += 0.01
    soundfile.write(clip.with_suffix(".flac"), samples, rate)
    status, told = replay(clip, "--out", tmp_path / "again.flac")
    assert status == 1
    assert "the clip is made again, but rain.flac is not that sound: it differs by up to 0.01 of full scale" in told
    samples[5] -= 0.01
    assert np.abs(soundfile.read(tmp_path / "again.flac")[0] - samples).max() < 1e-4
    soundfile.write(clip.with_suffix(".flac"), samples[:-1], rate)
    assert "it has the shape (16383,) at 22050 Hz, expected (16384,)" in replay(clip)[1]
    clip.with_suffix(".flac").write_bytes(b"fLaC")
    assert "rain.flac: not audio that can be read" in replay(clip)[1]


@pytest.mark.parametrize(("own", "message"), [
    ({"name": "someone/something", "revision": "main"}, "the bundle 'someone/something' at revision 'main'"),
    ({"name": "../../small", "revision": None}, "the bundle '../../small', which is not in the package"),
    (None, "checkpoints, not a bundle"),
])
def test_a_sidecar_cannot_say_where_a_bundle_is_read_from(replay, clip, monkeypatch, own, message):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **options: pytest.fail("was asked for"))
    edit(clip, bundle=own)
    status, told = replay(clip)
    assert status == 1
    assert message in told


HUGE = 10**30


@pytest.mark.parametrize(("changes", "message"), [
    ({"format": FORMAT + 1}, f"has format {FORMAT + 1}, expected {FORMAT}"),
    ({"text": " "}, "text is ' ', expected 1 to 10000 characters"),
    ({"text": "a" * 10001}, "expected 1 to 10000 characters"),
    ({"text": "\ud800"}, "expected 1 to 10000 characters"),
    ({"text": ["rain"]}, 'text is ["rain"], expected text'),
    ({"negative": 3}, "negative is 3, expected text or null"),
    ({"seed": -1}, "seed is '-1', expected a number from 0"),
    ({"seed": HUGE}, "expected a number from 0 to 2^63 - 1"),
    ({"seed": True}, "seed is true, expected a number"),
    ({"seed": 1.5}, "seed is 1.5"),
    ({"grid__rows": 4}, "expected rows and columns of 20 tokens"),
    ({"grid__columns": -4, "grid__rows": -5}, "expected rows and columns of 20 tokens"),
    ({"tokens": [0] * 20 + [1]}, "expected rows and columns of 21 tokens"),
    ({"tokens": [HUGE] * 20}, "tokens is 'outside', expected numbers from 0 to 65535"),
    ({"tokens": [-1] * 20}, "tokens is 'outside'"),
    ({"tokens": [0.5] * 20}, r"tokens[0] is 0.5"),
    ({"device": "meta"}, "device is 'meta', expected cpu"),
    ({"threads": 0}, "threads is '0', expected 1 to 256"),
    ({"threads": 10**6}, "expected 1 to 256"),
    ({"loudness": {"lufs": float("nan"), "gain_db": 0}}, "expected finite loudness"),
    ({"loudness": {"lufs": 10**400, "gain_db": 0}}, "expected finite loudness"),
    ({"loudness": {"lufs": -20}}, "the key 'gain_db' is missing"),
    ({"bundle": {"name": 3, "revision": None}}, "bundle: name is 3"),
    ({"parts": {}}, "the key 'decoder' is missing"),
    ({"versions": {}}, "the key 'diffsound' is missing"),
    ({"sampler": {"class_path": "os.system", "init_args": {}}}, "needs the class os.system, which is not known"),
    ({"sampler": {"class_path": "diffsound.vqvae.VQVAE", "init_args": {}}}, "expected a TokenSampler, found"),
    ({"sampler": {"class_path": "diffsound.text_encoder.CLIPTextEncoder", "init_args": {"pretrained": "x"}}},
     "expected a TokenSampler, found diffsound.text_encoder.CLIPTextEncoder"),
    ({"sampler__class_path": "diffsound.autoregressive.AutoregressiveSampler"}, "AutoregressiveSampler does not take"),
    ({"sampler__init_args": {"temperature": {"class_path": "os.system", "init_args": {}}}}, "temperature is {"),
    ({"sampler__init_args__num_steps": HUGE}, "expected at most 10000"),
    ({"sampler__init_args__num_steps": "3"}, "the sidecar's sampler cannot be built"),
    ({"sampler__init_args__steps": [0.5]}, "expected a list of steps"),
    ({"sampler__init_args__temperature": float("nan")}, "the decoder computed NaN"),
    ({"sampler__init_args__top_k": HUGE}, "the sidecar's sampler has a top_k of 2^63 or more"),
    ({"sampler__init_args__top_k": 2.5}, "the sidecar's sampler does not fit"),
    ({"sampler__init_args__num_steps": 7}, "num_steps is 7"),
])
def test_sidecars_of_strangers(replay, clip, monkeypatch, changes, message):
    monkeypatch.setattr("diffsound.text_encoder.CLIPTextEncoder.__init__", lambda *args, **k: pytest.fail("was built"))
    edit(clip, **changes)
    status, told = replay(clip)
    assert status == 1
    assert message in told
    assert len(told) < 1000


def test_tokens_must_be_of_the_codec(replay, clip):
    edit(clip, tokens=[16] * 20)
    status, told = replay(clip, "--from-tokens")
    assert status == 1
    assert "tokens from 16 to 16 came to a codec with codes 0..15" in told
    edit(clip, tokens=[1] * 20, grid={"columns": 20, "rows": 1})
    assert "grid has 1 rows, the bundle's 5" in replay(clip, "--from-tokens")[1]


@pytest.mark.parametrize(("content", "message"), [
    ("", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[]", "expected a mapping"), ("{}", "the key 'format'"),
    (" " * (2**22 + 1), "a sidecar at most 4194304"), ("\udcff", "is not JSON"),
    ('{"seed": 1' + "0" * 5000 + "}", "is not JSON"),
])
def test_what_is_no_sidecar(replay, tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    status, told = replay(tmp_path / "a.json")
    assert status == 1
    assert message in told
    with pytest.raises(FileNotFoundError):
        read_sidecar(tmp_path / "b.json")
