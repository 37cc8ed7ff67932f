"""Generated text in a notebook: wrapped, prompt and continuation told apart, tokens shaded on wish (lesson 04)."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from textwrap import fill

import torch

from utils.errors import CourseError
from utils.model import GPT2
from utils.tokenizer import CharTokenizer, StreamDecoder, Tokenizer

WIDTH = 90  # characters of a line where there is no HTML
MUTED = "opacity: 0.75"  # of whatever color stands there: outputs have a ground of their own on the site
PAPER = "max-width: 75ch; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7; margin: 0.4em 0"
KEY = "The stronger a token's ground, the less likely it was."


@dataclass(frozen=True)
class Story:
    """A prompt and what a model made of it, as the last line of a cell shows it or `display` does."""

    prompt: str
    text: str
    title: str = ""
    shares: tuple[tuple[str, float], ...] = ()  # the pieces of the text, each with its probability

    def __repr__(self) -> str:
        """Return the whole text, wrapped as plain text is."""
        lines = [self.title, *(fill(line, WIDTH) for line in (self.prompt + self.text).split("\n"))]
        return "\n".join(lines if self.title else lines[1:])

    def _repr_html_(self) -> str:
        title = f"<b>{escape(self.title)}</b>\n" if self.title else ""
        own = f'<i style="{MUTED}">{escape(self.prompt)}</i>'
        told = "".join(f"<span {shade(share)}>{escape(piece)}</span>" for piece, share in self.shares)
        key = f'\n<small style="{MUTED}">{KEY}</small>' if self.shares else ""
        return f'<div class="story" style="{PAPER}">{title}{own}{told or escape(self.text)}{key}</div>'


def shade(share: float) -> str:
    """Return the attributes of a token that had a probability; in steps, so that rounding changes no stored output.

    >>> shade(0.734)
    'title="about 70 %" style="background: rgb(11 111 180 / 0.10)"'
    """
    tenths = round(10 * share)
    said = {0: "under 5 %", 10: "over 95 %"}.get(tenths, f"about {10 * tenths} %")
    return f'title="{said}" style="background: rgb(11 111 180 / {0.034 * (10 - tenths):.2f})"'


@torch.inference_mode()
def shaded(model: GPT2, tokenizer: Tokenizer | CharTokenizer, prompt: str, text: str, title: str = "") -> Story:
    """Read a text once more, and return it with the probability that each of its tokens had for the model."""
    read, written = tokenizer.encode(prompt) or [tokenizer.end_of_text], tokenizer.encode(text)
    if (count := len(read) + len(written)) > model.config.context:
        raise CourseError(f"The text has {count:,} tokens, the model {model.config.context:,} positions. Shorten it.")
    tokens = torch.tensor([read + written], device=model.device)  # (1, time)
    shares = model(tokens)[0, len(read) - 1 : -1].softmax(-1)  # (written, vocab)
    own = shares.gather(-1, tokens[0, len(read) :, None])[:, 0].tolist()
    decoder = StreamDecoder(tokenizer)
    pieces = [decoder.feed(token) for token in written]
    return Story(prompt, text, title, tuple(zip(pieces, own, strict=True)))
