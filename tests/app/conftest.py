"""A small system, and clients of it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from serving import CARD, Held, ask, ended, served, served_when_let_go
from tiny_system import tiny_system

from diffsound.bundle import write_bundle
from diffsound.mel import MelSettings
from diffsound.text_to_sound import TextToSound


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "small"
    write_bundle(tiny_system(MelSettings()), folder, CARD)
    return folder


@pytest.fixture(scope="session")
def model(bundle):
    return TextToSound.from_pretrained(str(bundle))


@pytest.fixture(scope="module")
def client(model):
    """With room in the queue: tests share it."""
    with served(model, waiting=100) as client:
        yield client


@pytest.fixture
def held(model):
    """`held(**limits)` is a client, of a model that waits (`client.model`)."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(served_when_let_go(Held(model), **limits))


@pytest.fixture
def sidecar(client):
    job = ask(client, "a dog barks", seed=3, steps=2, guidance=2.5)
    ended(client, job)
    return client.get(f"/api/jobs/{job}/sidecar.json").json()
