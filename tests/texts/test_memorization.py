"""The memorization meter and the story judge, against counting by hand."""

from __future__ import annotations

import math
import random

import pytest
import torch

from tools.commands.evaluation import document_loss
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.evaluate import tell_stories
from utils.model import GPT2
from utils.stories.generator import corpus, log_probability
from utils.texts.memorization import Phrases
from utils.tokenizer import Tokenizer


def counted_by_hand(known: list[str], texts: list[str], words: int) -> float:
    def phrases(text: str) -> list[tuple[str, ...]]:
        split = text.split()
        return [tuple(split[i : i + words]) for i in range(len(split) - words + 1)]

    there = {phrase for text in known for phrase in phrases(text)}
    asked = [phrase for text in texts for phrase in phrases(text)]
    return sum(phrase in there for phrase in asked) / len(asked)


@pytest.mark.parametrize("words", [1, 3, 8])
def test_the_share_is_what_counting_phrases_gives(words):
    chance = random.Random(words)
    texts = [" ".join(chance.choices(["a", "b", "c"], k=chance.randrange(9, 60))) for _ in range(40)]
    share = Phrases(texts[:20], words).share(texts[20:])
    assert share == pytest.approx(counted_by_hand(texts[:20], texts[20:], words))
    assert words != 8 or 0 < share < 1, "a test in which nothing or everything is found would hold nothing"


def test_words_in_another_order_are_another_phrase():
    assert Phrases(["one two three"], words=3).share(["three two one"]) == 0


def test_phrases_do_not_run_from_one_text_into_the_next():
    assert Phrases(["one two", "three four"], words=3).share(["one two three four"]) == 0


def test_texts_shorter_than_a_phrase_have_no_share():
    assert Phrases([], words=8).share(["a b"]) == 0 and len(Phrases(["a b"], words=8)) == 0
    with pytest.raises(CourseError, match="words is 0"):
        Phrases([], words=0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GPT2(GPT2Config(1, 2, 16)).eval()


def test_the_loss_of_documents_counts_every_token_and_its_end_once(model):
    documents = list(corpus(5, 11))
    loss, best = document_loss(model, documents, batch=2)
    total = count = 0
    for text in documents:
        row = torch.tensor([[50256, *Tokenizer.gpt2().encode(text), 50256]])
        with torch.no_grad():
            logs = model(row).log_softmax(-1)[0, :-1]
        total -= float(logs.gather(1, row[0, 1:, None]).sum())
        count += row.shape[1] - 1
    assert loss == pytest.approx(total / count, rel=1e-5)
    assert best == pytest.approx(-sum(map(log_probability, documents)) / count)
    assert best < 0.5 < loss < math.log(50257) + 1


def test_stories_are_told_as_often_as_asked_and_repeat_with_their_seed(model):
    first = tell_stories(model, 3, seed=5, batch=2)
    assert len(first) == 3 and len(set(first)) == 3
    assert tell_stories(model, 3, seed=5, batch=3) == first, "a batch is no part of the chance"
