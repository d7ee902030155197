"""Measures of what was made: does it sound like what was asked?"""

from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.metrics import frechet_distance, inception_score, kernel_distance, kl_divergence
from diffsound.evaluation.order import Score, score, summarise, summarise_by
from diffsound.evaluation.tagger import EventTagger, timeline

__all__ = ["EventTagger", "Score", "frechet_distance", "inception_score", "kernel_distance", "kl_divergence",
           "load_judge", "score", "summarise", "summarise_by", "timeline"]
