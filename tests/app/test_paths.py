"""No word of a request becomes the name of a file, a module or a place."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from serving import FILES, JSON, ask, ended

WATCHED = ("open", "os.", "import", "subprocess", "socket.connect", "socket.getaddrinfo", "shutil.", "glob.",
           "tempfile.", "pathlib.", "ctypes", "urllib")
heard: list[tuple[str, str]] = []
listening_for: list[str] = []


def hook(event: str, arguments: tuple) -> None:
    if listening_for and event.startswith(WATCHED):
        said = repr(arguments)[:10_000]
        if any(word in said for word in listening_for):
            heard.append((event, said))


@pytest.fixture
def canary():
    """A file that nothing touches: opening, listing, importing or running anything with its name fails the test."""
    with tempfile.TemporaryDirectory() as folder:  # whose name is short enough for a prompt
        yield from watched(Path(folder) / "canary.json")


def watched(file):
    if not getattr(sys, "_diffsound_hooked", False):  # such a hook stays until the end
        sys.addaudithook(hook)
        sys._diffsound_hooked = True
    file.write_text("{}")
    heard.clear()
    listening_for[:] = ["canary"]
    yield file
    listening_for.clear()
    assert heard == []


def names(file) -> list[str]:
    return [str(file), f"../../../..{file}", f"file://{file}", "canary", "canary.json", f"{file}\0.wav",
            "canary.evil.Module", f"|touch {file}"]


def test_the_hook_hears(canary):
    canary.read_text()
    assert heard[0][0] == "open"
    heard.clear()


def test_ids_and_files(client, canary):
    job = ask(client)
    ended(client, job)
    for name in names(canary):
        for path in (f"/api/jobs/{quote(name, safe='')}", f"/api/jobs/{quote(name)}",
                     f"/api/jobs/{job}/{quote(name, safe='')}", f"/api/jobs/{job}/inside/{quote(name, safe='')}",
                     f"/{quote(name, safe='')}", *(f"/api/jobs/{quote(name, safe='')}/{file}" for file in FILES)):
            assert client.get(path).status_code in (404, 422), path


def test_words_of_a_job(client, canary):
    for name in names(canary):
        job = ask(client, name, negative=name, guidance=2)
        told = ended(client, job)
        assert (told["state"], told["text"]) == ("done", name)
    for file in FILES[:-1]:  # but the film, which takes its time
        assert client.get(f"/api/jobs/{job}/{file}").status_code in (200, 404)


@pytest.mark.parametrize("field", ["bundle", "device", "hardware", "precision", "sha256", "versions", "parts",
                                   "sampler", "arguments", "text", "negative", "more"])
def test_words_of_a_sidecar(client, canary, sidecar, field):
    for name in names(canary):
        changed = {
            "bundle": {"bundle": {"name": name, "revision": name}},
            "versions": {"versions": dict.fromkeys(sidecar["versions"], name)},
            "parts": {"parts": dict.fromkeys(sidecar["parts"], name)},
            "sampler": {"sampler": {"class_path": name, "init_args": {}}},
            "arguments": {"sampler": sidecar["sampler"] | {"init_args": dict.fromkeys(
                sidecar["sampler"]["init_args"], name)}},
        }.get(field, {field: name})
        answer = client.post("/api/replay", content=json.dumps(sidecar | changed), headers=JSON)
        assert answer.status_code in (202, 422)
        if answer.status_code == 202:
            assert ended(client, answer.json()["id"])["state"] == "done"
