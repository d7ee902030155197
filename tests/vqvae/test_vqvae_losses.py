import pytest
import torch
from published import state_dict_of

from diffsound.vqvae import PatchDiscriminator, ReconstructionLoss
from diffsound.vqvae.losses import discriminator_loss, generator_loss


def test_reconstruction_error_is_taken_on_the_published_range():
    mel = torch.rand(2, 80, 32)
    assert ReconstructionLoss()(mel, mel) == 0
    assert ReconstructionLoss()(mel + 0.1, mel).item() == pytest.approx(0.2, rel=1e-4)
    assert ReconstructionLoss(l1=0, mse=1)(mel + 0.1, mel).item() == pytest.approx(0.04, rel=1e-3)


def test_the_coarse_term_forgives_texture_but_not_level():
    loss = ReconstructionLoss(l1=0, multi_resolution=1)
    mel = torch.full((1, 80, 32), 0.5)
    texture = 0.1 * (-1) ** torch.arange(32)
    assert loss(mel + texture, mel).item() == pytest.approx(0, abs=1e-6)
    assert loss(mel + 0.1, mel).item() == pytest.approx(0.2, rel=1e-4)


def test_a_line_that_stands_out_costs_more_lost_or_made_up():
    quiet, line = torch.full((1, 80, 32), 0.4), torch.zeros(1, 80, 32, dtype=torch.bool)
    line[:, 40] = True
    loud = quiet + 0.3 * line
    plain, loss = ReconstructionLoss(), ReconstructionLoss(loud=1)
    assert loss(loud, loud) == 0
    lost, made_up, as_much_elsewhere = loss(quiet, loud), loss(loud, quiet), loss(quiet + 0.3 / 80, quiet)
    assert lost > 1.5 * as_much_elsewhere
    assert made_up == pytest.approx(lost.item(), rel=1e-5)
    assert plain(quiet, loud).item() == pytest.approx(plain(quiet + 0.3 / 80, quiet).item(), rel=1e-3)
    assert torch.isfinite(loss(quiet + 5, torch.zeros_like(quiet)))


@pytest.mark.golden
def test_the_discriminator_agrees_with_the_original(golden):
    tensors, settings = golden("e2_patchgan")
    discriminator = PatchDiscriminator(settings["config"]["ndf"], settings["config"]["n_layers"])
    discriminator.load_state_dict(state_dict_of(tensors))
    torch.testing.assert_close(discriminator.eval()(tensors["fake"]), tensors["logits_fake_eval"], atol=1e-4, rtol=0)
    fake, real = (discriminator.train()(tensors[name]) for name in ("fake", "real"))
    torch.testing.assert_close(fake, tensors["logits_fake_train"], atol=1e-4, rtol=0)
    torch.testing.assert_close(real, tensors["logits_real_train"], atol=1e-4, rtol=0)
    torch.testing.assert_close(discriminator_loss(real, fake), tensors["hinge_d"], atol=1e-4, rtol=0)
    torch.testing.assert_close(generator_loss(fake), tensors["g_loss"], atol=1e-4, rtol=0)


def test_the_published_discriminator_has_the_published_size():
    with torch.device("meta"):
        discriminator = PatchDiscriminator()
    assert sum(p.numel() for p in discriminator.parameters()) == 2_763_585
