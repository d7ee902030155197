import pytest
import torch
from pytorch_lightning import Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader

from diffsound.callbacks import SeededSteps
from diffsound.callbacks.mel_pictures import MelPictures
from diffsound.mel import RANGE_DB, MelSettings
from diffsound.vqvae import (
    VQVAE,
    Codebook,
    Decoder,
    EMACodebook,
    Encoder,
    FiniteScalar,
    PatchDiscriminator,
    ReconstructionLoss,
)

COLUMN = 16 * 256  # samples


def make_vqvae(quantizer=None, attention=False, norm="position", **options) -> VQVAE:
    sizes = {"channels": 16, "channel_multipliers": [1, 1, 2], "res_blocks": 1, "z_channels": 8, "patch_size": 4,
             "attention": attention, "norm": norm}
    quantizer = quantizer or FiniteScalar([4, 4, 4, 4])
    return VQVAE(MelSettings(), Encoder(**sizes), Decoder(**sizes), quantizer, quantizer.embed_dim,
                 ReconstructionLoss(), **options)


class Waveforms(torch.utils.data.Dataset):
    def __init__(self, num: int, columns: int = 4) -> None:
        self.waveforms = torch.rand(num, columns * COLUMN, generator=torch.Generator().manual_seed(3)) - 0.5

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitem__(self, i: int) -> dict:
        return {"waveform": self.waveforms[i] * (i + 1) / len(self), "text": "noise"}


