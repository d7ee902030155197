"""Clips made again, by their sidecars."""

from __future__ import annotations

import pytest
from serving import ask, ended, replay, served


@pytest.fixture(scope="module")
def strict(model):
    """Grants few steps."""
    with served(model, steps=4) as client:
        yield client


def test_a_sidecar_makes_its_clip_again(client, sidecar):
    answer = replay(client, sidecar)
    assert answer.status_code == 202
    job = answer.json()["id"]
    assert ended(client, job)["replay"] == {"same": True, "others": [], "differences": []}
    again = client.get(f"/api/jobs/{job}/sidecar.json").json()
    assert (again["sha256"], again["seed"], again["sampler"]) == tuple(
        sidecar[key] for key in ("sha256", "seed", "sampler"))


def test_what_nobody_reads_in_a_sidecar_may_be_anything(client, sidecar):
    sidecar |= {"more": [{}], "loudness": {"lufs": -23, "gain_db": 1.5, "more": {}}, "seconds": {"mel": 10**9}}
    assert ended(client, replay(client, sidecar).json()["id"])["replay"]["same"]


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
    ({"negative": "wind", "sampler": {"class_path": "diffsound.diffusion.StridedSampler", "init_args": {
        "num_steps": 2}}}, "does nothing at guidance 1"),
    ({"sampler": {"class_path": "diffsound.autoregressive.AutoregressiveSampler", "init_args": {}}}, "cannot draw"),
    ({"threads": 0}, "threads is '0'"), ({"device": "../../etc"}, "device is"),
], ids=lambda value: str(value)[:40])
def test_a_sidecar_that_cannot_be_is_refused(strict, sidecar, change, message):
    answer = replay(strict, sidecar | change)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
