"""The verb `store`: what it says of a store, whole or damaged, and of its speed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diffsound.cli import main
from diffsound.data.token_store import StoredClip, TokenStoreWriter
from diffsound.mel import MelSettings


@pytest.fixture
def store(tmp_path):
    with TokenStoreWriter(tmp_path / "tokens", "0123", MelSettings(), 2, 3, 256, shard_size=5) as writer:
        writer.add(np.zeros((12, 6), int), [StoredClip(str(i), [str(i)], [], "val" if i > 9 else "train", str(i))
                                            for i in range(12)])
    return tmp_path / "tokens"


def test_show_tells_what_is_in_it(store, capsys):
    assert main(["store", "show", str(store)]) == 0
    told = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in store.iterdir() if path.name != "store.json")
    assert told == {"rows": 12, "splits": {"train": 10, "val": 2}, "grid": [2, 3], "codebook_size": 256,
                    "codec": "0123", "bytes": size}


def test_verify_finds_a_changed_bit(store, capsys):
    assert main(["store", "verify", str(store)]) == 0
    assert "12 rows, all files as they were written" in capsys.readouterr().out
    path = store / "clips-00001.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    assert main(["store", "verify", str(store)]) == 1
    assert "the checksum differs for clips-00001.arrow" in capsys.readouterr().err


def test_bench_measures_a_store_of_its_own_and_leaves_nothing(tmp_path, capfd):
    sizes = ["--rows", "3000", "--columns", "2", "--workers", "1"]
    assert main(["store", "bench", *sizes, "--folder", str(tmp_path)]) == 0
    told = capfd.readouterr().out
    assert "3000 rows of 10 tokens" in told
    assert told.count("shuffled items a second") == 4
    assert list(tmp_path.iterdir()) == []
