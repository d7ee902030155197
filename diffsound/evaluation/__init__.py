"""Measures of what was made: does it sound like what was asked?"""

from diffsound.evaluation.order import Score, score, summarise, summarise_by_kind
from diffsound.evaluation.tagger import EventTagger, timeline

__all__ = ["EventTagger", "Score", "score", "summarise", "summarise_by_kind", "timeline"]
