"""Does a system understand words that it never saw? Clips of held-out sentences, beside clips of training captions."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffsound.evaluation.calibration import true_renderings
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.estimate import bootstrap_summary
from diffsound.evaluation.order import Score, score
from diffsound.evaluation.results import Results
from diffsound.evaluation.sampling import make_clips
from diffsound.evaluation.scoring import REPEATS, SCENE_SCORES, listen
from diffsound.evaluation.tagger import EventTagger
from diffsound.scenes import Request, SceneDataModule, Structure, caption
from diffsound.scenes.structure import SAID
from diffsound.text_to_sound import TextToSound

PARAPHRASES = Path(__file__).with_name("paraphrases.csv")
COLUMNS = ["text", "asks", "new"]
NEW = {"one word": "one sound, a known word beside a new one", "all words": "one sound, all words new",
       "words": "several sounds, new words in known relations",
       "words and relation": "several sounds, relations new too"}
SHOWN = ("f1", "order", "overlap", "count", "attributes", "exact")
MADE, CAPTIONS, TRUE = "held-out sentences", "training captions", "true renderings"


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it asks for.

    new: what of it no training caption has, a key of `NEW`: of one sound its noun or its verb, or both; of several the
        words, or also the words that relate them.
    """

    text: str
    structure: Structure
    new: str


def read_sentences(path: Path) -> list[Sentence]:
    """Sentences of a .csv with the columns text, asks (see `read_asked`) and new (see `Sentence`).

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it has no sentence or other columns, or a line is not as expected; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: --sentences takes a .csv, or 'paraphrases' for the package's own")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise ValueError(f"{path} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}")
        sentences = []
        for row in reader:
            try:
                if row["new"] not in NEW:
                    raise ValueError(f"new is {row['new']!r}, expected one of {', '.join(NEW)}")
                sentences.append(Sentence(row["text"], read_asked(row["asks"]), row["new"]))
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not sentences:
        raise ValueError(f"{path} holds no sentences")
    return sentences


def read_asked(text: str) -> Structure:
    """'2 dog loud > cat / rain' asks for two loud dogs, then a cat, both over rain.

    Raises:
        ValueError: if it is not written so, or nobody can ask for that.
    """
    front, over, under = text.partition("/")
    return Structure(tuple(_request(one) for one in front.split(">")), _request(under) if over else None)


def _request(text: str) -> Request:
    match = re.fullmatch(rf"(?:(\d) )?(\w+)((?: (?:{'|'.join(SAID)}))*)", text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} asks for no sound: expected one such as '2 dog loud'")
    return Request(match[2], int(match[1] or 1), tuple(match[3].split()))


@torch.no_grad()
def score_sentences(results: Results, model: TextToSound, path: Path, data: SceneDataModule, judge: EventTagger,
                    out: Path, seed: int) -> None:
    """Make clips of the sentences in `path` and of a caption of each of their structures, from the same seeds, and
    score what the judge hears in both and in true renderings.

    Args:
        data: whose world names the classes that the system knows, and words the captions; sentences that name others
            are left out.
        out: the clips are kept in its folders sentences and sentences_captions.
    Raises:
        ValueError: if no sentence is left; or as `read_sentences`.
    """
    test = data.test
    sentences = read_sentences(path)
    known = [one for one in sentences if set(one.structure.names) <= set(test.world.classes)]
    if not known:
        raise ValueError(f"none of {len(sentences)} sentences in {path} is of sounds in audio.init_args.world.classes")
    structures = tuple(one.structure for one in known)
    captions = [caption(structure, np.random.default_rng([seed, 2, index]), test.world.wording)
                for index, structure in enumerate(structures)]
    ids = tuple(f"{i:04d}" for i in range(len(known)))
    asked = ClipSet("sentences", (torch.zeros(test.num_samples),) * len(known), test.sample_rate,
                    tuple(one.text for one in known), ids)
    told = ClipSet("captions", asked.waveforms, test.sample_rate, tuple(captions), ids)
    rows = {MADE: make_clips(model, asked, out / "sentences", seed),
            CAPTIONS: make_clips(model, told, out / "sentences_captions", seed),
            TRUE: true_renderings(structures, asked, test.world.rooms, seed)}
    scores = {row: [score(*pair) for pair in zip(listen(judge, clips), structures, strict=True)]
              for row, clips in rows.items()}
    for row in (MADE, CAPTIONS):
        ceiling = bootstrap_summary(scores[TRUE], REPEATS)
        for key, estimate in bootstrap_summary(scores[row], REPEATS).items():
            if key in SHOWN:
                label, better, unit = SCENE_SCORES[key]
                of_score = {"label": f"{label}, {row}", "group": "sentences", "better": better, "unit": unit}
                name = f"{'sentences' if row == MADE else 'sentences_captions'}_{key}"
                results.add(name, "made", estimate, **of_score)
                results.add(name, "ceiling", ceiling[key], **of_score)
    results.content.setdefault("by", {})["sentences"] = _by_what_is_new(scores, known)
    results.content["protocol"]["sentences"] = {
        "file": path.name, "hash": hashlib.sha256(path.read_bytes()).hexdigest(), "scored": len(known),
        "left out, of other classes": len(sentences) - len(known), "wording of the captions": test.world.wording}


def _by_what_is_new(scores: Mapping[str, Sequence[Score]], sentences: Sequence[Sentence]) -> dict[str, dict[str, Any]]:
    parts = {}
    for new, group in NEW.items():
        for row, of_row in scores.items():
            if own := [one for one, sentence in zip(of_row, sentences, strict=True) if sentence.new == new]:
                parts[f"{group}: {row}"] = {key: estimate.as_dict()
                                            for key, estimate in bootstrap_summary(own, REPEATS).items()}
    return parts
