"""`diffsound serve`: a page to make sounds on, in a browser, and an HTTP API."""

from __future__ import annotations

import argparse
import ipaddress
import socket
import sys
from typing import TYPE_CHECKING

from diffsound.generate import MODEL, at_least
from diffsound.pretrained import card, find

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

CLOSING_SECONDS = 10  # that requests get to end after Ctrl-C


def parser() -> argparse.ArgumentParser:
    """The command's options; imports nothing heavy."""
    parser = argparse.ArgumentParser(prog="diffsound serve", description=main.__doc__.splitlines()[0])
    parser.add_argument("--model", default=MODEL, metavar="NAME",
                        help=f"of a bundle in the package, a folder, or a hub id owner/name (default: {MODEL})")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                        help="to listen on (default: 127.0.0.1, this machine alone); 0.0.0.0 is the whole network, "
                             "from which anybody may then make sounds")
    parser.add_argument("--port", type=at_least(0), default=7860, metavar="N", help="0 for a free one (default: 7860)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cuda if there is one, else cpu)")
    parser.add_argument("--max-queue", type=at_least(1), default=16, metavar="N",
                        help="jobs that may wait (default: 16)")
    parser.add_argument("--max-steps", type=at_least(1), default=200, metavar="N",
                        help="of the sampler, that a job may ask for (default: 200)")
    parser.add_argument("--max-prompt", type=at_least(1), default=500, metavar="N",
                        help="characters of a sentence (default: 500)")
    parser.add_argument("--history", type=at_least(1), default=64, metavar="N",
                        help="finished jobs that are kept in memory (default: 64)")
    return parser


def main(args: list[str]) -> None:
    """Serve a page on which sounds of sentences are made, and an HTTP API, until Ctrl-C.

    Raises:
        ValueError: if the extra serve is not installed, there is no such bundle, or the address cannot be had.
    """
    options = parser().parse_args(args)
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ValueError(f"diffsound serve needs {error.name}: pip install 'diffsound[serve]'") from error
    with listening(options.host, options.port) as place:
        print(f"loading {options.model}", file=sys.stderr, flush=True)
        app, port = make(options), place.getsockname()[1]
        server = uvicorn.Server(config(app))
        shown = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{shown}:{port}  (Ctrl-C ends it)", flush=True)
        try:
            server.run(sockets=[place])
        except KeyboardInterrupt:  # which the server sends again when it has ended
            print("ended", file=sys.stderr)


def make(options: argparse.Namespace) -> FastAPI:
    """The application that the options ask for."""
    import torch

    from diffsound.app.api import make_app
    from diffsound.app.system import Limits, System
    from diffsound.text_to_sound import TextToSound

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = TextToSound.from_pretrained(options.model, options.revision, device)
    text = card(find(options.model, options.revision).folder)
    limits = Limits(options.max_steps, options.max_prompt, options.max_queue, options.history)
    return make_app(System(model, text, limits), hosts_of(options.host))


def config(app: FastAPI) -> uvicorn.Config:
    """How the application is served."""
    import uvicorn

    from diffsound.app.protocol import Punctual

    return uvicorn.Config(app, http=Punctual, ws="none", log_level="warning", access_log=False, server_header=False,
                          timeout_graceful_shutdown=CLOSING_SECONDS)


def hosts_of(host: str) -> frozenset[str] | None:
    """What requests may call a server that listens on `host`: on a loopback address its names alone, else anything."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    own = f"[{host}]" if ":" in host else host
    return frozenset({"localhost", "127.0.0.1", "[::1]", own}) if loopback else None


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound, before a model is loaded in vain.

    Raises:
        ValueError: if the address cannot be had.
    """
    if port > 65535:
        raise ValueError(f"--port {port}: expected 0 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ValueError(f"cannot listen on {host} port {port} ({error}): give another --port or --host") from error
