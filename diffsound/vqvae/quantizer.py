"""Latent vectors to codes and back: three quantizers with one face."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from diffsound.checkpoint import Rebuildable
from diffsound.processes import summed_over_processes


class Quantized(NamedTuple):
    z_q: Tensor  # (B, D, rows, columns) float32; its gradient goes straight through to z
    indices: Tensor  # (B, rows * streams, columns) int64 in 0..codebook_size - 1
    loss: Tensor  # (), what the quantizer adds to the training loss


class Quantizer(Rebuildable, nn.Module):
    """Maps each vector of a grid to one of `codebook_size` codes.

    `forward` is for training: it may add noise and move the codes while `training` is true. `lookup` and `embed` never
    do. All three work in float32 whatever the trainer's precision: in bfloat16 about half of the vectors would get
    another code.
    """

    codebook_size: int
    embed_dim: int  # D
    streams: int = 1  # codes of each vector; they are rows of `indices` beside each other, the first the lowest

    def forward(self, z: Tensor) -> Quantized:
        """z (B, D, rows, columns) -> Quantized."""
        with torch.autocast(z.device.type, enabled=False):
            return self.quantize(z.float())

    def quantize(self, z: Tensor) -> Quantized:
        raise NotImplementedError

    def lookup(self, z: Tensor) -> Tensor:
        """z (B, D, rows, columns) -> codes (B, rows * streams, columns) int64."""
        raise NotImplementedError

    def embed(self, indices: Tensor) -> Tensor:
        """Codes (B, rows * streams, columns) -> vectors (B, D, rows, columns)."""
        raise NotImplementedError


def straight_through(z: Tensor, z_q: Tensor) -> Tensor:
    """`z_q` whose gradient is handed to `z` as if nothing had been quantised."""
    return z + (z_q - z).detach()


def perplexity(count: Tensor) -> Tensor:
    """Number of codes in equal use that would have the entropy of `count` (K,): 1 for one code, K for a uniform use."""
    p = count / count.sum().clamp(min=1)
    return torch.exp(-(p * torch.log(p + 1e-10)).sum())


class NearestCode(Quantizer):
    """What the two codebooks share: each vector takes the code at the smallest Euclidean distance.

    Args:
        codebook_size: number of codes, K.
        embed_dim: their length, D.
        commitment: weight of the term that pulls the encoder to its codes (beta in VQ-VAE, arXiv:1711.00937).
        restart_after: a code that was not chosen for this many batches is moved onto a vector of the batch at hand;
            None leaves it.
    """

    codes: Tensor  # (K, D)

    def __init__(self, codebook_size: int, embed_dim: int, commitment: float, restart_after: int | None) -> None:
        super().__init__()
        self.codebook_size, self.embed_dim = codebook_size, embed_dim
        self.commitment, self.restart_after = commitment, restart_after
        idle = torch.zeros(codebook_size, dtype=torch.int64) if restart_after else None
        self.register_buffer("idle", idle)  # batches since each code was chosen

    def lookup(self, z: Tensor) -> Tensor:
        vectors = z.detach().movedim(1, -1).float()
        return nearest(vectors.flatten(0, 2), self.codes).view(vectors.shape[:3])

    def embed(self, indices: Tensor) -> Tensor:
        return F.embedding(indices, self.codes).movedim(-1, 1)

    @torch.no_grad()
    def restart(self, vectors: Tensor, count: Tensor) -> None:
        """Moves the codes that have been idle for too long onto random `vectors` (N, D). `count` (K,): uses now."""
        if self.restart_after is None:
            return
        self.idle.copy_(torch.where(count > 0, 0, self.idle + 1))
        dead = self.idle >= self.restart_after
        self.replace(dead, of_first_rank(choose(vectors, self.codebook_size)))
        self.idle[dead] = 0

    def replace(self, dead: Tensor, vectors: Tensor) -> None:
        """Sets the codes where `dead` (K,) is true to `vectors` (K, D)."""
        raise NotImplementedError


class Codebook(NearestCode):
    """The paper's codebook: codes are parameters that the loss pulls towards the vectors that chose them.

    loss = commitment * |z - sg[z_q]|^2 + |sg[z] - z_q|^2 (VQ-VAE, arXiv:1711.00937, Eq. 3; sg stops the gradient).

    Args:
        legacy_commitment: the weight is on the other term, as in the code that trained the published models
            (yangdongchao/Text-to-sound-Synthesis `Codebook/specvqgan/modules/vqvae/quantize.py`).
    """

    def __init__(self, codebook_size: int, embed_dim: int, commitment: float = 0.25, legacy_commitment: bool = False,
                 restart_after: int | None = None) -> None:
        super().__init__(codebook_size, embed_dim, commitment, restart_after)
        self.legacy_commitment = legacy_commitment
        self.embedding = nn.Embedding(codebook_size, embed_dim)
        nn.init.uniform_(self.embedding.weight, -1 / codebook_size, 1 / codebook_size)

    @property
    def codes(self) -> Tensor:
        return self.embedding.weight

    def quantize(self, z: Tensor) -> Quantized:
        indices = self.lookup(z)
        z_q = self.embed(indices)
        encoder_term, codebook_term = F.mse_loss(z, z_q.detach()), F.mse_loss(z_q, z.detach())
        if self.legacy_commitment:
            loss = encoder_term + self.commitment * codebook_term
        else:
            loss = self.commitment * encoder_term + codebook_term
        if self.training and self.restart_after:
            vectors = z.detach().movedim(1, -1).flatten(0, 2)
            count = torch.bincount(indices.flatten(), minlength=self.codebook_size)
            self.restart(vectors, summed_over_processes(count))
        return Quantized(straight_through(z, z_q), indices, loss)

    def replace(self, dead: Tensor, vectors: Tensor) -> None:
        self.codes.copy_(torch.where(dead[:, None], vectors, self.codes))


class EMACodebook(NearestCode):
    """A codebook without gradient: each code is the running mean of the vectors that chose it.

    VQ-VAE, arXiv:1711.00937, appendix A.1: `count` and `total` are running averages of how many vectors chose a code
    and of their sum; the code is their quotient. The first batch starts it with k-means. Under several processes the
    batch is that of all of them.

    Args:
        decay: what a batch leaves of the averages before it.
    """

    def __init__(self, codebook_size: int, embed_dim: int, commitment: float = 0.25, decay: float = 0.99,
                 restart_after: int = 50) -> None:
        super().__init__(codebook_size, embed_dim, commitment, restart_after)
        self.decay = decay
        self.register_buffer("count", torch.zeros(codebook_size))
        self.register_buffer("total", torch.zeros(codebook_size, embed_dim))

    @property
    def codes(self) -> Tensor:
        return self.total / self.count.clamp(min=1e-30)[:, None]

    def quantize(self, z: Tensor) -> Quantized:
        vectors = z.detach().movedim(1, -1).flatten(0, 2)
        if self.training and not self.count.any():
            self.total.copy_(of_first_rank(k_means(vectors, self.codebook_size)))
            self.count.fill_(1)
        indices = self.lookup(z)
        z_q = self.embed(indices)
        if self.training:
            self.update(vectors, indices.flatten())
        return Quantized(straight_through(z, z_q), indices, self.commitment * F.mse_loss(z, z_q))

    @torch.no_grad()
    def update(self, vectors: Tensor, indices: Tensor) -> None:
        """Moves the codes towards the (N, D) vectors that chose them by (N,) indices."""
        count, total = (summed_over_processes(x) for x in clusters(vectors, indices, self.codebook_size))
        self.count.lerp_(count, 1 - self.decay)
        self.total.lerp_(total, 1 - self.decay)
        self.restart(vectors, count)

    def replace(self, dead: Tensor, vectors: Tensor) -> None:
        self.count[dead] = 1.0
        self.total.copy_(torch.where(dead[:, None], vectors, self.total))


class FiniteScalar(Quantizer):
    """Rounds each of D numbers to one of a few levels; a code is the combination (FSQ, arXiv:2309.15505).

    Nothing is learned here, so no code can die. The level of z is (tanh(z) + 1) / 2 * (levels - 1), rounded; levels are
    spread over [-1, 1] again in z_q. The first of a code's numbers changes fastest with the code.

    Args:
        levels: number of levels of each number of a code; `codebook_size` is their product.
        noise: in training, uniform noise of up to this many levels is added before rounding, so that the encoder
            learns to stay clear of the borders between levels.
        streams: codes of each vector, which has `len(levels)` numbers for each: two of 256 tell more than one of
            256, and are easier to learn for a decoder than one of 65536.
    """

    def __init__(self, levels: list[int], noise: float = 0.2, streams: int = 1) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels {levels} of FiniteScalar must be a list of numbers >= 2: change quantizer levels")
        if streams < 1:
            raise ValueError(f"streams of FiniteScalar is {streams}, expected at least 1: change quantizer streams")
        self.codebook_size, self.embed_dim, self.noise = math.prod(levels), len(levels) * streams, noise
        self.streams = streams
        size = torch.tensor(levels)
        self.register_buffer("top", size - 1, persistent=False)  # (levels,) the highest level
        self.register_buffer("size", size, persistent=False)
        self.register_buffer("place", size.cumprod(0) // size, persistent=False)  # (levels,) place value in the code

    def quantize(self, z: Tensor) -> Quantized:
        level = self.level(z)
        noise = self.noise * (2 * torch.rand_like(level) - 1) if self.training else 0.0
        rounded = self.round(level + noise)
        z_q = straight_through(level, rounded) * 2 / self.top - 1
        return Quantized(z_q.flatten(-2).movedim(-1, 1), self.code(rounded), z.new_zeros(()))

    def lookup(self, z: Tensor) -> Tensor:
        return self.code(self.round(self.level(z.detach().float())))

    def embed(self, indices: Tensor) -> Tensor:
        codes = indices.unflatten(1, (-1, self.streams)).movedim(2, -1)  # (B, rows, columns, streams)
        level = codes[..., None] // self.place % self.size
        return (level * 2 / self.top - 1).flatten(-2).movedim(-1, 1)

    def level(self, z: Tensor) -> Tensor:
        """(B, D, rows, columns) -> (B, rows, columns, streams, levels) in 0..top, not rounded."""
        return (torch.tanh(z.movedim(1, -1).unflatten(-1, (self.streams, -1))) + 1) / 2 * self.top

    def round(self, level: Tensor) -> Tensor:
        return level.round().clamp(min=0).minimum(self.top)

    def code(self, rounded: Tensor) -> Tensor:
        return (rounded.long() * self.place).sum(-1).movedim(-1, 2).flatten(1, 2)


def nearest(vectors: Tensor, codes: Tensor) -> Tensor:
    """(N, D), (K, D) float32 -> (N,) index of the nearest code, the first of equals.

    The distances are sums of squared differences, not |v|^2 + |c|^2 - 2 v c: that cancels, and may give a vector that
    is itself a code the index of a neighbour.
    """
    return torch.cdist(vectors, codes.detach(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1)


def clusters(vectors: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """How many of the (N, D) vectors have each index, (k,), and their sums, (k, D)."""
    count = torch.bincount(indices, minlength=k).to(vectors)
    return count, vectors.new_zeros(k, vectors.shape[1]).index_add_(0, indices, vectors)


def k_means(vectors: Tensor, k: int, iterations: int = 10) -> Tensor:
    """(k, D) centres of the (N, D) vectors; centres that lose all vectors stay where they were."""
    centres = choose(vectors, k)
    for _ in range(iterations):
        count, total = clusters(vectors, nearest(vectors, centres), k)
        centres = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], centres)
    return centres


def choose(vectors: Tensor, k: int) -> Tensor:
    """k random rows of (N, D) `vectors`, none twice while there are enough."""
    order = torch.randperm(len(vectors), device=vectors.device)
    return vectors[order[torch.arange(k, device=vectors.device) % len(vectors)]]


def of_first_rank(x: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(x, 0)
    return x
