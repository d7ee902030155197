"""The load test itself: it passes on the server as it is, and finds what is broken in one that is not."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from serving import served_on_a_port

from diffsound.app.jobs import Jobs
from diffsound.app.system import System

sys.path.append(str(Path(__file__).parents[1] / "load"))
import clients  # noqa: E402
import serve_load  # noqa: E402


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_nothing_is_wrong_with_the_server(model):
    memory = serve_load.Memory(os.getpid())
    memory.start()
    with served_on_a_port(model) as address:
        load = clients.Load(address, 2.5)
        serve_load.rush(load, 6)
    memory.stopped.set()
    memory.join()
    assert load.faults == []
    assert set(load.jobs.values()) <= {"done", "cancelled"}
    assert load.counts["compared"] >= 1
    assert "| faults | 0 |" in serve_load.table(load, 6, 2.5, memory)


def noise(true, system, job, on_step, numbers=count()):  # noqa: B008
    true(system, job, on_step)
    job.files["sound.wav"] = job.files["sound.wav"][:-1] + bytes([next(numbers)])


def shorter(true, system, job, on_step):
    true(system, job, on_step)
    job.files["sound.wav"] = job.files["sound.wav"][:-4]


def confused(true, system, job, on_step):
    job.options["seed"] = 7
    true(system, job, on_step)


def lost(true, jobs, job):
    told = true(jobs, job)
    return {"id": job.id, "state": "running", "text": job.text, "step": 1, "of": 2} if told["state"] == "done" else told


def crash(*_):
    raise ZeroDivisionError


@pytest.mark.parametrize(("owner", "method", "other", "acts", "words"), [
    (System, "make", noise, ["sound", "sound"], "is not the sound of"),
    (System, "make", shorter, ["sound"], "samples at"),
    (System, "make", confused, ["sound"], "is another's"),
    (System, "make", crash, ["sound"], "ZeroDivisionError"),
    (Jobs, "told", lost, ["sound"], "is lost"),
    (Jobs, "get", lambda *_: None, ["sound"], "is forgotten, but"),
    (Jobs, "cancel", lambda *_: True, ["cancel"], "DELETE"),
    (System, "job", crash, ["sound"], "/api/jobs: 500")],
    ids=["other bytes", "shorter", "confused", "failed", "lost", "unknown", "not cancelled", "crash"])
def test_what_is_broken_is_found(model, monkeypatch, owner, method, other, acts, words):
    true = getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda *arguments: other(true, *arguments))
    monkeypatch.setattr(clients, "LONGEST_WAIT", 1)
    with served_on_a_port(model) as address:
        load = clients.Load(address, 60)
        load.asks = load.asks[:1]
        for act in acts:
            with suppress(clients.Broken):
                getattr(clients.Client(load, 0), act)()
    assert words in "".join(load.faults)
