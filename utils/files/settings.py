"""Configuration by OmegaConf, in layers: a dataclass of defaults, a YAML recipe, `key=value` words over both.

Nothing is interpolated: a recipe from elsewhere must not read the environment. A text setting without a value is empty.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from utils.errors import CourseError, show

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], words: Sequence[str] = (), recipe: str | Path | None = None) -> Settings:
    """Return `kind` with the recipe's and then the words' values; a word is key=value, or recipe=FILE."""
    values = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise CourseError(f"{word!r} is no setting, expected key=value, for instance learning_rate=3e-4.")
        if key == "recipe":
            recipe = value
        else:
            values.append(word)
    merged: Any = OmegaConf.structured(kind)
    if recipe:
        merged = _merge(kind, merged, _read_recipe(Path(recipe)), f"the recipe {recipe}")
    for word in values:
        merged = _merge(kind, merged, _parse_word(word), "the command")
    settings: Any = OmegaConf.to_object(merged)
    return settings


def _parse_word(word: str) -> Any:
    try:
        return OmegaConf.from_dotlist([word])
    except (YAMLError, OmegaConfBaseException) as error:
        raise CourseError(
            f"The value of {show(word)} is not readable as YAML: {first_line(error)}. Put it in quotes: key='value'."
        ) from error


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _read_recipe(path: Path) -> Any:
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "none"
        raise CourseError(f"The recipe {path} is not there. Recipes in {path.parent}: {there}.")
    try:
        content = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise CourseError(
            f"The recipe {path} is not readable as YAML: {error}. Expected lines such as `max_steps: 100`; put texts "
            "with special signs in quotes."
        ) from error
    if not isinstance(content, DictConfig):
        raise CourseError(f"The recipe {path} holds no settings, expected lines such as `max_steps: 100`.")
    return content


def _merge(kind: type, base: Any, layer: Any, origin: str) -> Any:
    wanted = {field.name: str(field.type) for field in fields(kind)}
    stated: Any = OmegaConf.to_container(layer, resolve=False)  # as it stands there, nothing filled in
    for key, value in stated.items():
        if key not in wanted:
            near = difflib.get_close_matches(str(key), wanted, n=1, cutoff=0.6)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(wanted)}."
            raise CourseError(f"{origin} sets {show(key)}, which is no setting. {hint}")
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise CourseError(
                f"{origin} sets {key} to {show(value)}, but a setting can't ask for another one or for a variable of "
                "the environment. Write the value itself; a $ without a brace behind it is fine."
            )
        try:
            base = OmegaConf.merge(base, {key: "" if value is None and wanted[key] == "str" else value})
        except OmegaConfBaseException as error:
            raise CourseError(f"{origin} sets {key} to {show(value)}, expected {wanted[key]}.") from error
    return base
