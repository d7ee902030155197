"""`diffsound evaluate`: make clips, or read them, score them in every way there is, and check the scores themselves."""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.progress import track

from diffsound.callbacks.clip_writer import write_clip
from diffsound.checkpoint import rebuild
from diffsound.evaluation.calibration import noise, rebuilt, shuffled, silence
from diffsound.evaluation.caption_scores import caption_scores
from diffsound.evaluation.checks import run_checks
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.estimate import Estimate, bootstrap_rows, bootstrap_summary
from diffsound.evaluation.extractors import Extractor, MissingWeights
from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.order import Score, score, summarise
from diffsound.evaluation.protocol import protocol
from diffsound.evaluation.report import write_report
from diffsound.evaluation.scores_file import FORMAT, ROWS
from diffsound.evaluation.standard import clap_score, describe, hear, standard_scores
from diffsound.evaluation.subjects import Subjects
from diffsound.recipe import build_part, changed_recipe
from diffsound.scenes import Event, Structure

SCENE_SCORES = {  # of `order.Score`: label, direction, unit
    "f1": ("event F1", "higher", ""), "precision": ("event precision", "higher", ""),
    "recall": ("event recall", "higher", ""), "order": ("order", "higher", ""),
    "order_when_heard": ("order of pairs that are heard", "higher", ""), "overlap": ("overlap", "higher", ""),
    "count": ("count", "higher", ""), "attributes": ("attributes", "higher", ""),
    "onset_error": ("onset error", "lower", "s"), "unasked": ("unasked events", "lower", ""),
    "exact": ("all right", "higher", ""),
}
EXAMPLES = 6  # worst and best clips each
BATCH = 16
