"""Work in blocks: every engine writes the same files, whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from diffsound.blocks import Blocks, Bulk
from diffsound.whole_file import whole_file

ENGINES = ["process", "cores", "ray"]


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes of one core each, on this machine."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors cannot import a test
    ray.init(address=cluster.address, log_to_driver=False)
    assert ray.cluster_resources()["CPU"] == 2
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(params=ENGINES)
def engine(request):
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return request.param


class Squares:
    """Writes the squares of a block's numbers. `victim`: the first process to come to this number is killed by it."""

    def __init__(self, marks: Path, victim: int | None = None) -> None:
        self.marks, self.victim = marks, victim

    def __call__(self, sources, path, device):
        assert device == torch.device("cpu")
        assert torch.get_num_threads() == 1
        (self.marks / f"{path.stem}-{time.time_ns()}").touch()
        if self.victim in sources and not (self.marks / "killed").exists():
            path.with_name(f".{path.name}.1.part").write_text("half")
            (self.marks / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        whole_file(path, lambda partial: partial.write_text(json.dumps([number**2 for number in sources])))


def blocks(folder, engine="process", count=23, plan=None, **bulk) -> Blocks:
    return Blocks("square", folder / "blocks", ".json", range(count), plan or {"of": "numbers"},
                  Bulk(engine=engine, **{"block_size": 4, "workers": 2, **bulk}))


def result(work: Blocks) -> list[int]:
    return [number for path in work.paths() for number in json.loads(path.read_text())]


@pytest.fixture
def marks(tmp_path):
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def times_done(marks: Path) -> dict[str, int]:
    names = [path.name.rsplit("-", 1)[0] for path in marks.iterdir()]
    return {name: names.count(name) for name in names}


def test_every_clip_once_and_in_order(tmp_path, marks, engine):
    work = blocks(tmp_path, engine)
    work.run(Squares(marks))
    assert result(work) == [number**2 for number in range(23)]
    assert set(times_done(marks).values()) == {1}
    assert len(times_done(marks)) == len(work) == 6
    work.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["marks"]


@pytest.mark.parametrize("engine", ["cores", "ray"], indirect=True)
def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path, marks, engine):
    work = blocks(tmp_path, engine)
    work.run(Squares(marks, victim=9))
    assert (marks / "killed").exists()
    assert result(work) == [number**2 for number in range(23)]
    work.run(Squares(marks))  # nothing is left to do, but for what the killed one left lying about
    assert sorted(path.name for path in work.folder.iterdir()) == [*(path.name for path in work.paths()), "plan.json"]


def dies(sources, path, device):
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_death_before_the_first_block_is_done_ends_nothing(tmp_path, marks):
    work = blocks(tmp_path, "cores", count=8)
    work.run(Squares(marks, victim=0))
    assert (marks / "killed").exists()
    assert result(work) == [number**2 for number in range(8)]


def test_workers_end_with_a_parent_that_is_killed(tmp_path, marks):
    script = ("import sys, pathlib\nsys.path.insert(0, sys.argv[1])\nfrom test_blocks import *\n"
              "if __name__ == '__main__': blocks(pathlib.Path(sys.argv[2]), 'cores', count=400).run(writes_its_id)\n")
    (tmp_path / "main.py").write_text(script)
    parent = subprocess.Popen([sys.executable, tmp_path / "main.py", Path(__file__).parent, tmp_path])
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob("blocks/block-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    workers = {int(path.read_text()) for path in tmp_path.glob("blocks/block-*")}
    assert workers
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def writes_its_id(sources, path, device):
    time.sleep(0.05)
    whole_file(path, lambda partial: partial.write_text(str(os.getpid())))


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_workers_that_die_again_and_again_end_it_in_words(tmp_path):
    with pytest.raises(ValueError, match="square: a worker process died, and another at the same blocks"):
        blocks(tmp_path, "cores").run(dies)


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, marks, engine):
    work = blocks(tmp_path, engine)

    def stopped(sources, path, device):
        if 8 in sources:
            raise KeyboardInterrupt
        Squares(marks)(sources, path, device)

    with pytest.raises(KeyboardInterrupt):
        blocks(tmp_path, "process").run(stopped)
    assert sorted(times_done(marks)) == ["block-000000", "block-000001"]
    work.run(Squares(marks))
    assert result(work) == [number**2 for number in range(23)]
    assert set(times_done(marks).values()) == {1}


@pytest.mark.parametrize("change", [{"count": 24}, {"plan": {"of": "letters"}}, {"block_size": 5}])
def test_blocks_of_other_clips_or_settings_are_made_anew(tmp_path, marks, capsys, change):
    first = blocks(tmp_path)
    first.run(Squares(marks))
    work = blocks(tmp_path, **change)
    work.run(Squares(marks))
    assert "were made from other clips or settings" in capsys.readouterr().out
    assert result(work) == [number**2 for number in range(change.get("count", 23))]
    assert len(list(work.folder.glob("block-*"))) == len(work)


def test_blocks_that_are_the_users_are_never_deleted(tmp_path, marks):
    first = blocks(tmp_path)
    first.run(Squares(marks))
    (first.folder / "block-party.json").write_text("mine")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    kept = Blocks("square", first.folder, ".json", range(24), {"of": "numbers"}, first.bulk, keep=True)
    with pytest.raises(ValueError, match="holds 6 blocks that were made from other clips .* another bulk.folder"):
        kept.run(Squares(marks))
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    blocks(tmp_path, count=24).run(Squares(marks))
    assert (first.folder / "block-party.json").read_text() == "mine"


def test_an_error_in_a_worker_ends_the_run_and_is_named(tmp_path, engine):
    work = blocks(tmp_path, engine)
    with pytest.raises(OSError if engine != "ray" else ValueError, match="No such file or directory: .*absent"):
        work.run(Squares(tmp_path / "absent"))
    assert not list(work.folder.glob("block-*"))


@pytest.mark.parametrize(("bulk", "message"), [
    ({"workers": 0}, "bulk.workers is 0"), ({"block_size": 0}, "bulk.block_size is 0"),
    ({"address": "auto"}, "bulk.address and bulk.gpus_per_worker are for bulk.engine ray, not cores"),
])
def test_wrong_settings_are_named(bulk, message):
    with pytest.raises(ValueError, match=message):
        Bulk(**bulk)
