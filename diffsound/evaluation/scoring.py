"""What is scored, and how: distances to a reference, what is heard in scenes, what a captioner says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from diffsound.captioner import Captioner
from diffsound.evaluation.calibration import shuffled
from diffsound.evaluation.caption_scores import caption_scores
from diffsound.evaluation.checks import Check, check_scores
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.estimate import bootstrap, bootstrap_summary
from diffsound.evaluation.extractors import Extractor
from diffsound.evaluation.extractors.clap import CLAPExtractor
from diffsound.evaluation.extractors.tagger import TaggerExtractor
from diffsound.evaluation.order import Score, score
from diffsound.evaluation.results import Results
from diffsound.evaluation.scores_file import ROWS
from diffsound.evaluation.standard import clap_score, describe, hear, standard_scores
from diffsound.evaluation.subjects import Subjects
from diffsound.evaluation.tagger import EventTagger
from diffsound.scenes import Event, Structure

SCENE_SCORES = {  # of `order.Score`: label, direction, unit
    "f1": ("event F1", "higher", ""), "precision": ("event precision", "higher", ""),
    "recall": ("event recall", "higher", ""), "order": ("order", "higher", ""),
    "order_when_heard": ("order, where both are heard", "higher", ""), "overlap": ("overlap", "higher", ""),
    "count": ("count", "higher", ""), "attributes": ("attributes", "higher", ""),
    "onset_error": ("onset error", "lower", "s"), "unasked": ("unasked events", "lower", ""),
    "exact": ("everything right", "higher", ""),
}
CAPTION_LABELS = {"cider": "CIDEr", "rouge_l": "ROUGE-L", "spice": "SPICE", "read": "captions that are scenes",
                  **{f"bleu_{n}": f"BLEU-{n}" for n in range(1, 5)}}
BY_SCENES = "by the features of a judge that was trained on scenes"  # a note, where the clips are none
OF_TRUE = ("ceiling", "rebuilt")  # rows made from what is true of each text
BATCH = 16
REPEATS = 1000  # of the bootstrap


def score_distances(results: Results, rows: Mapping[str, ClipSet], subjects: Subjects, extractor: Extractor, seed: int
                    ) -> list[Check]:
    """Standard scores by one extractor, and the checks of them. The judge's own have a note, if the texts are not all
    captions of scenes: it knows no other sounds."""
    note = {"note": BY_SCENES} if isinstance(extractor, TaggerExtractor) and not subjects.structures else {}
    made, real, shuffle = rows["made"], subjects.real, shuffled(len(rows["made"]), seed)
    reference = hear(real, extractor)
    heard = {row: hear(clips, extractor) for row, clips in rows.items()}
    for row, one in heard.items():
        skipped = results.skipped if row == "made" else None
        for key, estimate in standard_scores(one, reference, repeats=REPEATS, skipped=skipped).items():
            results.add(key, row, estimate, **describe(key), **note)
    if heard["made"].logits is not None and made.ids == real.ids:  # the other scores do not look at pairs
        swapped = replace(heard["made"], logits=heard["made"].logits[shuffle], windows=None)
        for key, estimate in standard_scores(swapped, reference, repeats=REPEATS).items():
            if key.startswith("kl"):
                results.add(key, "chance", estimate, **describe(key), **note)
    if isinstance(extractor, CLAPExtractor) and (why := untold(made.ids, made.texts)):
        results.skip("CLAP score", why, made)
    elif isinstance(extractor, CLAPExtractor):
        texts = extractor.text(made.texts)
        own = heard if subjects.true is subjects.others else {
            row: one for row, one in heard.items() if row not in OF_TRUE}
        if subjects.true is real:
            own["ceiling"] = reference
        pairs = {row: (one.features, texts) for row, one in own.items()}
        pairs["chance"] = (heard["made"].features, texts[shuffle])
        for row, pair in pairs.items():
            results.add("clap_score", row, clap_score(*pair), label="CLAP score", group="text", better="higher",
                        unit="")
    return check_scores(heard["made"], reference, made, extractor)


@torch.no_grad()
def score_scenes(results: Results, rows: Mapping[str, ClipSet], subjects: Subjects, judge: EventTagger, seed: int
                 ) -> tuple[list[list[Event]], list[Score]]:
    """What the judge hears against what was asked for, in all clips, by kind and by class; returns it of each clip."""
    asked, scores = subjects.structures, {}
    heard = {row: listen(judge, clips) for row, clips in rows.items()}
    for row, timelines in heard.items():
        scores[row] = [score(*pair) for pair in zip(timelines, asked, strict=True)]
    order = shuffled(len(asked), seed)
    scores["chance"] = [score(timeline, asked[i]) for timeline, i in zip(heard["made"], order, strict=True)]
    for row, of_row in scores.items():
        for key, estimate in bootstrap_summary(of_row, REPEATS).items():
            label, better, unit = SCENE_SCORES[key]
            results.add(key, row, estimate, label=label, group="scenes", better=better, unit=unit)
    groups = {"kind": [structure.kind for structure in asked]}
    if subjects.combinations:
        groups["combination"] = list(subjects.combinations)
        # what is held out has more sounds on average: within a kind that is no reason to be worse
        groups["kind_combination"] = [", ".join(pair) for pair in zip(groups["kind"], subjects.combinations,
                                                                      strict=True)]
    results.content["by"] = {name: _by({row: scores[row] for row in ("made", "ceiling") if row in scores}, members)
                             for name, members in groups.items()}
    results.content["confusion"] = confusion(heard["made"], asked, judge.classes)
    return heard["made"], scores["made"]


def score_captions(results: Results, rows: Mapping[str, ClipSet], subjects: Subjects, captioner: Captioner, seed: int,
                   spice: bool) -> list[str]:
    """What a captioner says of the clips against what was asked for; returns what it says of those made."""
    said = {row: say(captioner, clips) for row, clips in rows.items()}
    order = shuffled(len(rows["made"]), seed)
    asked = dict.fromkeys(said, (subjects.captions, subjects.structures))
    said["chance"] = said["made"]
    asked["chance"] = ([subjects.captions[i] for i in order],
                       subjects.structures and [subjects.structures[i] for i in order])
    for row, texts in said.items():
        found = caption_scores(texts, *asked[row], spice=spice)
        for key, one in found.rows.items():
            label = CAPTION_LABELS.get(key) or f"{SCENE_SCORES[key][0]}, by its captions"
            results.add(f"caption_{key}", row, bootstrap(one.statistic, one.values, REPEATS), label=label,
                        group="captions", better="higher", unit="")
        if row == "made":
            for key, why in found.skipped.items():
                results.skip(CAPTION_LABELS.get(key, key.upper()), why, rows["made"])
    return said["made"]


def listen(judge: EventTagger, clips: ClipSet) -> list[list[Event]]:
    """What is heard in each clip."""
    return _of_each(judge.listen, clips.at(judge.mel.sample_rate), judge.device)


def say(captioner: Captioner, clips: ClipSet) -> list[str]:
    """A caption of each clip."""
    return _of_each(captioner.caption, clips.at(captioner.mel.sample_rate), captioner.device)


def _of_each(hear: Callable[[torch.Tensor], list], clips: ClipSet, device: torch.device) -> list:
    """What `hear` makes of each clip, of (B, N) where they are of one length."""
    batch, waveforms = BATCH if len(set(clips.seconds)) == 1 else 1, clips.waveforms
    return [one for first in range(0, len(clips), batch)
            for one in hear(torch.stack(waveforms[first:first + batch]).to(device))]


def confusion(heard: Sequence[Sequence[Event]], asked: Sequence[Structure], classes: Sequence[str]) -> dict[str, Any]:
    """How often class i was asked for and not heard, but j was, unasked; on the diagonal, heard as asked."""
    number = {name: i for i, name in enumerate(classes)}
    counts = [[0] * len(classes) for _ in classes]
    for timeline, structure in zip(heard, asked, strict=True):
        found = {event.name for event in timeline}
        for name in set(structure.names) & number.keys():
            others = {name} if name in found else found - set(structure.names)
            for other in others:
                counts[number[name]][number[other]] += 1
    return {"classes": list(classes), "asked": counts}


def _by(rows: dict[str, Sequence[Score]], members: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each group, and below it of its true renderings: the judge may hear one group better than another."""
    parts = {}
    for group in sorted(set(members)):
        for row, scores in rows.items():
            own = [one for one, member in zip(scores, members, strict=True) if member == group]
            parts[group if row == "made" else f"{group}, {ROWS[row]}"] = {
                key: estimate.as_dict() for key, estimate in bootstrap_summary(own, REPEATS).items()}
    return parts


def untold(ids: Iterable[str], texts: Iterable[str]) -> str:
    """Why clips cannot be compared with their texts; "" if all have one."""
    untold = [name for name, text in zip(ids, texts, strict=True) if not text.strip()]
    return f"{len(untold)} clips have no text: {untold[0]} is the first" if untold else ""
