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


def run(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False)
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
    small = originals.random(originals.diffusion_shapes(**originals.PUBLISHED | {"layers": 0, "vocabulary": 1}))
    assert {f"transformer.{name}" for name, value in small.items() if value.dtype == torch.float16} == halves


def test_every_published_key_is_accounted_for_within_8_gb(tmp_path):
    vqvae, ema = published("vqvae"), published("diffusion_ema")
    states = {"codec": originals.random(vqvae, 0.05), "vocoder": originals.random(published("melgan"), 0.05),
              "order": originals.orders(5, 53)}
    states["module"] = originals.random(ema, 0.05) | originals.schedule(256, 100)
    states["ema"] = {name: value.clone() + (value.dim() > 1) * 0.01 for name, value in states["module"].items()}
    losses = {name: states["codec"].pop(name) for name in vqvae if name.startswith("loss.")}
    files = originals.write(tmp_path, states)
    contents = originals.lightning(states["codec"])
    contents["state_dict"] = states["codec"] | losses
    originals.save(contents, files["--vqvae"])
    assert originals.solver(states)["model"].keys() == published("diffusion").keys()

    out = run(IMPORT, "import-original", *[x for pair in files.items() for x in pair], "--out", tmp_path / "bundle")
    peak = int(out.split("peak")[1]) / 1e6
    print(f"{peak:.2f} GB")
    assert peak < 8
    for line in ("398 tensors, 343 kept", "55 left out: losses", "1779 tensors, 680 kept", "126 tensors, 126 kept"):
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
