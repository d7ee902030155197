"""The vocoder as a whole: silence, segments, the two players' gradients, checkpoints, resuming."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from diffsound.callbacks import SeededSteps
from diffsound.mel import LogMel, MelSettings
from diffsound.processes import BatchNoise
from diffsound.vocoder import Discriminator, Generator, MelGAN

MEL = MelSettings(sample_rate=8000, n_fft=256, hop_length=64, n_mels=16, f_min=50, f_max=4000)


def small_melgan(discriminator: bool = True, **settings) -> MelGAN:
    torch.manual_seed(0)
    return MelGAN(MEL, Generator(16, channels=4, residual_layers=1, ratios=(8, 4, 2)),
                  Discriminator(2, 4, 16) if discriminator else None, learning_rate=1e-3,
                  **({"segment": 512} | settings))


class Clips(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        return {"waveform": 0.1 * torch.randn(2048, generator=generator), "text": "noise"}


def fit(model: MelGAN, epochs: int, ckpt_path=None) -> Trainer:
    torch.manual_seed(1)
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False,
                      callbacks=[SeededSteps()])
    trainer.fit(model, DataLoader(Clips(), batch_size=2), DataLoader(Clips(), batch_size=2), ckpt_path=ckpt_path)
    return trainer


def test_silent_frames_are_silent_samples_and_the_others_are_untouched():
    model = small_melgan()
    mel = torch.rand(1, 16, 30) + 0.05
    mel[:, :, 10:20] = 0
    waveform = model(mel).detach()
    assert waveform[:, 10 * 64:19 * 64].abs().max() == 0  # frame i is centred at sample i * hop
    torch.testing.assert_close(waveform[:, :9 * 64], model.generator(mel)[:, :9 * 64])
    torch.testing.assert_close(waveform[:, 20 * 64:], model.generator(mel)[:, 20 * 64:])
    assert model(torch.zeros(2, 16, 8)).abs().max() == 0


def test_segments_are_aligned_cuts_of_the_whole_mel():
    model = small_melgan()
    waveform = torch.arange(4096.0)[None].repeat(8, 1) / 4096 * torch.linspace(0.1, 1, 8)[:, None]
    real, mel = model._segments(waveform, BatchNoise())
    whole = LogMel(MEL)(waveform)
    assert real.shape == (8, 512)
    for row in range(8):
        start = int((real[row, 0] / waveform[row, 1]).round())
        assert start % 64 == 0
        torch.testing.assert_close(real[row], waveform[row, start:start + 512])
        torch.testing.assert_close(mel[row], whole[row, :, start // 64:start // 64 + 8])


def test_no_player_gets_the_others_gradient():
    model = small_melgan()
    real = 0.1 * torch.randn(2, 512)
    terms = model._adversarial_terms(model(torch.rand(2, 16, 8)), real)
    (terms["adversarial"] + terms["feature_matching"]).backward(retain_graph=True)
    assert all(p.grad is None for p in model.discriminator.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.generator.parameters())
    model.zero_grad(set_to_none=True)
    terms["discriminator"].backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert any(p.grad.abs().sum() > 0 for p in model.discriminator.parameters())


def test_it_learns_a_tone_without_an_adversary():
    model = small_melgan(discriminator=False, mel_weight=1.0, stft_weight=0.1, segment=2048)
    tone = 0.3 * torch.sin(2 * torch.pi * 500 / 8000 * torch.arange(2048)).expand(2, -1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss = model.training_step({"waveform": tone}, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_checkpoint_brings_back_the_same_vocoder_and_resuming_equals_not_stopping(tmp_path):
    unbroken = small_melgan(mel_weight=1.0)
    trainer = fit(unbroken, epochs=2)
    assert trainer.global_step == 4  # one per batch, though two networks learn
    assert trainer.callback_metrics["val/mel_db"] > 0

    half = small_melgan(mel_weight=1.0)
    fit(half, epochs=1).save_checkpoint(tmp_path / "half.ckpt")
    mel = torch.rand(2, 16, 20)
    loaded = MelGAN.from_checkpoint(tmp_path / "half.ckpt")
    assert not loaded.training
    torch.testing.assert_close(loaded(mel), half.eval()(mel))

    resumed = small_melgan(mel_weight=1.0)
    fit(resumed, epochs=2, ckpt_path=tmp_path / "half.ckpt")
    for name, value in unbroken.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(("settings", "message"), [
    ({"generator": Generator(16, 4, 1, (8, 4))}, "generator.ratios"),
    ({"generator": Generator(20, 4, 1, (8, 4, 2))}, "generator.n_mels"),
    ({"segment": 500}, "vocoder.segment 500"),
    ({"segment": 512, "stft_weight": 1.0}, "at least 2048"),
    ({"discriminator": None}, "nothing to learn from"),
    ({"discriminator_start": 10}, "nothing to learn from"),
])
def test_parts_that_do_not_fit_are_refused(settings, message):
    good = {"generator": Generator(16, 4, 1, (8, 4, 2)), "discriminator": Discriminator(1, 4, 8)}
    with pytest.raises(ValueError, match=message):
        MelGAN(MEL, **(good | settings))


def test_without_fading_the_waveform_is_the_networks_own():
    model = small_melgan(fade_silence=False)
    mel = torch.rand(1, 16, 30)
    mel[:, :, 10:20] = 0
    assert torch.equal(model(mel), model.generator(mel))
