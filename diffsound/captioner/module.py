"""The captioner: says in words what is heard in a waveform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from diffsound.attention import KeyValueCache
from diffsound.captioner.networks import MelEncoder, TextDecoder
from diffsound.checkpoint import Checkpointed
from diffsound.evaluation.rough_mel import rough_mel
from diffsound.mel import LogMel, MelSettings
from diffsound.optimizer import optimization
from diffsound.scenes import Structure, read
from diffsound.text_encoder.word_pieces import (
    END,
    PAD,
    SPECIAL,
    build_tokenizer,
    join_pieces,
    read_vocabulary,
    refuse_other_vocabulary,
    vocabulary_checksum,
)


class Captioner(Checkpointed, LightningModule):
    """p(caption | sound), over the word pieces of `SmallTextEncoder`.

    Batches hold "waveform" (B, N) and "captions", of which a random one is learned in each step, or else "text".
    Captions of the same sound differ in every choice of words, so that their likelihood alone is slow to tell the
    encoder what is heard; it also learns to name, from all of the sound, the pieces that its captions have.

    Args:
        mel: the spectrogram it listens to.
        width: of both networks.
        blocks, layers, heads: convolutional blocks of the encoder; layers and heads of the decoder.
        max_tokens: the longest caption, learned or said, in word pieces, the end included.
        dropout: of the decoder.
        words_weight: of the loss of naming the pieces.
        roughen: the share of training clips that are made worse, each in three ways, as in the judge's training.
        learning_rate, betas, weight_decay, warmup_steps, decay: see `diffsound.optimizer.optimization`.
    """

    def __init__(self, mel: MelSettings | dict, width: int = 128, blocks: int = 3, layers: int = 2, heads: int = 4,
                 max_tokens: int = 64, dropout: float = 0.0, words_weight: float = 1.0, roughen: float = 0.5,
                 learning_rate: float = 2e-3, betas: tuple[float, float] = (0.9, 0.98), weight_decay: float = 0.01,
                 warmup_steps: int = 100, decay: Literal["constant", "cosine"] = "cosine") -> None:
        super().__init__()
        self.mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        self.log_mel = LogMel(self.mel)
        self.vocabulary = read_vocabulary()
        self.tokenizer = build_tokenizer(self.vocabulary)
        self.end, self.padding = self.vocabulary.index(END), self.vocabulary.index(PAD)
        self.register_buffer("vocabulary_checksum", vocabulary_checksum(self.vocabulary))
        unsaid = [piece in SPECIAL and piece != END for piece in self.vocabulary]
        self.register_buffer("unsaid", torch.tensor(unsaid), persistent=False)
        self.encoder = MelEncoder(self.mel.n_mels, width, blocks)
        self.decoder = TextDecoder(len(self.vocabulary), width, layers, heads, max_tokens, dropout)
        self.words = nn.Linear(width, len(self.vocabulary))
        nn.init.constant_(self.words.bias, -5.0)  # most pieces are in no caption of a sound
        self.max_tokens, self.words_weight, self.roughen = max_tokens, words_weight, roughen
        self.learning_rate, self.betas, self.weight_decay = learning_rate, betas, weight_decay
        self.warmup_steps, self.decay = warmup_steps, decay

    def forward(self, mel: Tensor, ids: Tensor) -> Tensor:
        """Logits (B, S, V) of the piece after each of `ids` (B, S), given a log-mel (B, n_mels, frames)."""
        return self.decoder(ids, self.encoder(mel))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        captions = batch.get("captions") or [[text] for text in batch["text"]]
        chosen = [texts[int(torch.randint(len(texts), ()))] for texts in captions]
        sound = self.encoder(rough_mel(batch["waveform"], self.log_mel, self.roughen))
        loss = self._caption_loss(sound, chosen)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(chosen))
        if not self.words_weight:
            return loss
        words = self._words_loss(sound, captions)
        self.log("train/words", words, batch_size=len(chosen))
        return loss + self.words_weight * words

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The loss of every clip's first caption; of scenes, also whether what is said has the exact structure."""
        size = len(batch["waveform"])
        texts = [texts[0] for texts in batch["captions"]] if "captions" in batch else batch["text"]
        loss = self._caption_loss(self.encoder(self.log_mel(batch["waveform"])), texts)
        self.log(f"{self.phase}/loss", loss, prog_bar=True, batch_size=size, sync_dist=True)
        if "structure" in batch:
            right = [read(text, "wide") == Structure.from_dict(asked)
                     for text, asked in zip(self.caption(batch["waveform"]), batch["structure"], strict=True)]
            self.log(f"{self.phase}/exact", sum(right) / size, prog_bar=True, batch_size=size, sync_dist=True)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict:
        return optimization(self, self.learning_rate, self.betas, self.weight_decay, self.warmup_steps, self.decay)

    @torch.no_grad()
    def caption(self, waveform: Tensor) -> list[str]:
        """What is heard in each clip of `waveform` (B, N), in lower case: the likeliest piece after the other, until
        the end or for `max_tokens` pieces. What is said of a clip does not depend on the others."""
        return self.caption_mel(self.log_mel(waveform))

    @torch.no_grad()
    def caption_mel(self, mel: Tensor) -> list[str]:
        """The same from log-mels (B, n_mels, frames)."""
        sound = self.encoder(mel)
        caches = [KeyValueCache() for _ in self.decoder.blocks]
        last = torch.full((len(mel),), self.end, device=mel.device)
        said = []
        ended = torch.zeros_like(last, dtype=torch.bool)
        for position in range(self.max_tokens):
            logits = self.decoder.next_logits(last, position, sound, caches)
            last = logits.masked_fill(self.unsaid, -torch.inf).argmax(-1)
            said.append(last)
            ended |= last == self.end
            if ended.all():
                break
        return [self._text(row) for row in torch.stack(said, 1).tolist()]

    def _caption_loss(self, sound: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of a piece, the end included; a text that is cut has none."""
        rows = [torch.tensor([*self.tokenizer.encode(text).ids, self.end][:self.max_tokens]) for text in texts]
        target = pad_sequence(rows, batch_first=True, padding_value=self.padding).to(sound.device)
        ids = F.pad(target, (1, -1), value=self.end)  # a caption begins where another one ends
        logits = self.decoder(ids, sound).flatten(0, 1)
        return F.cross_entropy(logits, target.flatten(), ignore_index=self.padding)

    def _words_loss(self, sound: Tensor, captions: Sequence[Sequence[str]]) -> Tensor:
        """Cross-entropy, per piece of the vocabulary and clip, of the share of the captions that have the piece."""
        share = torch.zeros(len(sound), len(self.vocabulary))
        for row, texts in zip(share, captions, strict=True):
            for text in texts:
                row[list(set(self.tokenizer.encode(text).ids))] += 1 / len(texts)
        logits = self.words(sound.amax(1))
        return F.binary_cross_entropy_with_logits(logits, share.clamp(max=1).to(logits), reduction="sum") / share.sum()

    def _text(self, ids: list[int]) -> str:
        pieces = [self.vocabulary[i] for i in ids]
        return join_pieces(pieces[:pieces.index(END)] if END in pieces else pieces)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        refuse_other_vocabulary(state_dict, prefix, self.vocabulary_checksum, "captioner")
        super()._load_from_state_dict(state_dict, prefix, *args)
