"""`diffsound listening-test`: a blind test on one page, and what its results say."""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path


def main(args: list[str]) -> None:
    """A blind listening test: one page for a static server or a folder, and a table of what listeners said."""
    parser = argparse.ArgumentParser(prog="diffsound listening-test", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="make|read")
    make = verbs.add_parser("make", help="write the page, its clips and the key",
                            description="Write DIR/index.html, DIR/clips and DIR/key.json. Give listeners all of DIR "
                                        "but key.json, and a number each, from 1 on.")
    make.add_argument("--clips", nargs="+", required=True, metavar="[NAME=]FOLDER",
                      help="one folder a system, as predict wrote it: sounds with .json sidecars that hold their text")
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the test")
    make.add_argument("--questions", metavar="LIST",
                      help="of mos,relevance,pairwise, in that order by default; pairwise if there are two systems")
    make.add_argument("--clips-per-listener", type=int, default=20, metavar="N",
                      help="clips, and pairs, that one listener judges for each question (default: 20)")
    make.add_argument("--seed", type=int, help="for the same blind names and order again (default: drawn, in key.json)")
    make.add_argument("--keep-levels", action="store_true",
                      help="leave the clips as loud as they are, where all are brought to one level otherwise")
    read = verbs.add_parser("read", help="means, win rates and their intervals",
                            description="Print what listeners said, and write it as JSON.")
    read.add_argument("--key", type=Path, required=True, metavar="DIR/key.json")
    read.add_argument("--out", type=Path, metavar="FILE", help="JSON to write (default: summary.json beside the key)")
    read.add_argument("results", type=Path, nargs="+", metavar="RESULT.json", help="what listeners downloaded")
    options = parser.parse_args(args)
    _make(options) if options.verb == "make" else _read(options)


def _make(options: argparse.Namespace) -> None:
    from diffsound.listening_test.make import make

    systems: dict[str, Path] = {}
    for given in options.clips:
        name, _, folder = given.rpartition("=")
        name = name or Path(folder).resolve().name
        if name in systems:
            raise ValueError(f"--clips: {systems[name]} and {folder} are both called {name}: give one as NAME={folder}")
        systems[name] = Path(folder)
    questions = options.questions or ("mos,relevance,pairwise" if len(systems) > 1 else "mos,relevance")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    page = make(systems, options.out, questions.split(","), options.clips_per_listener, seed, options.keep_levels)
    print(f"wrote {page}; keep {options.out / 'key.json'} to yourself: it tells which clip is of which system")


def _read(options: argparse.Namespace) -> None:
    from diffsound.listening_test.read import read, table
    from diffsound.whole_file import write_text

    summary = read(options.key, options.results)
    out = options.out or options.key.with_name("summary.json")
    write_text(out, json.dumps(summary, indent=1, ensure_ascii=False))
    print(f"{table(summary)}\n\nwrote {out}")
