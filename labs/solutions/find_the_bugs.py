"""One test for each bug of lab 06. There are other good ones: the lab judges a test by what it catches."""

from __future__ import annotations

import contextlib
import math

import torch

DOCUMENTS = [[(start + 7 * i) % 50 for i in range(30)] for start in range(8)]


def parts_of(trainer, count: int) -> list:
    return [trainer.batches.next_batch() for _ in range(count)]


def gradient(trainer) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


def mean_gradient(trainer, parts: list) -> torch.Tensor:
    inputs, targets = (torch.cat(rows) for rows in zip(*parts, strict=True))
    trainer.optimizer.zero_grad()
    trainer.model(inputs, targets).backward()
    expected = gradient(trainer)
    trainer.optimizer.zero_grad()
    return expected


def other_bend(Trainer) -> None:
    x = torch.linspace(-3, 3, 101)
    by_hand = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert torch.allclose(Trainer(DOCUMENTS).activation(x), by_hand, atol=1e-6)


def loud_blocks(Trainer) -> None:
    model = Trainer(DOCUMENTS).model
    weights = [weight.flatten() for name, weight in model.named_parameters() if name.endswith("out.weight")]
    spread = torch.cat(weights).std() * math.sqrt(2 * model.config.n_layer)
    assert 0.017 < spread < 0.023, f"{spread:.4f} and not 0.02"


def lost_parts(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    parts = parts_of(trainer, 4)
    expected = mean_gradient(trainer, parts)
    trainer.learn(parts)
    same_way = torch.cosine_similarity(gradient(trainer), expected, dim=0)
    assert same_way > 0.999, "the gradient points elsewhere than that of one large batch"


def loud_parts(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    parts = parts_of(trainer, 4)
    expected = mean_gradient(trainer, parts)
    trainer.learn(parts)
    assert torch.allclose(gradient(trainer), expected, atol=1e-6)


def jagged_curve(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    parts = parts_of(trainer, 4)
    with torch.no_grad():
        expected = sum(float(trainer.model(*part)) for part in parts) / 4
    assert abs(trainer.learn(parts) - expected) < 1e-5


def slow_clock(Trainer) -> None:
    trainer = Trainer(DOCUMENTS, batch_size=3)
    assert trainer.tokens_per_second(parts_of(trainer, 2), seconds=2.0) == 2 * 3 * 8 / 2


def good_news(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    assert not [document for document in trainer.held_out_documents if document in trainer.train_documents]


def old_news(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    trainer.report()
    for _ in range(5):
        trainer.step()
    assert trainer.report().held_out_loss == trainer.held_out_loss()


def never_satisfied(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    for loss in (3.0, 2.0, 2.5):
        trainer.consider(loss)
    assert (trainer.best_loss, trainer.waited) == (2.0, 1)


def too_late(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    trainer.consider(1.0)
    best = trainer.held_out_loss()
    for _ in range(3):
        trainer.step()
    trainer.restore_best()
    assert trainer.held_out_loss() == best


def fresh_start(Trainer) -> None:
    first, second = Trainer(DOCUMENTS), Trainer(DOCUMENTS, seed=0)
    for _ in range(5):
        first.step()
    second.resume(first.save())
    assert second.held_out_loss() == first.held_out_loss()


def ghost_words(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)
    logits = torch.zeros(64)
    logits[50:] = 9.0  # where a careless sampler would surely go
    assert trainer.next_token(logits) < 50


def open_end(Trainer) -> None:
    trainer = Trainer(DOCUMENTS)

    def crash() -> None:
        raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        trainer.watched(crash)
    assert trainer.events == ["Before", "After"]


TESTS = {
    test.__name__: test
    for test in (
        other_bend,
        loud_blocks,
        lost_parts,
        loud_parts,
        jagged_curve,
        slow_clock,
        good_news,
        old_news,
        never_satisfied,
        too_late,
        fresh_start,
        ghost_words,
        open_end,
    )
}
