"""Does a mended method do what the right one does? Each is watched at work, in cases that know of no bug."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from labs.bugs.trainer import Trainer
from utils.checks.values import difference, show

Seen = Mapping[str, Any]  # what was seen, by its name: numbers, or things that must be equal


def started(kind: type[Trainer], seed: int, **settings) -> Trainer:
    """Return a trainer on documents that no other seed has."""
    documents = [[(seed + start + step * i) % 50 for i in range(24)] for step in (3, 7) for start in range(4)]
    return kind(documents, seed=seed, **settings)


def activation(kind: type[Trainer], seed: int) -> Seen:
    return {"the activation": started(kind, seed).activation(torch.linspace(-4 - seed, 4, 57))}


def initialize(kind: type[Trainer], seed: int) -> Seen:
    """Tell the spread of each matrix, rounded to a power of √2, so that other random numbers do as well."""
    matrices = [(name, weight) for name, weight in started(kind, seed).model.named_parameters() if weight.dim() == 2]
    return {f"the spread of {name}": round(2 * math.log2(float(weight.detach().std()))) for name, weight in matrices}


def learn(kind: type[Trainer], seed: int) -> Seen:
    trainer = started(kind, seed, batch_size=3)
    loss = trainer.learn([trainer.batches.next_batch() for _ in range(3 + seed)])
    gradients = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None]
    return {"the loss": torch.tensor(loss), "the gradient": torch.cat(gradients)}


def split(kind: type[Trainer], seed: int) -> Seen:
    trainer = started(kind, seed)
    learned, held_out = ({tuple(one) for one in part} for part in (trainer.train_documents, trainer.held_out_documents))
    return {"documents in both": len(learned & held_out), "documents": len(learned), "held out": len(held_out)}


def report(kind: type[Trainer], seed: int) -> Seen:
    trainer, losses = started(kind, seed), []
    for _ in range(3):
        trainer.step()
        losses.append(trainer.report().held_out_loss)
    return {"the reported losses": torch.tensor(losses)}


def consider(kind: type[Trainer], seed: int) -> Seen:
    trainer, seen = started(kind, seed), []
    for loss in (3.0, 2.0 + seed, 2.5, 1.5, 1.75):
        trainer.consider(loss)
        seen.append((trainer.best_loss, trainer.waited))
        trainer.step()
    trainer.restore_best()
    return {"best loss and patience": seen, "the restored loss": torch.tensor(trainer.held_out_loss())}


def resume(kind: type[Trainer], seed: int) -> Seen:
    first, second = started(kind, seed), started(kind, seed)
    for _ in range(3 + seed):
        first.step()
    second.resume(first.save())
    for trainer in (first, second):
        trainer.step()
    return {"steps": second.step_count, "the loss afterwards": torch.tensor(second.held_out_loss())}


def tokens_per_second(kind: type[Trainer], seed: int) -> Seen:
    trainer = started(kind, seed, batch_size=2 + seed)
    parts = [trainer.batches.next_batch() for _ in range(3)]
    return {"tokens per second": torch.tensor(float(trainer.tokens_per_second(parts, 0.5 + seed)))}


def next_token(kind: type[Trainer], seed: int) -> Seen:
    trainer, logits = started(kind, seed), torch.zeros(64)
    logits[seed], logits[50:] = 25.0, 40.0
    return {"the tokens drawn": {trainer.next_token(logits) for _ in range(20)}}


def watched(kind: type[Trainer], seed: int) -> Seen:
    trainer, raised = started(kind, seed), True
    trainer.watched(lambda: None)

    def crash() -> None:
        raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        trainer.watched(crash)
        raised = False
    return {"events": trainer.events, "the error goes on": raised}


WATCHED: dict[str, Callable[[type[Trainer], int], Seen]] = {
    **{each.__name__: each for each in (activation, initialize, learn, split, report, consider, resume)},
    **{each.__name__: each for each in (tokens_per_second, next_token, watched)},
    **{"held_out_loss": report, "restore_best": consider, "save": resume},
}


def unlike(method: str, mended: type[Trainer], seed: int) -> str:
    """Return in a sentence where a mended trainer differs from the right one, or nothing."""
    right, yours = (WATCHED[method](kind, seed) for kind in (Trainer, mended))
    for name, expected in right.items():
        if found := difference(yours[name], expected):
            return f"{name}: {show(found.got)}, expected {show(found.expected)}. {found.said}".rstrip(" .")
    return ""
