"""Memory caps and placement on the device: the ladder steps down and learns the same, offload gives the same logits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from labs.alone import run_alone
from labs.true_size.bench import (
    POEM_TOKENS,
    Bench,
    Figures,
    Measure,
    largest_difference,
    losses,
    pay_for_first_use,
    watch_peak,
)
from labs.true_size.step_child import first_tokens
from utils.batches import Batches
from utils.config import GPT2Config, Workload, estimate_memory
from utils.fit.memory_ladder import train_within_memory
from utils.fit.offload import load_with_plan
from utils.fit.placement import Caps, plan_placement
from utils.loaders import save_gpt2
from utils.machine import cpu_memory_cap, gpu_memory_cap, prepare_for_speed
from utils.model import GPT2
from utils.run_log import RunLog
from utils.training.config import TrainConfig
from utils.training.data import TrainingData

SHARE = 0.75  # of the activations that a whole batch needs: half a batch fits
NEAR = 0.6  # of what a model needs is there to keep it at hand
PLENTY = 10**13  # bytes, of a place that is not to be scarce


@dataclass(frozen=True)
class CapJob:
    """A few steps to take, in a process of its own."""

    config: GPT2Config
    device: str
    batch: int
    context: int
    steps: int = 3

    def held(self) -> dict[str, int]:
        """Estimate the bytes of weights, gradients, optimizer and activations."""
        work = Workload(self.batch, self.context, "float32", training=True, device=self.device)
        return estimate_memory(self.config, work)


def learn_under_cap(job: CapJob, room: int | None) -> Figures:
    """Train with `room` bytes for all but the weights, or as many as there are; say losses, rungs and peak."""
    pay_for_first_use()
    torch.manual_seed(0)
    model, said = GPT2(job.config).to(job.device), list[str]()
    tokens = first_tokens(POEM_TOKENS)[0] % job.config.vocab_size
    config = TrainConfig(
        context=job.context, batch_size=job.batch, max_steps=job.steps, warmup_steps=1, dtype="float32"
    )
    with TemporaryDirectory() as folder:
        log = RunLog(folder, show=lambda line: None)
        peak = watch_peak(model.device)
        with capped(model, room):
            data = TrainingData(Batches(tokens, job.batch, job.context))
            train_within_memory(model, data, config, log, said.append)
    return {"losses": losses(log.history), "ladder": said, "peak bytes": peak()}


def capped(model: GPT2, room: int | None) -> AbstractContextManager[None]:
    """Let the device give `room` bytes more than the weights have, within a with block; None sets no cap."""
    if room is None:
        return nullcontext()
    if model.device.type == "cuda":  # its cap counts all that PyTorch holds there
        return gpu_memory_cap(torch.cuda.memory_allocated() + room)
    return cpu_memory_cap(room)


def step_down(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Train under a cap that the whole batch does not fit, and hold the losses to those without a cap."""
    batch, context = (16, 64) if bench.tiny else (16, 512)
    job = CapJob(bench.config, bench.device.type, batch, context)
    free = run_alone("The run without a cap", learn_under_cap, job, None)
    held = job.held()
    activations = held["activations"]
    if bench.device.type == "cuda":  # there the peak tells exactly what a step takes
        activations = free["peak bytes"] - sum(held.values()) + held["activations"]
    room = held["gradients"] + held["optimizer"] + int(SHARE * activations)
    under = run_alone("The run under a cap", learn_under_cap, job, room)
    return {
        "batch": batch,
        "context": context,
        "peak bytes without a cap": free["peak bytes"],
        "cap beyond the weights, bytes": room,
        "ladder": under["ladder"],
        "losses": under["losses"],
        "largest difference": largest_difference(under["losses"], free["losses"]),
    }


@torch.inference_mode()
def place(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Keep a part of the weights elsewhere, and hold the logits to those of the whole model."""
    on_gpu = bench.device.type == "cuda"
    work = Workload(1, bench.config.context, "float32", device=bench.device.type)
    near = int(NEAR * sum(estimate_memory(bench.config, work).values()))
    plan = plan_placement(bench.config, Caps(PLENTY, gpu=near) if on_gpu else Caps(near, disk=PLENTY), work)
    whole = prepare_for_speed(bench.model().eval())
    folder = save_gpt2(whole, bench.folder / "whole")
    placed = load_with_plan(folder, plan, parts_folder(bench), bench.device)
    tokens = torch.arange(bench.config.context, device=bench.device)[None] % bench.config.vocab_size
    logits, expected = placed(tokens), whole(tokens)
    return {
        "cap, bytes": near,
        "bytes by place": {where: count for where, count in plan.needs.items() if count},
        "plan": str(plan).splitlines(),
        "equal to the last bit": torch.equal(logits, expected),
        "largest difference of logits": float((logits - expected).abs().max()),
    }


def parts_folder(bench: Bench) -> Path:
    folder = bench.folder / "parts"
    folder.mkdir(exist_ok=True)
    return folder


MEASURES: dict[str, Measure] = {"training under a cap": step_down, "placement": place}
