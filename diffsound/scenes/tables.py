"""What captions are made of, whichever the words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from diffsound.scenes.sounds.sound import Phrases, Words

Templates = Mapping[tuple[str, int], Phrases]  # for a relation between so many sounds
BACKWARDS = "then, told backwards"


@dataclass(frozen=True)
class Tables:
    """All that captions are made of; see the plain ones in `captions.py`.

    clauses_alone, nouns_alone: more templates for scenes without a background: of two sentences, the last alone might
        seem to be over it.
    participle_frames: what may be said around a participle: 'the sound of a dog barking'.
    """

    words: Mapping[str, Words]
    clause_templates: Templates
    noun_templates: Templates
    clause_over: Phrases
    noun_over: Phrases
    noun_during: Phrases
    noun_beside: Phrases
    at: Phrases
    numbers: Mapping[int, Phrases]
    times: Mapping[int, Phrases]
    adverbs: Mapping[str, Phrases]
    adjectives: Mapping[str, Phrases]
    clauses_alone: Templates = field(default_factory=dict)
    nouns_alone: Templates = field(default_factory=dict)
    participle_frames: Phrases = ("{0}",)
