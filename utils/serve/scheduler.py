"""Scheduler: who is served next, in tokens; one thread that steps the batches, one request from each visitor in turn.

Fair queueing by a virtual token counter: Sheng et al. 2024, "Fairness in Serving Large Language Models",
arXiv:2401.00588. A free seat goes to the visitor who has had the fewest tokens, read and written; a visitor who comes
starts at the counter of whoever has had least of those present, so that nobody saves up or catches up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from queue import SimpleQueue

from utils.errors import CourseError
from utils.model import GPT2
from utils.serve.batching import AnyBatch, Engine, Text


@dataclass(frozen=True)
class Limits:
    """How much strangers may ask for; what is over a limit is refused in words, never cut in silence."""

    prompt: int = 4_000  # characters
    new_tokens: int = 500
    seconds: float = 120.0  # for one answer
    at_once: int = 8  # answers being written, in one batch
    waiting: int = 64  # requests in the queue; the next one is told that it is full
    per_visitor: int = 2  # requests that one visitor may have under way, written or waiting
    models: int = 2  # kept in memory; the one unused for longest goes first

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise CourseError(f"The limit {name} is {value}, expected more than 0.")


@dataclass(frozen=True)
class News:
    """What the scheduler tells about a request: a token, why it ended, or what went wrong."""

    token: int | None = None
    ended: str = ""
    error: Exception | None = None


@dataclass(eq=False)
class Job:
    """One request in the scheduler's hands."""

    text: Text
    visitor: Hashable
    news: SimpleQueue[News] = field(default_factory=SimpleQueue)
    cancelled: bool = False
    began: float = 0.0  # when it got its seat
    written: int = 0


class Scheduler:
    """Requests wait here for a seat in the batch of their model; a thread runs while there is any."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting: list[Job] = []
        self.seated: dict[Text, Job] = {}
        self.tokens: dict[Hashable, int] = {}  # read and written, by visitor
        self._batches: dict[GPT2 | Engine, AnyBatch] = {}
        self._lock, self._working = threading.Lock(), False

    def submit(self, job: Job) -> None:
        """Let a request wait for its turn, or refuse it in words."""
        with self._lock:
            self.waiting = [other for other in self.waiting if not other.cancelled]
            present = [*self.waiting, *self.seated.values()]
            mine = [other for other in present if other.visitor == job.visitor and not other.cancelled]
            if len(mine) >= self.limits.per_visitor:
                raise CourseError(f"{len(mine)} of your requests are under way; wait until one of them has ended.")
            free = self.limits.at_once - len(self.seated)
            if len(self.waiting) >= self.limits.waiting + free:
                raise CourseError(f"The queue is full: {len(self.waiting)} are waiting. Try again in a minute.")
            self._admit_to_counting(job.visitor, {other.visitor for other in present})
            self.waiting.append(job)
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, daemon=True, name="scheduler").start()

    def _admit_to_counting(self, visitor: Hashable, present: set[Hashable]) -> None:
        """Start a visitor's counter at the least of those present; forget whoever has left with no more than that."""
        least = min((self.tokens[other] for other in present), default=0)
        had = self.tokens.items() if present else ()
        kept = {other: count for other, count in had if count > least or other in present}
        self.tokens = kept | {visitor: max(least, kept.get(visitor, 0))}

    def _work(self) -> None:
        while batches := self._seat():
            for batch in batches:
                try:
                    tokens = batch.step()
                except Exception as error:  # whoever waits for these texts must hear of it
                    self._tell({text: News(error=error) for text in batch.texts})
                else:
                    self._tell({text: self._news(text, token) for text, token in tokens.items()})

    def _seat(self) -> list[AnyBatch]:
        """Free the seats of those who have gone, give them to others, and return the batches that have any text."""
        with self._lock:
            for text in [text for text, job in self.seated.items() if job.cancelled]:
                self._free(text)
            self.waiting = [job for job in self.waiting if not job.cancelled]
            while self.waiting and len(self.seated) < self.limits.at_once:
                job = min(self.waiting, key=lambda job: self.tokens[job.visitor])  # among equals the first
                self.waiting.remove(job)
                if job.text.model not in self._batches:
                    self._batches[job.text.model] = job.text.new_batch()
                self._batches[job.text.model].join(job.text)
                self.seated[job.text] = job
                self.tokens[job.visitor] += len(job.text.history)
                job.began = time.monotonic()
            self._working = bool(self.seated)
            return list(self._batches.values())

    def _free(self, text: Text) -> None:
        del self.seated[text]
        self._batches[text.model].leave(text)
        if not self._batches[text.model].texts:
            del self._batches[text.model]  # its cache is memory

    def _news(self, text: Text, token: int) -> News:
        """Say what a new token means for its request."""
        job = self.seated[text]
        if token in text.settings.stop:
            return News(ended="the model ended its text")
        job.written += 1
        if job.written == text.settings.max_new:
            return News(token, "as long as you allowed")
        late = time.monotonic() - job.began > self.limits.seconds
        return News(token, f"stopped after {self.limits.seconds:g} seconds" if late else "")

    def _tell(self, news: dict[Text, News]) -> None:
        """Hand out what a step has brought, and count it."""
        with self._lock:
            for text, told in news.items():
                job = self.seated[text]
                self.tokens[job.visitor] += 1
                job.news.put(told)
                if told.ended or told.error:
                    self._free(text)
