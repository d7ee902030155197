"""What a mix's caption says is true of its samples: order, inclusion, overlap, and levels as drawn."""

from __future__ import annotations

import re
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

import diffsound.data
from diffsound.data import audio, layouts
from diffsound.data.manifest import Clip
from diffsound.data.mixing import TEMPLATES, Mixing

RATE = 16000
HERTZ = {"hum": 250, "tone": 1000, "beep": 4000}
A_CURVE = {"hum": -8.6, "tone": 0.0, "beep": 1.0}  # dB at these frequencies, as tabled in IEC 61672
SECONDS = 4
RELATIONS = {name for name, _ in TEMPLATES}


def part(name: str, seconds: float, amplitude: float = 0.3, before: float = 0, after: float = 0):
    """A sine that sets in and ends smoothly, in silence with a trace of noise."""
    n = round(seconds * RATE)
    edge = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.01 * RATE))
    sound = amplitude * edge * np.sin(2 * np.pi * HERTZ[name] * np.arange(n) / RATE)
    waveform = np.pad(sound, (round(before * RATE), round(after * RATE)))
    noise = np.random.default_rng(0).normal(0, amplitude * 1e-3, len(waveform))
    return (waveform + noise).astype(np.float32), Clip(Path(f"{name}.wav"), [f"A {name}."], [name.title()])


def random_parts(rng: np.random.Generator, count: int, longest: float = 6):
    return [part(name, rng.uniform(0.3, longest), 10 ** rng.uniform(-2, -0.3), *rng.uniform(0, 1, size=2))
            for name in rng.permutation(list(HERTZ))[:count]]


def band(waveform: np.ndarray, name: str) -> np.ndarray:
    """What `waveform` has within a third of an octave of this part's frequency."""
    spectrum = np.fft.rfft(waveform)
    frequency = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return np.fft.irfft(np.where(np.abs(np.log2((frequency + 1e-9) / HERTZ[name])) < 1 / 2, spectrum, 0), len(waveform))


