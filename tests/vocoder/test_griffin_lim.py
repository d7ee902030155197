"""Griffin-Lim: the right pitch, the right mel, silence, the same result in any batch."""

from __future__ import annotations

import pytest
import torch

from diffsound.checkpoint import rebuild
from diffsound.mel import LogMel, MelSettings
from diffsound.vocoder import GriffinLim

MEL = MelSettings()
log_mel = LogMel(MEL)


def tone(hertz: float, frames: int = 80) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hertz / MEL.sample_rate * torch.arange(frames * MEL.hop_length))[None]


@pytest.mark.parametrize("hertz", [440.0, 1000.0, 3000.0])
def test_a_tone_keeps_its_pitch_and_level(hertz):
    waveform = GriffinLim(MEL)(log_mel(tone(hertz)))
    spectrum = torch.fft.rfft(waveform * torch.hann_window(waveform.shape[1])).abs()
    found = spectrum.argmax() * MEL.sample_rate / waveform.shape[1]
    assert abs(12 * torch.log2(found / hertz)) < 0.5  # semitones
    assert abs(20 * torch.log10(waveform.std() / tone(hertz).std())) < 2  # dB


def test_the_mel_survives_the_round_trip():
    mel = log_mel(torch.cat([0.1 * torch.randn(1, 20480), tone(700)], 1))
    waveform = GriffinLim(MEL)(mel)
    assert waveform.shape == (1, mel.shape[-1] * MEL.hop_length)
    assert waveform.abs().max() <= 1
    assert 100 * (log_mel(waveform) - mel).abs().mean() < 1.0  # dB


def test_more_iterations_are_more_precise():
    mel = log_mel(0.1 * torch.randn(1, 20480))
    errors = [(log_mel(GriffinLim(MEL, iterations=n)(mel)) - mel).abs().mean() for n in (4, 16, 64)]
    assert errors[0] > errors[1] > errors[2]


def test_real_recordings_survive_to_a_decibel(shared_data):
    import soundfile

    for path in sorted((shared_data / "esc10" / "audio").glob("*.ogg"))[::80]:
        samples, _ = soundfile.read(path, dtype="float32", frames=131072, always_2d=True)
        mel = log_mel(torch.from_numpy(samples).mean(1)[None])
        error = (log_mel(GriffinLim(MEL)(mel)) - mel).abs()
        assert 100 * error[mel > 0].mean() < 1.0, path.name


def test_same_result_in_any_batch_and_silence_is_silent():
    mel = torch.stack([log_mel(tone(440, 20))[0], torch.zeros(80, 20), log_mel(0.1 * torch.randn(1, 5120))[0]])
    vocoder = GriffinLim(MEL, iterations=8)
    waveform = vocoder(mel)
    assert waveform[1].abs().max() == 0
    for row in range(3):
        assert torch.equal(vocoder(mel[row:row + 1])[0], waveform[row])


def test_it_is_rebuilt_from_its_settings():
    vocoder = GriffinLim(MelSettings(n_mels=40), iterations=3)
    again = rebuild(vocoder.spec)
    assert (again.mel, again.iterations) == (vocoder.mel, 3)
    assert not again.state_dict()


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"momentum": 1.5}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="vocoder.iterations"):
        GriffinLim(MEL, **settings)


def test_too_short_a_mel_is_refused():
    with pytest.raises(ValueError, match="at least 4 frames"):
        GriffinLim(MEL)(torch.rand(1, 80, 3))
