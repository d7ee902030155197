"""Coverage-guided fuzzing of what reads files: `python tests/fuzz/run.py [TARGET ...] --seconds 600`.

Each target runs in a process of its own, with a limit of memory and of time for one input. A finding ends it, and stays
in out/fuzz/TARGET/findings; the corpus beside it grows from run to run. Exit status 1 if there was a finding.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "out" / "fuzz"
MEMORY = 4096  # MB of address space, beyond what the process has at the start
RESIDENT = 2560  # MB in use: PyTorch takes a fifth of it
SECONDS = 30  # for one input, by the clock: a busy machine has stalled one of 7 ms for 14 s
LONGEST = {"audio": 2**15, "manifest": 2**12, "sidecar": 2**12, "recipe": 2**13, "bundle": 2**16}  # bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(LONGEST)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.targets) - set(LONGEST):
        parser.error(f"there is no target {', '.join(sorted(unknown))}: expected {', '.join(LONGEST)}")
    failed = []
    for target in options.targets or LONGEST:
        corpus, findings = OUT / target / "corpus", OUT / target / "findings"
        for place in (corpus, findings):
            place.mkdir(parents=True, exist_ok=True)
        print(f"{target}: {options.seconds} s", flush=True)
        with (OUT / target / "log.txt").open("w") as log:
            flags = [f"-max_total_time={options.seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={RESIDENT}",
                     f"-max_len={LONGEST[target]}", f"-seed={options.seed}", f"-artifact_prefix={findings}/",
                     "-print_final_stats=1", "-len_control=0", "-keep_seed=1",
                     f"-reduce_inputs={int(target != 'audio')}"]  # what decoders do with an input is not seen
            status = subprocess.run([sys.executable, __file__, "--child", target, *flags, str(corpus)], stdout=log,
                                    stderr=subprocess.STDOUT).returncode
        lines = (OUT / target / "log.txt").read_text(errors="replace").splitlines()
        stats = [line.removeprefix("stat::") for line in lines if line.startswith("stat::number_of_exec")]
        print(*(line for line in lines[-400:] if line.startswith((" ===", "SUMMARY"))), *stats,
              f"exit status {status}", sep="\n  ", flush=True)
        failed += [target] if status else []
    return 1 if failed else 0


def child(target: str, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["diffsound", "targets", "yaml", "omegaconf", "csv", "json", "soundfile"]):
        from targets import TARGETS, words

        import diffsound.data.audio
        import diffsound.data.manifest
        import diffsound.recipe
        import diffsound.sidecar
        import diffsound.text_to_sound  # noqa: F401

    run, seeds = TARGETS[target]
    read = [run(seed) for seed in seeds()]
    assert any(read), f"all seeds of {target} are refused"
    for number, seed in enumerate(seeds()):
        (Path(arguments[-1]) / f"seed-{number:02d}").write_bytes(seed)
    entries = (b"".join(b"\\x%02x" % byte for byte in word).decode() for word in words(target) if len(word) <= 64)
    dictionary = Path(arguments[-1]).with_name("dictionary.txt")
    dictionary.write_text("".join(f'"{entry}"\n' for entry in entries))
    status = Path("/proc/self/statm")
    now = int(status.read_text().split()[0]) * resource.getpagesize() if status.is_file() else 0
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY * 2**20,) * 2)

    def one(data: bytes) -> None:
        try:
            run(data)
        except BaseException:  # the end of an interpreter with PyTorch in it takes longer than one input may
            finding = OUT / target / "findings" / f"crash-{hashlib.sha256(data).hexdigest()[:16]}"
            finding.write_bytes(data)
            traceback.print_exc()
            print(f"SUMMARY: {finding}", file=sys.stderr, flush=True)
            os._exit(1)

    atheris.Setup([sys.argv[0], f"-dict={dictionary}", *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.path[:0] = [str(HERE), str(HERE.parents[1])]
        child(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
