"""The server: what it says of itself, where it listens, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from fastapi.testclient import TestClient
from serving import CARD, FILES

from diffsound.app.api import make_app
from diffsound.app.command import hosts_of, listening, parser
from diffsound.app.system import Limits, System
from diffsound.cli import main


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
