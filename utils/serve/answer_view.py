"""Answers on the page, token by token: shaded by probability, with the likeliest in each place, to be taken.

A component of Gradio's own kind (HTML with a script); its value is JSON, which `answer.js` beside this file draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from utils.errors import CourseError, show
from utils.serve.server import Answer, Request
from utils.serve.thoughts import SCRIPT, STYLE, as_row

NOTHING: dict[str, Any] = {"prompt": "", "answers": []}
EMPTY = "<p class='empty'>The continuation will stand here, token by token.</p>"


def answer_view() -> gr.HTML:
    """Return the component; its events are "take" (an alternative was pressed) and "keep" (a seed was)."""
    return gr.HTML(
        NOTHING,
        html_template=EMPTY,
        css_template=STYLE.read_text(encoding="utf-8"),
        js_on_load=SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="thoughts",
    )


@dataclass
class Shown:
    """What a page shows of one answer: rows of tokens, those of a text that it goes on from among them."""

    model: str
    rows: list[list] = field(default_factory=list)

    def update(self, answer: Answer) -> dict[str, Any]:
        """Take in the tokens that are new and return all as JSON."""
        for row, written in zip(self.rows, answer.written, strict=False):
            row[0] = written.piece  # a token that was taken completes another text than the one before it in its place
        self.rows += [as_row(written, answer.tokenizer) for written in answer.written[len(self.rows) :]]
        seed = answer.job.text.settings.seed
        return {"model": self.model, "seed": seed, "line": answer.response().line(), "tokens": list(self.rows)}


@dataclass(frozen=True)
class Taken:
    """A token that a visitor took in the place of another: in which of the answers shown, where, and which."""

    shown: dict[str, Any]
    number: int
    rows: list[list]

    @classmethod
    def of(cls, shown: Any, event: Any) -> Taken:
        """Read what a browser sends; what it can't have shown is refused."""
        try:
            rows = shown["answers"][event.answer]["tokens"]
            (share,) = [share for _, token, share in rows[event.place][3] if token == event.token]
            taken = [rows[event.place][0], int(event.token), share, rows[event.place][3]]
            return cls(shown, event.answer, [*rows[: event.place], taken])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CourseError(
                f"No such token stands there ({show(str(error))}). Continue a text, then take one."
            ) from error

    def request(self, max_tokens: float, temperature: float, top_n: float | None) -> Request:
        """Return what goes on from there, with the model and the seed that the answer had."""
        answer = self.shown["answers"][self.number]
        begun = tuple(row[1] for row in self.rows)
        if not all(type(token) is int for token in begun):
            raise CourseError("The tokens that are shown are no tokens. Continue a text, then take one.")
        return Request(
            self.shown["prompt"], max_tokens, temperature, top_n, answer["model"], answer["seed"], begun, think=True
        )

    def beside_others(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return all that is shown, with a new answer in the place of the one that it goes on from."""
        answers = list(self.shown["answers"])
        answers[self.number] = answer
        return {"prompt": self.shown["prompt"], "answers": answers}
