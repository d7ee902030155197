"""Clients of `diffsound serve`, and what they find together."""

from __future__ import annotations

import io
import json
import random
import socket
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PATIENCE = 60  # seconds, for one answer
LONGEST_WAIT = 600  # seconds, for one job
FORGOTTEN = "that are kept"  # what the server says of a job that it does not know, or not any more
TEXTS = ("a dog barks", "rain falls", "a bell rings twice", "wind, then thunder", "a cat meows while rain falls",
         "three knocks", "an engine", "a bird sings after a whistle")
ENDED = ("done", "failed", "cancelled")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class Broken(Exception):
    """Something was wrong; it is noted already."""


class Sound(NamedTuple):
    """The first of its words and seed: all others must be the same."""

    job: str
    hash: str
    sidecar: dict[str, Any]


class Load:
    """What all clients know together, and what they found.

    Args:
        address: of the server, such as http://127.0.0.1:7860.
        seconds: after which no client begins anything new.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self.place = urlsplit(address)
        self.lock = threading.Lock()
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {"an answer": [], "a sound": [], "a sound, once in the queue": []}
        self.accepted: dict[str, float] = {}  # when
        self.jobs: dict[str, str] = {}  # every one that was accepted, and how it was last
        self.sounds: dict[str, Sound] = {}  # by what was asked for
        self.model = self.request("GET", "/api/model").content
        self.asks = list(self._asks())
        self.end = time.monotonic() + seconds

    def _asks(self) -> Iterator[dict[str, Any]]:
        longest, steps = self.model["limits"]["duration"], self.model["limits"]["steps"]
        options = [{}, {"duration": longest / 3}, {"guidance": 2.0, "negative": "speech"}]
        if steps is not None:
            options.append({"steps": max(1, min(5, steps)), "duration": longest / 2})
        for text in TEXTS:
            for seed in range(3):
                for option in options:
                    yield {"text": text, "seed": seed, **option}

    def fault(self, words: str) -> None:
        with self.lock:
            self.faults.append(words[:500])

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json",
                host: str | None = None) -> Answer:
        """An answer, whose status is no fault of the server.

        Raises:
            Broken: if there is none.
        """
        connection = HTTPConnection(self.place.hostname, self.place.port, timeout=PATIENCE)
        headers = {"Content-Type": kind, "Connection": "close"} | ({"Host": host} if host else {})
        start = time.perf_counter()
        try:
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        except (OSError, HTTPException) as error:
            self.fault(f"{method} {path}: no answer after {time.perf_counter() - start:.1f} s: {error!r}")
            raise Broken from error
        finally:
            connection.close()
        with self.lock:
            self.counts["requests"] += 1
            if not path.endswith((".png", ".gif")):  # which are made when they are asked for
                self.seconds["an answer"].append(time.perf_counter() - start)
        if answer.status >= 500:
            self.fault(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
            raise Broken
        return answer

    def expect(self, true: bool, words: str) -> None:
        if not true:
            self.fault(words)
            raise Broken


class Client:
    """One that does one thing after the other until the load's end."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.chance = load, random.Random(number)

    def work(self) -> None:
        acts = {self.sound: 60, self.cancel: 10, self.nonsense: 10, self.go_away: 10, self.again: 8, self.picture: 2}
        while time.monotonic() < self.load.end:
            act, = self.chance.choices(list(acts), acts.values())
            self.load.count(act.__name__)
            try:
                act()
            except Broken:
                time.sleep(1)
            except Exception as error:  # such as an answer that is not what is read from it
                self.load.fault(f"{act.__name__}: {error!r}")
                time.sleep(1)

    def sound(self) -> None:
        ask, start = self.chance.choice(self.load.asks), time.perf_counter()
        if (job := self.post("/api/jobs", ask)) and (told := self.wait(job)):
            self.load.expect(told["state"] == "done", f"{job} of {ask}: {told}")
            if self.take(job, ask, told):
                end = time.perf_counter()
                with self.load.lock:
                    self.load.seconds["a sound"].append(end - start)
                    self.load.seconds["a sound, once in the queue"].append(end - self.load.accepted[job])

    def again(self) -> None:
        if not (known := list(self.load.sounds.items())):
            return
        name, sound = self.chance.choice(known)
        if (job := self.post("/api/replay", sound.sidecar)) and (told := self.wait(job)):
            self.load.expect(told["state"] == "done" and told["replay"]["same"], f"replay {job} of {name}: {told}")
            self.take(job, json.loads(name), told)

    def cancel(self) -> None:
        if not (job := self.post("/api/jobs", self.chance.choice(self.load.asks))):
            return
        time.sleep(self.chance.choice((0, 0, 0.3, 2)))
        answer = self.load.request("DELETE", f"/api/jobs/{job}")
        if self.forgotten(answer, job):
            return
        if answer.status == 409:
            self.load.expect(self.wait(job)["state"] == "done", f"{job} cannot be cancelled, but is not done")
            return
        self.load.expect(answer.status == 200 and answer.content["state"] == "cancelled",
                         f"DELETE {job}: {answer.status} {answer.body[:200]!r}")
        self.load.jobs[job] = "cancelled"
        answer = self.load.request("GET", f"/api/jobs/{job}/sound.wav")
        self.load.expect(answer.status == 404, f"there is a sound of {job}, which was cancelled")

    def nonsense(self) -> None:
        """Requests that must be refused, each with its status."""
        body = json.dumps(self.chance.choice(self.load.asks)).encode()
        job = self.chance.choice(list(self.load.jobs) or ["x"])
        method, path, body, kind, host, status = self.chance.choice([
            ("POST", "/api/jobs", b'{"text": ""}', None, None, 422), ("POST", "/api/jobs", b"{", None, None, 422),
            ("POST", "/api/jobs", b'{"text": "rain", "seed": -1}', None, None, 422),
            ("POST", "/api/jobs", b'{"text": "rain", "duration": 1e9}', None, None, 422),
            ("POST", "/api/jobs", b'{"text": "rain", "steps": 100000}', None, None, 422),
            ("POST", "/api/jobs", json.dumps({"text": "x" * 100_000}).encode(), None, None, 422),
            ("POST", "/api/replay", b'{"format": 2}', None, None, 422),
            ("POST", "/api/replay", b"\xff", None, None, 422),
            ("POST", "/api/jobs", body, "text/plain", None, 415),
            ("POST", "/api/jobs", body, None, "evil.example", 400),
            ("PUT", "/api/jobs", body, None, None, 405), ("GET", "/api/jobs/../../etc/passwd", None, None, None, 404),
            ("GET", "/api/jobs/..%2F..%2Fetc%2Fpasswd/sound.wav", None, None, None, 404),
            ("GET", "/api/jobs/" + "x" * 30, None, None, None, 404),
            ("GET", f"/api/jobs/{job}/sound.mp3", None, None, None, 404)])
        answer = self.load.request(method, path, body, kind or "application/json", host)
        self.load.expect(answer.status == status and "detail" in answer.content,
                         f"{method} {path} {(body or b'')[:50]!r}: {answer.status} instead of {status}")

    def go_away(self) -> None:
        """In the middle of a head, of a body, of an answer, or before it."""
        body = json.dumps(self.chance.choice(self.load.asks)).encode()
        head = (f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        known = list(self.load.sounds.values())
        sound = self.chance.choice(known) if known else None
        sent = [head[:40], head + body[:len(body) // 2], head + body]
        if sound is not None:
            sent.append(f"GET /api/jobs/{sound.job}/sound.wav HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with socket.create_connection((self.load.place.hostname, self.load.place.port), PATIENCE) as place:
            part = self.chance.choice(sent)
            place.sendall(part)
            if part is sent[-1] and sound is not None:
                place.recv(1000)
            else:
                time.sleep(self.chance.random())

    def picture(self) -> None:
        if not (known := list(self.load.sounds.values())):
            return
        file = self.chance.choice(("spectrogram.png", "timeline.png", "inside/confidence.png", "film.gif"))
        answer = self.load.request("GET", f"/api/jobs/{self.chance.choice(known[-20:]).job}/{file}")
        if answer.status == 429:
            self.load.expect(int(answer.headers["retry-after"]) >= 1, f"{file}: 429 without Retry-After")
        elif answer.status != 404:  # there is no timeline, or the job is forgotten
            begins = b"GIF8" if file.endswith("gif") else b"\x89PNG"
            self.load.expect(answer.status == 200 and answer.body.startswith(begins), f"{file}: {answer.status}")

    def post(self, path: str, body: dict[str, Any]) -> str | None:
        """The job's id, as soon as there is room; None if there is none before the end."""
        while True:
            answer = self.load.request("POST", path, json.dumps(body).encode())
            if answer.status != 429:
                break
            self.load.count("full")
            self.load.expect(int(answer.headers["retry-after"]) >= 1, f"{path}: 429 without Retry-After")
            time.sleep(int(answer.headers["retry-after"]) + self.chance.random())
            if time.monotonic() > self.load.end:
                return None
        self.load.expect(answer.status == 202, f"{path} {body}: {answer.status} {answer.body[:200]!r}")
        job = answer.content["id"]
        with self.load.lock:
            twice = job in self.load.jobs
            self.load.jobs[job], self.load.accepted[job] = "accepted", time.perf_counter()
        self.load.expect(not twice, f"{job} is the id of two jobs")
        return job

    def wait(self, job: str) -> dict[str, Any] | None:
        """What is told of the job once it has ended; None if it is forgotten by then."""
        deadline = time.monotonic() + LONGEST_WAIT
        while True:
            answer = self.load.request("GET", f"/api/jobs/{job}")
            if self.forgotten(answer, job):
                return None
            self.load.expect(answer.status == 200, f"{job}: {answer.status} {answer.body[:200]!r}")
            if (told := answer.content)["state"] in ENDED:
                before, self.load.jobs[job] = self.load.jobs[job], told["state"]
                self.load.expect(before not in ENDED or before == told["state"], f"{job} was {before}, now: {told}")
                return told
            self.load.expect(time.monotonic() < deadline, f"{job} is lost: after {LONGEST_WAIT} s it is {told}")
            time.sleep(min(2.0, 0.2 + 0.15 * told.get("place", 0)))

    def forgotten(self, answer: Answer, job: str) -> bool:
        if answer.status != 404 or FORGOTTEN not in answer.content["detail"]:
            return False
        limits, since = self.load.model["limits"], len(self.load.jobs) - list(self.load.jobs).index(job) - 1
        later = since + limits["waiting"] + 1 + self.load.counts["go_away"]  # that can have ended later, at most
        self.load.expect(later >= limits["kept"], f"{job} is forgotten, but only {since} jobs are younger")
        if self.load.jobs[job] == "accepted":
            self.load.jobs[job] = "forgotten before it was looked at again"
        return True

    def take(self, job: str, ask: dict[str, Any], told: dict[str, Any]) -> bool:
        """Fetch sound and sidecar and look whether they are of `ask`; False if they are forgotten by then."""
        got = [self.load.request("GET", f"/api/jobs/{job}/{file}") for file in ("sound.wav", "sidecar.json")]
        if any(self.forgotten(answer, job) for answer in got):
            return False
        for answer in got:
            self.load.expect(answer.status == 200, f"{job}: {answer.status} {answer.body[:200]!r}")
        sidecar = got[1].content
        with wave.open(io.BytesIO(got[0].body)) as sound:
            data, rate = sound.readframes(sound.getnframes()), sound.getframerate()
            samples = len(data) // (sound.getsampwidth() * sound.getnchannels())
        column = samples / sidecar["grid"]["columns"] / rate  # seconds
        asked = ask.get("duration", self.load.model["defaults"]["duration"])
        self.load.expect(rate == sidecar["sample_rate"] and abs(samples / rate - told["duration"]) < 1e-9
                         and asked - 1e-3 <= samples / rate < asked + column,
                         f"{job} of {ask} has {samples} samples at {rate} Hz, told are {told['duration']} s")
        self.load.expect((sidecar["text"], sidecar["seed"], sidecar["negative"], told["text"]) ==
                         (ask["text"], ask["seed"], ask.get("negative"), ask["text"]), f"{job} of {ask} is another's")
        name, found = json.dumps(ask, sort_keys=True), sha256(got[0].body).hexdigest()
        plain = {key: value for key, value in sidecar.items() if key != "seconds"}  # that it took
        with self.load.lock:
            first = self.load.sounds.get(name)
            self.load.counts["new" if first is None else "compared"] += 1
            self.load.sounds[name] = Sound(job, found, plain)
        self.load.expect(first is None or (found, plain) == first[1:], f"{job} of {ask} is not the sound of {first}")
        return True
