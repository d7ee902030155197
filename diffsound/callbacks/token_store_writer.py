"""Prediction with a codec that ends in a token store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from diffsound.data.token_store import StoredClip, TokenStoreWriter


class TokenStoreCallback(BasePredictionWriter):
    """Writes {"tokens": (B, L) int64}, as `VQVAE.predict_step` returns it, with the clips of the batch.

    The codec tells `fingerprint`, `mel`, `rows` and `codebook_size`; columns = L / rows. The store takes its place when
    prediction ends; when it fails, an older store stays as it was.

    Args:
        folder: the token store.
        overwrite: replace a store that is there.
        append: add to a store that is there, made by the same codec.
        shard_size: rows in a shard.
    """

    def __init__(self, folder: str, overwrite: bool = True, append: bool = False, shard_size: int = 65536) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.shard_size = folder, shard_size
        self.append, self.overwrite = append, overwrite and not append
        self._writer: TokenStoreWriter | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict" and trainer.world_size > 1:
            raise ValueError(f"a token store is written by one process, found {trainer.world_size}: "
                             "set trainer.devices 1, or tokenize parts and append")

    def write_on_batch_end(self, trainer: Trainer, pl_module: LightningModule, prediction: dict[str, Any],
                           batch_indices: Sequence[int] | None, batch: dict[str, Any], batch_idx: int,
                           dataloader_idx: int) -> None:
        tokens = prediction["tokens"].cpu().numpy()
        if self._writer is None:
            self._writer = self._open(pl_module, tokens.shape[1])
        fields = zip(batch["id"], batch["captions"], batch["labels"], batch["split"], batch["group"], strict=True)
        self._writer.add(tokens, [StoredClip(*clip) for clip in fields])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _open(self, codec: LightningModule, length: int) -> TokenStoreWriter:
        columns, rest = divmod(length, codec.rows)
        if rest:
            raise ValueError(f"{length} tokens a clip do not fill whole columns of {codec.rows} rows: "
                             "the codec's rows and its tokens disagree")
        return TokenStoreWriter(self.folder, codec.fingerprint, codec.mel, codec.rows, columns, codec.codebook_size,
                                self.shard_size, self.overwrite, self.append)
