"""Sounds and manifests that lie about themselves cost no memory, and are refused by the name of the file."""

from __future__ import annotations

import io
import resource

import numpy as np
import pytest
import soundfile

from diffsound.data import audio, manifest


def sound(form: str, subtype: str, rate: int = 16000, channels: int = 1) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, (500, channels)), rate, format=form,
                    subtype=subtype)
    return bytearray(file.getvalue())


def long_flac():
    """Its header has room for 2^36 samples of 8 channels: 2 TB."""
    data = sound("FLAC", "PCM_16", channels=8)
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    return data


def wav_at(rate):
    data = sound("WAV", "PCM_16")
    data[24:28] = rate.to_bytes(4, "little")
    return data


def silence(samples):
    """A flac of a few hundred bytes a second, which is as long as it says."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(samples, np.int16), 1000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize(("data", "message"), [
    (long_flac(), "holds 549755813880 samples, expected at most 268435456"),
    (wav_at(1), "a sample rate of 1 Hz, expected 1000 to 1000000"),
    (wav_at(2**31 - 1), "a sample rate of 2147483647 Hz|not audio"),
    (wav_at(0), "a sample rate of|not audio"),
], ids=["long", "slow", "fast", "still"])
def test_a_header_that_would_fill_the_memory(tmp_path, data, message):
    (tmp_path / "a.wav").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (audio.duration, lambda path: audio.load(path, 22050)):
        with pytest.raises(audio.UnreadableAudio, match=f"a.wav: .*({message})"):
            read(tmp_path / "a.wav")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_a_recording_that_the_new_rate_makes_too_long(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(silence(100_000))
    monkeypatch.setattr(audio, "MOST_SAMPLES", 150_000)
    assert len(audio.load(tmp_path / "a.flac", 1500)) == 150_000
    with pytest.raises(audio.UnreadableAudio, match=r"a\.flac: holds 100 s, expected at most 94 s at 1600 Hz"):
        audio.load(tmp_path / "a.flac", 1600)
    monkeypatch.setattr(audio, "MOST_SAMPLES", 99_999)
    with pytest.raises(audio.UnreadableAudio, match=r"a\.flac: holds 100000 samples, expected at most 99999"):
        audio.load(tmp_path / "a.flac", 1000)


def test_an_infinite_sum_of_channels_is_told_without_a_warning(tmp_path, recwarn):
    soundfile.write(tmp_path / "a.wav", np.array([[np.inf, -np.inf]]), 16000, subtype="FLOAT")
    with pytest.raises(audio.UnreadableAudio, match="NaN or infinite"):
        audio.load(tmp_path / "a.wav", 16000)
    assert not recwarn.list


@pytest.mark.parametrize(("name", "data", "message"), [
    ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not JSON that can be read"),
    ("a.jsonl", b'{"audio": "a.wav", "group": ' + b"1" * 5000 + b"}", "a.jsonl:1: not JSON that can be read"),
    ("a.jsonl", b'{"audio": "\\ud800.wav"}', "a.jsonl:1: 'audio' is .*cannot be the path of a file"),
    ("a.jsonl", b'{"audio": "a\\u0000.wav"}', "a.jsonl:1: 'audio' is .*cannot be the path of a file"),
    ("a.jsonl", b'{"audio": "a.wav", "group": "\\udfff"}', "a.jsonl:1: expected names"),
    ("a.jsonl", b'{"audio": "a.wav", "caption": "\\udfff"}', "a.jsonl:1: expected 'caption'"),
    ("a.jsonl", b'{"audio": "a.wav", "split": "\\udfff"}', "a.jsonl:1: expected names"),
    ("a.jsonl", b'["' + b"x" * 10**6 + b'"]', "a.jsonl:1: expected an object"),
    ("a.csv", b"audio,caption\na.wav,\"" + b"x" * 200_000 + b'"\n', "a.csv:[12]: not a CSV table .*field larger"),
    ("a.csv", b"audio,caption\n\"a\0.wav\",x\n", "a.csv:2: .*(NUL|path of a file)"),
])
def test_a_manifest_that_is_none(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message) as refused:
        manifest.read(tmp_path / name)
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)
