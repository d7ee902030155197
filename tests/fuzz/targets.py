"""What each kind of file must be to whoever reads it: read, or refused with the documented error. Nothing else.

A target is called with the bytes of a file. It returns whether they were read, and raises what no reader should: that
is a finding. `seeds` gives valid files to start from.
"""

from __future__ import annotations

import functools
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import yaml

from diffsound.data import audio as sounds
from diffsound.data import manifest as manifests

ROOT = Path(__file__).resolve().parents[2]
CUT = b"\n#8<\n"  # between the description of a bundle and the header of its weights
# What has broken readers before: borders of integers, what is no number, brackets that do not close, no text.
BINARY = [b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80",
          b"RIFF", b"data", b"fmt ", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"LIST", b"\x01\0", b"\xfe\xff"]
TEXTUAL = [b"null", b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"1" * 5000, b"[" * 2000, b"{" * 2000, b'"',
           b"\\ud800", b"\\u0000", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b",", b"*a", b"&a ", b"${a}",
           b"${", b"${..}", b"!!", b"!!python/name:os.system", b"<<: ", b"? ", b"- ", b": ", b"1:2:3", b"2001-01-01",
           b"10000000000", b"true", b"../../x", b"/etc/passwd", b"0.5", b"''", b"[]", b"{}", b'"' + b"x" * 200_000 +
           b'"', CUT]


@functools.cache
def folder() -> Path:
    """Of this process, removed when it ends."""
    folder.kept = tempfile.TemporaryDirectory()
    return Path(folder.kept.name)


def written(name: str, data: bytes) -> Path:
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def audio(data: bytes) -> bool:
    path = written("sound.wav", data)
    try:
        seconds = sounds.duration(path)
        waveform = sounds.load(path, 22050)
    except sounds.UnreadableAudio as error:
        return refused(error, path)
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max(initial=0) <= 1
    assert seconds > 0
    return True


def manifest(data: bytes) -> bool:
    """A table if the first byte is a comma, else JSON lines."""
    path = written("clips.csv", data[1:]) if data[:1] == b"," else written("clips.jsonl", data)
    try:
        clips = manifests.read(path)
    except ValueError as error:
        return refused(error, path)
    assert clips
    for clip in clips:
        assert clip.split
        assert all(isinstance(text, str) for text in (*clip.captions, *clip.labels))
        clip.audio.is_file()
    manifests.write(folder() / "again.jsonl", clips)
    again = manifests.read(folder() / "again.jsonl")
    assert [(clip.captions, clip.labels, clip.split, clip.group) for clip in again] == [
        (clip.captions, clip.labels, clip.split, clip.group) for clip in clips]
    return True


def sidecar(data: bytes) -> bool:
    from diffsound.sidecar import read_sidecar, sampler_of

    path = written("clip.json", data)
    try:
        read = read_sidecar(path)
    except ValueError as error:
        return refused(error, path)
    try:
        sampler_of(read)
    except ValueError as error:
        return refused(error)
    json.dumps(read).encode()
    return True


def recipe(data: bytes) -> bool:
    """As far as before a part is built: which one is, the recipe's user decides."""
    from omegaconf import OmegaConf

    from diffsound.recipe import changed_recipe, resolved

    path = written("recipe.yaml", data)
    try:
        read = changed_recipe(path, [])
        content = resolved(read)
    except ValueError as error:
        return refused(error)
    assert isinstance(content, dict)
    OmegaConf.to_yaml(read)
    return True


def bundle(data: bytes) -> bool:
    """A description, CUT, and the header of the weights; what is empty is as in a valid bundle. The weights themselves
    are those of the valid one, unless all that follows CUT begins with RAW."""
    from diffsound.text_to_sound import TextToSound

    description, weights = valid_bundle()
    header_size = int.from_bytes(weights[:8], "little")
    first, _, second = data.partition(CUT)
    if second.startswith(b"RAW"):
        weights = second[3:]
    elif second:
        weights = len(second).to_bytes(8, "little") + second + weights[8 + header_size:]
    written("bundle/bundle.yaml", first or description)
    path = written("bundle/model.safetensors", weights).parent
    try:
        model = TextToSound.from_pretrained(str(path))
    except ValueError as error:
        return refused(error)
    assert all(value.isfinite().all() for value in model.state_dict().values() if value.is_floating_point())
    return True


