"""Tuning with less: speed and peak memory of all weights, of LoRA, of QLoRA, and of LoRA in peft, at medium's shape."""

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
)
from benchmarks.training import SPEED, TRANSFORMERS, dtypes, our_steps, peer_steps, plain_peer
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
            samples |= race_in(settings, dtype)
    notes = [
        f"Random weights and tokens, {settings.batch} × {settings.context} of them a step; adapters of rank "
        f"{settings.rank} beside all four layers of every block; no dropout, fused AdamW, clipped gradients.",
        "Peak memory is above the imports, and counts the building of the model, before it is packed, too.",
        others.sentence(),
    ]
    title = "Tuning with adapters on a CPU: random weights and tokens"
    return Report("adapters", title, asdict(settings), samples, ratios(samples, settings), notes, machine_description())


def race_in(settings: Settings, dtype: str) -> dict[str, list[Sample]]:
    """Return the samples of all contestants for one dtype of matrix products."""
    kinds = {FULL: (0, 0), LORA: (settings.rank, 0), QLORA: (settings.rank, 4)}
    children = {f"{name} {dtype}": Child(ours, settings, dtype, *kind, imports=IMPORTS) for name, kind in kinds.items()}
    children[f"{PEFT} {dtype}"] = Child(peer, settings, dtype, imports=(*IMPORTS, TRANSFORMERS, "peft"))
    return race(children, settings.rounds)


IMPORTS = ("torch.distributed.tensor", "utils.training.loop")  # the first is what clipping gradients imports


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

    from utils.lora import add_lora, pack_base
    from utils.model import GPT2

    torch.manual_seed(0)
    model = GPT2(settings.config)
    if bits:
        pack_base(model, bits)
    if rank:
        add_lora(model, rank, 2 * rank)
    return our_steps(model, settings.batch, settings.context, dtype)


def peer(settings: Settings, dtype: str):
    """Take the same steps with peft around transformers' GPT-2 and a loop of the usual form."""
    import warnings

    import torch
    from peft import LoraConfig, get_peft_model

    warnings.simplefilter("ignore")  # peft uses a name that transformers is about to change
    torch.manual_seed(0)
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        target_modules=ALL_LAYERS,
        fan_in_fan_out=True,
    )
    model = get_peft_model(plain_peer(settings.config), adapters)
    return peer_steps(model, settings.batch, settings.context, dtype)
