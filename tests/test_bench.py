"""The measurements at the smallest size: that they run, and that their figures mean what they say."""

import importlib.util
import json
import time

import pytest

from diffsound import bench
from diffsound.cli import main


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "out" / "bench.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "SIZES", {"tiny": bench.Size(2, 16, 2, 3, 4, 2, few=2)})
        patch.setattr(bench, "SECONDS", 1.0)
        bench.main(["--repeats", "2", "--batches", "1", "2", "--out", str(file)])
    content = json.loads(file.read_text())
    assert content["repeats"] == 2
    assert content["machine"]["cores"] >= 1
    return content["rows"]


def test_everything_is_measured(rows):
    names = {row["name"] for row in rows}
    assert {"matrix products alone", "sampling", "autoregressive, keys and values kept", "network forward and backward",
            "training, gradient", "training, with optimizer", "mel, librosa", "mel", "mel and codec, encode",
            "codec, decode"} <= names
    assert ("diffusers, VQ-Diffusion" in names) == (importlib.util.find_spec("diffusers") is not None)
    assert {row["steps"] for row in rows if row["name"] == "sampling"} == {bench.STEPS, bench.FEWER}
    for row in rows:
        assert 0 < row["spread"][0] <= row["median"] <= row["spread"][1]


def test_ratios_are_of_the_rows_they_name(rows):
    first = next(row for row in rows if row["name"] == "sampling")
    floor = next(row for row in rows if row["name"] == "matrix products alone")
    assert first["to"] == "matrix products alone, float32, 100 steps"
    assert first["ratio"] == pytest.approx(first["median"] / floor["median"])
    fewer = next(row for row in rows if row["name"] == "sampling" and row["steps"] == bench.FEWER)
    assert fewer["to"] == "sampling, float32, 100 steps"


def test_a_measurement_is_of_what_it_is_given(tmp_path):
    median, low, high = bench.Bench(tmp_path / "bench.json", 3).time(lambda: time.sleep(0.02), times=10, extra=1)
    assert 1.2 <= low <= median <= high < 2


def test_repeats_that_the_host_disturbed_are_done_again(tmp_path, monkeypatch):
    calls, stolen = [], iter([0.0, 9.0, 9.0, 9.0, 9.0, 20.0, 20.0, 20.0, 20.0, 20.0])  # before and after each repeat
    monkeypatch.setattr(bench, "_stolen", lambda: next(stolen))
    measured = bench.Bench(tmp_path / "bench.json", 3)
    measured.time(lambda: (calls.append(0), time.sleep(0.3)))
    assert len(calls) == 1 + 5  # once to see how long it takes; two of five were disturbed
    assert measured.most_stolen == 0


def test_nonsense_is_refused(capsys):
    assert main(["bench", "--repeats", "0"]) == 1
    assert "--repeats 0" in capsys.readouterr().err
