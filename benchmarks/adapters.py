"""Tuning with less: speed and peak memory of all weights, of LoRA, of QLoRA, and of LoRA in peft, at medium's shape."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass

from benchmarks.measure import (
    Child,
    OthersWatch,
    Report,
    Rounds,
    Sample,
    compare,
    interleave,
    machine_description,
    timed,
)
from benchmarks.training import SPEED, TRANSFORMERS, dtypes, plain_peer
from utils.config import SIZES, GPT2Config

FULL, LORA, QLORA, PEFT = "ours, all weights", "ours, LoRA", "ours, QLoRA at 4 bits", "peft, LoRA"
PEAK = "peak bytes"
ALL_LAYERS = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]  # as transformers names them


@dataclass(frozen=True)
class Settings:
    """Which model learns from batches of which shape, and how thin the adapters are."""

    config: GPT2Config = SIZES["medium"]
    batch: int = 4
    context: int = 256
    rank: int = 8
    dtypes: tuple[str, ...] = ()  # of matrix products; empty takes all that this processor really has
    rounds: Rounds = Rounds(3)


def measure(settings: Settings = Settings()) -> Report:
    """Let all four take steps in turns, each in a process of its own."""
    samples: dict[str, list[Sample]] = {}
    with OthersWatch() as others:
        for dtype in settings.dtypes or dtypes():
            samples |= race(settings, dtype)
    notes = [
        f"Random weights and tokens, {settings.batch} × {settings.context} of them a step; adapters of rank "
        f"{settings.rank} beside all four layers of every block; no dropout, fused AdamW, clipped gradients.",
        "Peak memory is above the imports, and counts the building of the model, before it is packed, too.",
        others.sentence(),
    ]
    title = "Tuning with adapters on a CPU: random weights and tokens"
    return Report("adapters", title, asdict(settings), samples, ratios(samples, settings), notes, machine_description())


def race(settings: Settings, dtype: str) -> dict[str, list[Sample]]:
    """Return the samples of all contestants for one dtype of matrix products."""
    with ExitStack() as stack:
        turns = {
            f"{name} {dtype}": stack.enter_context(Child(ours, settings, dtype, *kind, imports=IMPORTS)).turn
            for name, kind in {FULL: (0, 0), LORA: (settings.rank, 0), QLORA: (settings.rank, 4)}.items()
        }
        child = Child(peer, settings, dtype, imports=(*IMPORTS, TRANSFORMERS, "peft"))
        turns[f"{PEFT} {dtype}"] = stack.enter_context(child).turn
        return interleave(turns, settings.rounds)


IMPORTS = ("torch.distributed.tensor", "utils.training")  # the first is what clipping gradients imports


def ratios(samples: dict[str, list[Sample]], settings: Settings) -> list:
    """Compare ours with peft's, and adapters with the training of all weights."""
    found = []
    for dtype in settings.dtypes or dtypes():
        full, lora, qlora, theirs = (f"{name} {dtype}" for name in (FULL, LORA, QLORA, PEFT))
        found.append(compare(samples, lora, theirs, SPEED, target=1.0))
        found += [compare(samples, one, other, PEAK) for one, other in ((lora, theirs), (lora, full), (qlora, full))]
        found += [compare(samples, one, full, SPEED) for one in (lora, qlora)]
    return found


def ours(settings: Settings, dtype: str, rank: int, bits: int):
    """Take steps of the course's own loop; rank 0 trains all weights, bits 0 packs none."""
    import torch

    from utils.batches import Batches
    from utils.distributed import ProcessGroup
    from utils.lora import add_lora, pack_base
    from utils.model import GPT2
    from utils.training import TrainConfig, Trainer, TrainingData

    torch.manual_seed(0)
    model, tokens = GPT2(settings.config), settings.batch * settings.context
    if bits:
        pack_base(model, bits)
    if rank:
        add_lora(model, rank, 2 * rank)
    text = torch.randint(settings.config.vocab_size, (20 * tokens,))
    data = TrainingData(Batches(text, settings.batch, settings.context))
    how = TrainConfig(context=settings.context, batch_size=settings.batch, dtype=dtype)
    trainer = Trainer(model.train(), data, how, ProcessGroup())
    return lambda: {SPEED: tokens / timed(trainer.step)}


def peer(settings: Settings, dtype: str):
    """Take the same steps with peft around transformers' GPT-2 and a loop of the usual form."""
    import warnings

    import torch
    from peft import LoraConfig, get_peft_model

    warnings.simplefilter("ignore")  # peft uses a name that transformers is about to change
    shape, config = (settings.batch, settings.context), settings.config
    torch.manual_seed(0)
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        target_modules=ALL_LAYERS,
        fan_in_fan_out=True,
    )
    model = get_peft_model(plain_peer(config), adapters).train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step() -> None:
        tokens = torch.randint(config.vocab_size, shape)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        float(torch.nn.utils.clip_grad_norm_(learned, 1.0))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda: {SPEED: shape[0] * shape[1] / timed(step)}
