"""Nothing is lost or confused, whoever asks, cancels or fails meanwhile."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from serving import FILES, Held, ask, ended, running, served, state


def test_the_queue_is_in_order_and_bounded(held):
    client = held(waiting=2)
    first = ask(client, "one")
    running(client, first)
    second, third = ask(client, "two"), ask(client, "three")
    assert [state(client, job).get("place") for job in (first, second, third)] == [None, 1, 2]
    told = state(client, first)
    assert (told["step"], told["of"]) == (1, 3)
    full = client.post("/api/jobs", json={"text": "four"})
    assert (full.status_code, int(full.headers["retry-after"]) >= 1) == (429, True)
    assert "2 jobs are waiting" in full.json()["detail"]
    client.model.let_go()
    assert [ended(client, job)["state"] for job in (first, second, third)] == ["done"] * 3
    assert ended(client, ask(client, "four"))["state"] == "done"


def test_cancelling(held):
    client = held(waiting=2)
    first = ask(client)
    running(client, first)
    second, third = ask(client), ask(client)
    assert client.delete(f"/api/jobs/{second}").json()["state"] == "cancelled"
    assert state(client, third)["place"] == 1
    fourth = ask(client)  # in the place of the second
    assert client.delete(f"/api/jobs/{first}").json()["state"] == "cancelled"
    client.model.let_go(1)  # of the step that it is in: it does not take another
    running(client, third)
    assert client.get(f"/api/jobs/{first}/sound.wav").status_code == 404
    client.model.let_go()
    assert [ended(client, job)["state"] for job in (first, second, third, fourth)] == ["cancelled"] * 2 + ["done"] * 2
    assert client.delete(f"/api/jobs/{first}").status_code == 200  # it is what was asked for
    assert client.delete(f"/api/jobs/{third}").status_code == 409


def test_files_of_a_job_that_is_not_done(held):
    client = held()
    job = ask(client)
    running(client, job)
    for file in FILES:
        answer = client.get(f"/api/jobs/{job}/{file}")
        assert (answer.status_code, answer.json()["detail"]) == (409, "the job is running: wait until it is done")


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("no such thing"), KeyError("x"),
                                   torch.OutOfMemoryError("CUDA")], ids=repr)
def test_a_job_that_fails_leaves_the_next_one_alone(model, error):
    class Failing(Held):
        def __call__(self, texts, *arguments, **options):
            if texts == "fail":
                raise error
            return self.model(texts, *arguments, **options)

    with served(Failing(model)) as client:
        bad, good = ask(client, "fail"), ask(client, "rain")
        told = ended(client, bad)
        assert told["state"] == "failed"
        assert str(error) in told["error"]
        assert client.get(f"/api/jobs/{bad}/sound.wav").status_code == 404
        assert ended(client, good)["state"] == "done"
        assert client.get(f"/api/jobs/{good}/sidecar.json").json()["tokens"] == model("rain").tokens.tolist()


def test_the_oldest_results_are_forgotten(model):
    with served(model, kept=2) as client:
        jobs = [ask(client) for _ in range(4)]
        for job in jobs[2:]:
            ended(client, job)
        assert [client.get(f"/api/jobs/{job}").status_code for job in jobs] == [404, 404, 200, 200]
        assert "latest 2 that are kept" in client.get(f"/api/jobs/{jobs[0]}").json()["detail"]
        assert len(client.app.state.jobs._known) == 2


def test_many_clients_at_once_lose_nothing(client, model):
    found = {}

    def one(seed):
        job = ask(client, f"sound {seed}", seed=seed)
        ended(client, job)
        found[seed] = client.get(f"/api/jobs/{job}/sidecar.json").json()

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {seed: (sidecar["text"], sidecar["seed"]) for seed, sidecar in found.items()} == \
        {seed: (f"sound {seed}", seed) for seed in range(12)}
    assert all(found[seed]["tokens"] == model(f"sound {seed}", seed).tokens.tolist() for seed in (0, 11))


def test_closing_ends_the_thread_and_cancels(held):
    client = held()
    job = client.app.state.jobs.get(ask(client))
    running(client, job.id)
    waits = client.app.state.jobs.get(ask(client))
    closing = threading.Thread(target=client.app.state.jobs.close)
    closing.start()
    while job.state != "cancelled":
        time.sleep(0.001)
    client.model.let_go(1)
    closing.join(timeout=30)
    assert not closing.is_alive()
    assert (job.state, waits.state) == ("cancelled", "cancelled")
