"""Configuration by OmegaConf, in layers: a dataclass of defaults, a YAML recipe, `key=value` words over both."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from utils.errors import CourseError

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
    settings: Any = OmegaConf.to_object(_merge(kind, merged, OmegaConf.from_dotlist(values), "the command"))
    return settings


def _read_recipe(path: Path) -> Any:
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "none"
        raise CourseError(f"The recipe {path} is not there. Recipes in {path.parent}: {there}.")
    try:
        content = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise CourseError(f"The recipe {path} is not readable as YAML: {error}") from error
    if not isinstance(content, DictConfig):
        raise CourseError(f"The recipe {path} holds no settings, expected lines such as `max_steps: 100`.")
    return content


def _merge(kind: type, base: Any, layer: Any, origin: str) -> Any:
    names = [field.name for field in fields(kind)]
    for key, value in layer.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(names)}."
            raise CourseError(f"{origin} sets {key!r}, which is no setting. {hint}")
        try:
            base = OmegaConf.merge(base, {key: value})
        except OmegaConfBaseException as error:
            wanted = next(field.type for field in fields(kind) if field.name == key)
            raise CourseError(f"{origin} sets {key} to {value!r}, expected {wanted}.") from error
    return base
