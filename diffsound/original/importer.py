"""The published checkpoints of Diffsound, joined to one system, with an account of every tensor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from diffsound.diffusion import AncestralSampler
from diffsound.mel import MelSettings
from diffsound.original import keys
from diffsound.original.files import read_published
from diffsound.original.keys import State
from diffsound.original.parts import build_codec, build_decoder, build_vocoder, check_order, part, same_logarithms
from diffsound.plain_weights import memory_for
from diffsound.text_to_sound import TextToSound
from diffsound.vqvae.networks import CELL

TRUNCATION = 0.85  # top_r that the published clips were drawn with


@dataclass
class Account:
    """Where every tensor of one file went."""

    flag: str
    path: Path
    total: int = 0
    kept: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)  # reason -> names
    state: list[str] = field(default_factory=list)  # entries that hold no weights

    def drop(self, dropped: dict[str, list[str]], prefix: str = "") -> None:
        for reason, names in dropped.items():
            self.dropped.setdefault(reason, []).extend(prefix + name for name in names)

    def left_out(self) -> dict[str, list[str]]:
        """All names by reason, as plain data."""
        return {**self.dropped, "entries that hold no weights": self.state}

    def lines(self) -> list[str]:
        """For the screen, like `398 tensors, 343 kept` and `55 left out: reason (the first of the names, ...)`."""
        lines = [f"{self.flag} {self.path.name}: {self.total} tensors, {self.kept} kept"]
        lines += [f"  {len(names)} left out: {reason} ({names[0]}{', ...' if len(names) > 1 else ''})"
                  for reason, names in self.dropped.items()]
        if self.state:
            lines.append(f"  entries not read, they hold no weights: {', '.join(self.state)}")
        return lines


@contextmanager
def naming(flag: str, path: Path) -> Iterator[None]:
    """Put the flag and the file before what goes wrong with it."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{flag} {path}: {error}") from error


def import_original(diffusion: str | os.PathLike, vocoder: str | os.PathLike, vqvae: str | os.PathLike | None = None,
                    heads: int = 16, ema: bool = True) -> tuple[TextToSound, list[Account]]:
    """The published system, in eval mode, frozen, and what became of every tensor. Nothing in the files is executed.

    Args:
        diffusion: the solver's .pth, with `model` and, if `ema`, `ema`.
        vocoder: MelGAN's generator, best_netG.pt.
        vqvae: Lightning's last.ckpt; None takes the codec that is in the diffusion file, which must be the same.
        heads: of the denoiser; the tensors do not tell. 16 in every published model.
        ema: take the moving average of the diffusion module, not its last weights.
    Raises:
        ValueError: if a file is missing, damaged, of another kind or another size, if it has a name that is not known
            or a number that is not finite, or if the files do not belong together.
    """
    diffusion, vocoder, vqvae = Path(diffusion), Path(vocoder), None if vqvae is None else Path(vqvae)
    with naming("--vocoder", vocoder):
        states, _ = read_published(vocoder, "a MelGAN generator")
        weights, _ = keys.sort(states[""], keys.MELGAN)
        with _memory_for(weights.values()):
            melgan = build_vocoder(weights)
        accounts = [Account("--vocoder", vocoder, len(states[""]), len(weights))]
    with naming("--diffusion", diffusion):
        weights, tables, order, account = _read_diffusion(diffusion, ema)
        with _memory_for([*weights.values(), *tables.values()]):
            decoder = build_decoder(part(weights, "decoder."), tables, heads)
        check_order(order["forward_shuffle_idx"], order["backward_shuffle_idx"], decoder.rows, decoder.max_columns)
    with naming("--vocoder", vocoder):  # before a codec is built for its mels
        if melgan.mel.n_mels != CELL * decoder.rows:
            raise ValueError(f"it takes mels of {melgan.mel.n_mels} bands, the grid of --diffusion {diffusion} has "
                             f"{decoder.rows} rows of {CELL}: they are not of one system")
        if melgan.mel.hop_length != MelSettings().hop_length:
            raise ValueError(f"it makes {melgan.mel.hop_length} samples of a frame, expected the hop of the published "
                             f"mels, {MelSettings().hop_length}")
    codec_weights = part(weights, "codec.")
    if vqvae is None:
        with naming("--diffusion", diffusion), _memory_for(codec_weights.values()):
            codec = build_codec(codec_weights, melgan.mel)
    accounts.insert(0, account)
    if vqvae is not None:
        with naming("--vqvae", vqvae):
            states, rest = read_published(vqvae, "a VQ-VAE")
            weights, dropped = keys.sort(states["state_dict"], keys.CODEC, keys.CODEC_DROPS)
            accounts.insert(0, Account("--vqvae", vqvae, len(states["state_dict"]), len(weights), dropped, rest))
            with _memory_for(weights.values()):
                codec = build_codec(weights, melgan.mel)
            _check_codec(weights, codec_weights, diffusion)
            account.drop({"codec, the same as in --vqvae": list(codec_weights)}, "content_codec.")
            account.kept -= len(codec_weights)
    if codec.codebook_size != decoder.codebook_size:
        raise ValueError(f"--diffusion {diffusion}: the codec has {codec.codebook_size} codes, the denoiser "
                         f"{decoder.codebook_size}: they are not of one training")
    decoder.facts = {"codec": codec.fingerprint, "columns": decoder.max_columns}
    sampler = AncestralSampler(start="mask", top_r=TRUNCATION)
    model = TextToSound(decoder, codec, melgan, sampler, decoder.max_columns)
    return model.eval().requires_grad_(False), accounts


