"""Work over many clips, cut into blocks: in this process, on all cores, or on a Ray cluster, with the same result.

A block is a run of neighbours in the list of clips, and its result one file, which appears under its name only when it
is whole. So a run that was stopped, or lost a worker, goes on with the blocks whose file is missing. Every block is
computed by one thread in batches that follow from the list alone: who computes it, and beside what, changes no bit.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Literal

import torch

from diffsound.whole_file import write_text

Worker = Callable[[list[Any], Path, torch.device], None]  # sources of a block, the file to write, where to compute


@dataclass
class Bulk:
    """How `tokenize` and `generate-many` spread their work, and where its result goes.

    Args:
        folder: of the result; set by the stage.
        engine: this process, all cores of this machine, or a Ray cluster (the extra `scale`).
        workers: processes of "cores" (default: one a core, or one a GPU) or actors of "ray" (default: as many as
            the cluster has room for).
        block_size: clips a block: what a killed worker loses at most.
        address: of the Ray cluster, such as ray://HEAD:10001 or auto; by default one is started on this machine.
        gpus_per_worker: share of a GPU that Ray gives to an actor.
        device: where a worker computes: auto is a GPU if it sees one.
        append: tokenize adds to a store of the same codec that is there.
    """

    folder: str = "unnamed"
    engine: Literal["process", "cores", "ray"] = "cores"
    workers: int | None = None
    block_size: int = 256
    address: str | None = None
    gpus_per_worker: float = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    append: bool = False

    def __post_init__(self) -> None:
        for name in ("workers", "block_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"bulk.{name} is {value}, expected at least 1")
        if self.engine != "ray" and (self.address is not None or self.gpus_per_worker):
            raise ValueError(f"bulk.address and bulk.gpus_per_worker are for bulk.engine ray, not {self.engine}")


class Blocks:
    """The blocks of one piece of work.

    Args:
        verb: what is done, for people.
        folder: of the block files and of `plan.json`; other files in it are not touched.
        suffix: of a block's file.
        sources: the list of clips; picklable one by one.
        plan: all that the result depends on, as plain data.
        keep: blocks that were made by another plan are the user's: refuse to run. Otherwise they are made anew.
    """

    def __init__(self, verb: str, folder: Path, suffix: str, sources: Sequence[Any], plan: dict[str, Any],
                 bulk: Bulk, keep: bool = False) -> None:
        self.verb, self.folder, self.suffix, self.sources, self.bulk = verb, folder, suffix, sources, bulk
        self.keep = keep
        self.plan = plan | {"clips": len(sources), "block_size": bulk.block_size}

    def __len__(self) -> int:
        return -(-len(self.sources) // self.bulk.block_size)

    def path(self, number: int) -> Path:
        return self.folder / f"block-{number:06d}{self.suffix}"

    def paths(self) -> list[Path]:
        return [self.path(number) for number in range(len(self))]

    def run(self, worker: Worker) -> None:
        """Make every block that is not there. `worker` is sent to each process once, so it must be picklable.

        Raises:
            ValueError: if workers die again and again at the same blocks.
        """
        self._begin()
        todo = [number for number in range(len(self)) if not self.path(number).is_file()]
        done = len(self) - len(todo)
        if done:
            print(f"{self.verb}: {done} of {len(self)} blocks are there from before")
        engine = {"process": _in_this_process, "cores": _on_all_cores, "ray": _on_ray}[self.bulk.engine]
        with _progress(self.verb, sum(map(self._size, todo))) as advance, \
                closing(engine(self, todo, worker)) as finished:
            for number in finished:
                advance(self._size(number))
        missing = [str(path) for path in self.paths() if not path.is_file()]
        if missing:
            raise ValueError(f"{len(missing)} blocks were not written, the first is {missing[0]}: do all workers see "
                             f"the folder {self.folder}, by this name?")

    def remove(self) -> None:
        """Delete the blocks, once their contents are elsewhere."""
        shutil.rmtree(self.folder)

    def part(self, number: int) -> list[Any]:
        start = number * self.bulk.block_size
        return [self.sources[i] for i in range(start, start + self._size(number))]

    def _size(self, number: int) -> int:
        return min(self.bulk.block_size, len(self.sources) - number * self.bulk.block_size)

    def _begin(self) -> None:
        plan, text = self.folder / "plan.json", json.dumps(self.plan, indent=1, sort_keys=True)
        if not plan.is_file() or plan.read_text(encoding="utf-8") != text:
            old = list(self.folder.glob(f"block-[0-9]*{self.suffix}")) if self.folder.is_dir() else []
            if old and self.keep:
                raise ValueError(f"{self.folder} holds {len(old)} blocks that were made from other clips or settings "
                                 f"({plan.name}): choose another bulk.folder, or delete that one")
            if old:
                print(f"{self.verb}: {len(old)} blocks in {self.folder} were made from other clips or settings, "
                      "and are made anew")
            for path in old:
                path.unlink()
            write_text(plan, text)
        for partial in self.folder.glob(f".block-[0-9]*{self.suffix}.*.part"):  # of workers that were killed
            partial.unlink()


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    return torch.device("cuda", os.getpid() % torch.cuda.device_count())


def _in_this_process(blocks: Blocks, todo: list[int], worker: Worker) -> Iterator[int]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in todo:
            worker(blocks.part(number), blocks.path(number), _device(blocks.bulk.device))
            yield number
    finally:
        torch.set_num_threads(threads)


_worker: Worker  # of this process, in a pool
_place: torch.device


def _start(worker: Worker, device: str) -> None:
    global _worker, _place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _worker, _place = worker, _device(device)


def _end_with_parent() -> None:
    """Of a parent that was killed, nobody else would tell a worker."""
    parent_process().join()
    os._exit(1)


def _work(part: list[Any], path: Path) -> None:
    _worker(part, path, _place)


def _on_all_cores(blocks: Blocks, todo: list[int], worker: Worker) -> Iterator[int]:
    gpus = torch.cuda.device_count() if blocks.bulk.device != "cpu" else 0
    workers = min(len(todo), blocks.bulk.workers or gpus or os.cpu_count() or 1)
    if workers <= 1:  # another process would only have to start first
        yield from _in_this_process(blocks, todo, worker)
        return
    left, deaths = list(todo), 0
    while left:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (worker, blocks.bulk.device))
        try:
            queue, running = iter(list(left)), {}
            while True:
                for number in islice(queue, 2 * workers - len(running)):  # no more parts in memory than that
                    running[pool.submit(_work, blocks.part(number), blocks.path(number))] = number
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    future.result()
                    left.remove(number)
                    deaths = 0
                    yield number
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == 2:
                raise ValueError(f"{blocks.verb}: a worker process died, and another at the same blocks: out of "
                                 "memory? Try bulk.workers 1, or a smaller bulk.block_size") from error
            print(f"{blocks.verb}: a worker process died; what it did not finish is done again")
        finally:
            pool.shutdown(cancel_futures=True)


class _Actor:
    """A worker of Ray Data."""

    def __init__(self, worker: Any, device: str) -> None:
        import ray

        torch.set_num_threads(1)
        self.worker, self.device = ray.get(worker), _device(device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            self.worker(row["part"], Path(row["path"]), self.device)
        except Exception as error:  # in the driver it would be lost among Ray's own words
            return {"number": row["number"], "failed": f"{type(error).__name__}: {error}"}
        return {"number": row["number"], "failed": ""}


def _on_ray(blocks: Blocks, todo: list[int], worker: Worker) -> Iterator[int]:
    """Ray Data: actors as the cluster has room, back-pressure, and the blocks of lost workers again."""
    if not todo:
        return
    try:
        import ray
    except ImportError as error:
        raise ValueError("bulk.engine ray needs Ray: pip install 'diffsound[scale]', or take bulk.engine cores"
                         ) from error
    started_here = not ray.is_initialized()
    if started_here:
        # "local": without it Ray joins whatever cluster runs on this machine, and dies with it.
        ray.init(address=blocks.bulk.address or "local", log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        rows = [{"number": number, "path": str(blocks.path(number).absolute()), "part": blocks.part(number)}
                for number in todo]
        shared = ray.put(worker)  # kept here: actors that start again need it
        pool = ray.data.ActorPoolStrategy(size=min(len(todo), blocks.bulk.workers or _room(ray.cluster_resources(),
                                                                                           blocks.bulk)))
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor, fn_constructor_args=(shared, blocks.bulk.device), compute=pool, num_cpus=1,
            num_gpus=blocks.bulk.gpus_per_worker or None)
        for row in done.iter_rows():
            if row["failed"]:
                raise ValueError(f"{blocks.verb}: a worker failed: {row['failed']}")
            yield row["number"]
    except ray.exceptions.RayError as error:
        raise ValueError(f"{blocks.verb}: Ray failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        if started_here:
            ray.shutdown()


def _room(resources: dict[str, float], bulk: Bulk) -> int:
    """How many actors the cluster has cores, and GPUs, for."""
    cores, gpus = resources.get("CPU", 1), resources.get("GPU", 0)
    return max(1, int(min(cores, gpus / bulk.gpus_per_worker if bulk.gpus_per_worker else cores)))


@contextmanager
def _progress(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal: clips, speed, time to go. Gives a function that is told of clips done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start, done = time.monotonic(), 0
    with Progress(TextColumn(verb), BarColumn(), MofNCompleteColumn(),
                  TextColumn("clips, {task.fields[rate]:.1f} a second"), TimeRemainingColumn()) as bar:
        task = bar.add_task(verb, total=total, rate=0.0)

        def advance(clips: int) -> None:
            nonlocal done
            done += clips
            bar.update(task, advance=clips, rate=done / max(1e-3, time.monotonic() - start))

        yield advance
