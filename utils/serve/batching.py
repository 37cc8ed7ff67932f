"""Continuous batching: texts join and leave a batch between two steps, over one KV cache.

A step reads all weights once, for however many texts there are. Whoever comes is read in one pass of its own, and its
keys and values are then lined up beside those of the others at the right; whoever is done takes them along. Each text
has its own settings and its own random numbers, so that it says in company what it would have said alone.

Yu et al. 2022, "Orca: A Distributed Serving System for Transformer-Based Generative Models" (OSDI), who call it
iteration-level scheduling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from utils.config import GPT2Config
from utils.model import GPT2, KeyValueCache
from utils.sampling import Sampling, check_prompt, choose
from utils.serve.thoughts import MOST, Thought, think

SPARE = 64  # positions that a new cache has left, so that it is not copied at every step


class Engine(Protocol):
    """What writes texts in a batch of its own instead of ours, as llama.cpp does."""

    @property
    def config(self) -> GPT2Config: ...

    def new_batch(self) -> AnyBatch: ...


class AnyBatch(Protocol):
    """What the scheduler asks of a batch: texts join, leave, and get their next tokens."""

    texts: list[Text]

    def join(self, text: Text) -> None: ...

    def leave(self, text: Text) -> None: ...

    def step(self) -> dict[Text, int]: ...


class Text:
    """One text that is being written: its tokens, how the next one is chosen, and what the model has read of it."""

    def __init__(self, model: GPT2 | Engine, prompt: Sequence[int], settings: Sampling) -> None:
        self.model, self.settings, self.history = model, settings, check_prompt(prompt, model.config)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.read: Tensor | None = None  # (layer, 2, head, time, head width): a row of a cache, without its padding
        self.thoughts: list[Thought] | None = None  # of each new token, where somebody asks for them

    def next_token(self, logits: Tensor) -> int:
        """Choose a token from logits (1, vocab) and append it."""
        history = torch.tensor([self.history])
        token = int(choose(logits, self.settings, [self.generator], history))
        self.history.append(token)
        if self.thoughts is not None and len(self.thoughts) < MOST:
            self.thoughts.append(think(logits[0], token))
        return token

    def new_batch(self) -> AnyBatch:
        """Return an empty batch for this text and others of its model."""
        return Batch(self.model) if isinstance(self.model, GPT2) else self.model.new_batch()


class Batch:
    """The texts that one model writes together, a token of each at every step."""

    def __init__(self, model: GPT2) -> None:
        self.model = model
        self.texts: list[Text] = []
        self._rows: list[Text] = []  # those whose keys and values lie in the cache, from top to bottom
        self._cache = model.new_cache(1, 1)
        self._padding: Tensor | None = None  # (batch,): positions at the left of each row that hold no text

    def join(self, text: Text) -> None:
        """Add a text; the next step reads it and writes its first token."""
        self.texts.append(text)

    def leave(self, text: Text) -> None:
        """Take a text out, whether it has ended or not."""
        self.texts.remove(text)

    @torch.inference_mode()
    def step(self) -> dict[Text, int]:
        """Write one token of each text and return them."""
        for text in self.texts:  # one that has filled all positions is read anew from its second half
            if text.read is not None and text.read.shape[-2] == self.model.config.context:
                text.read = None
        going = [text for text in self.texts if text.read is not None]
        logits = dict(zip(going, self._go_on(going), strict=True)) if going else {}
        logits |= {text: self._read(text) for text in self.texts if text.read is None}
        return {text: text.next_token(logits[text][None]) for text in self.texts}

    def _read(self, text: Text) -> Tensor:
        """Read a text from its beginning, alone, and return its logits (vocab,)."""
        room = self.model.config.context
        unread = text.history if len(text.history) <= room else text.history[-max(1, room // 2) :]
        cache = self.model.new_cache(1, len(unread))
        logits = self.model(torch.tensor([unread], device=self.model.device), cache=cache)
        text.read = cache.store[:, :, 0]
        return logits[0, -1]

    def _go_on(self, going: list[Text]) -> Tensor:
        """Read the last token of each text in one pass and return their logits (batch, vocab)."""
        if going != self._rows or self._cache.used == self._cache.length:
            self._cache, self._padding = line_up(self.model, [text.read for text in going if text.read is not None])
            self._rows = going
        unread = torch.tensor([text.history[-1:] for text in going], device=self.model.device)  # (batch, 1)
        logits = self.model(unread, cache=self._cache, padding=self._padding)[:, -1]  # (batch, vocab)
        empty = [0] * len(going) if self._padding is None else self._padding.tolist()
        for row, text in enumerate(going):
            text.read = self._cache.store[:, :, row, :, empty[row] : self._cache.used]
        return logits


def line_up(model: GPT2, rows: Sequence[Tensor]) -> tuple[KeyValueCache, Tensor | None]:
    """Copy keys and values (layer, 2, head, time, head width) of several texts into one cache, equal at their ends.

    Also returned: how many positions at the left of each row are empty (batch,), None where no row has any.
    """
    longest = max(row.shape[-2] for row in rows)
    cache = model.new_cache(len(rows), min(model.config.context, longest + SPARE))
    cache.store[..., :longest, :] = 0  # what lies in the padding is masked, but must be numbers
    for number, row in enumerate(rows):
        cache.store[:, :, number, :, longest - row.shape[-2] : longest] = row
    cache.used = longest
    padding = torch.tensor([longest - row.shape[-2] for row in rows], device=model.device)
    return cache, padding if padding.any() else None
