"""Sounds are finite, as long as asked, about equally loud, and tell-tale: a class can be recognised from its mel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffsound.mel import LogMel, MelSettings
from diffsound.scenes import FAMILIES, MOMENTARY, SOUNDS, SUSTAINED, synthesise

RATE = 22050


def sound(name: str, seed: int, sample_rate: int = RATE, duration: float | None = None) -> np.ndarray:
    rng = np.random.default_rng([seed, list(SOUNDS).index(name)])
    duration = duration or rng.uniform(*SOUNDS[name].seconds)
    return synthesise(name, rng, duration, sample_rate)


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize(("sample_rate", "duration"), [(22050, 0.3), (16000, 1.0), (44100, 2.5), (22050, 0.1)])
def test_a_sound_is_finite_bounded_and_as_long_as_asked(name, sample_rate, duration):
    samples = sound(name, 0, sample_rate, duration)
    assert samples.dtype == np.float32
    assert samples.shape == (round(duration * sample_rate),)
    assert np.isfinite(samples).all()
    assert 0.01 < np.abs(samples).max() <= 0.9 + 1e-6
    assert samples[-1] == 0


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_are_about_equally_loud(name):
    loudest = [max(np.sqrt(np.mean(block**2)) for block in np.array_split(sound(name, seed), 20)) for seed in range(8)]
    assert 0.03 < np.mean(loudest) < 0.2


def test_no_two_draws_are_the_same():
    assert not np.array_equal(sound("rain", 0, duration=1.0), sound("rain", 1, duration=1.0))


def test_an_unknown_sound_is_refused_by_name():
    with pytest.raises(ValueError, match="no sound is called 'unicorn': expected one of "):
        synthesise("unicorn", np.random.default_rng(0), 1.0, RATE)


def test_classes_are_momentary_or_sustained():
    assert len(SOUNDS) >= 40
    assert len(FAMILIES) == 10
    assert {*MOMENTARY} | {*SUSTAINED} == {*SOUNDS}
    assert max(SOUNDS[name].seconds[1] for name in MOMENTARY) < min(SOUNDS[name].seconds[0] for name in SUSTAINED)


def test_classes_are_told_apart_by_their_nearest_mean_spectrum():
    log_mel = LogMel(MelSettings())

    def features(name: str, seed: int) -> torch.Tensor:
        samples = np.pad(sound(name, seed), 1024)
        mel = log_mel(torch.from_numpy(samples)[None])[0]
        mel = mel[:, mel.amax(0) > 0.1]
        return torch.cat([mel.mean(1), mel.std(1), mel.diff(dim=1).abs().mean(1)])

    means = torch.stack([torch.stack([features(name, seed) for seed in range(12)]).mean(0) for name in SOUNDS])
    right = [(means - features(name, 100 + seed)).norm(dim=1).argmin().item() == label
             for label, name in enumerate(SOUNDS) for seed in range(6)]
    assert np.mean(right) > 0.93


@pytest.mark.parametrize("name", [name for name in SOUNDS if SOUNDS[name].pitch])
def test_high_is_higher_than_low(name):
    """The same sound at both ends of its range: the centre of the spectrum or its strongest line moves up."""
    def lines(position: float) -> tuple[float, float]:
        samples = synthesise(name, np.random.default_rng(0), SOUNDS[name].seconds[1], RATE, {"pitch": position})
        power = np.abs(np.fft.rfft(samples)) ** 2
        frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
        centre = np.exp((power * np.log(frequency + 1)).sum() / power.sum())
        return centre, frequency[np.cumsum(power).searchsorted(0.2 * power.sum())]

    assert max(high / low for low, high in zip(lines(0.05), lines(0.95), strict=True)) > 1.15


@pytest.mark.parametrize("name", [name for name in SOUNDS if SOUNDS[name].rate])
def test_fast_has_more_turns_than_slow(name):
    """The loudness of eight wide bands turns faster below 40 Hz: on average, or in its strongest line."""
    def turns(position: float) -> tuple[float, float]:
        samples = synthesise(name, np.random.default_rng(0), 2.4, RATE, {"rate": position})
        mel = LogMel(MelSettings())(torch.from_numpy(samples)[None])[0]
        bands = torch.nn.functional.adaptive_avg_pool1d(mel.T[None], 8)[0].T
        power = (np.abs(np.fft.rfft((bands - bands.mean(1, keepdim=True)).numpy())[:, 1:]) ** 2).sum(0)
        frequency = np.fft.rfftfreq(bands.shape[1], 256 / RATE)[1:]
        slow = frequency < 40
        return (power * frequency)[slow].sum() / power[slow].sum(), frequency[power.argmax()]

    assert max(fast / slow for slow, fast in zip(turns(0.05), turns(0.95), strict=True)) > 1.1
