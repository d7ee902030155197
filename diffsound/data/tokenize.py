"""`diffsound tokenize`: clips to a token store, once, by any number of workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffsound.blocks import Blocks, Bulk
from diffsound.data.audio import UnreadableAudio
from diffsound.data.draws import Draws, Item
from diffsound.data.token_store import StoredClip, TokenStore, TokenStoreWriter
from diffsound.data.unreadable import UnreadableReport
from diffsound.vqvae import VQVAE
from diffsound.whole_file import whole_file, write_text


def tokenize(codec: VQVAE, draws: Draws, batch_size: int, bulk: Bulk, report: UnreadableReport) -> None:
    """Write the store `bulk.folder`, whose rows are in the order of the clips. Stopped, it goes on where it was.

    Args:
        codec: trained.
        draws: what to tokenise.
        batch_size: items that a worker encodes at once.
        bulk: workers, and the store's folder; an older store there is replaced, or added to.
        report: where clips that cannot be read are named.
    Raises:
        ValueError: if none of the clips can be read, or a store to add to was made by another codec.
    """
    folder = Path(bulk.folder)
    plan = {"codec": codec.fingerprint, "batch_size": batch_size, **draws.identity}
    blocks = Blocks("tokenize", folder.with_name(f".{folder.name}.blocks"), ".npz", draws.sources, plan, bulk)
    report.clear()
    if bulk.append and folder.exists() and (known := TokenStore(folder).codec_fingerprint) != codec.fingerprint:
        raise ValueError(f"cannot append to {folder}: its codec is {known}, that of the new tokens is "
                         f"{codec.fingerprint}")  # now, not when the work is done
    for path in blocks.paths():
        if path.is_file() and _read_block(path)[2]:  # what could not be read before may be there now
            path.unlink()
    blocks.run(Tokenizer(codec, draws.read, batch_size))
    report.add([UnreadableAudio(line) for path in blocks.paths() for line in _read_block(path)[2]])
    full = ((tokens, clips) for tokens, clips, _ in map(_read_block, blocks.paths()) if clips)
    first = next(full, None)
    if first is None:
        raise ValueError(f"none of the {len(draws.sources)} clips can be read, see {report.path}: is the audio "
                         "where the manifest says?")
    grown = blocks.folder / "rows-before"  # of a store that is added to: it must not grow twice
    before = len(TokenStore(folder)) if bulk.append and folder.exists() else 0
    if bulk.append and not grown.is_file():
        write_text(grown, str(before))
    if not bulk.append or before == int(grown.read_text(encoding="utf-8")):
        with TokenStoreWriter(folder, codec.fingerprint, codec.mel, codec.rows, first[0].shape[1] // codec.rows,
                              codec.codebook_size, overwrite=not bulk.append, append=bulk.append) as writer:
            for tokens, clips in chain([first], full):
                writer.add(tokens, clips)
    blocks.remove()


class Tokenizer:
    """Makes the file of a block: its tokens, what is known of its clips, and which could not be read."""

    def __init__(self, codec: VQVAE, read: Callable[[Any], list[Item]], batch_size: int) -> None:
        self.codec, self.read, self.batch_size = codec, read, batch_size

    def __call__(self, sources: Sequence[Any], path: Path, device: torch.device) -> None:
        codec, clips, tokens, unreadable = self.codec.to(device), [], [], []

        def items() -> Iterator[Item]:
            for source in sources:
                try:
                    yield from self.read(source)
                except UnreadableAudio as error:
                    unreadable.append(str(error))

        stream = items()
        while batch := list(islice(stream, self.batch_size)):
            waveforms = torch.from_numpy(np.stack([item.waveform for item in batch])).to(device)
            with torch.inference_mode():
                tokens.append(codec.encode(waveforms).cpu().numpy().astype(np.uint16))
            clips += [asdict(item.clip) for item in batch]
        about = json.dumps({"clips": clips, "unreadable": unreadable}).encode()
        whole_file(path, lambda partial: _write_block(partial, tokens, about))


def _write_block(path: Path, tokens: list[np.ndarray], about: bytes) -> None:
    with path.open("wb") as file:
        np.savez(file, tokens=np.concatenate(tokens) if tokens else np.zeros((0, 0), np.uint16),
                 about=np.frombuffer(about, np.uint8))


def _read_block(path: Path) -> tuple[np.ndarray, list[StoredClip], list[str]]:
    with np.load(path) as block:
        about = json.loads(block["about"].tobytes())
        return block["tokens"], [StoredClip(**clip) for clip in about["clips"]], about["unreadable"]
