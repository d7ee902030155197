"""The HTTP API: sounds are those of the model, nothing is lost or confused, nothing odd that is sent does harm."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest
import soundfile
import torch
from fastapi.testclient import TestClient
from tiny_system import tiny_system

from diffsound.app import api, guard
from diffsound.app.api import make_app
from diffsound.app.command import hosts_of, listening, parser
from diffsound.app.system import Limits, System
from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.bundle import write_bundle
from diffsound.cli import main
from diffsound.mel import MelSettings
from diffsound.sidecar import read_sidecar
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_to_sound import TextToSound

CARD = "# Small\n\nNoise, for tests. <b>not bold</b>\n"
JSON = {"Content-Type": "application/json"}
FILES = ("sound.wav", "sidecar.json", "spectrogram.png", "timeline.png", "inside/confidence.png", "film.gif")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "small"
    write_bundle(tiny_system(MelSettings()), folder, CARD)
    return folder


@pytest.fixture(scope="module")
def model(bundle):
    return TextToSound.from_pretrained(str(bundle))


@contextmanager
def served(model, **limits):
    with TestClient(make_app(System(model, CARD, Limits(**limits)))) as client:
        yield client


@pytest.fixture(scope="module")
def client(model):
    """With room in the queue: tests share it."""
    with served(model, waiting=100) as client:
        yield client


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


@pytest.mark.parametrize("options", [
    {}, {"seed": 7}, {"seed": 2**53 - 1, "steps": 2, "guidance": 3.5, "negative": "speech", "duration": 0.3},
    {"guidance": 2}, {"negative": None, "steps": None}], ids=str)
def test_a_job_makes_what_the_model_makes(client, model, options):
    job = ask(client, "a dog barks", **options)
    told = ended(client, job)
    clip = model("a dog barks", **options)
    sidecar = client.get(f"/api/jobs/{job}/sidecar.json").json()
    assert sidecar["tokens"] == clip.tokens.tolist()
    assert sidecar["sha256"] == clip.sidecar["sha256"]  # of the samples: bit for bit
    assert {key: sidecar[key] for key in sidecar if key != "seconds"} == \
        {key: clip.sidecar[key] for key in clip.sidecar if key != "seconds"}
    sound = client.get(f"/api/jobs/{job}/sound.wav")
    assert sound.headers["content-type"] == "audio/wav"
    samples, rate = soundfile.read(io.BytesIO(sound.content), dtype="float32")
    assert rate == clip.sample_rate
    torch.testing.assert_close(torch.from_numpy(samples), clip.waveform, atol=1e-4, rtol=0)
    assert (told["state"], told["seed"], told["sampler"]) == ("done", options.get("seed", 0), clip.sidecar["sampler"])


def test_a_sidecar_is_what_replay_reads(client, tmp_path):
    job = ask(client)
    ended(client, job)
    (tmp_path / "clip.json").write_bytes(client.get(f"/api/jobs/{job}/sidecar.json").content)
    assert read_sidecar(tmp_path / "clip.json")["text"] == "rain"


def test_pictures_are_made_once(client, monkeypatch):
    job = ask(client, "A dog barks, then rain falls.")
    ended(client, job)
    begins = {"png": b"\x89PNG", "gif": b"GIF8"}
    for file in FILES[2:]:
        answer = client.get(f"/api/jobs/{job}/{file}")
        assert answer.status_code == 200, answer.text
        assert answer.content.startswith(begins[file[-3:]])
        assert client.app.state.jobs.get(job).files[file] == answer.content
    monkeypatch.setattr(System, "picture", lambda *_: pytest.fail("it is there already"))
    assert client.get(f"/api/jobs/{job}/film.gif").status_code == 200


def test_who_waited_for_the_same_picture_gets_it(model):
    system = System(model, CARD, Limits())
    job = system.job({"text": "rain"})
    system.make(job, lambda step, of: None)
    first = system.picture(job, "spectrogram.png")
    system.pictures.clear()
    assert system.picture(job, "spectrogram.png") is first


def test_looking_inside_shows_the_clip_itself(model):
    """With the sampler and the length of its job, not of the system."""
    system = System(model, CARD, Limits())
    job = system.job({"text": "rain", "seed": 5, "steps": 2, "guidance": 3.0, "negative": "wind", "duration": 0.3})
    system.make(job, lambda step, of: None)
    trace = system._trace(job)
    assert trace.tokens.tolist() == job.clip.tokens.tolist()
    assert len(trace.t) == 2
    torch.testing.assert_close(trace.mel, job.clip.mel)


def test_a_timeline_is_of_sentences_of_scenes(client):
    job = ask(client, "what nobody says of a scene")
    ended(client, job)
    answer = client.get(f"/api/jobs/{job}/timeline.png")
    assert (answer.status_code, "no sentence of a scene" in answer.json()["detail"]) == (404, True)
    timed = ask(client, "a dog barks at second 2")
    ended(client, timed)
    assert client.get(f"/api/jobs/{timed}/timeline.png").status_code == 200


def test_a_timeline_needs_the_mel_of_the_judge():
    with served(tiny_system(MelSettings(f_max=8000.0))) as client:
        job = ask(client, "a dog barks")
        ended(client, job)
        answer = client.get(f"/api/jobs/{job}/timeline.png")
        assert (answer.status_code, "another mel" in answer.json()["detail"]) == (404, True)


def test_the_baseline_has_nothing_inside():
    tiny = tiny_system(MelSettings())
    torch.manual_seed(3)
    network = GPT(16, 5, 4, layers=1, width=32, heads=2, condition_width=16)
    decoder = Autoregressive(SmallTextEncoder(width=16, layers=1), network).eval()
    decoder.facts = {"codec": tiny.codec.fingerprint}
    with served(TextToSound(decoder, tiny.codec, tiny.vocoder, AutoregressiveSampler(), 4)) as client:
        told = client.get("/api/model").json()
        assert (told["inside"], told["limits"]["steps"], told["name"]) == (False, None, None)
        job = ask(client)
        assert ended(client, job)["state"] == "done"
        answer = client.get(f"/api/jobs/{job}/film.gif")
        assert (answer.status_code, "not one of diffusion" in answer.json()["detail"]) == (404, True)
        assert client.post("/api/jobs", json={"text": "rain", "steps": 3}).status_code == 422


# --- the queue ---------------------------------------------------------------------------------------------------


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


# --- again -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sidecar(client):
    job = ask(client, "a dog barks", seed=3, steps=2, guidance=2.5)
    ended(client, job)
    return client.get(f"/api/jobs/{job}/sidecar.json").json()


@pytest.fixture(scope="module")
def strict(model):
    """Grants few steps."""
    with served(model, steps=4) as client:
        yield client


def replay(client, sidecar):
    return client.post("/api/replay", content=json.dumps(sidecar), headers=JSON)


def test_a_sidecar_makes_its_clip_again(client, sidecar):
    answer = replay(client, sidecar)
    assert answer.status_code == 202
    job = answer.json()["id"]
    assert ended(client, job)["replay"] == {"same": True, "others": [], "differences": []}
    again = client.get(f"/api/jobs/{job}/sidecar.json").json()
    assert (again["sha256"], again["seed"], again["sampler"]) == tuple(
        sidecar[key] for key in ("sha256", "seed", "sampler"))


def test_another_clip_is_not_called_the_same(client, sidecar):
    sidecar |= {"seed": 4, "threads": 250, "device": "cuda"}
    told = ended(client, replay(client, sidecar).json()["id"])["replay"]
    assert told["same"] is False
    assert "the samples are others" in told["others"]
    assert any("threads 250" in one for one in told["differences"])


def test_a_sidecar_is_made_with_its_threads_and_the_next_job_with_the_usual(client, sidecar, monkeypatch):
    usual = sidecar["threads"]
    monkeypatch.setattr("diffsound.app.system.os.cpu_count", lambda: usual + 2)
    job = replay(client, sidecar | {"threads": usual + 2}).json()["id"]
    told = ended(client, job)["replay"]
    assert not any("threads" in one for one in told["differences"])
    assert client.get(f"/api/jobs/{job}/sidecar.json").json()["threads"] == usual + 2
    following = ask(client)
    ended(client, following)
    assert client.get(f"/api/jobs/{following}/sidecar.json").json()["threads"] == usual


@pytest.mark.parametrize(("change", "message"), [
    ({"format": 1}, "has format 1, expected 2"),
    ({"seed": -1}, "seed is '-1'"),
    ({"tokens": []}, "grid is"),
    ({"text": "x" * 501}, "text has 501 characters, expected at most 500"),
    ({"text": "x" * 20_000}, "text is"),
    ({"text": "dog " * 100}, "word pieces"),
    ({"text": "\ud800"}, "text is"),
    ({"grid": {"rows": 1, "columns": 20}}, "rows and 1 to 4 columns"),
    ({"parts": {"decoder": "0", "codec": "0", "vocoder": "0"}}, "another bundle"),
    ({"sampler": {"class_path": "os.system", "init_args": {"command": "true"}}}, "sampler cannot be built"),
    ({"sampler": {"class_path": "diffsound.diffusion.StridedSampler", "init_args": {"num_steps": 7}}}, "7"),
    ({"sampler": {"class_path": "diffsound.diffusion.ConfidenceSampler", "init_args": {"num_steps": 5}}},
     "takes 5 steps, expected at most 4"),
    ({"sampler": {"class_path": "diffsound.diffusion.StridedSampler", "init_args": {
        "num_steps": 2, "guidance_scale": float("nan")}}}, "no finite number"),
    ({"sampler": {"class_path": "diffsound.autoregressive.AutoregressiveSampler", "init_args": {}}}, "cannot draw"),
    ({"threads": 0}, "threads is '0'"), ({"device": "../../etc"}, "device is"),
], ids=lambda value: str(value)[:40])
def test_a_sidecar_that_cannot_be_is_refused(strict, sidecar, change, message):
    answer = replay(strict, sidecar | change)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"NaN", b"1" * 5000,
                                  b'{"format": 2}', b'{"a":' * 50_000], ids=lambda body: str(body[:12]))
@pytest.mark.parametrize("path", ["/api/jobs", "/api/replay"])
def test_bodies_that_are_none_are_refused(client, path, body):
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert 0 < len(answer.json()["detail"]) < 1200


# --- what is refused ---------------------------------------------------------------------------------------------


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
    ('{"text": "rain", "steps": 201}', "steps: Input should be less than or equal to 200"),
    ('{"text": "rain", "steps": 150}', "steps is 150"),  # of 6 that the decoder has
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


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    sent = []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(guard.Guard(None, None, 100)(scope, receive, send))
    assert sent[0]["status"] == 408


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


# --- the server --------------------------------------------------------------------------------------------------


def test_the_model_is_described(client, model):
    told = client.get("/api/model").json()
    assert (told["name"], told["card"], told["sampler"]) == ("small", CARD, model.sampler.spec)
    assert told["defaults"] == {"seed": 0, "steps": 3, "guidance": 1.5, "duration": 0.743}
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_interface_is_described_without_scripts_of_others(client):
    schema = client.get("/openapi.json").json()
    page = client.get("/api")
    for path in schema["paths"]:
        assert path in page.text
    assert {f"/api/jobs/{{id}}/{file}" for file in FILES} | {"/api/jobs", "/api/replay", "/api/model", "/healthz"} <= \
        schema["paths"].keys()
    for path in ("/", "/api", "/page.css", "/page.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http:" not in answer.text
        assert "https:" not in answer.text
    assert "<script" not in page.text
    for field in schema["components"]["schemas"]["Ask"]["properties"]:
        assert f"<code>{field}</code>" in page.text


def test_every_answer_is_guarded(client):
    for answer in (client.get("/"), client.get("/nothing"), client.get("/api/jobs/x"),
                   client.post("/api/jobs", content=b"x")):
        assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_listens_beyond_this_machine_by_default():
    options = parser().parse_args([])
    assert (options.host, options.port) == ("127.0.0.1", 7860)
    with listening(options.host, 0) as place:
        assert place.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(("host", "status"), [
    ("localhost:7860", 200), ("127.0.0.1", 200), ("[::1]:7860", 200), ("LOCALHOST", 200), ("evil.example", 400),
    ("127.0.0.1.evil.example:7860", 400), ("", 400), ("[::1", 400)])
def test_a_name_of_another_site_is_refused(model, host, status):
    """Such as one that its owner lets lead to this machine, so that their page could read answers."""
    app = make_app(System(model, CARD, Limits()), hosts_of("127.0.0.1"))
    with TestClient(app) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_whoever_listens_on_the_network_is_called_anything():
    assert hosts_of("0.0.0.0") is None
    assert hosts_of("::") is None
    assert hosts_of("::1") == hosts_of("localhost") | {"[::1]"}


def test_it_is_served_until_ctrl_c(bundle):
    command = [sys.executable, "-m", "diffsound.cli", "serve", "--model", str(bundle), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split()[0]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:
                assert json.load(answer) == {"status": "ok"}
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert (process.returncode, told.splitlines()[-1], "Traceback" in told) == (0, "ended", False)


def test_what_cannot_be_served_is_named(bundle, capsys, monkeypatch):
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--model", str(bundle), "--port", str(port)]) == 1
        assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err
    assert main(["serve", "--model", "nowhere", "--port", "0"]) == 1
    assert "there is no bundle 'nowhere'" in capsys.readouterr().err
    assert main(["serve", "--port", "70000"]) == 1
    assert "port 70000" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--model", str(bundle)]) == 1
    assert "diffsound serve needs uvicorn: pip install 'diffsound[serve]'" in capsys.readouterr().err
