"""Settings in layers: defaults, recipe, words."""

from __future__ import annotations

import pytest

from utils.errors import CourseError
from utils.files.settings import read_settings
from utils.training.config import TrainConfig
from utils.training.recipes import TrainingRecipe


def write_recipe(tmp_path, text: str) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return f"recipe={path}"


def test_without_words_the_defaults_hold():
    assert read_settings(TrainConfig) == TrainConfig()


def test_words_win_over_the_recipe_and_the_recipe_over_the_defaults(tmp_path):
    recipe = write_recipe(tmp_path, "max_steps: 7\nlearning_rate: 1e-3\nsize: small\n")
    settings = read_settings(TrainingRecipe, [recipe, "max_steps=9"])
    assert (settings.max_steps, settings.learning_rate, settings.size) == (9, 1e-3, "small")
    assert settings.batch_size == TrainingRecipe().batch_size


@pytest.mark.parametrize("word", ["learning_rate=3e-4", "resume=true", "out=runs/with=equals", "batch_size=16"])
def test_values_are_typed(word):
    settings = read_settings(TrainConfig, [word])
    key, value = word.split("=", 1)
    expected = {"learning_rate": 3e-4, "resume": True, "out": "runs/with=equals", "batch_size": 16}[key]
    assert getattr(settings, key) == expected
    assert type(getattr(settings, key)) is type(expected), value


@pytest.mark.parametrize("text", ["$HOME/runs", "a$", "$x$y", "$(seed)", "100 $ a day"])
def test_a_dollar_is_a_letter(tmp_path, text):
    assert read_settings(TrainConfig, [f"out={text}"]).out == text
    assert read_settings(TrainConfig, [write_recipe(tmp_path, f"out: {text}")]).out == text


def test_a_text_without_a_value_is_empty(tmp_path):
    assert read_settings(TrainingRecipe, ["out="]).out == ""
    assert read_settings(TrainingRecipe, [write_recipe(tmp_path, "data:\nseed: 3")]).data == ""
    with pytest.raises(CourseError, match="seed to None, expected int"):
        read_settings(TrainingRecipe, ["seed="])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("learning_rat=1", "'learning_rat'.*Did you mean learning_rate?"),
        ("lr=1", "'lr', which is no setting"),
        ("max_steps=many", "max_steps to 'many', expected int"),
        ("max_steps=2.5", "max_steps to 2.5, expected int"),
        ("resume=perhaps", "resume to 'perhaps', expected bool"),
        ("max_steps", "'max_steps' is no setting, expected key=value"),
        ("max_steps=0", "max_steps is 0, expected 1 or more"),
        ("recipe=nowhere.yaml", "nowhere.yaml is not there"),
        ("out=[", r"'out=\['.*YAML"),
        ("out=${x", r"'out=\$\{x'"),
        ("out=${x}", r"the command sets out to '\$\{x\}'"),
        ("max_steps=${seed}", r"the command sets max_steps to '\$\{seed\}'"),
        ("out=???", r"out to '\?\?\?'"),
        ("out.there=1", r"out to \{'there': 1\}, expected str"),
    ],
)
def test_a_wrong_word_gets_a_sentence(word, message):
    with pytest.raises(CourseError, match=message):
        read_settings(TrainConfig, [word])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_stepz: 3", "recipe.yaml sets 'max_stepz'.*Did you mean max_steps?"),
        ("- 1\n- 2", "holds no settings"),
        ("a: [1", "not readable as YAML"),
        ("max_steps: {a: 1}", "sets max_steps to .*, expected int"),
        ("out: ${oc.env:HOME}", r"recipe.yaml sets out to '\$\{oc.env:HOME\}'"),
        ("out: runs/${seed}", r"recipe.yaml sets out to 'runs/\$\{seed\}'"),
        ("seed: ${oc.env:SEED,3}", r"recipe.yaml sets seed to '\$\{oc.env:SEED,3\}'"),
        ("out: ${", "recipe.yaml"),
        ("out: ['${x}']", "recipe.yaml sets out to .*, expected str"),
    ],
)
def test_a_wrong_recipe_gets_a_sentence(tmp_path, text, message):
    with pytest.raises(CourseError, match=message):
        read_settings(TrainConfig, [write_recipe(tmp_path, text)])


def test_a_recipe_that_is_not_utf8_gets_a_sentence(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"out: caf\xe9")
    with pytest.raises(CourseError, match="not readable"):
        read_settings(TrainConfig, [f"recipe={tmp_path / 'recipe.yaml'}"])
