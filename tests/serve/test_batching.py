"""Continuous batching equals one text at a time; the scheduler is fair in tokens and forgets who has left."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import tiny_model

from utils.errors import CourseError
from utils.model import GPT2
from utils.sampling import Sampling, stream
from utils.serve.batching import Batch, Text
from utils.serve.door import Listeners
from utils.serve.scheduler import Job, Limits, News, Scheduler

MODEL = tiny_model(seed=1)  # a context of 24 positions
PROMPTS = st.lists(st.integers(0, 95), max_size=40)
SETTINGS = st.builds(
    Sampling,
    max_new=st.sampled_from([1, 5, 40]),
    temperature=st.sampled_from([0, 0.7, 1.0]),
    top_k=st.sampled_from([None, 5]),
    top_p=st.sampled_from([None, 0.9]),
    repetition_penalty=st.sampled_from([1.0, 1.2]),
    seed=st.integers(0, 99),
    stop=st.just(()),
    window=st.just(True),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), PROMPTS, SETTINGS), min_size=1, max_size=4))
def test_a_text_says_in_company_what_it_says_alone(visitors):
    """Each comes at a step of its own, with its own length and settings, and leaves when it is done."""
    batch, said = Batch(MODEL), {}
    coming = sorted(enumerate(visitors), key=lambda visitor: visitor[1][0])
    while coming or batch.texts:
        if not batch.texts or coming and coming[0][1][0] <= len(said):
            number, (_, prompt, how) = coming.pop(0)
            text = Text(MODEL, prompt, how)
            said[text] = (number, [])
            batch.join(text)
        for text, token in batch.step().items():
            said[text][1].append(token)
            if len(said[text][1]) == text.settings.max_new:
                batch.leave(text)
    assert dict(said.values()) == {
        number: list(stream(MODEL, prompt, how)) for number, (_, prompt, how) in enumerate(visitors)
    }


def test_a_step_reads_all_texts_in_one_pass_and_a_newcomer_in_another():
    passes = []
    hook = MODEL.register_forward_pre_hook(lambda _, given: passes.append(tuple(given[0].shape)))
    batch = Batch(MODEL)
    texts = [Text(MODEL, prompt, Sampling()) for prompt in ([1, 2, 3], [4, 5], [6])]
    batch.join(texts[0])
    batch.join(texts[1])
    batch.step()
    batch.join(texts[2])
    batch.step()
    batch.leave(texts[0])
    batch.step()
    hook.remove()
    assert passes == [(1, 3), (1, 2), (2, 1), (1, 1), (2, 1)]


def test_a_token_that_the_model_does_not_know_is_refused_before_it_joins():
    with pytest.raises(CourseError, match=r"Token 97 .* 0 to 96"):
        Text(MODEL, [1, 97], Sampling())


# The scheduler


def gated_model() -> tuple[GPT2, threading.Semaphore]:
    """Return a model and what lets as many passes through it as a test counts out."""
    model, gate = tiny_model(seed=1), threading.Semaphore(0)

    def wait(*_: object) -> None:
        assert gate.acquire(timeout=60)

    model.register_forward_pre_hook(wait)
    return model, gate


def job_of(visitor: str, max_new: int = 5, model: GPT2 = MODEL, prompt: int = 1) -> Job:
    return Job(Text(model, [1] * prompt, Sampling(max_new=max_new, temperature=0, stop=(), window=True)), visitor)


def all_news(job: Job) -> list[News]:
    """Wait until a request has ended and return what it was told."""
    told = [job.news.get(timeout=60)]
    while not (told[-1].ended or told[-1].error):
        told.append(job.news.get(timeout=60))
    return told


def test_the_next_seat_goes_to_whoever_has_had_fewest_tokens():
    model, gate = gated_model()
    scheduler = Scheduler(Limits(at_once=1, per_visitor=9))
    jobs = [job_of("greedy", 20, model), *(job_of("greedy", 2, model) for _ in range(3)), job_of("modest", 2, model)]
    for job in jobs:
        scheduler.submit(job)
    gate.release(100)
    told = [len(all_news(job)) for job in jobs]
    began = sorted(jobs, key=lambda job: job.began)
    assert began[0] is jobs[0] and began[1] is jobs[4], "who came last had fewest tokens"
    assert told == [20, 2, 2, 2, 2]


def test_who_comes_anew_starts_where_the_least_served_is_and_cannot_save_up():
    model, gate = gated_model()
    scheduler = Scheduler(Limits(at_once=1))
    first = job_of("early", 50, model)
    scheduler.submit(first)
    gate.release(30)
    for _ in range(30):
        first.news.get(timeout=60)
    scheduler.submit(job_of("late", 5, model))
    assert scheduler.tokens["late"] >= 30
    gate.release(100)


def test_a_visitor_has_a_share_and_the_queue_an_end():
    model, gate = gated_model()
    scheduler = Scheduler(Limits(at_once=1, waiting=2, per_visitor=2))
    jobs = [job_of("one", 3, model), job_of("one", 3, model), job_of("two", 3, model)]
    for job in jobs:
        scheduler.submit(job)
    with pytest.raises(CourseError, match="2 of your requests are under way"):
        scheduler.submit(job_of("one", 3, model))
    with pytest.raises(CourseError, match="queue is full"):
        scheduler.submit(job_of("three", 3, model))
    jobs[1].cancelled = True  # given up: its place is free
    scheduler.submit(job_of("three", 3, model))
    gate.release(100)
    assert [told.ended for told in all_news(jobs[2])][-1] == "as long as you allowed"


def test_a_cancelled_request_gets_no_more_tokens():
    model, gate = gated_model()
    scheduler = Scheduler(Limits(at_once=1))
    gone, next_one = job_of("a", 10_000, model), job_of("b", 5, model)
    scheduler.submit(gone)
    scheduler.submit(next_one)
    gate.release(3)
    for _ in range(3):
        gone.news.get(timeout=60)
    gone.cancelled = True
    gate.release(100)
    assert len(all_news(next_one)) == 5
    assert gone.written <= 4  # the step under way is finished


def test_a_model_that_fails_tells_everybody_and_the_next_one_is_served():
    model = tiny_model(seed=1)
    broken = model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
    scheduler = Scheduler(Limits())
    jobs = [job_of(name, 5, model) for name in "ab"]
    for job in jobs:
        scheduler.submit(job)
    assert [type(all_news(job)[-1].error) for job in jobs] == [MemoryError] * 2
    broken.remove()
    scheduler.submit(job := job_of("c", 5, model))
    assert len(all_news(job)) == 5


# Who listens


def test_only_somebody_who_listens_is_waited_for():
    async def visit() -> None:
        listeners = Listeners(patience=0.01, absence=0.01, most=2)
        assert not await listeners.wait_for("nobody")
        with listeners.listening("a"):
            assert await listeners.wait_for("a") and not await listeners.have_left("a")
        assert await listeners.have_left("a")
        waiting = [asyncio.create_task(listeners.wait_for(f"s{i}", 60)) for i in range(3)]
        assert await waiting[0] is False, "one too many: the oldest goes"
        with listeners.listening("s2"):
            assert await waiting[2]
        with listeners.listening("s1"):
            assert await waiting[1]

    asyncio.run(visit())
