"""The bundles that come with the package: small, whole, described, and true to what their cards say first of all."""

from __future__ import annotations

import pytest

from diffsound.bundle import read_bundle
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.order import score, summarise
from diffsound.evaluation.scoring import listen
from diffsound.pretrained import described, shipped
from diffsound.scenes import read
from diffsound.text_to_sound import TextToSound

MEGABYTES = 30  # with the judge, which all share
SENTENCES = ("a dog barks", "a bell rings", "rain falls", "a siren wails", "a cat meows, then a drum is hit",
             "a bird chirps after thunder rumbles", "someone knocks three times", "a duck quacks twice")


@pytest.mark.parametrize("name", shipped())
def test_a_bundle_is_small_and_says_what_it_is(name):
    folder = shipped()[name]
    judge = sum(file.stat().st_size for file in (folder.parents[1] / "evaluation" / "judge").iterdir())
    assert sum(file.stat().st_size for file in folder.iterdir()) + judge < MEGABYTES * 1e6
    assert described(folder)
    card = (folder / "README.md").read_text()
    for heading in ("What it makes", "What it learned from", "Scores", "Limits", "Licence"):
        assert f"## {heading}" in card
    assert "ATTRIBUTION.md" in card
    assert (folder / "ATTRIBUTION.md").read_text().count("\n- ") > 100
    assert read_bundle(folder).facts["half"]


def test_the_first_model_makes_what_is_asked_for():
    model, judge = TextToSound.from_pretrained("tiny"), load_judge()
    clips = model(list(SENTENCES), seed=1)
    made = ClipSet("made", tuple(clip.waveform for clip in clips), clips[0].sample_rate, SENTENCES,
                   tuple(map(str, range(len(SENTENCES)))))
    heard = listen(judge, made)
    assert summarise([score(events, read(text, "wide")) for events, text in zip(heard, SENTENCES, strict=True)])[
        "f1"] > 0.6
