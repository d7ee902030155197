"""A real browser for the pages that the project writes."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """The machine's Chromium, headless. Without one the test is skipped, or fails under DIFFSOUND_BROWSER=require."""
    missing = pytest.fail if os.environ.get("DIFFSOUND_BROWSER") == "require" else pytest.skip
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        missing(f"no browser on this machine: looked for {', '.join(PROGRAMS)}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: it comes with the extra dev")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which `folder` is served as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def opened(browser, folder: Path, path: str = "index.html", **context) -> Iterator:
    """A page of `folder` in its own fresh browser context. At the end nothing may have failed on it: no message of an
    error in the console, no exception, no request that failed or that went elsewhere."""
    with served(folder) as address, visited(browser, address, path, **context) as page:
        yield page


@contextmanager
def visited(browser, address: str, path: str = "", refused: tuple[int, ...] = (), **context) -> Iterator:
    """The same of a page of the server at `address`, whose answers may have those statuses of `refused`."""
    room = browser.new_context(**context)
    errors: list[str] = []
    room.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning")
            and not any(f"status of {status}" in message.text for status in refused) else None)
    room.on("weberror", lambda error: errors.append(str(error.error)))
    room.on("response", lambda answer: errors.append(f"{answer.status} {answer.url}") if answer.status >= 400
            and answer.status not in refused else None)
    room.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
            else errors.append(f"request of {request.url}"))
    page = room.new_page()
    page.goto(f"{address}/{path}")
    yield page
    room.close()
    assert errors == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass
