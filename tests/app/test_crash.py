"""A request that crashes is answered, and others do not notice."""

from __future__ import annotations

import threading

import pytest
from serving import ask, ended, running, state

from diffsound.app.system import System


@pytest.fixture
def crashing(client, monkeypatch):
    """A client of which `crashing(name)` makes a method of the system crash."""

    def crash(name, error=None):
        def method(*_, **__):
            raise error or RuntimeError("secret of the inside")

        monkeypatch.setattr(System, name, method)

    return crash


@pytest.mark.parametrize(("method", "request_"), [
    ("picture", ("GET", "/api/jobs/{}/film.gif", None)), ("told", ("GET", "/api/model", None)),
    ("job", ("POST", "/api/jobs", {"text": "rain"})), ("replay_job", ("POST", "/api/replay", "sidecar"))],
    ids=lambda value: str(value[:2]))
def test_a_request_that_crashes_is_answered(client, crashing, sidecar, method, request_, caplog):
    job = ask(client)
    ended(client, job)
    crashing(method)
    verb, path, body = request_
    answer = client.request(verb, path.format(job), json=sidecar if body == "sidecar" else body)
    assert (answer.status_code, "its log says" in answer.json()["detail"]) == (500, True)
    assert "secret" not in answer.text
    assert "secret of the inside" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert state(client, job)["state"] == "done"
    assert client.get(f"/api/jobs/{job}/sound.wav").status_code == 200


def test_pictures_that_crash_leave_room_for_others(client, crashing, monkeypatch):
    job = ask(client)
    ended(client, job)
    monkeypatch.setattr("diffsound.app.api.MOST_PICTURES", 1)
    with monkeypatch.context():
        crashing("picture")
        assert [client.get(f"/api/jobs/{job}/film.gif").status_code for _ in range(3)] == [500] * 3
    monkeypatch.undo()
    assert client.get(f"/api/jobs/{job}/spectrogram.png").status_code == 200


def test_a_crash_beside_a_job_does_not_end_it(held, monkeypatch):
    client = held()
    job = ask(client)
    running(client, job)

    def crash(*_):
        raise MemoryError

    monkeypatch.setattr(System, "told", crash)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.get("/api/model").status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.model.let_go()
    assert (answers, ended(client, job)["state"]) == ([500] * 4, "done")


@pytest.mark.parametrize("text", ["rain", "$\\nosuch$ and $\\frac{$", "\0\x1b[31m\u202e\ufeff\U0001f600\n\n\ta"],
                         ids=ascii)
def test_whatever_is_said_there_are_pictures_of_it(client, text):
    """Also where what should not be heard is a blank."""
    job = ask(client, text, negative=" ", guidance=2)
    ended(client, job)
    for file in ("spectrogram.png", "inside/confidence.png"):
        assert client.get(f"/api/jobs/{job}/{file}").status_code == 200, file


def test_the_same_words_twice_are_two_jobs(client):
    first, second = ask(client, seed=5), ask(client, seed=5)
    assert first != second
    ended(client, first), ended(client, second)
    sounds = [client.get(f"/api/jobs/{job}/sound.wav").content for job in (first, second)]
    assert sounds[0] == sounds[1]
