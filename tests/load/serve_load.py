"""Many clients of `diffsound serve` at once, for a while: nothing may be lost, and memory may not grow.

    python tests/load/serve_load.py --model my-model --clients 50 --seconds 600

Each client asks for one sound after the other, and now and then for what cannot be had; it cancels, goes away in the
middle, sends an earlier sidecar, looks at pictures. Prints a table, and what was wrong, which makes the exit status 1.
Needs Linux, where /proc tells the server's memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from clients import LONGEST_WAIT, Broken, Client, Load
from server import serving

JUDGED_FROM = 120  # seconds of load, from which on its memory is judged


class Memory(threading.Thread):
    """The resident memory and the open files of a process, every second until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.stopped = Path(f"/proc/{pid}"), threading.Event()
        self.mib: list[float] = []
        self.files: list[int] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            lines = (self.folder / "status").read_text().splitlines()
            self.mib.append(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024)
            self.files.append(len(list((self.folder / "fd").iterdir())))
            self.stopped.wait(1)

    def around(self, share: float) -> float:
        """MiB, the median of a tenth of the time up to there."""
        last = max(1, round(share * len(self.mib)))
        return statistics.median(self.mib[max(0, last - max(1, len(self.mib) // 10)):last])


def rush(load: Load, clients: int) -> None:
    """All clients, until the last one has done what it has begun; then look whether every job is accounted for."""
    threads = [threading.Thread(target=Client(load, number).work) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.end = time.monotonic() + LONGEST_WAIT
    after, ask = Client(load, -1), load.asks[0]
    try:
        known = sum(after.wait(job) is not None for job in list(load.jobs))
        load.expect(known <= load.model["limits"]["kept"], f"{known} jobs are known still")
        job = after.post("/api/jobs", ask)
        after.take(job, ask, after.wait(job))  # the same as before all this
    except Broken:
        pass


def warm_up(load: Load) -> None:
    """One sound and all its pictures, so that what is loaded once is loaded."""
    client, ask = Client(load, -1), load.asks[0]
    job = client.post("/api/jobs", ask)
    client.take(job, ask, client.wait(job))
    for file in ("spectrogram.png", "timeline.png", "inside/confidence.png", "film.gif"):
        load.request("GET", f"/api/jobs/{job}/{file}")


def table(load: Load, clients: int, seconds: float, memory: Memory) -> str:
    ends, counts = Counter(load.jobs.values()), load.counts
    rows = [
        ("clients, seconds", f"{clients}, {seconds:.0f}"),
        ("requests", f"{counts['requests']}"),
        ("of these refused as nonsense; as the queue was full", f"{counts['nonsense']}; {counts['full']}"),
        ("clients that went away in the middle", f"{counts['go_away']}"),
        ("jobs accepted, a second", f"{len(load.jobs)}, {len(load.jobs) / seconds:.2f}"),
        *((state, f"{ends[state]}") for state in sorted(ends)),
        ("sounds made more than once, all the same", f"{counts['compared']}"),
        *((f"seconds until {what}: median, 95th percentile", f"{quantile(of, 50):.3f}, {quantile(of, 95):.3f}")
          for what, of in load.seconds.items() if of),
        ("MiB resident: first, middle, last", f"{memory.mib[0]:.0f}, {memory.around(0.5):.0f}, {memory.around(1):.0f}"),
        ("open files: first, most, last", f"{memory.files[0]}, {max(memory.files)}, {memory.files[-1]}"),
        ("faults", f"{len(load.faults)}"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def quantile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="as `diffsound serve` takes it (default: tiny)")
    parser.add_argument("--clients", type=int, default=50, help="at once (default: 50)")
    parser.add_argument("--seconds", type=float, default=600, help="of load (default: 600)")
    parser.add_argument("--growth", type=float, default=24, metavar="MIB", help=
                        "of resident memory that is allowed in the second half (default: 24)")
    options = parser.parse_args()
    with serving(options.model) as server:
        load = Load(server.address, options.seconds)
        warm_up(load)
        load.end = time.monotonic() + options.seconds
        memory, start = Memory(server.pid), time.monotonic()
        memory.start()
        rush(load, options.clients)
        seconds = time.monotonic() - start
        time.sleep(2)  # in which connections end
        memory.stopped.set()
        memory.join()
    load.faults += server.faults
    growth = memory.around(1) - memory.around(0.5)
    if options.seconds < JUDGED_FROM:
        print(f"memory is judged from {JUDGED_FROM} s on", file=sys.stderr)
    elif growth > options.growth:
        load.faults.append(f"memory has grown by {growth:.0f} MiB in the second half, allowed are {options.growth:.0f}")
    if memory.files[-1] > memory.files[0] + 5:
        load.faults.append(f"{memory.files[-1]} files are open, {memory.files[0]} were before")
    print(table(load, options.clients, seconds, memory))
    for fault in load.faults[:20]:
        print(fault, file=sys.stderr)
    return 1 if load.faults else 0


if __name__ == "__main__":
    sys.exit(main())