def envelope(waveform: np.ndarray, name: str) -> np.ndarray:
    """(milliseconds,) amplitudes."""
    window = np.hanning(round(0.008 * RATE) + 1)
    smooth = np.convolve(band(waveform, name) ** 2, window / window.sum(), "same")
    return np.sqrt(2 * smooth[::RATE // 1000])


def span(waveform: np.ndarray, name: str) -> tuple[float, float]:
    """Seconds between which a part is heard."""
    heard = np.flatnonzero((loud := envelope(waveform, name)) > 0.15 * loud.max())
    return heard[0] / 1000, heard[-1] / 1000


def amplitude(waveform: np.ndarray, name: str) -> float:
    return float(np.median((loud := envelope(waveform, name))[loud > 0.5 * loud.max()]))


def readings(caption: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """(relation, direction, names in the order of {0}, {1}, ...) of every template that gives this caption."""
    return [(relation, direction, names) for (relation, count), both in TEMPLATES.items()
            for direction, templates in enumerate(both) for template in templates
            for names in permutations(HERTZ, count) if template.format(*(f"a {name}" for name in names)) == caption]


def is_true(relation: str, spans: list[tuple[float, float]]) -> bool:
    pairs = list(zip(spans, spans[1:], strict=False))
    if relation == "then":
        return all(first[1] < second[0] for first, second in pairs)
    if relation == "while":
        *inner, outer = spans
        return is_true("then", inner) and all(outer[0] < begin and end < outer[1] for begin, end in inner)
    return all(first[0] < second[0] < first[1] < second[1] for first, second in pairs)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("relation", sorted(RELATIONS))
def test_captions_are_true_of_the_samples(relation, count):
    mixing = Mixing(relations={relation: 1})
    rng = np.random.default_rng(count)
    parts_heard = Counter()
    directions = Counter()
    for _ in range(100):
        mixed = mixing.mix(random_parts(rng, count), SECONDS * RATE, RATE, rng)
        caption, = mixed.captions
        parts_heard[len(mixed.labels)] += 1
        if len(mixed.labels) == 1:
            continue
        spans = {label.lower(): span(mixed.waveform, label.lower()) for label in mixed.labels}
        found = readings(caption)
        true = [reading for reading in found
                if is_true(reading[0], [spans[name] for name in reading[2]])]
        assert true, (caption, spans)
        assert len(found) == 1 or relation == "overlap", found  # only neutral words may be read in two ways
        assert {reading[0] for reading in found} == {relation}
        assert [label.lower() for label in mixed.labels] == sorted(spans, key=lambda name: spans[name][0])
        directions[true[0][1]] += 1
    assert parts_heard[count] > 70  # a relation of all can nearly always be had
    assert abs(directions[0] - directions[1]) < 42


def test_words_of_time_are_used_as_english_has_them():
    for (relation, count), both in TEMPLATES.items():
        for backwards, templates in enumerate(both):
            for template in templates:
                told = [int(i) for i in re.findall(r"\{(\d)\}", template)]
                assert sorted(told) == list(range(count))
                if relation == "then":
                    later_first = re.search(r"before that|but first|^before \{|\} after \{", template)
                    assert bool(later_first) == bool(backwards) == (told[0] != 0), template
                    assert told == ([2, 0, 1] if "but first {0}, and then" in template else
                                    sorted(told, reverse=bool(backwards))), template
                elif relation == "while":  # what comes after these words, the outer or the inner
                    inner_last = re.search(r"meanwhile|in the middle of it|in between", template)
                    assert bool(inner_last) == bool(backwards) == (told[0] == count - 1), template
                    outer_last = re.search(r"all the while|during and after that|\} while \{", template)
                    assert bool(outer_last) != bool(inner_last), template
                else:
                    assert not re.search(r"then|after|first|while", template), template
                    assert "before that ends" not in template or not backwards, template


def test_every_template_comes_and_every_relation_as_often_as_weighed():
    rng = np.random.default_rng(0)
    mixing = Mixing(relations={"then": 2, "while": 1, "overlap": 1})
    parts = [part("hum", 1.5), part("tone", 0.6), part("beep", 0.5)]
    captions = [mixing.mix(parts[:2 + draw % 2], SECONDS * RATE, RATE, rng).captions[0] for draw in range(1000)]
    seen = Counter((relation, direction, names) for caption in captions
                   for relation, direction, names in readings(caption)[:1])
    texts = set()
    for caption in captions:
        for word in HERTZ:
            caption = caption.replace(f"a {word}", "{}")
        texts.add(caption)
    assert texts == {re.sub(r"\{\d\}", "{}", template) for both in TEMPLATES.values() for group in both
                     for template in group}
    relations = Counter()
    for (relation, _, _), times in seen.items():
        relations[relation] += times
    assert relations["then"] == pytest.approx(500, rel=0.1)
    assert relations["while"] == pytest.approx(250, rel=0.2)


@pytest.mark.parametrize("relation", sorted(RELATIONS))
def test_levels_are_as_drawn(relation):
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(60):
        parts = random_parts(rng, 2)
        mixed = Mixing(snr_db=(-5, 5), equal_loudness=0, relations={relation: 1}).mix(parts, SECONDS * RATE, RATE, rng)
        if len(mixed.labels) == 2:
            first, second = (amplitude(mixed.waveform, clip.labels[0].lower()) for _, clip in parts)
            drawn.append(20 * np.log10(first / second))
    assert -5.3 < min(drawn) < -3
    assert 3 < max(drawn) < 5.3
    parts = [part("tone", 1, 0.01), part("beep", 1.3, 0.5), part("hum", 1.5, 0.2)]
    mixed = Mixing(snr_db=(3, 3), equal_loudness=0).mix(parts, SECONDS * RATE, RATE, rng)
    levels = {name: 20 * np.log10(amplitude(mixed.waveform, name)) for name in HERTZ}
    assert levels["tone"] - levels["beep"] == pytest.approx(3, abs=0.3)
    assert levels["tone"] - levels["hum"] == pytest.approx(3, abs=0.3)


def test_equal_loudness_is_weighed_as_the_ear_does():
    rng = np.random.default_rng(2)
    for _ in range(20):
        mixed = Mixing(equal_loudness=1).mix(random_parts(rng, 3), SECONDS * RATE, RATE, rng)
        loudness = [20 * np.log10(amplitude(mixed.waveform, label.lower())) + A_CURVE[label.lower()]
                    for label in mixed.labels]
        assert max(loudness) - min(loudness) < 0.7


def test_loud_mixes_are_scaled_down_and_not_clipped():
    parts = [part("hum", 2, amplitude=1), part("beep", 1, amplitude=1)]
    mixed = Mixing(relations={"while": 1}).mix(parts, SECONDS * RATE, RATE, np.random.default_rng(0)).waveform
    assert np.abs(mixed).max() == pytest.approx(1, abs=1e-3)
    distortion = mixed - band(mixed, "hum") - band(mixed, "beep")
    assert np.sqrt(np.mean(distortion**2)) < 0.005


def test_pauses_do_not_count_for_the_level():
    (sound, clip), = [part("tone", 0.3, before=0.1, after=0.1)]
    sparse = np.concatenate([sound, np.zeros(RATE, np.float32), sound])
    mixed = Mixing(snr_db=(0, 0), equal_loudness=0).mix([(sparse, clip), part("beep", 0.5)], SECONDS * RATE, RATE,
                                                        np.random.default_rng(0))
    assert amplitude(mixed.waveform, "tone") == pytest.approx(amplitude(mixed.waveform, "beep"), rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seconds", [0.05, 0.4, 4])
def test_length_and_range_whatever_the_parts(count, seconds):
    rng = np.random.default_rng(3)
    for draw in range(30):
        parts = random_parts(rng, count, longest=0.31 + draw / 3)
        loud = [(np.clip(waveform * 30, -1, 1), clip) for waveform, clip in parts]
        mixed = Mixing().mix(loud, round(seconds * RATE), RATE, rng)
        assert mixed.waveform.shape == (round(seconds * RATE),)
        assert mixed.waveform.dtype == np.float32
        assert np.abs(mixed.waveform).max() <= 1
        assert mixed.captions
        assert mixed.labels


def test_a_mix_is_a_function_of_its_generator():
    parts = random_parts(np.random.default_rng(0), 3)
    one, same, other = (Mixing().mix(parts, SECONDS * RATE, RATE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.waveform, same.waveform)
    assert (one.captions, one.labels) == (same.captions, same.labels)
    assert not np.array_equal(one.waveform, other.waveform)


def test_a_relation_that_cannot_be_had_gives_way():
    rng = np.random.default_rng(4)
    clicks = [part("tone", 0.05), part("beep", 0.05)]  # too short to lie inside each other, or to overlap
    for _ in range(20):
        caption, = Mixing(relations={"then": 1e-6, "while": 1, "overlap": 1}).mix(clicks, RATE, RATE, rng).captions
        assert {reading[0] for reading in readings(caption)} == {"then"}
        assert Mixing(relations={"while": 1}).mix(clicks, RATE, RATE, rng).captions == ["A tone."]


def test_silent_parts_are_not_spoken_of():
    silence = np.zeros(RATE, np.float32), Clip(Path("silence.wav"), ["A cat."], ["Cat"])
    rng = np.random.default_rng(5)
    mixed = Mixing().mix([silence, part("tone", 0.5)], RATE, RATE, rng)
    assert (mixed.captions, mixed.labels) == (["A tone."], ["Tone"])
    assert mixed.waveform.any()
    mixed = Mixing().mix([silence, part("tone", 0.5), part("beep", 0.5)], RATE, RATE, rng)
    assert set(mixed.labels) == {"Tone", "Beep"}
    mixed = Mixing().mix([silence, silence], 2 * RATE, RATE, rng)
    assert (mixed.captions, mixed.labels, mixed.waveform.any()) == (["A cat."], ["Cat"], False)
    empty = np.zeros(0, np.float32), silence[1]
    assert Mixing().mix([empty], 100, RATE, rng).waveform.shape == (100,)


def captions(*texts: list[str]) -> set[str]:
    rng = np.random.default_rng(6)
    parts = [(part(name, 1)[0], Clip(Path("x"), of_clip)) for name, of_clip in zip(HERTZ, texts, strict=False)]
    return {caption for _ in range(100)
            for caption in Mixing(relations={"then": 1}).mix(parts, SECONDS * RATE, RATE, rng).captions}


def test_sentences():
    told = captions(["A dog  barks. "], ["I hear a TV!"])
    assert "first a dog barks, and then I hear a TV" in told
    assert "I hear a TV after a dog barks" in told
    assert captions(["TV noise."], ["Rain"]) >= {"TV noise, then rain", "rain, then TV noise"}
    assert captions(["A dog."], []) == captions(["A dog."], ["."]) == set()
    assert any(re.fullmatch(".*[{]x[}].*", caption) for caption in captions(["A {x}"], ["rain"]))


def test_compound_captions_are_joined_where_it_is_clear():
    """'a man speaks and a dog barks before rain' may seem to be said of the dog alone."""
    told = captions(["A man speaks and a dog barks."], ["Rain"])
    assert all("barks before" not in text and "rain after" not in text and not text.startswith(("before", "after"))
               for text in told)
    assert "a man speaks and a dog barks, then rain" in told
    assert "rain, and before that a man speaks and a dog barks" in told


def test_as_many_captions_as_the_part_with_the_most_has():
    parts = [(part("tone", 1)[0], Clip(Path("x"), [f"dog {k}" for k in range(5)])), part("beep", 1)]
    mixed = Mixing().mix(parts, SECONDS * RATE, RATE, np.random.default_rng(7))
    assert 2 < len(mixed.captions) <= 5
    assert all(re.search(r"dog \d", caption) and "a beep" in caption for caption in mixed.captions)


def test_partners_are_others_as_many_as_weighed():
    rng = np.random.default_rng(8)
    mixing = Mixing(further=[0.2, 0.5, 0.3])
    drawn = [mixing.partners(3, range(1000), rng) for _ in range(2000)]
    counts = Counter(map(len, drawn))
    assert [counts[k] / 2000 for k in range(3)] == pytest.approx([0.2, 0.5, 0.3], abs=0.04)
    assert all(len({3, *partners}) == len(partners) + 1 for partners in drawn)
    assert len({partner for partners in drawn for partner in partners}) > 700
    assert mixing.partners(3, [3], rng) == mixing.partners(3, [], rng) == []
    assert {tuple(sorted(Mixing(further=[0, 0, 1]).partners(0, [0, 5, 7], rng))) for _ in range(20)} == {(5, 7)}


def test_partners_of_the_same_kind_are_avoided():
    rng = np.random.default_rng(9)
    labels = [["Dog"], ["Dog", "Animal"], ["Cat", "Animal"], ["Animal"], [], ["Rain"], ["Dog"]]
    mixing = Mixing(further=[0, 0, 1])
    pairs = {tuple(sorted(mixing.partners(0, range(7), rng, labels))) for _ in range(200)}
    assert {partner for pair in pairs for partner in pair} == {2, 3, 4, 5}  # of clips without labels nothing is known
    assert (2, 3) not in pairs
    assert mixing.partners(0, [1, 6], rng, labels) == []


@pytest.mark.parametrize(("arguments", "message"), [
    ({"per_clip": 0}, "per_clip 0"), ({"further": [0, 0]}, r"further \[0, 0\]"), ({"further": [1, -1, 1]}, "further"),
    ({"further": [1] * 4}, "further"), ({"further": []}, "further"), ({"further": [1, float("nan")]}, "further"),
    ({"snr_db": (5, -5)}, r"snr_db \[5, -5\]"), ({"equal_loudness": 1.5}, "equal_loudness 1.5"),
    ({"relations": {"during": 1}}, "relations .* then, while, overlap"), ({"relations": {}}, "relations"),
    ({"relations": {"then": 0}}, "relations"), ({"relations": {"then": 2, "while": -1}}, "relations"),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"mixing.init_args.{message}"):
        Mixing(**arguments)


def test_one_to_three_parts_are_mixed():
    for count in (0, 4):
        with pytest.raises(ValueError, match=f"one to three parts to mix, found {count}"):
            Mixing().mix([part("tone", 1)] * count, RATE, RATE, np.random.default_rng(0))


def test_a_recipe_can_name_it():
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--mixing", type=Mixing)
    values = parser.parse_args(["--mixing", "diffsound.data.Mixing", "--mixing.snr_db", "[-3, 3]",
                                "--mixing.relations", "{then: 1, while: 2}"])
    mixing = parser.instantiate(values).mixing
    assert diffsound.data.Mixing is Mixing
    assert (mixing.snr_db, mixing.relations) == ((-3, 3), {"then": pytest.approx(1 / 3), "while": pytest.approx(2 / 3)})
    assert "further" in parser.dump(values)


def test_real_recordings_can_be_mixed(shared_data):
    clips = layouts.esc10(shared_data / "esc10").clips[::9]
    rng = np.random.default_rng(10)
    for index in range(0, len(clips), 4):
        chosen = [index, *Mixing().partners(index, range(len(clips)), rng, [clip.labels for clip in clips])]
        parts = [(audio.load(clips[i].audio, RATE), clips[i]) for i in chosen]
        mixed = Mixing().mix(parts, SECONDS * RATE, RATE, rng)
        assert set(mixed.labels) == {label for i in chosen for label in clips[i].labels}
        assert len(mixed.captions) > 1
