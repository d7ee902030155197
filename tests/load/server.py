"""`diffsound serve` as a process of its own, for the scripts beside this file."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ENDING_SECONDS = 60


@dataclass
class Server:
    """faults: of how it ended, once it has."""

    address: str
    pid: int
    faults: list[str] = field(default_factory=list)


@contextmanager
def serving(model: str, *options: str) -> Iterator[Server]:
    """`diffsound serve --model MODEL` on a free port of this machine, ended by Ctrl-C's signal.

    Raises:
        RuntimeError: if it does not start; with what it said.
    """
    command = [sys.executable, "-m", "diffsound.cli", "serve", "--model", model, "--port", "0", *options]
    with (tempfile.TemporaryFile("w+") as log,
          subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process):
        try:
            line = process.stdout.readline()
            if not line.startswith("http://"):
                process.wait(ENDING_SECONDS)
                raise RuntimeError(f"the server has not started: {_said(log)}")
            server = Server(line.split()[0], process.pid)
            yield server
            if process.poll() is not None:
                server.faults.append(f"the server had ended by itself, with status {process.returncode}: {_said(log)}")
                return
            process.send_signal(signal.SIGINT)
            try:
                if (status := process.wait(ENDING_SECONDS)) != 0:
                    server.faults.append(f"the server ended with status {status}: {_said(log)}")
            except subprocess.TimeoutExpired:
                server.faults.append(f"the server did not end within {ENDING_SECONDS} s of Ctrl-C")
            if "Traceback" in (said := _said(log)):
                server.faults.append(f"the server's log has an error: {said}")
        finally:
            process.kill()


def _said(log: tempfile._TemporaryFileWrapper) -> str:
    log.seek(0)
    return log.read()[-2000:]
