"""The HTTP API: sounds and pictures are those of the model."""

from __future__ import annotations

import io

import pytest
import soundfile
import torch
from serving import CARD, FILES, ask, ended, replay, served
from tiny_system import tiny_system

from diffsound.app.system import Limits, System
from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.mel import MelSettings
from diffsound.sidecar import read_sidecar
from diffsound.takes import ByEvents
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_to_sound import TextToSound


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


def test_of_several_takes_the_best_is_kept(client, model, monkeypatch):
    """By a judge who likes the last one."""
    monkeypatch.setattr(ByEvents, "__call__", lambda self, text, takes: [float(i) for i in range(len(takes))])
    text = "a dog barks"
    expected = model(text, 5, steps=2, best_of=3)
    assert expected.sidecar["seed"] == model(text, 5, steps=2, num=3)[2].sidecar["seed"]
    job = ask(client, text, seed=5, steps=2, best_of=3)
    told = ended(client, job)
    sidecar = client.get(f"/api/jobs/{job}/sidecar.json").json()
    assert told["chosen"] == sidecar["chosen"] == expected.sidecar["chosen"]
    assert (told["seed"], sidecar["tokens"]) == (expected.sidecar["seed"], expected.tokens.tolist())
    again = ended(client, replay(client, sidecar).json()["id"])
    assert again["replay"]["same"]
    alone = ended(client, ask(client, text, seed=5, steps=2))
    assert "chosen" not in alone


def test_a_whole_number_may_have_a_point(client):
    """JSON knows one kind of number."""
    told = ended(client, ask(client, seed=3.0, steps=2.0))
    assert (told["seed"], told["sampler"]["init_args"]["num_steps"]) == (3, 2)


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
