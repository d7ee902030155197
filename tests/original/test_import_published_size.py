"""The full lists of published keys at published size, with random weights: memory, and where every tensor goes."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import originals
import pytest
import torch
from published import ROOT
from safetensors import safe_open

from diffsound.original import keys

FOLDER = Path(os.environ.get("DIFFSOUND_ORIGINAL_KEYS", ROOT.parent / "shared" / "reference" / "original-keys"))
IMPORT = """
import resource, sys
from diffsound.cli import main
import diffsound.original.import_cli
sys.stdin.readline()
status = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def published(name):
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path} (set DIFFSOUND_ORIGINAL_KEYS)")
    return json.loads(path.read_text())


def filled(shapes):
    """Another number in every tensor, which takes no time at this size."""
    return {name: torch.full(shape, (i % 1000 + 1) / 1024, dtype=originals.dtype(name))
            for i, (name, shape) in enumerate(shapes.items())}


@pytest.fixture
def large(tmp_path):
    """A folder for files of some GB, which pytest would keep, written without checksums, which take as long again."""
    torch.serialization.set_crc32_options(False)
    yield tmp_path
    torch.serialization.set_crc32_options(True)
    shutil.rmtree(tmp_path)


@contextmanager
def importer(*arguments):
    """A process of its own, whose memory is measured, for `diffsound import-original`.

    Gives a function that starts the import and returns what it prints: until then the process loads libraries, while
    the files are written.
    """
    command = [sys.executable, "-c", IMPORT, "import-original", *map(str, arguments)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        def run():
            out, errors = process.communicate("go\n")
            assert process.returncode == 0, errors
            return out

        try:
            yield run
        finally:
            process.kill()  # if the files could not be written


def test_the_small_originals_of_the_other_tests_are_like_the_published_ones():
    ema = published("diffusion_ema")
    tables = {name: list(table.shape) for name, table in originals.schedule(256, 100).items()}
    assert originals.diffusion_shapes(**originals.PUBLISHED) | tables == ema
    module = {name.removeprefix("transformer."): shape for name, shape in published("diffusion").items()
              if name.startswith("transformer.")}
    assert module == ema
    halves = {name for name in json.loads((FOLDER / "diffusion_non_float32_dtypes.json").read_text())
              if name.startswith("transformer.")}
    assert {f"transformer.{name}" for name in module if originals.dtype(name) == torch.float16} == halves


def test_every_published_key_is_accounted_for_within_8_gb(large):
    vqvae, ema, melgan = published("vqvae"), published("diffusion_ema"), published("melgan")
    files = {flag: large / f"{flag[2:]}.bin" for flag in ("--vqvae", "--diffusion", "--vocoder")}
    with importer(*[x for pair in files.items() for x in pair], "--out", large / "bundle") as run:
        states = {"codec": filled(vqvae), "vocoder": filled(melgan), "order": originals.orders(5, 53),
                  "module": filled(ema) | originals.schedule(256, 100)}
        # The average differs where it is small, and shares the large tensors: half the time of writing.
        states["ema"] = {name: value + 0.5 if value.dim() == 1 and not name.startswith("log_") else value
                         for name, value in states["module"].items()}
        whole = states["codec"]
        states["codec"] = {name: value for name, value in whole.items() if not name.startswith("loss.")}
        assert originals.solver(states)["model"].keys() == published("diffusion").keys()
        originals.save(originals.lightning({}) | {"state_dict": whole}, files["--vqvae"])
        originals.save(originals.solver(states), files["--diffusion"])
        originals.save(states["vocoder"], files["--vocoder"])
        out = run()
    peak = int(out.split("peak")[1]) / 1e6
    print(f"{peak:.2f} GB")
    assert peak < 8
    for line in ("398 tensors, 343 kept", "55 left out: losses", f"{1062 + 717} tensors, 689 kept",
                 "126 tensors, 126 kept"):
        assert line in out

    expected = {"text_encoder": {}, "decoder": {"null.embedding": torch.zeros(512)}, "codec": states["codec"],
                "vocoder": {f"generator.{name}": value for name, value in states["vocoder"].items()}}
    averaged, _ = keys.sort(states["ema"], keys.AVERAGED, keys.AVERAGED_DROPS)
    last = {"timesteps.history": states["module"]["Lt_history"], "timesteps.count": states["module"]["Lt_count"]}
    for name, value in (averaged | last).items():
        owner, own = ("text_encoder", name[13:]) if name.startswith("text_encoder.") else ("decoder", name)
        expected[owner][own] = value
    with safe_open(large / "bundle" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {f"{owner}.{name}" for owner, part in expected.items() for name in part}
        for owner, part in expected.items():
            for name, value in part.items():
                found = file.get_slice(f"{owner}.{name}")
                assert (found.get_shape(), found.get_dtype()) == (list(value.shape), "F32"), name
                # Its number, which no other of its file has. That all numbers of a tensor are kept, small files show.
                assert found[value.shape[0] - 1:].flatten()[-1] == value.flatten()[-1], name
