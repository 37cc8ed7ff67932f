"""Fine-tuning on a CPU beside transformers' Trainer and gpt-2-simple: tokens a second and peak memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.measure import (
    Child,
    OthersWatch,
    Report,
    Rounds,
    Sample,
    compare,
    machine_description,
    race,
    timed,
)
from benchmarks.training import SPEED, TRANSFORMERS, dtypes, ours, plain_peer
from utils.config import SIZES, GPT2Config

OURS, TRAINER, SIMPLE = "ours", "transformers' Trainer", "gpt-2-simple"


@dataclass(frozen=True)
class Settings:
    """Which model learns from batches of how many sequences and tokens, and how many steps are one turn."""

    config: GPT2Config = SIZES["small"]
    batch: int = 4
    context: int = 256
    steps: int = 2
    rounds: Rounds = Rounds(3)


def measure(settings: Settings = Settings()) -> Report:
    """Let all of them take steps from random weights on random tokens, in turns."""
    with OthersWatch() as others:
        samples = race(contestants(settings), settings.rounds)
    notes = [
        "All weights learn, with AdamW and clipping; gpt-2-simple has Adam, no clipping and float32 only.",
        "Random weights and tokens: values don't change how long a product takes. A turn is the mean of its steps.",
        "Trainer is timed between the ends of steps, without its start; peak memory is above the imports.",
        others.sentence(),
    ]
    title = f"Fine-tuning on a CPU: {settings.batch} × {settings.context} tokens a step"
    return Report("finetuning", title, asdict(settings), samples, ratios(samples), notes, machine_description())


def contestants(settings: Settings) -> dict[str, Child]:
    """Return a process for each, ours and Trainer in each dtype that this processor really has."""
    shape, found = (settings.config, settings.batch, settings.context), {}
    for dtype in dtypes():
        found[f"{OURS} {dtype}"] = Child(several, *shape, dtype, settings.steps, imports=("utils.training.loop",))
        found[f"{TRAINER} {dtype}"] = Child(
            trainer, *shape, dtype, settings.steps, imports=(TRANSFORMERS, "transformers.trainer")
        )
    simple = Child(gpt_2_simple, *shape, settings.steps, imports=("tensorflow", "gpt_2_simple"))
    return {**found, f"{SIMPLE} float32": simple}


def ratios(samples: dict[str, list[Sample]]) -> list:
    """Compare ours with each peer in its dtype, and our fastest dtype with gpt-2-simple's only one."""
    pairs = [(f"{OURS} {dtype}", f"{TRAINER} {dtype}") for dtype in dtypes()]
    pairs += [(f"{OURS} {dtype}", f"{SIMPLE} float32") for dtype in dtypes()]
    return [compare(samples, of, to, quantity) for of, to in pairs for quantity in (SPEED, "peak bytes")]


def several(config: GPT2Config, batch: int, context: int, dtype: str, steps: int):
    """Take steps of the course's own loop."""
    step = ours(config, batch, context, dtype)
    return lambda: {SPEED: steps / sum(1 / step()[SPEED] for _ in range(steps))}


def trainer(config: GPT2Config, batch: int, context: int, dtype: str, steps: int):
    """Take steps of transformers' Trainer, as its users set it up for a CPU."""
    import tempfile
    import time

    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        ends: list[float] = []

        def on_step_end(self, *_, **__) -> None:
            self.ends.append(time.perf_counter())

    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return batch * (steps + 1)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            tokens = torch.randint(config.vocab_size, (context,))
            return {"input_ids": tokens, "labels": tokens}

    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=batch,
        max_steps=steps + 1,
        optim="adamw_torch_fused",
        bf16=dtype == "bfloat16",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    clock = Clock()
    peer = Trainer(plain_peer(config), arguments, train_dataset=Rows(), callbacks=[clock])

    def turn() -> Sample:
        clock.ends.clear()
        peer.train()
        return {SPEED: batch * context * steps / (clock.ends[-1] - clock.ends[0])}

    return turn


def gpt_2_simple(config: GPT2Config, batch: int, context: int, steps: int):
    """Take steps as gpt_2_simple.finetune takes them: its graph, its loss and its optimizer, without its reading."""
    import numpy as np
    import tensorflow as tf
    from gpt_2_simple.src import model

    graph = tf.Graph()
    with graph.as_default():
        hparams = model.HParams(config.vocab_size, config.context, config.n_embd, config.n_head, config.n_layer)
        tokens = tf.compat.v1.placeholder(tf.int32, [batch, None])
        logits = model.model(hparams=hparams, X=tokens)["logits"]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tokens[:, 1:], logits=logits[:, :-1])
        loss = tf.reduce_mean(input_tensor=losses)
        weights = tf.compat.v1.trainable_variables()
        slopes = zip(tf.gradients(ys=loss, xs=weights), weights, strict=True)
        apply = tf.compat.v1.train.AdamOptimizer(learning_rate=1e-4).apply_gradients(list(slopes))
        session = tf.compat.v1.Session(graph=graph)
        session.run(tf.compat.v1.global_variables_initializer())
    random = np.random.default_rng(0)

    def step() -> None:
        rows = random.integers(config.vocab_size, size=(batch, context))
        _, value = session.run((apply, loss), feed_dict={tokens: rows})
        assert np.isfinite(value)

    def run() -> None:
        for _ in range(steps):
            step()

    return lambda: {SPEED: batch * context * steps / timed(run)}
