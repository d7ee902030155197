"""Answers are as the API's own description has them, whatever is sent: a short look. `make api-test` is a long one."""

from __future__ import annotations

import pytest
from serving import Held, ask, ended, replay, running, served_when_let_go

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")
from schemathesis import GenerationMode  # noqa: E402

JOB = [("GET", "/api/jobs/{id}"), *[("GET", f"/api/jobs/{{id}}/{file}") for file in (
    "sound.wav", "sidecar.json", "spectrogram.png", "timeline.png", "inside/confidence.png", "film.gif")]]
ALL = [("POST", "/api/jobs"), ("POST", "/api/replay"), ("DELETE", "/api/jobs/{id}"), ("GET", "/api/model"),
       ("GET", "/healthz"), *JOB]
UNTOLD = ("word pieces", "does nothing at guidance 1", "an empty prompt",  # what a schema cannot say of a job
          "no sentence of a scene")
ACCEPTED = schemathesis.checks.positive_data_acceptance  # but for what UNTOLD is about
OFTEN = hypothesis.settings(max_examples=15, deadline=None, derandomize=True, database=None,
                            suppress_health_check=list(hypothesis.HealthCheck))


def described(client):
    async def alive(scope, receive, send):
        if scope["type"] == "http":  # else it would be ended after the first test
            await client.app(scope, receive, send)

    return schemathesis.openapi.from_asgi("/openapi.json", alive)


@pytest.fixture(scope="module")
def description(client):
    return described(client)


def answered(description, method, path, **parameters):
    """A plain request, whose answer is looked at by all checks."""
    return description[path][method].Case(**parameters).call_and_validate()


def test_nothing_is_left_out(description):
    assert {(method.upper(), path) for path in description for method in description[path]} == set(ALL)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize(("method", "path"), ALL, ids=str)
def test_answers_are_as_described(description, method, path, mode):
    operation = description[path][method]
    if mode.is_negative and method == "GET" and path in ("/api/model", "/healthz"):
        pytest.skip("it takes nothing that could be wrong")

    @OFTEN
    @hypothesis.given(operation.as_strategy(mode))
    def check(case):
        answer = case.call_and_validate(excluded_checks=[ACCEPTED] if method == "POST" else [])
        if mode.is_positive and path == "/api/jobs" and answer.status_code != 429:
            assert answer.status_code == 202 or any(reason in answer.json()["detail"] for reason in UNTOLD), answer.text

    check()


def test_sidecars_of_which_a_part_is_true_are_answered_as_described(description, sidecar):
    """So that what is odd in others is not refused for the bundle alone."""
    others = description["/api/replay"]["POST"].as_strategy()
    names = hypothesis.strategies.sampled_from(sorted(sidecar))

    @OFTEN
    @hypothesis.given(others, hypothesis.strategies.sets(names, max_size=3))
    def check(case, odd):
        case.body = sidecar | {name: case.body[name] for name in odd if name in case.body}
        case.call_and_validate(excluded_checks=[ACCEPTED])

    check()


def test_every_state_is_as_described(held, model):
    class Failing(Held):
        def __call__(self, texts, *arguments, **options):
            if texts == "fail":
                raise RuntimeError("no memory")
            return super().__call__(texts, *arguments, **options)

    with served_when_let_go(Failing(model)) as client:
        description = described(client)
        jobs = {"running": ask(client)}
        running(client, jobs["running"])
        jobs["queued"] = ask(client, "a dog barks", best_of=2)
        jobs |= {"failed": ask(client, "fail"), "cancelled": ask(client)}
        answered(description, "DELETE", "/api/jobs/{id}", path_parameters={"id": jobs["cancelled"]})

        def look(state, job):
            for method, path in JOB:
                answer = answered(description, method, path, path_parameters={"id": job})
                if path == "/api/jobs/{id}":
                    assert answer.json()["state"] == state

        for state in ("running", "queued", "cancelled"):
            look(state, jobs[state])
        client.model.let_go()
        ended(client, jobs["failed"])
        look("failed", jobs["failed"])
        assert ended(client, jobs["queued"])["chosen"]["of"] == 2
        sidecar = client.get(f"/api/jobs/{jobs['queued']}/sidecar.json").json()
        again = replay(client, sidecar).json()["id"]
        assert "replay" in ended(client, again)
        look("done", jobs["queued"])
        assert answered(description, *JOB[0], path_parameters={"id": again}).json()["replay"]["same"]
        assert answered(description, "DELETE", "/api/jobs/{id}", path_parameters={"id": again}).status_code == 409


def test_a_full_queue_is_as_described(held):
    client = held(waiting=1)
    description = described(client)
    running(client, ask(client))
    ask(client)
    answer = answered(description, "POST", "/api/jobs", body={"text": "rain"}, media_type="application/json")
    assert answer.status_code == 429
