"""A scene is a pure function of (seed, index), and its timeline, its sound and its structure agree."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from diffsound.evaluation.order import is_so
from diffsound.scenes import MOMENTARY, SOUNDS, Request, Structure, World, make_scene, render
from diffsound.scenes.layout import lay_out
from diffsound.scenes.world import DRAW, KINDS

RATE = 22050
FULL_WORLD = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6, rooms=1.0)
SCENES = [make_scene(0, index) for index in range(150)]
FULL = [make_scene(0, index, world=FULL_WORLD) for index in range(150)]


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


@pytest.mark.parametrize("scene", SCENES + FULL, ids=lambda scene: scene.caption)
def test_timeline_is_what_the_structure_says(scene):
    structure = scene.structure
    times = {name: [event for event in scene.events if event.name == name] for name in structure.names}
    assert [len(events) for events in times.values()] == [request.count for request in structure.requests]
    assert sum(map(len, times.values())) == len(scene.events)
    assert list(scene.events) == sorted(scene.events, key=lambda event: event.onset)
    for events in times.values():  # repetitions do not touch
        assert all(later.onset - earlier.offset > 0.02 for earlier, later in zip(events, events[1:], strict=False))
    for event in scene.events:
        assert 0 < event.onset < event.offset < len(scene.waveform) / RATE
        assert event.offset - event.onset > 0.15
    for earlier, later in zip(structure.events, structure.events[1:], strict=False):
        assert times[earlier.name][-1].offset < times[later.name][0].onset
    if structure.background:
        background, = times[structure.background.name]
        assert all(background.onset < event.onset and event.offset < background.offset
                   for request in structure.events for event in times[request.name])
    for request in structure.requests:
        assert request.at is None or times[request.name][0].onset == pytest.approx(request.at, abs=1e-3)
        assert all(is_so(word, request, times[request.name]) for word in request.attributes), request


def test_every_class_and_every_kind_of_structure_appears():
    structures = [World().draw(np.random.default_rng(seed)) for seed in range(900)]
    assert {name for structure in structures for name in structure.names} == set(SOUNDS)
    found = [structure.kind for structure in structures]
    for kind, share in KINDS.items():
        assert abs(found.count(kind) / len(found) - share) < 0.06
    full = {FULL_WORLD.draw(np.random.default_rng(seed)).kind for seed in range(300)}
    assert full == set(FULL_WORLD.kinds) == set(DRAW)


def test_a_world_has_its_own_classes_alone():
    names = ("dog", "cat", "horn", "bell", "rain", "wind", "fire", "engine")
    structures = [World(names).draw(np.random.default_rng(seed)) for seed in range(100)]
    assert {name for structure in structures for name in structure.names} == set(names)


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
    structure = Structure((Request("dog", 2), Request("rain")))
    scenes = [render(structure, np.random.default_rng(seed), caption="two barks, then rain") for seed in range(5)]
    assert {scene.caption for scene in scenes} == {"two barks, then rain"}
    assert len({scene.waveform.tobytes() for scene in scenes}) == 5
    for scene in scenes:
        assert [event.name for event in scene.events] == ["dog", "dog", "rain"]


def test_every_structure_fits_the_default_clip():
    busiest = [Structure((Request("bell", 4),)), Structure((Request("cat", 4),), Request("wave")),
               Structure((Request("rain"), Request("thunder"), Request("wind"))),
               Structure((Request("cat", 4), Request("bell", 4), Request("siren"))),
               Structure((Request("cat"), Request("bell"), Request("siren")), Request("rain"))]
    for structure in busiest:
        for seed in range(20):
            scene = render(structure, np.random.default_rng(seed))
            assert len(scene.events) == sum(request.count for request in structure.requests)
            assert scene.events[-1].offset < 86016 / RATE


def test_whatever_is_drawn_fits_the_default_clip():
    world = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)
    for seed in range(5000):
        rng = np.random.default_rng([9, seed])
        slots = lay_out(world.draw(rng), 86016 / RATE, rng)
        assert all(0 < slot.onset < slot.onset + slot.length < 86016 / RATE for slot in slots)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Request("unicorn"), "no sound is called 'unicorn'"),
    (lambda: Request("dog", 5), "count of dog is 5, expected 1 to 4"),
    (lambda: Request("rain", 2), "count of rain is 2, expected 1 to 1"),
    (lambda: Request("rain", attributes=("high",)), r"rain \(1\) cannot be high: expected among faint, loud"),
    (lambda: Request("dog", attributes=("huge",)), "dog .* cannot be huge"),
    (lambda: Request("dog", attributes=("high", "low")), "asked to be low and high"),
    (lambda: Request("dog", at=0), "at second 0"),
    (lambda: Structure(()), "a scene of nothing"),
    (lambda: Structure((Request("dog"), Request("dog"))), "a scene of dog, dog: expected one to 4 different"),
    (lambda: Structure((Request("rain"),), Request("dog")), "'dog' in the background: expected a sustained"),
    (lambda: Structure((Request("dog"),), Request("rain", attributes=("loud",))), "background rain with a level"),
    (lambda: Structure((Request("dog", at=1), Request("cat"))), "expected a second of one event alone"),
    (lambda: World(("dog", "rain")), "world.classes has 1 momentary sounds"),
    (lambda: World(kinds={"many": 1}), r"world.kinds holds \['many'\]"),
    (lambda: World(attributes=2), "world.attributes is 2"),
    (lambda: render(Structure((Request("dog", at=3),)), np.random.default_rng(0), 44100), "raise frames"),
    (lambda: render(Structure((Request("dog", at=0.1),), Request("rain")), np.random.default_rng(0)),
     r"dog is asked for at second 0\.1, over rain: expected at least 0\.14, .* name a later second"),
])
def test_impossible_structures_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_room_does_not_change_how_loud_an_ordinary_sound_is():
    """Else a sound could not be told to be loud or faint without knowing whether it is in a room."""
    def decibels(rooms: bool, attributes: tuple[str, ...] = ()) -> float:
        scenes = [render(Structure((Request("horn", attributes=attributes),)), np.random.default_rng(seed), rooms=rooms)
                  for seed in range(24)]
        return float(np.mean([20 * np.log10(np.sqrt(np.mean(scene.waveform[scene.waveform != 0]**2)))
                              for scene in scenes]))

    dry, room = decibels(False), decibels(True)
    assert abs(dry - room) < 4  # what is far is dull, which costs some
    assert decibels(True, ("loud",)) > room + 5
    assert decibels(True, ("faint",)) < room - 5
