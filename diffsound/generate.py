"""`diffsound generate`: sounds of sentences, by a bundle."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from diffsound.pretrained import WEIGHTS, described, shipped
from diffsound.takes import ByCLAP, by_events

FORMATS, PRECISIONS, RANKS = ("wav", "flac", "ogg", "mp3"), ("float32", "bfloat16", "int8"), ("events", "clap")
MODEL = "tiny"  # what people get who name none


def parser() -> argparse.ArgumentParser:
    """The command's options; imports nothing heavy."""
    parser = argparse.ArgumentParser(prog="diffsound generate", description=main.__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", metavar="TEXT",
                        help="a sentence in quotes; - reads further ones from standard input, one a line")
    parser.add_argument("--model", default=MODEL, metavar="NAME",
                        help=f"of a bundle (--list), a folder, or a hub id owner/name (default: {MODEL})")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--list", action="store_true", help="name the bundles that come with the package, and stop")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="other numbers, other takes")
    parser.add_argument("--steps", type=at_least(1), metavar="N", help="of the sampler: fewer are quicker")
    parser.add_argument("--guidance", type=float, metavar="X",
                        help="how strongly the text steers; 1 adds nothing to what was trained")
    parser.add_argument("--negative", metavar="TEXT", help="what should not be heard; needs guidance")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="rounded up to whole token columns")
    parser.add_argument("--num", type=at_least(1), default=1, metavar="N", help="sounds of each sentence")
    parser.add_argument("--best-of", type=at_least(1), default=1, metavar="N",
                        help="makes so many takes for every sound, and keeps the best")
    parser.add_argument("--rank", choices=RANKS, default="events",
                        help="what is best: the events that the package's judge hears, for sentences that scenes have; "
                             "or the CLAP score, for any")
    parser.add_argument("--clap", type=Path, metavar="FOLDER", help="a CLAP model as transformers saves it")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="FOLDER",
                        help="where sounds and their .json go; nothing there is overwritten (default: here)")
    parser.add_argument("--format", choices=FORMATS, default="wav")
    parser.add_argument("--loudness", type=float, metavar="LUFS",
                        help="bring every sound to it, such as -23, or as near as peaks allow (ITU-R BS.1770)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cuda if there is one, else cpu)")
    parser.add_argument("--precision", choices=PRECISIONS, help="of the decoder's matrix products")
    parser.add_argument("--batch-size", type=at_least(1), metavar="N",
                        help="takes drawn at once, at least those of one sound; changes speed, not sound (default: "
                             "8, with - 1)")
    return parser


def main(args: list[str]) -> None:
    """Make sounds of sentences. Prints the name of every file once it is there; progress goes to standard error.

    Raises:
        ValueError: if the bundle, a sentence or an option does not fit; the message names it.
    """
    options = (own := parser()).parse_intermixed_args(args)  # sentences may stand between options
    if options.list:
        print("\n".join(bundle_lines()))
        return
    if not options.texts:
        own.error('write what should be heard, such as "rain on a roof", or - to read it from standard input')
    if options.texts.count("-") > 1:
        own.error("- reads all of standard input: give it once")
    if options.rank == "clap" and options.clap is None:
        own.error("--rank clap needs --clap FOLDER, a CLAP model as transformers saves it")
    if options.rank == "clap" and options.best_of == 1:
        own.error("--rank clap chooses among takes: give --best-of N")
    if options.clap is not None and options.rank != "clap":
        own.error("--clap is for --rank clap: give both")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {options.out} is a file, expected a folder")
    print(f"loading {options.model}", file=sys.stderr, flush=True)
    import torch

    try:
        generate(options)
    except torch.OutOfMemoryError as error:
        raise ValueError("out of memory: lower --batch-size, --best-of or --duration, or give --device cpu") from error


def generate(options: argparse.Namespace) -> None:
    """What `parser` was asked for."""
    import torch

    from diffsound.callbacks.clip_writer import clip_name
    from diffsound.clip import check_lufs
    from diffsound.text_to_sound import TextToSound

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = TextToSound.from_pretrained(options.model, options.revision, device, options.precision)
    judge, given = None, [text for text in options.texts if text != "-"]
    if options.best_of > 1:
        judge = ByCLAP(options.clap, model.device) if options.rank == "clap" else by_events()
    model.check_texts(given)
    for text in given if judge else ():
        judge.check(text)
    if options.loudness is not None:
        check_lufs(options.loudness)
    endless, number = "-" in options.texts, first_free(options.out)
    batch_size = options.batch_size or (1 if endless else 8)
    at_once = max(1, batch_size // options.best_of)
    with progress(None if endless else -(-len(given) * options.num // at_once)) as on_step:
        for clip in model.stream(_texts(options.texts), options.seed, options.negative, batch_size=batch_size,
                                 num=options.num, best_of=options.best_of, judge=judge, steps=options.steps,
                                 guidance=options.guidance, duration=options.duration, on_step=on_step):
            path = options.out / f"{clip_name(number, clip.sidecar['text'])}.{options.format}"
            clip.save(path, options.loudness)
            print(path, flush=True)
            number += 1


def bundle_lines() -> list[str]:
    """What `--list` prints: a line for every bundle of the package."""
    return [f"{name}  {(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB  {described(folder)}"
            for name, folder in shipped().items()] or [
        "this version comes with no bundle: give --model a folder or a hub id owner/name"]


def first_free(folder: Path) -> int:
    """The number after the highest with which a file in `folder` begins, so that nothing is overwritten."""
    numbers = [re.match(r"(\d{3,18})[-.]", file.name) for file in folder.glob("*")]
    return max((int(match[1]) + 1 for match in numbers if match), default=0)


def _texts(given: list[str]) -> Iterator[str]:
    """The sentences, with the lines of standard input in place of "-", each as soon as it is there."""
    for text in given:
        if text != "-":
            yield text
            continue
        try:
            for line in sys.stdin:
                if line := " ".join(line.split()):
                    yield line
        except UnicodeDecodeError as error:
            raise ValueError(f"standard input is not {error.encoding}: send UTF-8, one sentence a line") from error


@contextmanager
def progress(batches: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar of all batches' steps on standard error, if it is a terminal; gives what is to be told of every step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    done = 0
    with Progress(TextColumn("making sounds"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
                  TimeRemainingColumn(), console=Console(stderr=True), transient=True,
                  disable=not sys.stderr.isatty(), redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=None)

        def on_step(step: int, of: int) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, total=None if batches is None else batches * of)

        yield on_step


def at_least(least: int) -> Callable[[str], int]:
    """What reads a whole number of that size from the command line."""
    def number(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least {least}")
        return int(text)

    return number
