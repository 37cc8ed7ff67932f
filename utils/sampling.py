"""Sampling, from logits to text: greedy, temperature, top-k, top-p, min-p, repetition penalty; one text or a batch.

Lesson 04 builds this by hand. A token is drawn by inverse transform sampling, and each is read once (KV cache).
Top-k: Fan et al. 2018, arXiv:1805.04833; top-p, or nucleus sampling: Holtzman et al. 2020, arXiv:1904.09751;
min-p: Nguyen et al. 2024, arXiv:2407.01082; repetition penalty: Keskar et al. 2019 (CTRL), arXiv:1909.05858;
speculative decoding: Leviathan et al. 2022, arXiv:2211.17192, and Chen et al. 2023, arXiv:2302.01318, with a draft by
prompt lookup: Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import takewhile
from numbers import Integral, Real

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from utils.config import GPT2Config
from utils.errors import CourseError
from utils.model import GPT2

VOCAB = GPT2Config.vocab_size  # GPT-2's; a padded embedding has more rows, none of which may ever be sampled
END_OF_TEXT_ID = VOCAB - 1  # "<|endoftext|>" is the last token
Drafter = Callable[[Sequence[int], int], list[int]]  # a text and how many tokens at most: those that may follow

RULES = {  # what each setting must be: its kind, its range, and both in words
    "max_new": (Integral, lambda n: n >= 0, "a whole number of at least 0"),
    "temperature": (Real, lambda t: 0 <= t < math.inf, "0 (greedy) or a number above it"),
    "top_k": (Integral, lambda k: k >= 1, "a whole number of at least 1, or None for all"),
    "top_p": (Real, lambda p: 0 < p <= 1, "a number above 0 and at most 1, or None for all"),
    "min_p": (Real, lambda p: 0 < p <= 1, "a number above 0 and at most 1, or None for all"),
    "repetition_penalty": (Real, lambda r: 0 < r < math.inf, "a number above 0; 1 is none"),
    "seed": (Integral, lambda s: 0 <= s < 2**62, "a whole number of at least 0"),
    "draft": (Integral, lambda n: n >= 0, "a whole number of at least 0; 0 is no speculative decoding"),
}


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen and when to stop; temperature 0 always takes the likeliest."""

    max_new: int = 100
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[int, ...] = (END_OF_TEXT_ID,)
    window: bool = False  # past the last position: slide a window over the text, and not an error
    draft: int = 0  # speculative decoding: up to so many tokens are proposed for each pass; the text stays the same
    drafter: Drafter | None = None  # what proposes them, such as NGrams of similar texts; without, prompt lookup

    def __post_init__(self) -> None:
        for name, (kind, fine, expected) in RULES.items():
            value = getattr(self, name)
            if value is None and name in ("top_k", "top_p", "min_p"):
                continue
            if not isinstance(value, kind) or isinstance(value, bool) or not fine(value):
                raise CourseError(f"{name} is {value!r}, expected {expected}.")
        if not isinstance(self.stop, Collection) or not all(isinstance(token, Integral) for token in self.stop):
            raise CourseError(f"stop is {self.stop!r}, expected token ids, like ({END_OF_TEXT_ID},).")
        if self.draft and self.window:
            raise CourseError(f"draft is {self.draft} together with window=True. Set draft=0 or window=False.")


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Mask all but the k largest of logits (batch, vocab)."""
    smallest_kept = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < smallest_kept, -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Nucleus sampling: mask all but the fewest likeliest tokens that reach p together, in logits (batch, vocab)."""
    if p >= 1:  # sums of thousands of rounded numbers reach 1 too early
        return logits
    ordered, order = logits.sort(descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # what the likelier ones hold together
    return logits.masked_fill((before >= p).scatter(-1, order, before >= p), -math.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Mask all tokens that have less than p times the probability of the likeliest, in logits (batch, vocab)."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -math.inf)


def penalize_repetition(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """Make the tokens of history (batch, time) less likely: divide what is positive, multiply what is negative."""
    seen = logits.gather(-1, history)
    return logits.scatter(-1, history, torch.where(seen > 0, seen / penalty, seen * penalty))


def shape_logits(logits: Tensor, settings: Sampling, history: Tensor | None = None) -> Tensor:
    """Apply penalty, temperature, top-k, top-p, min-p in this order to logits (batch, vocab); float32 on the CPU."""
    logits = logits[..., :VOCAB].float().cpu()
    if settings.repetition_penalty != 1 and history is not None:
        logits = penalize_repetition(logits, history.cpu(), settings.repetition_penalty)
    if settings.temperature > 0:  # the largest becomes 0, so that a tiny temperature gives no infinity
        logits = (logits - logits.amax(-1, keepdim=True)) / max(settings.temperature, 1e-30)
    if settings.top_k is not None:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p is not None:
        logits = keep_top_p(logits, settings.top_p)
    return logits if settings.min_p is None else keep_min_p(logits, settings.min_p)


def choose(logits: Tensor, settings: Sampling, generators: list[torch.Generator], history: Tensor) -> Tensor:
    """Choose the next token of each row of logits (batch, vocab) by inverse transform sampling; (batch,).

    The probabilities lie end to end on a line, each as long as its token is likely; a random number between 0 and 1
    points at a place on it. Each row has its own generator, so that a batch draws what single texts would draw.
    """
    logits = shape_logits(logits, settings, history)
    if settings.temperature == 0:
        return logits.argmax(-1)
    cumulative = logits.softmax(-1, dtype=torch.float64).cumsum(-1)  # (batch, vocab): where each token ends
    places = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    # the first token whose end lies beyond the place; a token without length is never that
    return torch.searchsorted(cumulative, places * cumulative[:, -1:], right=True).squeeze(1)


def generate(
    model: GPT2, prompts: Sequence[Sequence[int]], settings: Sampling = Sampling(), system_log=None
) -> list[list[int]]:
    """Return the new tokens for each prompt; a row ends at a stop token, which is not part of it."""
    rows: list[list[int]] = [[] for _ in prompts]
    finished = [False] * len(rows)
    with system_log or nullcontext():
        for step in generate_steps(model, prompts, settings):
            for i, token in enumerate(step):
                finished[i] = finished[i] or token in settings.stop
                if not finished[i]:
                    rows[i].append(token)
            if all(finished):
                break
    return rows


def stream(model: GPT2, prompt: Sequence[int], settings: Sampling = Sampling()) -> Iterator[int]:
    """Yield the new tokens of one prompt as they come."""
    for (token,) in generate_steps(model, [prompt], settings):
        if token in settings.stop:
            return
        yield token


def generate_steps(model: GPT2, prompts: Sequence[Sequence[int]], settings: Sampling) -> Iterator[list[int]]:
    """Yield one new token per row and step, reading each token once thanks to the KV cache."""
    history, padding = _left_pad(prompts, model)
    check_room(history.shape[1], settings, model.config.context)
    if settings.draft:
        yield from ([token] for token in _speculate(model, history, settings))
        return
    room = model.config.context
    length = min(room, history.shape[1] + settings.max_new)
    generators = [torch.Generator().manual_seed(settings.seed + i) for i in range(len(prompts))]
    cache, unread = None, history
    for _ in range(settings.max_new):
        if cache is None or cache.used + unread.shape[1] > room:
            keep = history.shape[1] if history.shape[1] <= room and cache is None else max(1, room // 2)
            unread, cache = history[:, -keep:], model.new_cache(len(prompts), length)
            hidden = (padding - (history.shape[1] - keep)).clamp(min=0)
            shown = hidden.to(model.device) if hidden.any() else None
        with torch.inference_mode():
            logits = model(unread.to(model.device), cache=cache, padding=shown)[:, -1]
        unread = choose(logits, settings, generators, history)[:, None]  # (batch, 1)
        history = torch.cat([history, unread], dim=1)
        yield unread[:, 0].tolist()


def look_up(tokens: Sequence[int], most: int, longest: int = 3) -> list[int]:
    """Prompt lookup: propose what followed when the last two or three tokens of a text stood in it before.

    >>> look_up([7, 8, 9, 4, 5, 7, 8], most=4)
    [9, 4, 5, 7]
    """
    for n in range(min(longest, len(tokens) - 1), 1, -1):
        for start in range(len(tokens) - n - 1, -1, -1):  # the newest place first
            if tokens[start : start + n] == tokens[-n:]:
                text = list(tokens)
                for place in range(start + n, start + n + most):
                    text.append(text[place])  # may run on into what it has just proposed
                return text[len(tokens) :]
    return []


def _speculate(model: GPT2, history: Tensor, settings: Sampling) -> Iterator[int]:
    """Speculative decoding of one text (1, time): a drafter proposes tokens, one pass of the model checks them all.

    Each token is chosen as it would be without a draft, with its own random number; what was proposed is kept while
    it is what was chosen. So a right proposal saves a pass, and a wrong one changes nothing but time.
    """
    if len(history) > 1:
        raise CourseError(f"draft is {settings.draft} for {len(history)} prompts. Give one prompt, or set draft=0.")
    generator = [torch.Generator().manual_seed(settings.seed)]
    end, propose = history.shape[1] + settings.max_new, settings.drafter or look_up
    cache, known = model.new_cache(1, min(model.config.context, end)), range(model.config.vocab_size)
    while (length := history.shape[1]) < end:
        most = min(settings.draft, end - length - 1)
        draft = list(takewhile(known.__contains__, propose(history[0].tolist(), most)[:most]))
        unread = torch.cat([history[:, cache.used :], torch.tensor([draft], dtype=torch.long)], dim=1)
        with torch.inference_mode():
            states = model.residual_stream(unread.to(model.device), cache)[:, -len(draft) - 1 :]
            logits = model.head(states)  # (1, draft + 1, vocab): one answer for each proposal, and one more
        for i in range(len(draft) + 1):
            token = choose(logits[:, i], settings, generator, history)  # (1,)
            history = torch.cat([history, token[:, None]], dim=1)
            yield int(token)
            if draft[i : i + 1] != [int(token)]:
                break
        cache.used = history.shape[1] - 1  # the last token is still unread, and what was refused is forgotten


def check_prompt(prompt: Sequence[int], config: GPT2Config) -> list[int]:
    """Return the tokens to begin with, all of them known to the model; an empty prompt starts a new text."""
    vocab = min(VOCAB, config.vocab_size)
    if bad := [token for token in prompt if not 0 <= token < vocab]:
        raise CourseError(f"Token {bad[0]} is outside of this model's vocabulary, expected ids from 0 to {vocab - 1}.")
    return list(prompt) or [min(END_OF_TEXT_ID, config.vocab_size - 1)]


def _left_pad(prompts: Sequence[Sequence[int]], model: GPT2) -> tuple[Tensor, Tensor]:
    """Line prompts up at their ends: tokens (batch, time) and how many places at the left are empty (batch,)."""
    if not len(prompts):
        raise CourseError("There is no prompt. Give a list with at least one list of tokens.")
    rows = [check_prompt(prompt, model.config) for prompt in prompts]
    longest = max(map(len, rows))
    padding = torch.tensor([longest - len(row) for row in rows])
    # a row is padded with its own first token, which repetition_penalty counts once and not twice
    return torch.tensor([[row[0]] * (longest - len(row)) + row for row in rows]), padding


def check_room(length: int, settings: Sampling, room: int) -> None:
    """Refuse what has no place among a model's positions, unless a window may slide."""
    if length + settings.max_new > room + 1 and not settings.window:
        raise CourseError(
            f"A prompt of {length} tokens and {settings.max_new} new ones make {length + settings.max_new}, "
            f"this model has {room} positions. Ask for fewer, shorten the prompt, or set window=True."
        )


def complete(model: GPT2, tokenizer, prompt: str, settings: Sampling = Sampling(), n_samples: int = 1) -> list[str]:
    """Return `n_samples` continuations of a text, as text."""
    rows = generate(model, [tokenizer.encode(prompt)] * n_samples, settings)
    return [tokenizer.decode(row) for row in rows]


def truncate(text: str, stop: str) -> str:
    """Cut a text before the first `stop`.

    >>> truncate("One day. The end. Or not.", " The end")
    'One day.'
    """
    return text.partition(stop)[0] if stop else text


def next_token_probabilities(model: GPT2, tokens: Sequence[int], settings: Sampling = Sampling()) -> Tensor:
    """Return the probability (vocab,) of each next token under `settings`; temperature 0 leaves one certain."""
    history, _ = _left_pad([tokens], model)
    with torch.inference_mode():
        logits = model(history.to(model.device))[:, -1]  # (1, vocab)
    shaped = shape_logits(logits, settings, history)[0]  # (vocab,)
    if settings.temperature == 0:
        return one_hot(shaped.argmax(), len(shaped)).float()
    return shaped.softmax(-1)
