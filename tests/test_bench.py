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
    assert {"matrix products alone", "sampling", "autoregressive, cached", "network forward and backward",
            "corruption, network, loss", "with optimizer", "read and resample a 44.1 kHz WAV", "mel, librosa", "mel",
            "mel and codec, encode", "codec, decode"} <= names
    assert ("diffusers, VQ-Diffusion" in names) == (importlib.util.find_spec("diffusers") is not None)
    assert {row["steps"] for row in rows if row["name"] == "sampling"} == {bench.STEPS, bench.FEWER}
    for row in rows:
        assert 0 < row["spread"][0] <= row["median"] <= row["spread"][1]
        assert row["rate"] is None or row["rate"] == pytest.approx(row["amount"] / row["median"])


def test_ratios_are_to_the_first_of_their_group(rows):
    assert rows[0]["name"] == "matrix products alone"
    assert rows[0]["ratio"] == 1
    assert rows[1]["to"] == "matrix products alone, float32, 100 steps"
    low, high = rows[1]["ratio_spread"]
    assert low <= rows[1]["ratio"] <= high
    assert rows[2]["median"] < rows[1]["median"]  # fewer steps


def works(*seconds, times=1.0, extra=0.0):
    return [bench.Work(str(i), lambda value=value: time.sleep(value), times=times, extra=extra)
            for i, value in enumerate(seconds)]


def test_a_measurement_is_of_what_it_is_given(tmp_path):
    first, second = bench.Bench(tmp_path / "bench.json", 3).compare("tiny", 1, works(0.02, 0.06, times=10, extra=1))
    assert 1.2 <= first.median < 1.5
    assert 1.6 <= second.median < 1.9
    assert second.ratio == pytest.approx(1.6 / 1.2, abs=0.15)


def test_repeats_that_the_host_disturbed_are_done_again(tmp_path, monkeypatch):
    stolen = iter([0.0, 9.0, 9.0, 9.0, 9.0, 20.0, 20.0, 20.0, 20.0, 20.0])  # before and after each repeat
    monkeypatch.setattr(bench, "_stolen", lambda: next(stolen))
    row, = bench.Bench(tmp_path / "bench.json", 3).compare("tiny", 1, works(0.3))
    assert row.stolen == 0  # of five repeats the two disturbed ones are left out


def test_nonsense_is_refused(capsys):
    assert main(["bench", "--repeats", "0"]) == 1
    assert "--repeats 0" in capsys.readouterr().err