def refused(error: Exception, path: Path | None = None) -> bool:
    """False, if the error tells in one line of bearable length what is wrong, and with which file."""
    message = str(error)
    assert message.strip()
    assert len(message) < 2000, message
    assert "\n" not in message, message
    assert path is None or str(path) in message, message
    return False


@functools.cache
def valid_bundle() -> tuple[bytes, bytes]:
    """bundle.yaml and model.safetensors of the tests' system."""
    import sys

    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_system import tiny_system

    from diffsound.bundle import write_bundle
    from diffsound.mel import MelSettings

    with tempfile.TemporaryDirectory() as place:
        write_bundle(tiny_system(MelSettings()), Path(place) / "b", "# Tiny\n")
        return tuple((Path(place) / "b" / name).read_bytes() for name in ("bundle.yaml", "model.safetensors"))


def words(target: str) -> list[bytes]:
    """What is worth putting into a file of `target`."""
    return BINARY if target == "audio" else TEXTUAL


def audio_seeds() -> list[bytes]:
    rng, files = np.random.default_rng(0), []
    for form, subtype in (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_24"),
                          ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
                          ("AIFF", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_16"), ("W64", "PCM_16")):
        for channels in (1, 2):
            file = io.BytesIO()
            soundfile.write(file, rng.uniform(-0.5, 0.5, (500, channels)), 16000, format=form, subtype=subtype)
            files.append(file.getvalue())
    return files


def manifest_seeds() -> list[bytes]:
    return [b'{"audio": "a.wav", "captions": ["a dog", "barking"], "labels": ["Dog"], "split": "train", "group": "g"}\n'
            b'{"audio": "../b.flac", "caption": "rain", "split": "val", "group": 3}\n',
            b'{"audio": "0.tar/a.ogg", "labels": ["Rain", "Wind"]}\n\n{"audio": "c.mp3"}\n',
            b",audio,caption,labels,split,group\na.wav,a dog,Dog;Bark,train,g\n",
            b',path,captions\na.wav,"a dog, twice|a bark"\nb.wav,\n']


def sidecar_seeds() -> list[bytes]:
    content = {
        "format": 2, "text": "rain", "negative": None, "seed": 3,
        "sampler": {"class_path": "diffsound.diffusion.StridedSampler", "init_args": {"num_steps": 3, "top_r": 0.8}},
        "bundle": {"name": "small", "revision": None},
        "parts": {"decoder": "0123456789abcdef", "codec": "0", "vocoder": "1"},
        "grid": {"rows": 5, "columns": 2}, "tokens": list(range(10)), "sample_rate": 22050, "sha256": "0" * 64,
        "loudness": {"lufs": -23.0, "gain_db": 3.5}, "device": "cpu", "hardware": "x", "threads": 1,
        "precision": "float32", "versions": {"diffsound": "0", "torch": "2", "python": "3"}, "seconds": {"mel": 0.1}}
    other = content | {"sampler": {"class_path": "diffsound.diffusion.AncestralSampler", "init_args": {"top_k": 3}},
                       "bundle": None, "loudness": None, "negative": "noise"}
    return [json.dumps(each).encode() for each in (content, other)]


def recipe_seeds() -> list[bytes]:
    """Those that are whole, and those that change others: each alone, the latter have `${...}` that lead nowhere."""
    return [path.read_bytes() for folder in ("recipes", "configs") for path in sorted((ROOT / folder).rglob("*.yaml"))]


def bundle_seeds() -> list[bytes]:
    description, weights = valid_bundle()
    header = weights[8:8 + int.from_bytes(weights[:8], "little")]
    content = yaml.safe_load(description)
    content["parts"]["vocoder"]["init_args"]["iterations"] = 1
    return [description, CUT + header, description + CUT + header, CUT + b"RAW" + weights[:200],
            yaml.safe_dump(content).encode()]


TARGETS: dict[str, tuple[Callable[[bytes], bool], Callable[[], list[bytes]]]] = {
    "audio": (audio, audio_seeds), "manifest": (manifest, manifest_seeds), "sidecar": (sidecar, sidecar_seeds),
    "recipe": (recipe, recipe_seeds), "bundle": (bundle, bundle_seeds)}