@contextmanager
def _memory_for(weights: Iterable[Tensor]) -> Iterator[None]:
    """For a module whose sizes were read off `weights`; what cannot be built of them at all is a ValueError too."""
    try:
        with memory_for(sum(value.nbytes for value in weights)):
            yield
    except (RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(f"no module has the sizes of these weights ({str(error).splitlines()[0]})") from error


def _read_diffusion(path: Path, ema: bool) -> tuple[State, State, State, Account]:
    """Weights under names that begin with codec. and decoder., the schedule's tables, the token order, the account."""
    states, rest = read_published(path, "a diffusion decoder")
    model, average = states["model"], states.get("ema")
    if ema and not average:
        raise ValueError("there is no moving average ('ema') in it: take the last weights with --no-ema")
    weights, dropped = keys.sort(model, keys.SOLVER, keys.SOLVER_DROPS)
    account = Account("--diffusion", path, len(model) + len(average or {}), state=rest)
    account.drop(dropped)
    module = part(model, "transformer.")
    for name in module | average if average else ():
        if name not in module or name not in average or module[name].shape != average[name].shape:
            raise ValueError(f"'model' and 'ema' differ: {name} is not in both, or of two shapes")
        if ema and name.startswith("log_") and not same_logarithms(module[name].double(), average[name].double()):
            raise ValueError(f"'model' and 'ema' differ: {name} has other numbers")
    if ema:
        averaged, dropped = keys.sort(average, keys.AVERAGED, keys.AVERAGED_DROPS)
        account.drop(dropped, "ema: ")
        last = [name for name in module if not any(name in names for names in dropped.values())]
        account.drop({"last weights, of which the moving average ('ema') is taken": last}, "transformer.")
        weights = weights | {f"decoder.{name}": value for name, value in averaged.items()}
    elif average:
        account.drop({"moving average, not asked for (--no-ema)": list(average)}, "ema: ")
    account.kept = len(weights)
    tables = {name: value for name, value in module.items() if name.startswith("log_")}
    order = part(model, "first_stage_permuter.")
    if len(order) != 2:
        raise ValueError("first_stage_permuter, the order of the tokens, is missing")
    return weights, tables, order, account


def _check_codec(weights: State, inside: State, diffusion: Path) -> None:
    """Raise unless the codec is the one that is inside the diffusion file."""
    for name in weights | inside:
        here, there = weights.get(name), inside.get(name)
        if here is None or there is None or here.shape != there.shape:
            shapes = ["missing" if value is None else tuple(value.shape) for value in (here, there)]
            raise ValueError(f"this is another codec than in --diffusion {diffusion}: {name} is {shapes[0]} here, "
                             f"{shapes[1]} there; give the VQ-VAE of that training, or leave --vqvae out")
        if not torch.equal(here, there):
            raise ValueError(f"this is another codec than in --diffusion {diffusion}: {name} has other numbers; give "
                             "the VQ-VAE of that training, or leave --vqvae out")
