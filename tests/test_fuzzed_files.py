"""Files that are almost valid: each is read, or refused with the documented error, in little time and memory.

The same properties as in tests/fuzz, with the same cases in every run; `make fuzz` looks for new ones.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import time

import pytest
from fuzz.targets import TARGETS, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS, MEGABYTES = 5.0, 1500  # for one input; for all of a test



@st.composite
def mutated(draw, seeds, inserted):
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 4, 8, 100])))
        new = draw(st.one_of(st.sampled_from(inserted), st.binary(max_size=8), st.just(data[start:end] * 2)))
        data = data[:start] if draw(st.integers(0, 9)) == 0 else data[:start] + new + data[end:]
    return data


def cases(target, count):
    """Parametrises a test by `count` mutations of the seeds of `target`."""
    return lambda test: settings(max_examples=count, deadline=None, derandomize=True, database=None,
                                 suppress_health_check=list(HealthCheck))(
        given(mutated(TARGETS[target][1](), words(target)))(test))


def holds(target, data):
    start = time.process_time()
    TARGETS[target][0](data)
    assert time.process_time() - start < SECONDS


@pytest.fixture(autouse=True)
def memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_valid(target):
    run, seeds = TARGETS[target]
    assert any([run(seed) for seed in seeds()])  # noqa: C419 (all of them, for what else they might do)


@cases("audio", 200)
def test_audio(data):
    holds("audio", data)


@cases("manifest", 150)
def test_manifest(data):
    holds("manifest", data)


@cases("sidecar", 150)
def test_sidecar(data):
    holds("sidecar", data)


@cases("recipe", 40)
def test_recipe(data):
    holds("recipe", data)


@cases("bundle", 25)
def test_bundle(data):
    holds("bundle", data)


values = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
                                st.sampled_from([10**30, -(10**400), 2**63, 1e308, "\ud800", "\0", ""])),
                      lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner,
                                                                                         max_size=3)), max_leaves=4)


def places(content, before=()):
    """Paths to every value of a nest of dicts and lists."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content[:2]):
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from places(value, (*before, key))


@st.composite
def with_another_value(draw, seeds):
    """A valid mapping with one value, or key, replaced or left out."""
    content = json.loads(draw(st.sampled_from(seeds)))
    *outer, last = draw(st.sampled_from(list(places(content))))
    place = content
    for key in outer:
        place = place[key]
    if draw(st.booleans()):
        place[last] = draw(values)
    else:
        del place[last]
    return json.dumps(content).encode()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(with_another_value(TARGETS["sidecar"][1]()))
def test_sidecar_with_another_value(data):
    holds("sidecar", data)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(with_another_value([line for seed in TARGETS["manifest"][1]()[:2] for line in seed.splitlines() if line]))
def test_manifest_with_another_value(data):
    holds("manifest", data)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("audio", "path", "caption", "captions", "labels", "split", "group"), st.text(max_size=8))), max_size=4))
def test_manifest_of_any_table(rows):
    text = io.StringIO()
    table = csv.DictWriter(text, sorted({key for row in rows for key in row}))
    table.writeheader()
    table.writerows(rows)
    holds("manifest", b"," + text.getvalue().encode("utf-8", "surrogatepass"))
