"""A scene is a pure function of (seed, index), and its timeline, its sound and its structure agree."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from diffsound.scenes import MOMENTARY, SOUNDS, Structure, draw_structure, make_scene, render
from diffsound.scenes.structure import KINDS

RATE = 22050
SCENES = [make_scene(0, index) for index in range(150)]


def digest(index: int) -> str:
    scene = make_scene(3, index)
    return hashlib.sha256(scene.waveform.tobytes() + repr((scene.events, scene.captions)).encode()).hexdigest()


def test_a_scene_depends_on_seed_and_index_only():
    forwards = [digest(index) for index in range(6)]
    assert [digest(index) for index in reversed(range(6))] == forwards[::-1]
    assert len(set(forwards)) == 6
    assert not np.array_equal(make_scene(3, 0).waveform, make_scene(4, 0).waveform)


@pytest.mark.parametrize("scene", SCENES[:60], ids=lambda scene: scene.caption)
def test_sound_is_within_its_events_and_silence_is_outside(scene):
    assert scene.waveform.dtype == np.float32
    assert np.isfinite(scene.waveform).all()
    assert 0.1 < np.abs(scene.waveform).max() <= 0.95
    heard = np.zeros(len(scene.waveform), bool)
    for event in scene.events:
        samples = slice(round(event.onset * RATE), round(event.offset * RATE))
        heard[samples] = True
        wait = 0.05 if event.name in MOMENTARY else 0.5 * (event.offset - event.onset)  # waves swell slowly
        assert np.abs(scene.waveform[samples][: round(wait * RATE)]).max() > 0.01
    assert not scene.waveform[~heard].any()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.caption)
def test_timeline_is_what_the_structure_says(scene):
    structure = scene.structure
    times = {name: [event for event in scene.events if event.name == name] for name in structure.names}
    assert [len(events) for events in times.values()] == list(structure.counts)
    assert sum(map(len, times.values())) == len(scene.events)
    assert list(scene.events) == sorted(scene.events, key=lambda event: event.onset)
    for events in times.values():  # repetitions do not touch
        assert all(later.onset - earlier.offset > 0.05 for earlier, later in zip(events, events[1:], strict=False))
    for event in scene.events:
        assert 0 < event.onset < event.offset < len(scene.waveform) / RATE
        assert event.offset - event.onset > 0.15
    if structure.relation == "then":
        for earlier, later in zip(structure.names, structure.names[1:], strict=False):
            assert times[earlier][-1].offset < times[later][0].onset
    if structure.relation == "while":
        (background,), foreground = times[structure.names[1]], times[structure.names[0]]
        assert all(background.onset < event.onset and event.offset < background.offset for event in foreground)


def test_every_class_and_every_kind_of_structure_appears():
    structures = [draw_structure(np.random.default_rng(seed)) for seed in range(600)]
    assert {name for structure in structures for name in structure.names} == set(SOUNDS)
    found = [structure.kind for structure in structures]
    for kind, share in KINDS.items():
        assert abs(found.count(kind) / len(found) - share) < 0.06


@pytest.mark.parametrize(("num_samples", "sample_rate"),
                         [(86016, 22050), (217088, 22050), (32000, 16000), (24576, 44100)])
def test_scenes_of_other_lengths_and_rates_tell_the_same_stories(num_samples, sample_rate):
    for index in range(30):
        scene = make_scene(0, index, num_samples, sample_rate)
        assert scene.captions == SCENES[index].captions
        assert len(scene.events) == len(SCENES[index].events)
        assert scene.waveform.shape == (num_samples,)
        assert scene.events[-1].offset <= num_samples / sample_rate


def test_a_clip_too_short_for_events_is_refused():
    with pytest.raises(ValueError, match=r"a scene of 0\.19 s .* at least 0\.5 s; raise frames"):
        make_scene(0, 0, 4096)


def test_one_structure_has_many_true_renderings_of_one_sentence():
    structure = Structure("then", ("dog", "rain"), (2, 1))
    scenes = [render(structure, np.random.default_rng(seed), caption="two barks, then rain") for seed in range(5)]
    assert {scene.caption for scene in scenes} == {"two barks, then rain"}
    assert len({scene.waveform.tobytes() for scene in scenes}) == 5
    for scene in scenes:
        assert [event.name for event in scene.events] == ["dog", "dog", "rain"]


def test_every_structure_fits_the_default_clip():
    busiest = [Structure("alone", ("bell",), (4,)), Structure("while", ("cat", "wave"), (4, 1)),
               Structure("then", ("rain", "thunder", "wind")), Structure("then", ("cat", "bell", "siren"), (4, 4, 1))]
    for structure in busiest:
        for seed in range(20):
            scene = render(structure, np.random.default_rng(seed))
            assert len(scene.events) == sum(structure.counts)
            assert scene.events[-1].offset < 86016 / RATE


@pytest.mark.parametrize(("arguments", "message"), [
    (("alone", ("unicorn",)), "no sound is called 'unicorn'"),
    (("then", ("dog",)), "relation 'then'"),
    (("then", ("dog", "dog")), "relation 'then'"),
    (("beside", ("dog", "cat")), "relation 'beside'"),
    (("while", ("rain", "dog")), "expected a momentary sound while a sustained one"),
    (("alone", ("dog",), (5,)), "from 1 to"),
    (("alone", ("rain",), (2,)), "from 1 to"),
    (("then", ("dog", "cat"), (1,)), "one for each sound"),
])
def test_impossible_structures_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Structure(*arguments)


