"""A small system, and clients of it."""

from __future__ import annotations

import pytest
from serving import CARD, Held, ask, ended, served
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
    held, contexts = Held(model), []

    def serve(**limits):
        contexts.append(served(held, **limits))
        client = contexts[-1].__enter__()
        client.model = held
        return client

    yield serve
    held.let_go()
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def sidecar(client):
    job = ask(client, "a dog barks", seed=3, steps=2, guidance=2.5)
    ended(client, job)
    return client.get(f"/api/jobs/{job}/sidecar.json").json()
