"""The queue by itself: whatever is asked of it at once, every job ends once, and only what is kept is remembered."""

from __future__ import annotations

import random
import threading
import time

import pytest

from diffsound.app.jobs import CANCELLED, DONE, FAILED, QUEUED, RUNNING, Job, Jobs, QueueFull


class Clip:
    sidecar = {"seed": 0, "negative": None, "sampler": {"class_path": "x", "init_args": {}}}
    waveform, sample_rate = [0.0] * 10, 10


@pytest.fixture
def queue():
    """`queue(make, ...)` is one that is closed in the end."""
    made = []

    def begin(make, most_waiting=5, most_kept=5):
        made.append(Jobs(make, most_waiting, most_kept))
        return made[-1]

    yield begin
    for jobs in made:
        jobs.close()


def wait(jobs, *those):
    deadline = time.monotonic() + 30
    while not all(job.finished for job in those):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def clip_of(job, on_step):
    for step in range(3):
        on_step(step + 1, 3)
    job.clip = Clip()


def test_a_job_is_cancelled_before_its_first_step(queue):
    begun, go, steps = threading.Event(), threading.Event(), []

    def make(job, on_step):
        if job.text == "first":
            begun.set()
            assert go.wait(30)
        on_step(1, 3)
        steps.append(job.text)
        job.clip = Clip()

    jobs = queue(make)
    first, second = jobs.add(Job("first")), jobs.add(Job("second"))
    assert begun.wait(30)
    assert (first.state, jobs.told(first)["step"], jobs.told(first)["of"]) == (RUNNING, 0, None)
    assert jobs.cancel(first)
    go.set()
    wait(jobs, second)
    assert (first.state, first.clip, second.state, steps) == (CANCELLED, None, DONE, ["second"])


def test_a_job_that_is_cancelled_after_its_last_step_keeps_nothing(queue):
    begun, go = threading.Event(), threading.Event()

    def make(job, on_step):
        on_step(1, 1)
        job.files["sound.wav"], job.clip = b"RIFF", Clip()
        begun.set()
        assert go.wait(30)

    jobs = queue(make)
    job = jobs.add(Job("rain"))
    assert begun.wait(30)
    assert jobs.cancel(job)
    go.set()
    wait(jobs, jobs.add(Job("wind")))
    assert (job.state, job.clip, job.files) == (CANCELLED, None, {})


def test_a_job_is_cancelled_once(queue):
    """However often it is asked for: it is not counted among those that are kept again."""
    go = threading.Event()
    jobs = queue(lambda job, on_step: go.wait(30), most_kept=2)
    running, waits = jobs.add(Job("one")), jobs.add(Job("two"))
    for _ in range(5):
        assert jobs.cancel(waits)
        assert jobs.cancel(running)
    assert len(jobs._finished) == 2
    assert jobs.get(waits.id) is waits
    go.set()


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), OSError("disk"), AssertionError(),
                                   ExceptionGroup("two", [KeyError("a"), ValueError("b")])], ids=repr)
def test_whatever_crashes_the_next_job_is_made(queue, error):
    def make(job, on_step):
        if job.text == "crash":
            raise error
        clip_of(job, on_step)

    jobs = queue(make)
    those = [jobs.add(Job(text)) for text in ("crash", "rain", "crash", "wind")]
    wait(jobs, *those)
    assert [job.state for job in those] == [FAILED, DONE, FAILED, DONE]
    assert those[0].error


def test_no_two_jobs_have_one_id(queue):
    jobs = queue(clip_of, most_waiting=100, most_kept=100)
    those = [jobs.add(Job("rain")) for _ in range(50)]
    assert len({job.id for job in those}) == 50
    assert all(jobs.get(job.id) is job for job in those)


def test_every_job_ends_once_and_what_is_beyond_the_kept_is_forgotten(queue):
    """Eight threads that add, look and cancel as it comes."""
    made, accepted, refused, lock = [], [], [], threading.Lock()

    def make(job, on_step):
        made.append(job)
        if job.text == "crash":
            raise RuntimeError(job.text)
        clip_of(job, on_step)

    jobs = queue(make, most_waiting=4, most_kept=6)

    def client(number):
        chance = random.Random(number)
        for _ in range(150):
            try:
                job = jobs.add(Job(chance.choice(["rain", "crash"])))
            except QueueFull as full:
                refused.append(full.retry_after)
                time.sleep(0.001)
                continue
            with lock:
                accepted.append(job)
            if chance.random() < 0.3:
                jobs.cancel(job)
            if (known := jobs.get(job.id)) is not None:
                assert jobs.told(known)["id"] == job.id

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait(jobs, *accepted)
    assert len(accepted) + len(refused) == 8 * 150
    assert refused
    assert len(made) == len(set(made))
    done, failed, cancelled = ([job for job in accepted if job.state == state] for state in (DONE, FAILED, CANCELLED))
    assert len(done) + len(failed) + len(cancelled) == len(accepted)
    assert {job.text for job in done} == {"rain"}
    assert {job.text for job in failed} == {"crash"}
    assert set(accepted) - set(made) <= set(cancelled)  # only who is cancelled is left out
    assert len(jobs._known) == len(jobs._finished) == 6
    assert not jobs._waiting
    assert all(job.finished for job in jobs._known.values())
    assert QUEUED not in {job.state for job in accepted}
