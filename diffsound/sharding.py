"""A decoder whose weights are spread over several GPUs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    MixedPrecision,
    OptimStateKeyType,
    StateDictType,
)
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from diffsound.autoregressive.networks import CausalBlock
from diffsound.checkpoint import read_checkpoint
from diffsound.diffusion.denoiser import Block
from diffsound.token_decoder import TokenDecoder


class ShardedDecoder(FSDPStrategy):
    """Lightning's FSDP as a token decoder needs it; on CUDA alone. Process 0 writes ordinary whole checkpoints.

    Args:
        sharding_strategy, cpu_offload: see Lightning's `FSDPStrategy`.
    Raises:
        ValueError: for what shards cannot do: other modules, the optimizer muon, and going on from a checkpoint that
            holds averaged weights.
    """

    def __init__(self, sharding_strategy: Literal["FULL_SHARD", "SHARD_GRAD_OP", "HYBRID_SHARD"] = "FULL_SHARD",
                 cpu_offload: bool = False, **options: Any) -> None:
        super().__init__(sharding_strategy=sharding_strategy, cpu_offload=cpu_offload, state_dict_type="full",
                         auto_wrap_policy={Block, CausalBlock}, **options)

    @property
    def mixed_precision_config(self) -> MixedPrecision | None:
        """Lightning would round what is no weight, such as the tables of the corruption, and sums over processes."""
        config = super().mixed_precision_config
        return config and dataclasses.replace(config, reduce_dtype=torch.float32, buffer_dtype=torch.float32)

    def setup(self, trainer: Trainer) -> None:
        module = self.lightning_module
        if self.root_device.type != "cuda":
            raise ValueError(f"FSDP needs CUDA, found {self.root_device.type}: use configs/trainer/ddp.yaml")
        if not isinstance(module, TokenDecoder):
            raise ValueError(f"{type(module).__name__} cannot be trained in shards, only the decoders can: "
                             "use configs/trainer/ddp.yaml")
        if module.optimization["optimizer"] == "muon":
            raise ValueError("the optimizer muon needs whole matrices, FSDP holds shards of them: set the decoder's "
                             "optimizer to adamw, or use configs/trainer/ddp.yaml")
        super().setup(trainer)
        # Only the sharded model knows the norm of all gradients; Lightning does not clip by it at all.
        self.precision_plugin.clip_grad_by_norm = lambda optimizer, clip_val: self.model.clip_grad_norm_(clip_val)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Lightning's runs code that a checkpoint holds; this one does not."""
        checkpoint = read_checkpoint(checkpoint_path)
        if "current_model_state" in checkpoint:
            raise ValueError(f"{checkpoint_path} holds averaged weights, which cannot be kept up in shards: start anew "
                             "from them with --start_from, without ckpt_path")
        with FSDP.state_dict_type(self.model, StateDictType.FULL_STATE_DICT, FullStateDictConfig(rank0_only=False),
                                  FullOptimStateDictConfig(rank0_only=False)):
            self.model.load_state_dict(checkpoint.pop("state_dict"))
            for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
                state = FSDP.rekey_optim_state_dict(state, OptimStateKeyType.PARAM_NAME, self.model)
                optimizer.load_state_dict(FSDP.optim_state_dict_to_load(self.model, optimizer, state))
        return checkpoint
