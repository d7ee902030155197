"""Labels to text with random masks: mask-based text generation for pretraining where clips have labels only."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from typing import Literal, get_args

from diffsound.data import ontology as audioset

Masks = Literal["around", "between", "none"]

# Names of AudioSet whose parts are not each a name of the sound, and what is read instead.
_READ_AS = {
    "inside, small room": "inside a small room",
    "inside, large room or hall": "inside a large room or hall",
    "inside, public space": "inside a public space",
    "outside, urban or manmade": "outside in an urban or manmade place",
    "outside, rural or natural": "outside in a rural or natural place",
    "dishes, pots, and pans": "dishes and pots and pans",
    "livestock, farm animals, working animals": "livestock, farm animals",
    "canidae, dogs, wolves": "wild dogs or wolves",
    "rodents, rats, mice": "rodents such as rats or mice",
    "bee, wasp, etc.": "bee or wasp or the like",
    "chicken, rooster": "chicken or rooster",
    "roaring cats (lions, tigers)": "roaring cats such as lions or tigers",
    "marimba, xylophone": "marimba or xylophone",
    "boat, water vehicle": "boat or water vehicle",
    "rowboat, canoe, kayak": "rowboat or canoe or kayak",
    "air horn, truck horn": "air horn or truck horn",
    "fire engine, fire truck (siren)": "fire engine siren, fire truck siren",
}
_FRAMES = ("{}", "the sound of {}", "sounds of {}", "a recording of {}", "{} can be heard", "one can hear {}")
_JOINTS = (" and ", " as well as ", " together with ", " along with ")  # claim no order
_SHORTEST_DESCRIPTION, _LONGEST_DESCRIPTION = 4, 16  # words
_OPENING = re.compile(r"(the |a )?(sounds?|noises?) ((made|produced) by|of|from|associated with|originating from) ")
_RELATIVE = re.compile(r",? (?:that|which|whose|who|where|when|in which) ")


class LabelText:
    """Text from the labels of a clip: "[MASK] [MASK] dog [MASK] rain".

    A text encoder then meets the words where a caption would have them, among others (Diffsound, arXiv:2207.09983,
    MBTG). A text is a function of labels and `rng` alone. Labels come in random order, each once, in lower case.
    One with commas, such as "Male speech, man speaking", has several names for one sound, and one of them is drawn,
    as a caption is; where the parts are no such names ("Inside, small room", "Bee, wasp, etc.") a phrase stands for
    the whole. Brackets go, and what is in them stays: "whimper dog" is not "whimper".

    Args:
        masks: `around`: one or two masks with each label, on a side chosen at random; `between`: one or two between
            neighbouring labels, none at the ends; `none`: the labels with commas between them.
        ontology: path of AudioSet's ontology.json, for `synonyms`.
        synonyms: probability that a label is said in other words of the ontology: the name of a class it is a kind of
            (any of several, if neither abstract nor itself said), or its own description, shortened. A label that the
            ontology does not have stays as it is.
        templates: probability that a text is a sentence instead, without masks: "a recording of rain together with
            dog" (after the reprogramming of Make-An-Audio, arXiv:2301.12661).
    Raises:
        ValueError: if an argument is out of range, or the ontology is absent, malformed, or missing for `synonyms`.
    """

    def __init__(self, masks: Masks = "around", ontology: str | None = None, synonyms: float = 0.0,
                 templates: float = 0.0) -> None:
        key = "tokens.init_args.label_text.init_args"
        if masks not in get_args(Masks):
            raise ValueError(f"{key}.masks {masks!r} must be one of {', '.join(get_args(Masks))}")
        for name, value in (("synonyms", synonyms), ("templates", templates)):
            if not 0 <= value <= 1:
                raise ValueError(f"{key}.{name} {value} must be a probability in 0..1")
        if synonyms and ontology is None:
            raise ValueError(f"{key}.synonyms {synonyms} needs {key}.ontology, the path of AudioSet's ontology.json")
        self.masks, self.ontology, self.synonyms, self.templates = masks, ontology, synonyms, templates
        try:
            self._others = _other_words(audioset.read(ontology)) if ontology is not None else {}
        except (OSError, ValueError) as error:
            raise ValueError(f"{key}.ontology: {error}") from error

    def __call__(self, labels: Sequence[str], rng: random.Random, mask: str) -> str:
        """A text of `labels`; `mask` is the text encoder's own mask token.

        Raises:
            ValueError: if there are no labels, or one has no words.
        """
        if not labels:
            raise ValueError("no labels to make a text of: give the clip labels in the manifest, or take "
                             "tokens.init_args.text_from: captions")
        said = {}  # what is said, of which label
        for label in sorted(labels, key=lambda _: rng.random()):
            names = _names(label)
            said.setdefault(names[0] if len(names) == 1 else rng.choice(names), label)
        texts = self._reworded(said, rng) if self.synonyms else list(said)
        if self.templates and rng.random() < self.templates:
            listed = texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + rng.choice(_JOINTS) + texts[-1]
            return rng.choice(_FRAMES).format(listed)
        if self.masks == "none":
            return ", ".join(texts)
        two = f"{mask} {mask}"
        words = []
        for text in texts:
            run = two if rng.getrandbits(1) else mask
            words += (run, text) if self.masks == "between" or rng.getrandbits(1) else (text, run)
        return " ".join(words[1:] if self.masks == "between" else words)

    def _reworded(self, said: dict[str, str], rng: random.Random) -> list[str]:
        """Some texts in other words, but never in words that another label of the clip has."""
        taken = set(said)
        texts = []
        for text, label in said.items():
            if rng.random() < self.synonyms:
                others = [words for words in self._others.get(label.lower(), ()) if taken.isdisjoint(words)]
                if others:
                    text = rng.choice(rng.choice(others))
                    taken.add(text)
            texts.append(text)
        return texts


@functools.lru_cache(maxsize=65536)
def _names(label: str) -> tuple[str, ...]:
    """The names in a label, without commas."""
    name = " ".join(label.lower().split())
    name = _READ_AS.get(name, name)
    outside_brackets = re.split(r",(?![^(]*\))", name)
    names = (" ".join(re.sub(r"[(),]", " ", part).split()) for part in outside_brackets)
    distinct = tuple(dict.fromkeys(filter(None, names)))
    if not distinct:
        raise ValueError(f"the label {label!r} has no words: correct it in the manifest")
    return distinct


def _other_words(classes: dict[str, audioset.SoundClass]) -> dict[str, list[tuple[str, ...]]]:
    """For each class the names of its parents, and its description; texts that mean the same stand together."""
    others = {}
    for name, sound in classes.items():
        parents = [_names(parent) for parent in sound.parents if "abstract" not in classes[parent].restrictions]
        description = _shortened(sound.description)
        others[name.lower()] = [*parents, (description,)] if description else parents
    return others


def _shortened(description: str) -> str:
    """The first sentence of a description, without "the sound of", brackets, commas; "" if it cannot be made short.

    A long sentence ends before its first relative clause: a list that is cut in the middle would say something else.
    """
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", description.strip())[0].rstrip(".").lower()
    opening = _OPENING.match(sentence)
    sentence = re.sub(r"\s*\([^)]*\)|,? (i\.e\.|e\.g\.).*", "", sentence[opening.end() if opening else 0:])
    if len(sentence.split()) > _LONGEST_DESCRIPTION:
        sentence = _RELATIVE.split(sentence)[0]
    words = re.sub("[,;]", " ", sentence).split()
    return " ".join(words) if _SHORTEST_DESCRIPTION <= len(words) <= _LONGEST_DESCRIPTION else ""
