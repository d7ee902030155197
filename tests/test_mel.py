import numpy as np
import pytest
import torch

from diffsound.mel import LogMel, MelSettings, from_unit, to_unit


def test_equals_librosa():
    import librosa

    settings = MelSettings()
    wave = np.random.default_rng(0).standard_normal(8192).astype(np.float32) * 0.1
    spectrum = np.abs(librosa.stft(wave, n_fft=1024, hop_length=256, pad_mode="reflect"))
    filters = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=125, fmax=7600)
    ours = LogMel(settings).magnitude(torch.from_numpy(wave)[None])[0].numpy()
    np.testing.assert_allclose(ours, (filters @ spectrum)[:, :32], atol=1e-5)


@pytest.mark.golden
def test_equals_the_original(golden):
    tensors, config = golden("g_mel")
    p = config["params"]
    log_mel = LogMel(MelSettings(p["sr"], p["n_fft"], p["hop"], p["n_mels"], p["fmin"], p["fmax"]))
    mel = log_mel(tensors["wave"][None])[0]
    torch.testing.assert_close(mel, tensors["mel.reflect.no_pad"][:, : mel.shape[1]], atol=1e-5, rtol=0)
    torch.testing.assert_close(log_mel.filters, tensors["mel_basis"], atol=1e-6, rtol=0)
    padded = torch.nn.functional.pad(tensors["wave"], (0, 10 * p["sr"] - len(tensors["wave"])))
    frames = tensors["mel.reflect.pad10s_first320"].shape[1]
    torch.testing.assert_close(log_mel(padded[None])[0, :, :frames], tensors["mel.reflect.pad10s_first320"].float(),
                               atol=1e-5, rtol=0)


def test_silence_is_zero_and_full_scale_stays_below_one():
    log_mel = LogMel(MelSettings())
    assert log_mel(torch.zeros(1, 4096)).max() == 0
    loud = torch.sin(torch.arange(22050) * 2 * torch.pi * 1000 / 22050)[None]
    assert 0.6 < log_mel(loud).max() <= 1


@pytest.mark.parametrize("samples", [1024, 1279, 1280, 86016])
def test_frames_are_whole_hops(samples):
    assert LogMel(MelSettings())(torch.randn(2, samples)).shape == (2, 80, samples // 256)


def test_clips_do_not_mix_and_precision_does_not_matter():
    log_mel, wave = LogMel(MelSettings()), torch.randn(3, 4096)
    torch.testing.assert_close(log_mel(wave)[1:2], log_mel(wave[1:2]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_mel(wave), log_mel(wave.clone()))
        assert log_mel(wave).dtype == torch.float32


def test_decibels_come_back():
    magnitude = torch.tensor([1e-4, 1e-2, 1.0, 10.0])
    torch.testing.assert_close(to_unit(magnitude), torch.tensor([0.0, 0.4, 0.8, 1.0]))
    torch.testing.assert_close(from_unit(to_unit(magnitude)), magnitude)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: MelSettings(f_max=12000), "f_max 12000"), (lambda: MelSettings(hop_length=0), "hop_length 0"),
    (lambda: LogMel(MelSettings())(torch.zeros(1, 1000)), "1000 samples is shorter"),
])
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
