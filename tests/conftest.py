"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from published import ROOT

# Shells that put a command in the background have it ignore Ctrl-C, and so would all that tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("RAY_worker_niceness", "0")  # else tests that run beside those of Ray starve its workers

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # they share the cores
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(workers)))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden():
    """`golden(name)` -> (tensors, settings) of one fixture produced by the original code; skips where it is absent."""
    folder = Path(os.environ.get("DIFFSOUND_GOLDEN", ROOT.parent / "shared" / "reference" / "golden"))

    def read(name: str) -> tuple[dict[str, torch.Tensor], dict]:
        from safetensors.torch import load_file

        if not (folder / f"{name}.json").is_file():
            pytest.skip(f"no {name}.json in {folder} (set DIFFSOUND_GOLDEN)")
        return load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text())

    return read


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return folder
