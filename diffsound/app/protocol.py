"""HTTP connections that nobody can hold for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE_SECONDS = 60.0  # in which the head of a request must be here, and an answer be taken


class Punctual(H11Protocol):
    """Ends a connection on which for `IDLE_SECONDS` no request comes, not all of its head, or nobody takes the answer.

    While a request is worked on it may take its time; how long its body may take, `Guard` says.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(IDLE_SECONDS, self._late)

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete or self.flow.write_paused:
            self.transport.abort()  # what is not taken of an answer would keep a mere `close` waiting
        else:
            self._wait()
