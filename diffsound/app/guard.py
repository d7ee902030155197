"""What every request and answer passes first: whose host it names, what it may hold, what browsers may do with it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
                               "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
                               "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
}
BODY_SECONDS = 30.0  # in which a body must be here
LOG = logging.getLogger(__name__)

Message = MutableMapping[str, Any]


class TooLong(Exception):
    """A body is."""


class Guard:
    """Around an ASGI application: refuses unknown hosts (400), slow bodies (408) and long ones (413), and answers for a
    request that crashes (500); adds `HEADERS` to every answer.

    A page of another site cannot reach a loopback address under a name of its own, which `hosts` does not have.

    Args:
        hosts: names that requests may call this server by; None for any.
        most: bytes of a body.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], hosts: frozenset[str] | None, most: int) -> None:
        self.app, self.hosts, self.most = app, hosts, most

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]],
                       send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if (refusal := self._refusal(headers)) is not None:
            return await _answer(sending, *refusal)
        try:
            body = await asyncio.wait_for(self._body(receive), BODY_SECONDS)
        except TimeoutError:
            return await _answer(sending, 408, f"the body of the request did not come within {BODY_SECONDS:.0f} s")
        except TooLong:
            return await _answer(sending, 413, self._too_long)
        if body is None:
            return None
        sent = False

        async def receiving() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            return await self.app(scope, receiving, sending)
        except Exception:  # whatever it is, the next request has nothing to do with it
            if begun:
                raise
            LOG.exception("a request failed")
            return await _answer(sending, 500, "a fault of the server: its log says which")

    @property
    def _too_long(self) -> str:
        return f"the body of the request is too long: expected at most {self.most} bytes"

    def _refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = host[:host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if self.hosts is not None and name.lower() not in self.hosts:
            return 400, f"this server is not {name[:100]!r}: expected one of {', '.join(sorted(self.hosts))}"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 18:
            return 400, "content-length is no number"
        if int(length) > self.most:
            return 413, self._too_long
        return None

    async def _body(self, receive: Callable[[], Awaitable[Message]]) -> bytes | None:
        """All of it; None if the client has gone before it was all here."""
        parts, length = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > self.most:
                raise TooLong
            if not message.get("more_body"):
                return b"".join(parts)


async def _answer(send: Callable[[Message], Awaitable[None]], status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
