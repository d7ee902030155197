"""The published network's own numbers, from its own weights."""

import pytest
import torch
from published import state_dict_of

from diffsound.diffusion import Denoiser
from diffsound.original import keys
from diffsound.text_encoder import Condition

pytestmark = pytest.mark.golden


def test_logits(golden):
    tensors, settings = golden("d_transformer")
    c = settings["config"]
    denoiser = Denoiser(c["K"], c["T"], *c["spatial"], layers=c["n_layer"], width=c["n_embd"], heads=c["n_head"],
                        feed_forward=c["mlp_hidden_times"], condition_width=c["condition_dim"], positions="original")
    denoiser.load_state_dict(keys.sort(state_dict_of(tensors, "state_dict.transformer."), keys.DENOISER,
                                       keys.DENOISER_DROPS)[0])
    condition = Condition(tensors["cond"], torch.ones(tensors["cond"].shape[:2], dtype=torch.bool))
    embedded = denoiser.embed(tensors["tokens"])
    torch.testing.assert_close(embedded, tensors["content_emb"], atol=1e-6, rtol=0)
    logits = denoiser(tensors["tokens"], tensors["t"] + 1, condition)
    torch.testing.assert_close(logits.transpose(1, 2), tensors["logits"], atol=1e-5, rtol=0)
    log_p = logits.log_softmax(-1).transpose(1, 2)
    torch.testing.assert_close(log_p, tensors["predict_start_log_prob"][:, :-1], atol=1e-5, rtol=0)
