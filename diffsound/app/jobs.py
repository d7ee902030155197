"""Jobs in the order in which they came, made one at a time by a thread; results stay in memory, the latest ones."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffsound.clip import Clip

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
LONGEST_MESSAGE = 500  # characters, of an error
LOG = logging.getLogger(__name__)


class QueueFull(Exception):
    """No more jobs can wait. retry_after: seconds, after which there may be room."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} jobs are waiting, as many as can: try again in {retry_after} s")
        self.retry_after = retry_after


class Cancelled(Exception):
    """Raised between steps of a job that is no longer wanted."""


@dataclass(eq=False)
class Job:
    """One sound that was asked for. A `sidecar` is to be made again; else `options` are those of a call."""

    text: str
    options: dict[str, Any] = field(default_factory=dict)
    sidecar: dict[str, Any] | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))  # who has it may see the job
    state: str = QUEUED
    step: int = 0
    of: int | None = None
    seconds: float | None = None  # that it took
    error: str | None = None
    clip: Clip | None = None
    replay: dict[str, Any] | None = None  # how the clip compares with the sidecar
    files: dict[str, bytes] = field(default_factory=dict)  # by name, what was made of the clip

    @property
    def finished(self) -> bool:
        return self.state in (DONE, FAILED, CANCELLED)


class Jobs:
    """The queue, and what became of the jobs in it. All methods may be called from any thread.

    Args:
        make: makes a job's clip and files in place, calling what it is given with the steps done and of how many.
        most_waiting: jobs in the queue, without the one that runs.
        most_kept: finished jobs, of which the oldest are forgotten.
    """

    def __init__(self, make: Callable[[Job, Callable[[int, int], None]], None], most_waiting: int, most_kept: int
                 ) -> None:
        self.make, self.most_waiting, self.most_kept = make, most_waiting, most_kept
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._finished: deque[Job] = deque()
        self._seconds = 1.0  # that the latest job took
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="diffsound-jobs", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> Job:
        """Put `job` at the end of the queue.

        Raises:
            QueueFull: if there is no place.
        """
        with self._changed:
            if len(self._waiting) >= self.most_waiting:
                raise QueueFull(len(self._waiting), max(1, min(600, round(self._seconds + 0.5))))
            self._waiting.append(job)
            self._known[job.id] = job
            self._changed.notify()
        return job

    def get(self, name: str) -> Job | None:
        """The job with that id, if it is known still."""
        with self._changed:
            return self._known.get(name)

    def told(self, job: Job) -> dict[str, Any]:
        """What is to be said of `job` now."""
        with self._changed:
            told = {"id": job.id, "state": job.state, "text": job.text}
            if job.state == QUEUED:
                told["place"] = self._waiting.index(job) + 1
            if job.state == RUNNING:
                told |= {"step": job.step, "of": job.of}
            if job.state == FAILED:
                told["error"] = job.error
            if job.state == DONE:
                sidecar = job.clip.sidecar
                told |= {"seconds": job.seconds, "seed": sidecar["seed"], "negative": sidecar["negative"],
                         "sampler": sidecar["sampler"], "duration": len(job.clip.waveform) / job.clip.sample_rate}
                if "chosen" in sidecar:
                    told["chosen"] = sidecar["chosen"]
                if job.replay is not None:
                    told["replay"] = job.replay
            return told

    def cancel(self, job: Job) -> bool:
        """Whether `job` is cancelled now; one that is done or has failed is not. One that runs stops after its step."""
        with self._changed:
            if job.state == QUEUED:
                self._waiting.remove(job)
            if not job.finished:
                self._finish(job, CANCELLED)
            return job.state == CANCELLED

    def close(self) -> None:
        """Cancel everything and wait for the step that runs."""
        with self._changed:
            self._closed = True
            for job in list(self._known.values()):
                if not job.finished:
                    self._finish(job, CANCELLED)
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()

    def _finish(self, job: Job, state: str) -> None:
        job.state = state
        self._finished.append(job)
        while len(self._finished) > self.most_kept:
            del self._known[self._finished.popleft().id]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.popleft()
                job.state = RUNNING
            self._run(job)

    def _run(self, job: Job) -> None:
        start, state = time.perf_counter(), DONE

        def on_step(step: int, of: int) -> None:
            if job.state != RUNNING:
                raise Cancelled
            job.step, job.of = step, of

        try:
            self.make(job, on_step)
        except Cancelled:
            return
        except Exception as error:  # whatever it is, the next job has nothing to do with it
            state = FAILED
            job.error = " ".join(str(error).split())[:LONGEST_MESSAGE] or type(error).__name__
            if not isinstance(error, ValueError):
                job.error = f"{type(error).__name__}: {job.error}"
                LOG.exception("a job failed")
        with self._changed:
            self._seconds = job.seconds = round(time.perf_counter() - start, 3)
            if job.state == RUNNING:
                self._finish(job, state)
            else:  # cancelled after its last step
                job.clip, job.files = None, {}
