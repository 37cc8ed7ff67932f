"""Questions and gaps out of stories: one right answer, wrong ones that differ, and marks that follow the likelihood."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from utils.errors import CourseError
from utils.evaluate import Candidate, accuracy, answer_losses, sit_quiz
from utils.loaders import load_gpt2
from utils.stories.generator import corpus
from utils.stories.questions import CHOICES, make_quiz
from utils.tokenizer import Tokenizer

DOCUMENTS = list(corpus(60, 11))


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if "\nQuestion: " in one])
def test_the_right_answer_is_the_one_that_the_generator_gave(document):
    story, asked, given = re.match(r"(.*)(\nQuestion: .*\nAnswer:)(.*)", document, re.DOTALL).groups()
    given = given.partition("\nSummary")[0]
    mine = {question.text: question for question in make_quiz(document).questions}
    if asked in mine:
        assert mine[asked].answers[mine[asked].right] == given


def test_answers_differ_and_are_as_many_as_promised():
    quizzes = [make_quiz(document, seed) for seed, document in enumerate(DOCUMENTS)]
    questions = [question for quiz in quizzes for question in quiz.questions]
    assert len(questions) > 6 * len(quizzes)
    assert all(len(set(question.answers)) == CHOICES for question in questions)
    places = [question.right for question in questions]
    assert all(0.15 < places.count(place) / len(places) < 0.35 for place in range(CHOICES)), "one place is a better bet"


def test_a_gap_is_a_word_that_the_story_has_told_before():
    gaps = [gap for document in DOCUMENTS for gap in make_quiz(document).gaps]
    assert len(gaps) > len(DOCUMENTS)
    assert all(gap.word in gap.before for gap in gaps)


def test_a_text_without_a_plot_is_refused():
    with pytest.raises(CourseError, match="No plot"):
        make_quiz("It was a dark and stormy night.")


def test_answers_in_one_pass_have_the_loss_of_each_alone():
    model, encode = load_gpt2("nano"), Tokenizer.gpt2().encode
    story = [50256, *encode("A fox named Ravi lived in a valley. He had a red kite.")]
    question, answers = encode("\nQuestion: Who?\nAnswer:"), (" Ravi.", " a very long hedgehog.", " It")
    rows = [(question, encode(answer)) for answer in answers]
    losses, _ = answer_losses(model, story, rows)
    for (question, answer), loss in zip(rows, losses, strict=True):
        row = torch.tensor([story + question + answer])
        alone = F.cross_entropy(model(row)[0, :-1][-len(answer) :], row[0, -len(answer) :])
        torch.testing.assert_close(loss, alone, atol=1e-4, rtol=1e-4)


def test_nano_answers_after_reading_and_guesses_without():
    quizzes = [make_quiz(document, seed, most=3) for seed, document in enumerate(corpus(6, 500))]
    candidate = Candidate("nano", load_gpt2("nano"), Tokenizer.gpt2())
    read = sit_quiz(candidate, quizzes)
    blind = sit_quiz(candidate, [quiz._replace(story="", gaps=()) for quiz in quizzes])
    assert accuracy(read.questions)[0] > 0.7 > 0.6 > accuracy(blind.questions)[0] and accuracy(read.gaps)[0] > 0.8
    assert blind.gaps == []


def test_the_interval_is_wilsons():
    share, band = accuracy([True] * 80 + [False] * 20)  # its interval is 0.711 to 0.867
    assert (share, band) == (0.8, pytest.approx((0.867 - 0.711) / 2, abs=5e-4))
    assert accuracy([True] * 10)[1] > 0.1, "ten of ten don't make a model infallible"
