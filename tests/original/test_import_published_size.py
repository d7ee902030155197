"""The full lists of published keys at published size, with random weights: memory, and where every tensor goes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import originals
import pytest
import torch
from conftest import ROOT
from safetensors import safe_open

from diffsound.original import keys

FOLDER = Path(os.environ.get("DIFFSOUND_ORIGINAL_KEYS", ROOT.parent / "shared" / "reference" / "original-keys"))
IMPORT = """
import resource, sys
from diffsound.cli import main
status = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""
LOAD = """
import sys
from diffsound.bundle import read_bundle
bundle = read_bundle(sys.argv[1])
print(bundle.codec.codebook_size, bundle.columns, bundle.decoder.facts["codec"] == bundle.codec.fingerprint,
      bundle.decoder.encoder.tower.ln_final.weight.isfinite().all().item())
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


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_every_published_key_is_accounted_for_within_8_gb(tmp_path):
    vqvae = published("vqvae")
    states = {"codec": filled(vqvae), "vocoder": filled(published("melgan")), "order": originals.orders(5, 53),
              "module": filled(published("diffusion_ema")) | originals.schedule(256, 100)}
    # The average differs where it is small, and shares the large tensors: half the time of writing.
    states["ema"] = {name: value + 0.5 if value.dim() == 1 and not name.startswith("log_") else value
                     for name, value in states["module"].items()}
    whole = states["codec"]
    states["codec"] = {name: value for name, value in whole.items() if not name.startswith("loss.")}
    files = originals.write(tmp_path, states)
    originals.save(originals.lightning({}) | {"state_dict": whole}, files["--vqvae"])
    assert originals.solver(states)["model"].keys() == published("diffusion").keys()

    out = run(IMPORT, "import-original", *[x for pair in files.items() for x in pair], "--out", tmp_path / "bundle")
    peak = int(out.split("peak")[1]) / 1e6
    print(f"{peak:.2f} GB")
    assert peak < 8
    for line in ("398 tensors, 343 kept", "55 left out: losses", f"{1062 + 717} tensors, 689 kept",
                 "126 tensors, 126 kept"):
        assert line in out

    expected = {"text_encoder": {}, "decoder": {"null.embedding": torch.zeros(512)}, "codec": states["codec"],
                "vocoder": {f"generator.{name}": value for name, value in states["vocoder"].items()}}
    for name, value in keys.sort(states["ema"], keys.DIFFUSION, keys.DIFFUSION_DROPS)[0].items():
        owner, own = ("text_encoder", name[13:]) if name.startswith("text_encoder.") else ("decoder", name)
        expected[owner][own] = value
    with safe_open(tmp_path / "bundle" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {f"{owner}.{name}" for owner, part in expected.items() for name in part}
        for owner, part in expected.items():
            for name, value in part.items():
                assert torch.equal(file.get_tensor(f"{owner}.{name}"), value.float()), name
    assert run(LOAD, tmp_path / "bundle").split() == ["256", "53", "True", "True"]
    for file in [*files.values(), tmp_path / "bundle" / "model.safetensors"]:
        file.unlink()  # 6 GB, which pytest would keep
