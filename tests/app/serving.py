"""Applications to ask, and how tests ask them."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager

import uvicorn
from fastapi.testclient import TestClient

from diffsound.app.api import make_app
from diffsound.app.command import config, hosts_of, listening
from diffsound.app.system import Limits, System

CARD = "# Small\n\nNoise, for tests. <b>not bold</b>\n"
JSON = {"Content-Type": "application/json"}
FILES = ("sound.wav", "sidecar.json", "spectrogram.png", "timeline.png", "inside/confidence.png", "film.gif")


@contextmanager
def served(model, **limits):
    with TestClient(make_app(System(model, CARD, Limits(**limits)))) as client:
        yield client


@contextmanager
def served_when_let_go(held, **limits):
    """The same of a model that waits, which is `client.model`."""
    with served(held, **limits) as client:
        client.model = held
        try:
            yield client
        finally:
            held.let_go()


@contextmanager
def served_on_a_port(model, **limits):
    """Its address, of a server as `diffsound serve` has it."""
    with listening("127.0.0.1", 0) as place:
        server = uvicorn.Server(config(make_app(System(model, CARD, Limits(**limits)), hosts_of("127.0.0.1"))))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Held:
    """A model whose calls wait before every step until they are let go."""

    def __init__(self, model):
        self.model, self.gate, self.begun = model, threading.Semaphore(0), threading.Semaphore(0)

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, texts, *arguments, on_step=None, **options):
        def held(step, of):
            on_step(step, of)
            self.begun.release()
            assert self.gate.acquire(timeout=30)

        return self.model(texts, *arguments, on_step=held if texts else None, **options)

    def let_go(self, steps=1000):
        self.gate.release(steps)


def ask(client, text="rain", **options) -> str:
    answer = client.post("/api/jobs", json={"text": text, **options})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def state(client, job: str) -> dict:
    return client.get(f"/api/jobs/{job}").json()


def ended(client, job: str) -> dict:
    deadline = time.monotonic() + 60
    while (told := state(client, job))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, told
        time.sleep(0.005)
    return told


def running(client, job: str) -> None:
    """Wait until it has done a step."""
    assert client.model.begun.acquire(timeout=30)
    assert state(client, job)["state"] == "running"


def replay(client, sidecar):
    return client.post("/api/replay", content=json.dumps(sidecar), headers=JSON)
