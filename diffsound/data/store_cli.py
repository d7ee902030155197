"""`diffsound store`: what a token store holds, whether it is whole, and how fast one of any size is read."""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from diffsound.data.token_store import StoredClip, TokenStore, TokenStoreWriter
from diffsound.mel import MelSettings

WORDS = ("dog", "speech", "music", "rain", "engine", "wind", "bird", "car", "water", "siren", "guitar", "crowd", "bell")


def main(args: list[str]) -> None:
    """Look at a token store."""
    parser = argparse.ArgumentParser(prog="diffsound store", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, text in (("show", "rows, splits, codec, size"), ("verify", "read everything, compare with checksums")):
        verbs.add_parser(name, help=text).add_argument("folder", type=Path)
    bench = verbs.add_parser("bench", help="write a store of made-up rows, and time opening and reading it")
    bench.add_argument("--rows", type=int, default=2_000_000)
    bench.add_argument("--columns", type=int, default=53, help="of 5 tokens")
    bench.add_argument("--workers", type=int, default=2, help="of the loader")
    bench.add_argument("--folder", type=Path, help="where the store goes (default: a temporary folder)")
    options = parser.parse_args(args)
    if options.verb == "bench":
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measure(Path(folder) / "tokens", options.rows, options.columns, options.workers)
        return
    store = TokenStore(options.folder)
    if options.verb == "show":
        print(json.dumps({"rows": len(store), "splits": store.splits(), "grid": [store.rows, store.columns],
                          "codebook_size": store.codebook_size, "codec": store.codec_fingerprint,
                          "bytes": store.nbytes}, indent=1))
        return
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task("verify", total=store.nbytes)
        store.verify(lambda size: bar.advance(task, size))
    print(f"{options.folder}: {len(store)} rows, all files as they were written")


def measure(folder: Path, rows: int, columns: int, workers: int) -> None:
    """Write `rows` rows of AudioSet's kind, then open and read them in a new process; prints what it took."""
    start = time.perf_counter()
    with TokenStoreWriter(folder, "bench", MelSettings(), 5, columns, 256) as writer:
        rng, clips = np.random.default_rng(0), _clips(rows)
        for begin in range(0, rows, 8192):
            count = min(8192, rows - begin)
            writer.add(rng.integers(0, 256, (count, 5 * columns), np.uint16), [next(clips) for _ in range(count)])
    print(f"{rows} rows of {5 * columns} tokens, {TokenStore(folder).nbytes / 1e9:.2f} GB, "
          f"written in {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    TokenStore(folder).verify()
    print(f"checksums compared in {time.perf_counter() - start:.1f} s (files in the page cache)")
    process = get_context("spawn").Process(target=_read, args=(folder, workers))
    process.start()
    process.join()


def _clips(rows: int) -> Iterator[StoredClip]:
    rng = random.Random(0)
    for i in range(rows):
        labels = rng.sample(WORDS, 1 + min(i % 3, rng.randrange(3)))
        yield StoredClip(f"audio/{i:011d}.flac", [", ".join(labels)], labels, "test" if i % 100 == 99 else "train",
                         f"{i:011d}")


def _read(folder: Path, workers: int) -> None:
    from diffsound.data.datasets import TokenText
    from diffsound.data.label_text import LabelText
    from diffsound.data.loading import training_loader

    before, start = _memory(), time.perf_counter()
    store = TokenStore(folder)
    opened = time.perf_counter() - start
    train = store.indices("train")
    print(f"opened in {opened:.2f} s, the rows of a split known after {time.perf_counter() - start:.2f} s; "
          f"memory {before['private']:.0f} MB before (imports), {_memory()['private']:.0f} after")
    order = np.random.default_rng(0).permutation(len(store))[:200_000].tolist()
    start = time.perf_counter()
    for i in order:
        store.tokens(i), store.captions(i), store.labels(i)
    seconds = time.perf_counter() - start
    print(f"{len(order) / seconds:.0f} random rows a second: tokens, captions, labels; "
          f"memory {_memory()['private']:.0f} MB, and {_memory()['shared']:.0f} of mapped files")
    for text, label_text in (("captions", None), ("masked labels", functools.partial(LabelText(), mask="[MASK]"))):
        for count in (0, workers):
            dataset = TokenText(store, train, 0, label_text)
            loader = iter(training_loader(dataset, 256, count, 0, None))
            next(loader)
            start, seen = time.perf_counter(), 0
            while seen < 1000 * 256 and (batch := next(loader, None)) is not None:
                seen += len(batch["text"])
            seconds, memory = time.perf_counter() - start, [_memory(pid) for pid in _workers(loader)] or [_memory()]
            print(f"{seen / seconds:.0f} shuffled items a second in batches of 256, {text}, {count or 'no'} workers, "
                  f"memory of each {max(one['private'] for one in memory):.0f} MB")


def _workers(loader: Any) -> list[int]:
    return [worker.pid for worker in getattr(loader, "_workers", [])]


def _memory(pid: int | None = None) -> dict[str, float]:
    """MB of a process: its own, and what it shares with others (mapped files above all)."""
    with open(f"/proc/{pid or os.getpid()}/smaps_rollup") as file:
        kilobytes = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in file.readlines()[1:]}
    return {"private": kilobytes["Anonymous"] / 1e3, "shared": (kilobytes["Rss"] - kilobytes["Anonymous"]) / 1e3}
