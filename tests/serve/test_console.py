"""The conversation in the terminal: going on, recipes as models, settings in layers."""

from __future__ import annotations

import io
import sys

import pytest

from tools.__main__ import main
from utils.errors import CourseError
from utils.files.settings import read_settings
from utils.serve.chat import ChatSettings, Conversation, model_of


@pytest.fixture
def talk(tmp_path):
    words = ["max_new=6", "temperature=0", "repetition_penalty=1"]
    return Conversation.open("nano", words, str(tmp_path / "log.csv"))


def test_enter_goes_on_with_the_text_that_was_cut_off(talk, capsys):
    first = talk.answer("Once upon a time")
    assert talk.unfinished
    second = talk.answer("")
    whole = Conversation(talk.model, talk.tokenizer, talk.settings, talk.log)
    whole.settings = type(talk.settings)(**{**vars(talk.settings), "max_new": 12})
    assert first + second == whole.answer("Once upon a time")  # greedy, so two halves are one whole
    assert talk.text == "Once upon a time" + first + second


def test_a_text_that_ended_by_itself_is_not_continued(talk):
    talk.settings = type(talk.settings)(**{**vars(talk.settings), "stop": tuple(range(50257))})
    assert talk.answer("Once") == ""
    assert not talk.unfinished
    assert talk.text == "Once"


def test_the_question_changes_once_something_can_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Once upon a time\n\nquit\n"))
    assert main(["chat", "nano", "max_new=3", "temperature=0", "--log", str(tmp_path / "log.csv")]) == 0
    out = capsys.readouterr().out
    assert out.index("you> ") < out.index("continue? Enter goes on")
    assert out.count("continue?") == 2


def test_a_line_that_can_not_be_read_is_told_and_the_conversation_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Once \udcff upon\nOnce upon a time\nquit\n"))
    assert main(["chat", "nano", "max_new=3", "--log", str(tmp_path / "log.csv")]) == 0
    said = capsys.readouterr()
    assert "position 5" in said.err and "continue?" in said.out
    assert len((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_a_recipe_stands_for_the_folder_that_it_trains_into(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"out: {(tmp_path / 'run').as_posix()}\nmax_steps: 3\n", encoding="utf-8")
    with pytest.raises(CourseError, match="was not trained yet, .* is not there. Do: python course.py train recipe="):
        model_of(str(recipe))
    (tmp_path / "run").mkdir()
    assert model_of(str(recipe)) == (tmp_path / "run").as_posix()
    assert model_of("small") == "small"


def test_settings_come_in_layers_defaults_then_recipe_then_words(tmp_path):
    recipe = tmp_path / "talk.yaml"
    recipe.write_text("temperature: 0.5\nmax_new: 7\n", encoding="utf-8")
    found = read_settings(ChatSettings, [f"recipe={recipe}", "max_new=9"])
    assert (found.top_k, found.temperature, found.max_new) == (ChatSettings().top_k, 0.5, 9)
