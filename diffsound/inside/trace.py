"""What the sampler saw and thought at every step of one clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffsound.diffusion import DiscreteDiffusion, Sampler
from diffsound.inside.words import Word, words_of
from diffsound.mel import MelSettings
from diffsound.text_to_sound import TextToSound


@dataclass(frozen=True)
class Trace:
    """One clip on its way from x_T to x_0, in N calls of the network; L = rows * columns, time-major; on the CPU.

    There are two distributions of x_0 at every step: `full`, with guidance and temperature, and, without that word,
    the same after top_r and top_k: what the sampler draws from. They are one if it does not truncate.
    """

    text: str
    seed: int
    negative: str | None
    words: list[Word]  # of `text`, with the places of their pieces in the condition
    t: Tensor  # (N,) int64, the step at each call, falling (or staying, where the sampler does) from T on
    x_t: Tensor  # (N, L) int64 in 0..K, the tokens at each call
    likeliest: Tensor  # (N, L) int64 in 0..K-1, the code with the highest probability
    confidence: Tensor  # (N, L) in [0, 1], probability of the token that was chosen in the end
    entropy: Tensor  # (N, L) nats, 0 to log K
    full_confidence: Tensor  # (N, L), before truncation
    full_entropy: Tensor  # (N, L), before truncation
    tokens: Tensor  # (L,) int64 in 0..K-1, x_0
    mel: Tensor  # (n_mels, frames) in [0, 1], of x_0
    mel_settings: MelSettings
    rows: int
    columns: int
    codebook_size: int  # K, which is also the mask

    @property
    def masked(self) -> Tensor:
        """(N, L) bool: no code yet."""
        return self.x_t == self.codebook_size

    @property
    def decided(self) -> Tensor:
        """(L,) int64: the call, 1 to N, after which a token stayed what it is; 0 where it was from the start."""
        other = torch.cat([self.x_t, self.tokens[None]]) != self.tokens
        return (other * torch.arange(1, len(other) + 1)[:, None]).amax(0)

    def grid(self, values: Tensor) -> Tensor:
        """(..., L) -> (..., rows, columns), row 0 the lowest band."""
        return values.unflatten(-1, (self.columns, self.rows)).transpose(-1, -2)


@torch.no_grad()
def look(model: TextToSound, text: str, seed: int, negative: str | None = None, sampler: Sampler | None = None,
         columns: int | None = None) -> Trace:
    """Make the clip of `text` and `seed`, the same as `model([text], [seed])` makes, and keep what happened.

    Args:
        sampler, columns: in place of the system's own.
    Raises:
        ValueError: if the decoder is not a `DiscreteDiffusion`, a text is empty or too long, or there is a `negative`
            and the sampler has no guidance.
    """
    decoder, sampler = diffusion_of(model), sampler or model.sampler
    columns = columns or model.columns
    model.check_texts([text], [] if negative is None else [negative])
    condition = decoder.condition([text])
    calls: list[tuple[Tensor, Tensor, Tensor]] = []
    tokens = decoder.generate(condition, columns, sampler, [torch.Generator().manual_seed(seed)],
                              negative=None if negative is None else decoder.condition([negative]),
                              on_logits=lambda x_t, t, logits: calls.append((x_t[0], t[0], logits[0])))
    x_t, t, logits = (torch.stack(each).cpu() for each in zip(*calls, strict=True))
    mel, x_0 = model.codec.decode(tokens, columns)[0].cpu(), tokens[0].cpu()
    full, drawn = (logits.float() / sampler.temperature).softmax(-1), sampler.probabilities(logits)
    return Trace(text, seed, negative, words_of(decoder.encoder, text, condition.mask.shape[1]), t, x_t,
                 full.argmax(-1), *_sureness(drawn, x_0), *_sureness(full, x_0), x_0, mel, model.codec.mel,
                 decoder.rows, columns, decoder.codebook_size)


def diffusion_of(model: TextToSound) -> DiscreteDiffusion:
    """The decoder of `model`.

    Raises:
        ValueError: if it is the autoregressive one.
    """
    if not isinstance(model.decoder, DiscreteDiffusion):
        raise ValueError(f"the decoder is {type(model.decoder).__name__}, which has no steps to look into: expected a "
                         "DiscreteDiffusion under text_to_sound.init_args.decoder")
    return model.decoder


def _sureness(p: Tensor, x_0: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of x_0 (L,), and entropy, (N, L) each, of distributions p (N, L, K)."""
    confidence = p.gather(-1, x_0.expand(len(p), -1)[..., None])[..., 0]
    return confidence, -torch.xlogy(p, p).sum(-1)
