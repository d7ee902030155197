"""Any file becomes mono float32 at the rate asked for, or says why not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import soundfile

from diffsound.data import audio


def sine(hertz: float, rate: int, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def loudest_frequency(waveform: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return spectrum.argmax() * rate / len(waveform)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_rate_and_channel_count_keeps_pitch_level_and_length(tmp_path, suffix, rate, channels):
    path = tmp_path / f"sine{suffix}"
    soundfile.write(path, np.tile(sine(1000, rate)[:, None], (1, channels)), rate)
    waveform = audio.load(path, 22050)
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert len(waveform) == pytest.approx(22050, abs=200)
    assert loudest_frequency(waveform, 22050) == pytest.approx(1000, abs=2)
    middle = waveform[5000:-5000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_channels_are_averaged(tmp_path):
    left, right = sine(500, 22050, amplitude=0.4), sine(2000, 22050, amplitude=0.2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 22050, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "stereo.wav", 22050), (left + right) / 2, atol=1e-6)


def test_what_the_new_rate_cannot_carry_is_removed_and_not_folded_back(tmp_path):
    soundfile.write(tmp_path / "high.wav", sine(15000, 44100), 44100, subtype="FLOAT")
    assert np.abs(audio.load(tmp_path / "high.wav", 22050)[1000:-1000]).max() < 1e-3


def test_float_files_are_clipped(tmp_path):
    soundfile.write(tmp_path / "loud.wav", sine(100, 22050, amplitude=3.0), 22050, subtype="FLOAT")
    waveform = audio.load(tmp_path / "loud.wav", 22050)
    assert waveform.min() == -1
    assert waveform.max() == 1


@pytest.mark.parametrize("num_samples", [1, 2, 50])
def test_tiny_files_can_be_read_and_padded(tmp_path, num_samples):
    soundfile.write(tmp_path / "tiny.wav", np.full(num_samples, 0.5), 96000)
    assert audio.fit_length(audio.load(tmp_path / "tiny.wav", 22050), 1024).shape == (1024,)


def broken_files(folder):
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is not audio")
    soundfile.write(folder / "nothing.wav", np.zeros(0), 22050)
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan, 0.1]), 22050, subtype="FLOAT")
    soundfile.write(folder / "whole.flac", np.random.default_rng(0).uniform(-1, 1, 44100), 22050)
    whole = (folder / "whole.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.wav").mkdir()


@pytest.mark.parametrize(("name", "reason"), [
    ("absent.wav", "no such file"), ("empty.wav", "empty"), ("text.wav", "not audio"), ("nothing.wav", "no samples"),
    ("nan.wav", "NaN"), ("cut.flac", "breaks off"), ("folder.wav", "no such file"), ("x.raw", "no such file"),
])
def test_an_unreadable_file_is_named_with_the_reason(tmp_path, name, reason):
    broken_files(tmp_path)
    with pytest.raises(audio.UnreadableAudio, match=rf"{name}.*{reason}") as caught:
        audio.load(tmp_path / name, 22050)
    assert str(copy.copy(caught.value)) == str(caught.value)  # as a worker sends it


def test_durations_agree_and_only_decoding_finds_a_broken_body(tmp_path):
    broken_files(tmp_path)
    assert audio.duration(tmp_path / "whole.flac") == 2.0
    assert audio.duration(tmp_path / "nan.wav") > 0
    with pytest.raises(audio.UnreadableAudio):
        audio.load(tmp_path / "nan.wav", 8000)


def test_fit_length_pads_at_the_end_crops_from_the_start_or_at_random():
    ramp = np.arange(10, dtype=np.float32)
    assert audio.fit_length(ramp, 12).tolist() == [*range(10), 0, 0]
    assert audio.fit_length(ramp, 4).tolist() == [0, 1, 2, 3]
    rng = np.random.default_rng(0)
    crops = [audio.fit_length(ramp, 4, rng) for _ in range(200)]
    assert {crop[0] for crop in crops} == set(range(7))  # every place can come, the last one too
    assert all((np.diff(crop) == 1).all() for crop in crops)


@pytest.mark.parametrize(("suffix", "tolerance"), [
    (".wav", 1.01 / 32768), (".flac", 1.01 / 32768), (".ogg", 0.02), (".mp3", 0.02),
])
def test_what_is_saved_can_be_loaded(tmp_path, suffix, tolerance):
    path = tmp_path / "new" / f"sine{suffix}"
    audio.save(path, sine(440, 22050), 22050)
    loaded = audio.load(path, 22050)
    np.testing.assert_allclose(loaded[2000:20000], sine(440, 22050)[2000:20000], atol=tolerance)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_saving_clips_instead_of_wrapping_around(tmp_path):
    audio.save(tmp_path / "loud.wav", sine(100, 22050, amplitude=1.5), 22050)
    assert np.abs(np.diff(audio.load(tmp_path / "loud.wav", 22050))).max() < 0.1


def test_minutes_of_vorbis_can_be_saved(tmp_path):  # libsndfile overflows its stack when they come in one call
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 22050 * 180)
    audio.save(tmp_path / "long.ogg", noise, 22050)
    assert audio.duration(tmp_path / "long.ogg") == 180


@pytest.mark.parametrize(("name", "waveform", "message"), [
    ("a.m4a", np.zeros(10), "ends in"), ("a.wav", np.zeros((2, 10)), "shape"), ("a.wav", np.array([np.nan]), "NaN"),
])
def test_saving_refuses_what_it_cannot_write(tmp_path, name, waveform, message):
    with pytest.raises(ValueError, match=message):
        audio.save(tmp_path / name, waveform, 22050)
    assert list(tmp_path.iterdir()) == []


def test_the_real_recordings_can_all_be_read(shared_data):
    paths = sorted((shared_data / "more").rglob("*.ogg"))[::25] + sorted((shared_data / "more").rglob("*.flac"))[::10]
    for path in paths:
        waveform = audio.load(path, 22050)
        assert len(waveform) == pytest.approx(audio.duration(path) * 22050, abs=2)
        assert np.abs(waveform).max() <= 1
