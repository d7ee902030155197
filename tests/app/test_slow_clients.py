"""Clients that are slow, stop in the middle or never read: others are served meanwhile, and nothing is kept of them."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.request
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from serving import served_on_a_port

from diffsound.app import guard, protocol

HEAD = b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"


@pytest.fixture(scope="module")
def address(model):
    with served_on_a_port(model) as address:
        yield address


@contextmanager
def connection(address, size=None):
    """A socket to the server. size: bytes that it takes in before somebody reads."""
    place = urlsplit(address)
    with socket.socket() as one:
        if size is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        one.settimeout(30)
        one.connect((place.hostname, place.port))
        yield one


def answer(one) -> bytes:
    """All that comes until the server ends the connection."""
    parts = []
    while part := one.recv(2**16):
        parts.append(part)
    return b"".join(parts)


def get(address, path: str = "/healthz") -> bytes:
    with urllib.request.urlopen(address + path, timeout=30) as answered:
        return answered.read()


@pytest.mark.parametrize("part", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: loc", HEAD, HEAD + b'{"text": '],
                         ids=["nothing", "half a line", "half a head", "no body", "half a body"])
def test_others_are_served_while_one_is_slow(address, part):
    with connection(address) as slow:
        slow.sendall(part)
        for _ in range(3):
            assert b"ok" in get(address)


@pytest.mark.parametrize("part", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: loc"],
                         ids=["nothing", "half a line", "half a head"])
def test_a_head_that_does_not_come_is_not_waited_for(address, part, monkeypatch):
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.1)
    with connection(address) as slow:
        slow.sendall(part)
        with suppress(ConnectionResetError):
            assert answer(slow) == b""


def test_a_second_head_that_does_not_come_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.1)
    with connection(address) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in slow.recv(2**16)
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        start = time.monotonic()
        with suppress(ConnectionResetError):
            answer(slow)
        assert time.monotonic() - start < 5


def test_an_answer_that_nobody_takes_is_not_kept(address, monkeypatch):
    """It is larger than what sockets hold."""
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.2)
    with connection(address, size=2**12) as deaf:
        deaf.setblocking(False)
        deadline, cut = time.monotonic() + 30, False
        while not cut and time.monotonic() < deadline:
            try:
                deaf.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            except BlockingIOError:
                assert b"ok" in get(address)
            except (ConnectionResetError, BrokenPipeError):
                cut = True
    assert cut


def test_a_request_may_take_longer_than_a_head(address, monkeypatch):
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.1)
    with connection(address) as slow:
        slow.sendall(HEAD)
        time.sleep(0.5)
        slow.sendall(b'{"text": "rain"}')
        assert b" 202 " in slow.recv(2**16)


def test_a_body_that_does_not_come_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.1)
    with connection(address) as slow:
        slow.sendall(HEAD + b'{"text": ')
        assert answer(slow).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_goes_before_its_body_is_whole_asks_for_nothing():
    """What has come could be read as another request than the one that was meant."""
    came = iter([{"type": "http.request", "body": b'{"text": "rain"}', "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(came)

    async def never(*_):
        raise AssertionError("somebody is answered, or something is done")

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(guard.Guard(never, None, 100)(scope, receive, never))


@pytest.mark.parametrize("head", [
    b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 200_000,
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(20_000)), b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["a path", "a header", "headers", "TLS", "a version", "a length", "chunks"])
def test_heads_without_end_or_sense_are_refused(address, head):
    with connection(address) as odd:
        try:
            odd.sendall(head)
            told = answer(odd)
            assert told == b"" or told.split(b" ")[1] in (b"400", b"431"), told[:100]
        except (ConnectionResetError, BrokenPipeError):  # it did not read to the end
            pass
    assert b"ok" in get(address)


def test_many_who_go_away_leave_no_connection_behind(address):
    for _ in range(100):
        with connection(address) as gone:
            gone.sendall(b"GET /api/model HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"ok" in get(address)
