"""The page of `diffsound demo`: every sentence with its sound, its picture and what is heard; clips can be replayed."""

from __future__ import annotations

import json
import re

import pytest
from tiny_system import tiny_system

from diffsound.bundle import write_bundle
from diffsound.cli import main
from diffsound.data.audio import load
from diffsound.demo import SENTENCES
from diffsound.mel import MelSettings


def test_every_sentence_is_on_the_page_with_files_that_are_there(tmp_path, capsys):
    write_bundle(tiny_system(MelSettings()), tmp_path / "bundle", "Noise.")
    out = tmp_path / "page"
    assert main(["demo", "--model", str(tmp_path / "bundle"), "--out", str(out), "--seed", "4"]) == 0
    assert f"Open {out / 'index.html'}" in capsys.readouterr().out
    assert (out / "sounds.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    page = (out / "index.html").read_text()
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 2 * len(SENTENCES)
    assert all((out / file).stat().st_size for file in files)
    assert not re.search(r"https?://", page)  # it shows without a network
    sidecars = [json.loads(path.read_text()) for path in sorted((out / "clips").glob("*.json"))]
    assert [sidecar["text"] for sidecar in sidecars] == list(SENTENCES)
    assert all(sidecar["text"] in page for sidecar in sidecars)
    assert len(load(out / "clips" / "00.wav", 22050)) == 4 * 16 * 256
    assert main(["replay", str(out / "clips" / "03.json"), "--model", str(tmp_path / "bundle"), "--out",
                 str(tmp_path / "again.wav")]) == 0


@pytest.mark.parametrize("text", SENTENCES)
def test_its_sentences_ask_for_what_scenes_or_recordings_have(text):
    from diffsound.scenes import read

    assert read(text, "wide") is not None or "real" in text
