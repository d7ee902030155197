"""`diffsound generate` and `completion`: sounds of sentences from the command line, and what is said when it cannot."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time

import pytest
import torch
from tiny_system import tiny_system

from diffsound import generate, pretrained
from diffsound.bundle import write_bundle
from diffsound.cli import main, verbs
from diffsound.data.audio import load
from diffsound.data.prompts import clip_seed
from diffsound.mel import MelSettings
from diffsound.takes import ByEvents
from diffsound.text_to_sound import TextToSound


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    write_bundle(tiny_system(MelSettings()), folder / "small", "---\nlicense: mit\n---\n# Small\n\nNoise, for tests.\n")
    return folder


@pytest.fixture
def run(bundles, tmp_path, monkeypatch, capsys):
    """`run(*arguments)` -> exit status, lines printed, what was told on standard error; clips go to tmp_path/out."""
    monkeypatch.setattr(pretrained, "BUNDLES", bundles)
    monkeypatch.setattr(generate, "MODEL", "small")

    def run(*arguments):
        try:
            status = main(["generate", *map(str, arguments), "--out", str(tmp_path / "out")])
        except SystemExit as stopped:
            status = stopped.code
        told = capsys.readouterr()
        return status, told.out.splitlines(), told.err

    run.out = tmp_path / "out"
    return run


def sidecars(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_every_sentence_has_its_files_and_its_seed(run, bundles):
    status, lines, _ = run("rain", "a dog barks", "--num", 2, "--seed", 3, "--steps", 2, "--format", "flac",
                           "--batch-size", 3)
    assert status == 0
    assert lines == [str(run.out / f"00{i}-{name}.flac")
                     for i, name in enumerate(["rain", "rain", "a-dog-barks", "a-dog-barks"])]
    assert sorted(path.suffix for path in run.out.iterdir()) == [".flac"] * 4 + [".json"] * 4
    model = TextToSound.from_pretrained(str(bundles / "small"))
    for i, (line, sidecar) in enumerate(zip(lines, sidecars(run.out), strict=True)):
        assert sidecar["seed"] == clip_seed(3, i)
        assert sidecar["bundle"] == {"name": "small", "revision": None}
        clip = model(sidecar["text"], sidecar["seed"], steps=2)
        assert clip.tokens.tolist() == sidecar["tokens"]
        torch.testing.assert_close(torch.from_numpy(load(line, 22050)), clip.waveform, atol=1e-4, rtol=0)


def test_nothing_is_overwritten(run):
    for number in range(2):
        assert run("rain", "--seed", number)[1] == [str(run.out / f"00{number}-rain.wav")]
    (run.out / "1000-other.ogg").touch()
    assert run("rain")[1] == [str(run.out / "1001-rain.wav")]


def test_lines_of_standard_input_are_made_as_they_come(run, monkeypatch):
    """Before the next line is read, the clip of the one before is there."""

    class Lines:
        def __iter__(self):
            yield "  rain   falls \n"
            seen.append([path.name for path in run.out.glob("*.wav")])
            yield "\n"
            yield "wind\n"
            seen.append(sorted(path.name for path in run.out.glob("*.wav")))

    seen = []
    monkeypatch.setattr(sys, "stdin", Lines())
    status, lines, _ = run("-")
    assert (status, len(lines)) == (0, 2)
    assert seen == [["000-rain-falls.wav"], ["000-rain-falls.wav", "001-wind.wav"]]
    assert [sidecar["text"] for sidecar in sidecars(run.out)] == ["rain falls", "wind"]


def test_a_bad_line_leaves_the_clips_before_it(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("rain\n" + "dog " * 100))
    status, lines, told = run("-")
    assert (status, len(lines)) == (1, 1)
    assert "word pieces, this system reads" in told
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    status, _, told = run("-")
    assert status == 1
    assert "standard input is not utf-8" in told


@pytest.mark.parametrize(("arguments", "status", "message"), [
    ([], 2, "write what should be heard"),
    (["-", "-"], 2, "give it once"),
    (["rain", "--best-of", "2", "--rank", "clap"], 2, "needs --clap FOLDER"),
    (["rain", "--rank", "clap", "--clap", "nowhere"], 2, "give --best-of N"),
    (["rain", "--best-of", "2", "--clap", "nowhere"], 2, "--clap is for --rank clap"),
    (["rain", "--num", "0"], 2, "--num: '0': expected a whole number of at least 1"),
    (["rain", "--seed", "-1"], 2, "at least 0"),
    (["rain", "--format", "aiff"], 2, "invalid choice: 'aiff'"),
    (["rain", "--model", "large"], 1, r"there is no bundle 'large': expected one of the package (small), the folder"),
    (["rain", "--steps", "7"], 1, "steps is 7: sampler num_steps is 7"),
    (["rain", "--guidance", "nan"], 1, "guidance is nan"),
    (["rain", "--guidance", "-1"], 1, "guidance is -1.0: sampler guidance_scale is -1.0"),
    (["rain", "--duration", "1"], 1, "duration is 1.0, expected seconds, more than 0 and at most 0.74"),
    (["rain", "--loudness", "3"], 1, "loudness is 3.0, expected LUFS"),
    (["rain", "--duration", "0.3", "--loudness", "-20"], 1, "a sound of 0.37 s is too short to be measured"),
    (["rain", ""], 1, "an empty prompt"),
    (["rain", "--device", "gpu"], 1, "device is 'gpu'"),
    (["rain", "--best-of", "2", "a rain of dogs"], 1, "cannot tell what 'a rain of dogs' asks for"),
    (["rain", "--best-of", "2", "--rank", "clap", "--clap", "nowhere"], 1, "no weights of ClapModel at nowhere"),
])
def test_what_cannot_be_made_is_told_and_nothing_is_written(run, arguments, status, message):
    found, lines, told = run(*arguments)
    assert (found, lines) == (status, [])
    assert message in told
    assert not run.out.exists() or not any(run.out.iterdir())


def test_ctrl_c_leaves_nothing_half(run, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffsound.clip.write_text", stop)
    status, lines, told = run("rain")
    assert (status, lines) == (130, [])
    assert told.endswith("diffsound: stopped\n")
    assert [path.name for path in run.out.iterdir()] == ["000-rain.wav"]  # which is whole


def test_the_best_take_is_kept(run, monkeypatch):
    """A judge who likes the third of four takes."""
    liked = []

    def like(self, text, takes):
        liked.append(takes[2].tokens.tolist())
        return [0.1, 0.2, 0.9, 0.9]

    monkeypatch.setattr(ByEvents, "__call__", like)
    status, lines, _ = run("rain falls", "--best-of", 4, "--num", 2)
    assert (status, len(lines)) == (0, 2)
    assert [sidecar["seed"] for sidecar in sidecars(run.out)] == [clip_seed(0, 2), clip_seed(0, 6)]
    assert [sidecar["tokens"] for sidecar in sidecars(run.out)] == liked
    assert [sidecar["chosen"] for sidecar in sidecars(run.out)] == [{"of": 4, "score": 0.9, "by": ByEvents().name}] * 2


def test_list_names_the_bundles(run, bundles, monkeypatch, tmp_path):
    size = (bundles / "small" / "model.safetensors").stat().st_size / 1e6
    assert run("--list")[1] == [f"small  {size:.1f} MB  Noise, for tests."]
    monkeypatch.setattr(pretrained, "BUNDLES", tmp_path / "none")
    assert "comes with no bundle" in run("--list")[1][0]


@pytest.mark.parametrize("verb", ["generate", "replay", "completion"])
def test_help_waits_for_nothing_heavy(verb):
    code = (f"import sys; from diffsound.cli import main\ntry: main(['{verb}', '--help'])\nexcept SystemExit: pass\n"
            "assert not {'torch', 'numpy', 'rich', 'transformers', 'yaml'} & set(sys.modules), sys.modules.keys()")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb_and_option(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for verb in verbs():
        assert verb in script
    for flag in ("best-of", "from-tokens", "loudness", "bfloat16"):
        assert flag in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(("line", "expected"), [
    (["diffsound", "gen"], ["generate", "generate-many"]), (["diffsound", "generate", "--best"], ["--best-of"]),
    (["diffsound", "generate", "--format", "f"], ["flac"]), (["diffsound", "replay", "--from"], ["--from-tokens"]),
    (["diffsound", "generate", "--num", ""], []),
])
def test_bash_completes(line, expected, tmp_path, capsys):
    main(["completion", "bash"])
    words = " ".join(f"'{word}'" for word in line)
    script = capsys.readouterr().out + f"\nCOMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _diffsound\n" \
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash"], input=script, text=True, capture_output=True, cwd=tmp_path, check=True)
    assert sorted(done.stdout.split()) == expected
