"""A folder as an evaluation leaves it, made of real scenes: true timelines, their sounds and their pictures."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from diffsound.data.audio import save
from diffsound.evaluation import score, summarise
from diffsound.evaluation.timeline_picture import save_timelines
from diffsound.mel import LogMel, MelSettings
from diffsound.scenes import SOUNDS, World, make_scene
from diffsound.scenes.world import DRAW

LABELS = {"f1": "event F1", "order": "order", "order_when_heard": "order when heard", "count": "count",
          "unasked": "unasked"}


def write_evaluation(folder: Path, clips: int = 24, examples: int = 2) -> dict:
    """Write scores.json, and wav and png of the first and last `examples` clips; returns what scores.json holds.

    What is heard is the truth, but every third clip lost its first sound to a foreign one.
    """
    world = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.4)
    scenes = [make_scene(11, index, world=world) for index in range(clips)]
    foreign = list(SOUNDS)
    heard = [[type(e)(foreign[index % 7], e.onset, e.offset) if index % 3 == 0 and e is scene.events[0] else e
              for e in scene.events] for index, scene in enumerate(scenes)]
    asked = [scene.structure for scene in scenes]

    def estimates(events: list, structures: list) -> dict[str, dict]:
        scores = [score(*pair) for pair in zip(events, structures, strict=True)]
        rng = np.random.default_rng(0)
        draws = [summarise([scores[i] for i in rng.integers(len(scores), size=len(scores))]) for _ in range(50)]
        return {name: {"value": value, "clips": len(scores),
                       **dict(zip(("low", "high"), np.quantile([d.get(name, value) for d in draws], (0.025, 0.975)),
                                  strict=True))}
                for name, value in summarise(scores).items() if name in LABELS}

    rows = {"made": estimates(heard, asked), "ceiling": estimates([s.events for s in scenes], asked),
            "chance": estimates(heard, asked[1:] + asked[:1]), "silence": estimates([[] for _ in scenes], asked)}
    kinds = sorted({structure.kind for structure in asked})
    confusion = np.zeros((len(SOUNDS), len(SOUNDS)), int)
    for events, structure in zip(heard, asked, strict=True):
        for name in structure.names:
            for other in {event.name for event in events} - set(structure.names) | ({name} & {e.name for e in events}):
                confusion[foreign.index(name), foreign.index(other)] += 1
    scores = {
        "format": 1, "recipe": "scenes", "clips": clips,
        "scores": {name: {"label": label, "group": "scenes", "better": "lower" if name == "unasked" else "higher",
                          "unit": "", **{row: values[name] for row, values in rows.items() if name in values}}
                   for name, label in LABELS.items()},
        "by": {"kind": {kind: estimates([h for h, a in zip(heard, asked, strict=True) if a.kind == kind],
                                        [a for a in asked if a.kind == kind]) for kind in kinds}},
        "confusion": {"classes": foreign, "asked": confusion.tolist()},
        "sweeps": [{"over": "guidance_scale", "values": [1, 2, 3],
                    "scores": {name: [rows[row][name]["value"] for row in ("chance", "made", "ceiling")]
                               for name in ("f1", "order")}}],
        "checks": [{"name": "the true timelines against themselves", "passed": rows["ceiling"]["f1"]["value"] == 1,
                    "detail": f"F1 {rows['ceiling']['f1']['value']:g}"}],
        "skipped": [{"name": "CLAP score", "why": "no weights: give --clap FOLDER", "clips": clips}],
        "protocol": {"reference_hash": "5f1c", "versions": {"numpy": np.__version__}},
        "examples": [],
    }
    log_mel = LogMel(MelSettings())
    for index in [*range(examples), *range(clips - examples, clips)]:
        scene, stem = scenes[index], folder / "report" / "clips" / f"{index:04d}"
        save(stem.with_suffix(".wav"), scene.waveform, scene.sample_rate)
        mel = log_mel(torch.from_numpy(scene.waveform)[None])[0].numpy()
        save_timelines(stem.with_suffix(".png"), mel, MelSettings(), scene.events, heard[index])
        scores["examples"].append({
            "id": f"{index:04d}", "text": scene.caption, "audio": f"clips/{index:04d}.wav",
            "picture": f"clips/{index:04d}.png", "seconds": len(scene.waveform) / scene.sample_rate,
            "score": summarise([score(heard[index], scene.structure)])["f1"], "captioned": None,
            "asked": [asdict(event) for event in scene.events], "heard": [asdict(event) for event in heard[index]],
            "rank": "worst" if index < examples else "best"})
    (folder / "scores.json").write_text(json.dumps(scores))
    return scores
