"""What shards cannot do is refused before it goes wrong. Shards themselves need GPUs, and are not tested here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.plugins.precision import FSDPPrecision
from training_process import DECODERS, fit, write_store

from diffsound.callbacks import AveragedWeights
from diffsound.sharding import ShardedDecoder
from diffsound.vocoder import MelGAN


def strategy(module=None, device: str = "cuda") -> ShardedDecoder:
    made = ShardedDecoder(parallel_devices=[torch.device(device)], cluster_environment=SimpleNamespace(
        local_rank=lambda: 0))
    made._lightning_module = module
    return made


@pytest.mark.parametrize(("module", "device", "message"), [
    (DECODERS["bound"], "cpu", "FSDP needs CUDA, found cpu"),
    (DECODERS["muon"], "cuda", "muon needs whole matrices.*optimizer to adamw"),
    (lambda: MelGAN.__new__(MelGAN), "cuda", "MelGAN cannot be trained in shards.*ddp.yaml"),
])
def test_what_shards_cannot_train_is_refused(module, device, message):
    with pytest.raises(ValueError, match=message):
        strategy(module(), device).setup(SimpleNamespace())


def test_averaged_weights_are_refused():
    with pytest.raises(ValueError, match="AveragedWeights copies whole weights.*trainer.callbacks"):
        AveragedWeights().setup(SimpleNamespace(strategy=strategy()), DECODERS["bound"](), "fit")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_checkpoint_of_averaged_weights_and_one_with_code_are_refused(tmp_path):
    fit(DECODERS["bound"](), write_store(tmp_path / "tokens"), tmp_path, steps=1)
    with pytest.raises(ValueError, match="last.ckpt holds averaged weights.*--start_from"):
        strategy().load_checkpoint(tmp_path / "last.ckpt")
    torch.save({"state_dict": {"path": Path("x")}, "spec": {}}, tmp_path / "code.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint that can be read safely"):
        strategy().load_checkpoint(tmp_path / "code.ckpt")


def test_only_weights_are_rounded():
    made = strategy()
    made.precision_plugin = FSDPPrecision("bf16-mixed")
    config = made.mixed_precision_config
    assert (config.param_dtype, config.buffer_dtype, config.reduce_dtype) == (
        torch.bfloat16, torch.float32, torch.float32)
