"""What the two token decoders share: the text as a condition, and the token grid they were trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from diffsound.checkpoint import Checkpointed
from diffsound.processes import BatchNoise
from diffsound.text_encoder.condition import Condition, NullCondition
from diffsound.text_encoder.frozen import Frozen
from diffsound.text_encoder.module import TextEncoder
from diffsound.token_sampler import TokenSampler


class TokenDecoder(Checkpointed, LightningModule):
    """Base of `DiscreteDiffusion` and `Autoregressive`.

    Holds the text encoder (frozen outside the checkpoint, or trained inside it), the learned null condition of
    classifier-free guidance, and what it was told of the codec by the token store. It never holds the codec.
    """

    def __init__(self, text_encoder: TextEncoder, codebook_size: int, rows: int, max_columns: int,
                 text_dropout: float) -> None:
        super().__init__()
        if not 0 <= text_dropout < 1:
            raise ValueError(f"text_dropout is {text_dropout}, expected a share in [0, 1)")
        self.text_encoder = text_encoder if text_encoder.trainable else Frozen(text_encoder)
        self.null = NullCondition(text_encoder.width)
        self.codebook_size, self.rows, self.max_columns = codebook_size, rows, max_columns
        self.text_dropout = text_dropout

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder itself, frozen or not."""
        return self.text_encoder.module if isinstance(self.text_encoder, Frozen) else self.text_encoder

    def condition(self, texts: list[str]) -> Condition:
        """Embeddings of `texts` on this module's device."""
        if isinstance(self.text_encoder, Frozen):
            return self.text_encoder(texts, device=self.device).to(self.device)
        return self.text_encoder(texts)

    def training_condition(self, texts: list[str], noise: BatchNoise) -> Condition:
        """As `condition`, with a share of `text_dropout` of the texts replaced by the null condition."""
        condition = self.condition(texts)
        drop = noise.rand(len(texts)) < self.text_dropout
        return self.null.replace(condition, drop)

    def on_fit_start(self) -> None:
        """Check the token store against the recipe, and note whose tokens these are."""
        data = self.trainer.datamodule
        for name, mine, theirs, where in [
            ("codebook_size", self.codebook_size, data.codebook_size, "once at the top of the recipe"),
            ("rows", self.rows, data.rows, "in the init_args of the decoder's denoiser or network"),
        ]:
            if mine != theirs:
                raise ValueError(f"the decoder has {name} {mine}, the token store {theirs}: set {name} {theirs} "
                                 f"{where}, or tokenize again if the codec changed")
        if data.columns > self.max_columns:
            raise ValueError(f"the token store has {data.columns} columns, the decoder at most {self.max_columns}: "
                             "raise max_columns, or tokenize shorter clips")
        known = self.facts.get("codec", data.codec_fingerprint)
        if known != data.codec_fingerprint:
            raise ValueError(f"the decoder was trained on tokens of codec {known}, the token store holds tokens of "
                             f"{data.codec_fingerprint}: tokenize with the first codec, or start without ckpt_path "
                             "and start_from")
        self.facts = {**self.facts, "codec": data.codec_fingerprint, "columns": data.columns}

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: Tensor | None) -> None:
        """A plateau is one of the step's loss averaged over processes, so that all of them keep the same rate."""
        if isinstance(scheduler, ReduceLROnPlateau):
            loss = self.trainer.callback_metrics["train/loss"].clone()  # reduced in place
            metric = self.trainer.strategy.reduce(loss, reduce_op="mean")
        super().lr_scheduler_step(scheduler, metric)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        super().on_load_checkpoint(checkpoint)
        self.facts = checkpoint["facts"]

    def steering(self, condition: Condition, sampler: TokenSampler, columns: int, generators: list[torch.Generator],
                 negative: Condition | None) -> Condition:
        """`condition`, followed by what guidance steers away from if the sampler is guided: (B or 2 B, S, D).

        Raises:
            ValueError: if there are more columns than trained for, nothing to steer away from, or not one of each for
                every clip.
        """
        clips = len(condition.mask)
        if len(generators) != clips or (negative is not None and len(negative.mask) != clips):
            raise ValueError(f"there are {clips} texts, {len(generators)} generators and "
                             f"{0 if negative is None else len(negative.mask)} negative texts: expected one for each")
        if not 1 <= columns <= self.max_columns:
            raise ValueError(f"{columns} columns asked for, this decoder makes 1 to {self.max_columns}")
        if not sampler.guided:
            if negative is not None:
                raise ValueError("a negative prompt does nothing at sampler guidance_scale 1: raise it, say to 3")
            return condition
        if negative is None and self.text_dropout == 0:
            raise ValueError(f"sampler guidance_scale is {sampler.guidance_scale}, but the decoder was trained with "
                             "text_dropout 0, so it has not learned a null condition to steer away from: use "
                             "guidance_scale 1, give a negative prompt, or train with text_dropout 0.1")
        return condition.stack(self.null.like(condition) if negative is None else negative)

    def generate(self, condition: Condition, columns: int, sampler: TokenSampler, generators: list[torch.Generator],
                 keep: Tensor | None = None, negative: Condition | None = None,
                 on_step: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """Tokens (B, rows * columns) for B texts.

        Args:
            condition: of B texts, from `condition`.
            columns: time columns, 1..max_columns.
            sampler: a sampler of this decoder.
            generators: B CPU generators; all noise of a clip comes from its own.
            keep: (B, rows * columns) tokens that are given; -1 where they are to be made.
            negative: of B texts, what guidance steers away from; by default the learned null condition.
            on_step: called after every step with the number of steps done and the tokens at that point.
        Raises:
            ValueError: if columns or the numbers of texts and generators do not fit, or the sampler steers by a null
                condition that was not trained.
        """
        raise NotImplementedError

    def num_steps(self, sampler: TokenSampler, columns: int) -> int:
        """How many steps `generate` takes, at most."""
        raise NotImplementedError

    def check_sampler(self, sampler: TokenSampler) -> None:
        """Raise ValueError if `sampler` cannot draw from this decoder."""
        raise NotImplementedError
