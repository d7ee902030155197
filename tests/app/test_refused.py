"""Nothing odd that is sent does harm."""

from __future__ import annotations

import json

import pytest
from serving import FILES, JSON, ask, ended, served

from diffsound.app import api


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"NaN", b"1" * 5000,
                                  b'{"format": 2}', b'{"a":' * 50_000], ids=lambda body: str(body[:12]))
@pytest.mark.parametrize("path", ["/api/jobs", "/api/replay"])
def test_bodies_that_are_none_are_refused(client, path, body):
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert 0 < len(answer.json()["detail"]) < 1200


@pytest.mark.parametrize(("body", "message"), [
    ("{}", "text: Field required"),
    ('{"text": ""}', "text: String should have at least 1"),
    ('{"text": " \\n"}', "an empty prompt"),
    ('{"text": 5}', "text: Input should be a valid string"),
    ('{"text": ["rain"]}', "text: Input should be a valid string"),
    ('{"text": "\\ud800"}', "text: "),
    (json.dumps({"text": "x" * 501}), "text: String should have at most 500 characters"),
    (json.dumps({"text": "dog " * 100}), "word pieces"),
    ('{"text": "rain", "volume": 3}', "volume: Extra inputs are not permitted"),
    ('{"text": "rain", "seed": -1}', "seed: "),
    ('{"text": "rain", "seed": 9007199254740992}', "seed: "),
    ('{"text": "rain", "seed": 1.5}', "seed: "),
    ('{"text": "rain", "seed": "1"}', "seed: "),
    ('{"text": "rain", "seed": true}', "seed: "),
    ('{"text": "rain", "seed": null}', "seed: "),
    ('{"text": "rain", "steps": 0}', "steps: "),
    ('{"text": "rain", "steps": 7}', "steps: Input should be less than or equal to 6"),  # those that the decoder has
    ('{"text": "rain", "guidance": NaN}', "guidance: "),
    ('{"text": "rain", "guidance": 1e999}', "guidance: "),
    ('{"text": "rain", "guidance": -1}', "guidance: "),
    ('{"text": "rain", "guidance": 101}', "guidance: "),
    ('{"text": "rain", "guidance": true}', "guidance: "),
    (f'{{"text": "rain", "guidance": 1{"0" * 400}}}', "guidance: "),
    ('{"text": "rain", "duration": 0}', "duration: "),
    ('{"text": "rain", "duration": 0.75}', "duration: "),
    ('{"text": "rain", "duration": Infinity}', "duration: "),
    ('{"text": "rain", "negative": 3}', "negative: "),
    (json.dumps({"text": "rain", "negative": "x" * 501}), "negative: "),
    (json.dumps({"text": "rain", "negative": "dog " * 100}), "word pieces"),
    ('{"text": "rain", "best_of": 0}', "best_of: "),
    ('{"text": "rain", "best_of": 9}', "best_of: Input should be less than or equal to 8"),
    ('{"text": "rain", "best_of": null}', "best_of: "),
    ('{"text": "what nobody says of a scene", "best_of": 2}', "no best take can be told: the judge"),
    ('{"text": "rain", "negative": "wind", "guidance": 1}', "does nothing at guidance 1"),
], ids=lambda value: value[:50])
def test_requests_beyond_the_limits_are_named(client, body, message):
    answer = client.post("/api/jobs", content=body.encode(), headers=JSON)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_limits_can_be_changed(model):
    with served(model, steps=4, prompt=10) as client:
        assert client.post("/api/jobs", json={"text": "rain", "steps": 5}).status_code == 422
        assert client.post("/api/jobs", json={"text": "rain falls!"}).status_code == 422
        limits = client.get("/api/model").json()["limits"]
        assert (limits["steps"], limits["prompt"], limits["duration"]) == (4, 10, 0.743)
        job = ask(client, "x" * 10, steps=4, duration=limits["duration"])  # what is told can be had
        assert ended(client, job)["state"] == "done"
    with served(model, steps=1) as client:  # of the bundle's own there are more
        told = client.get("/api/model").json()
        assert told["limits"]["steps"] == told["defaults"]["steps"] == 3
        assert ended(client, ask(client, steps=3))["state"] == "done"
        assert client.post("/api/jobs", json={"text": "rain", "steps": 4}).status_code == 422


@pytest.mark.parametrize("path", ["/api/jobs", "/api/replay"])
def test_bodies_are_bounded(client, path):
    big = b'{"text": "' + b"x" * 2**20 + b'"}'
    assert client.post(path, content=big, headers=JSON).status_code == 413

    def parts():  # of a length that is not told
        for _ in range(40):
            yield b"x" * 2**16

    assert client.post(path, content=parts(), headers=JSON).status_code == 413


def test_pictures_that_are_waited_for_are_bounded(client, monkeypatch):
    job = ask(client)
    ended(client, job)
    monkeypatch.setattr(api, "MOST_PICTURES", 0)
    answer = client.get(f"/api/jobs/{job}/spectrogram.png")
    assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    monkeypatch.undo()
    assert client.get(f"/api/jobs/{job}/spectrogram.png").status_code == 200


def test_pictures_beside_jobs_change_neither(client, model):
    """A film is drawn while other clips are made."""
    job = ask(client, "a dog barks", seed=1)
    ended(client, job)
    others = [ask(client, "rain", seed=seed) for seed in range(10)]
    assert client.get(f"/api/jobs/{job}/inside/confidence.png").status_code == 200
    for seed, other in enumerate(others):
        ended(client, other)
        sidecar = client.get(f"/api/jobs/{other}/sidecar.json").json()
        assert sidecar["sha256"] == model("rain", seed).sidecar["sha256"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(client, kind):
    """Which other sites' pages cannot send without being allowed to."""
    answer = client.post("/api/jobs", content=b'{"text": "rain"}', headers={"Content-Type": kind})
    assert (answer.status_code, "expected application/json" in answer.json()["detail"]) == (415, True)
    asks = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    allowed = client.options("/api/jobs", headers=asks)
    assert "access-control-allow-origin" not in allowed.headers


@pytest.mark.parametrize("name", ["nobody", "..%2F..%2Fetc%2Fpasswd", "%00", "x" * 65, "x" * 5000, "%F0%9F%98%80", "."])
@pytest.mark.parametrize("file", ["", *(f"/{file}" for file in FILES)])
def test_unknown_jobs_are_not_found(client, name, file):
    assert client.get(f"/api/jobs/{name}{file}").status_code in (404, 405, 422)
    if not file:
        assert client.delete(f"/api/jobs/{name}").status_code in (404, 405, 422)


def test_no_file_but_those_named_is_given(client):
    job = ask(client)
    ended(client, job)
    for path in (f"/api/jobs/{job}/bundle.yaml", f"/api/jobs/{job}/../../page.css", "/page.html", "/../pyproject.toml",
                 f"/api/jobs/{job}/inside/..%2f..%2fcommand.py", "/docs", "/redoc", "/static/x"):
        assert client.get(path).status_code == 404