def fit(module, folder, steps, ckpt_path=None, callbacks=(), logger=False):
    trainer = Trainer(accelerator="cpu", max_steps=steps, default_root_dir=folder, logger=logger,
                      enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                      callbacks=[SeededSteps(), *callbacks])
    trainer.fit(module, DataLoader(Waveforms(4), batch_size=2), DataLoader(Waveforms(4), batch_size=2),
                ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_shapes_of_the_narrow_face():
    vqvae = make_vqvae().eval()
    tokens = vqvae.encode(torch.rand(2, 6 * COLUMN + 100) - 0.5)
    assert (tokens.shape, tokens.dtype) == ((2, 5 * 6), torch.int64)
    mel = vqvae.decode(tokens, columns=6)
    assert (mel.shape, mel.dtype) == ((2, 80, 96), torch.float32)
    assert 0 <= mel.min() <= mel.max() <= 1
    assert (vqvae.rows, vqvae.codebook_size) == (5, 256)


@pytest.mark.parametrize("columns", [1, 2, 5, 9])
def test_any_number_of_columns_goes_through(columns):
    vqvae = make_vqvae().eval()
    assert vqvae.decode(vqvae.encode_mel(torch.rand(1, 80, 16 * columns + 3)), columns).shape[-1] == 16 * columns


def test_tokens_are_time_major_and_the_lowest_band_comes_first():
    vqvae = make_vqvae(FiniteScalar([2]))
    vqvae.encoder, vqvae.decoder = nn.AvgPool2d(16), nn.Upsample(scale_factor=16)  # each cell by itself
    vqvae.quant_conv = vqvae.post_quant_conv = nn.Identity()
    mel = torch.zeros(1, 80, 16 * 7)
    mel[:, 16:32, 5 * 16 : 6 * 16] = 1  # second band from below, sixth column
    tokens = vqvae.eval().encode_mel(mel)
    assert tokens.nonzero().tolist() == [[0, 5 * 5 + 1]]
    assert torch.equal(vqvae.decode(tokens, 7), mel)


def test_far_away_sound_changes_no_token():
    vqvae = make_vqvae().eval()
    waveform = torch.rand(1, 40 * COLUMN) - 0.5
    other = waveform.clone()
    other[:, -2 * COLUMN :] = 0
    same = (vqvae.encode(waveform) == vqvae.encode(other)).reshape(40, 5).all(1)
    assert same[:25].all()
    assert not same[-2:].all()


def test_silence_has_the_same_tokens_at_every_time():
    vqvae = make_vqvae().eval()
    columns = vqvae.encode(torch.zeros(1, 40 * COLUMN)).reshape(40, 5)
    assert (columns[15:25] == columns[20]).all()  # away from the padding at both ends


def test_autocast_does_not_change_tokens_or_mels():
    vqvae = make_vqvae(Codebook(64, 8)).eval()
    waveform = torch.rand(2, 6 * COLUMN) - 0.5
    tokens = vqvae.encode(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(vqvae.encode(waveform), tokens)
        assert torch.equal(vqvae.decode(tokens, 6), vqvae.decode(tokens, 6).float())
        rebuilt, quantized = vqvae(torch.rand(1, 80, 32))
    assert rebuilt.dtype == quantized.z_q.dtype == torch.float32


def test_encoding_while_training_is_the_same_and_moves_nothing():
    vqvae = make_vqvae(EMACodebook(16, 4))
    waveform = torch.rand(2, 6 * COLUMN) - 0.5
    vqvae(vqvae.log_mel(waveform))  # starts the codebook
    before = vqvae.fingerprint
    assert torch.equal(vqvae.train().encode(waveform), vqvae.eval().encode(waveform))
    assert vqvae.fingerprint == before


def test_wrong_input_is_refused_in_one_line():
    vqvae = make_vqvae().eval()
    with pytest.raises(ValueError, match="15 frames is shorter than one column"):
        vqvae.encode_mel(torch.rand(1, 80, 15))
    with pytest.raises(ValueError, match="64 bands came to a codec of mel.n_mels = 80"):
        vqvae.encode_mel(torch.rand(1, 64, 32))
    with pytest.raises(ValueError, match="11 tokens do not fill 2 columns of 5 rows: expected 10"):
        vqvae.decode(torch.zeros(1, 11, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="0 to 256 came to a codec with codes 0..255: check codebook_size"):
        vqvae.decode(torch.tensor([[0] * 9 + [256]]), 2)
    sizes = {"channels": 8, "channel_multipliers": [1, 1, 1], "res_blocks": 1, "z_channels": 8, "patch_size": 4}
    with pytest.raises(ValueError, match="embed_dim is 256, but the codes of FiniteScalar have 4 numbers"):
        VQVAE(MelSettings(), Encoder(**sizes), Decoder(**sizes), FiniteScalar([4] * 4), 256, ReconstructionLoss())
    with pytest.raises(ValueError, match="mel.n_mels 100 must be a multiple of 16"):
        VQVAE(MelSettings(n_mels=100), Encoder(**sizes), Decoder(**sizes), FiniteScalar([4] * 4), 4,
              ReconstructionLoss())


def test_the_fingerprint_follows_weights_and_sizes_but_not_the_training():
    vqvae = make_vqvae(learning_rate=1e-3).eval()
    before = vqvae.fingerprint
    other = make_vqvae(learning_rate=2e-3, discriminator=PatchDiscriminator(4)).eval()
    other.load_state_dict(vqvae.state_dict(), strict=False)
    assert other.fingerprint == before
    other.quant_conv.bias.data[0] += 1e-3
    assert other.fingerprint != before


def test_codec_and_discriminator_do_not_train_each_other_the_wrong_way():
    vqvae = make_vqvae(discriminator=PatchDiscriminator(4))
    mel = torch.rand(2, 80, 64)
    rebuilt, _ = vqvae(mel)
    generator, discriminator = vqvae._adversarial_losses(mel, rebuilt)
    judge, codec = list(vqvae.discriminator.parameters()), list(vqvae.decoder.parameters())
    for loss, touched, untouched in [(generator, codec, judge), (discriminator, judge, codec)]:
        gradients = torch.autograd.grad(loss, touched, allow_unused=True, retain_graph=True)
        assert any(g is not None and g.abs().sum() > 0 for g in gradients)
        assert all(g is None for g in torch.autograd.grad(loss, untouched, allow_unused=True, retain_graph=True))


def test_the_discriminator_waits_for_its_step():
    vqvae = make_vqvae(discriminator=PatchDiscriminator(4), discriminator_start=1)
    mel = torch.rand(2, 80, 64)
    generator, discriminator = vqvae._adversarial_losses(mel, vqvae(mel)[0])
    assert generator == discriminator == 0
    discriminator.backward()
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in vqvae.discriminator.parameters())


def test_training_reports_and_its_checkpoint_rebuilds_the_codec(tmp_path):
    vqvae = make_vqvae(discriminator=PatchDiscriminator(4), learning_rate=1e-3, warmup_steps=2, decay="cosine")
    trainer = fit(vqvae, tmp_path, steps=4, callbacks=[MelPictures(count=2)])
    logged = trainer.callback_metrics
    assert {"train/loss", "val/loss", "val/mel_db", "val/mel_db_sounding", "val/perplexity", "val/codes_used",
            "val/flip_rate"} <= set(logged)
    assert 1 <= logged["val/perplexity"] <= logged["val/codes_used"] + 1e-3 <= 256
    assert 0 <= logged["val/flip_rate"] <= 1
    assert 0 < logged["val/mel_db"] <= RANGE_DB
    assert (tmp_path / "pictures" / "step-000004.png").read_bytes().startswith(b"\x89PNG")

    trainer.save_checkpoint(tmp_path / "codec.ckpt")
    loaded = VQVAE.from_checkpoint(tmp_path / "codec.ckpt")
    waveform = torch.rand(1, 4 * COLUMN) - 0.5
    tokens = vqvae.eval().encode(waveform)
    assert torch.equal(loaded.encode(waveform), tokens)
    assert torch.equal(loaded.decode(tokens, 4), vqvae.decode(tokens, 4))
    assert loaded.fingerprint == vqvae.fingerprint


def test_two_codes_a_cell_are_twice_as_many_rows():
    vqvae = make_vqvae(FiniteScalar([4, 4], streams=2)).eval()
    tokens = vqvae.encode(torch.randn(2, 4 * 16 * 256) / 4)
    assert vqvae.rows == 10
    assert tokens.shape == (2, 40)
    mel = vqvae.decode(tokens, 4)
    assert mel.shape == (2, 80, 64)
    for stream in (0, 1):  # both are heard
        other = tokens.clone()
        other[:, 10 + stream] = 15 - other[:, 10 + stream]
        assert (vqvae.decode(other, 4) - mel).abs().amax((1, 2)).min() > 0


@pytest.mark.parametrize("make", [lambda: FiniteScalar([4, 4]), lambda: EMACodebook(8, 2), lambda: Codebook(8, 2)],
                         ids=["finite", "ema", "codebook"])
def test_with_the_encoder_fixed_tokens_stay_what_they_are_and_the_way_back_learns(make, tmp_path):
    start = make_vqvae(make())
    fit(start, tmp_path, steps=1)  # the codebooks have begun
    sharper = make_vqvae(make(), train_encoder=False, discriminator=PatchDiscriminator(4))
    sharper.load_state_dict(start.state_dict(), strict=False)
    waveform = torch.stack([Waveforms(4)[i]["waveform"] for i in range(4)])
    tokens, mel = sharper.eval().encode(waveform), sharper.decode(sharper.encode(waveform), 4)
    before = sharper.fingerprint, sharper.whole_fingerprint
    fit(sharper, tmp_path, steps=2)
    sharper.eval()
    assert torch.equal(sharper.encode(waveform), tokens)
    assert not torch.equal(sharper.decode(tokens, 4), mel)
    assert (sharper.fingerprint, sharper.whole_fingerprint == before[1]) == (before[0], False)


@pytest.mark.parametrize("make", [lambda: FiniteScalar([4, 4, 4, 4]), lambda: EMACodebook(32, 4, restart_after=2),
                                  lambda: Codebook(32, 4, restart_after=2)], ids=["finite", "ema", "codebook"])
def test_a_resumed_run_equals_an_unbroken_one(make, tmp_path):
    def module() -> VQVAE:
        seed_everything(5, verbose=False)
        return make_vqvae(make(), discriminator=PatchDiscriminator(4), discriminator_start=1, warmup_steps=3)

    unbroken, resumed = module(), module()
    fit(unbroken, tmp_path, steps=4)
    fit(module(), tmp_path, steps=2).save_checkpoint(tmp_path / "half.ckpt")
    fit(resumed, tmp_path, steps=4, ckpt_path=tmp_path / "half.ckpt")
    for name, value in unbroken.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)
