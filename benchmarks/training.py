"""Training on a CPU: tokens a second, peak memory and the share of what this machine's matrix products can do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import Child, OthersWatch, Report, Rounds, Sample, compare, machine_description, race, timed
from utils.config import SIZES, GPT2Config, flops_per_token

if TYPE_CHECKING:
    import torch

SPEED, FLOPS, SHARE = "tokens/s", "matrix products TFLOP/s", "of the matrix peak share"
TRANSFORMERS = "transformers.models.gpt2.modeling_gpt2"


@dataclass(frozen=True)
class Settings:
    """Which model learns from which batches (sequences, context)."""

    config: GPT2Config = SIZES["small"]
    shapes: tuple[tuple[int, int], ...] = ((4, 256), (2, 512), (1, 1024), (16, 256))
    matrix: int = 2048  # rows and columns of what the peak is measured with
    rounds: Rounds = Rounds(3)


def measure(settings: Settings = Settings()) -> Report:
    """Let ours and transformers learn from random tokens in turns, shape by shape."""
    samples: dict[str, list[Sample]] = {}
    with OthersWatch() as others:
        for batch, context in settings.shapes:
            samples |= race_at(settings, batch, context)
    notes = [
        "Random weights and tokens, no dropout, fused AdamW and clipped gradients for everyone.",
        "Ours is the course's own loop; the matrix peak is a product in the same dtype and round, of "
        f"{settings.matrix} × {settings.matrix} numbers each.",
        "The share counts 6·N + 12·L·H·Q·T FLOPs a token; peak memory is above the imports.",
    ]
    if "bfloat16" not in dtypes():
        notes.append("bfloat16 is not measured here: this processor only imitates its products, so we use float32 too.")
    notes.append(others.sentence())
    return Report(
        "training",
        "Training on a CPU: random weights and tokens",
        asdict(settings),
        samples,
        ratios(samples, settings),
        notes,
        machine_description(),
    )


def dtypes() -> list[str]:
    """Return the dtypes of matrix products that this processor really has."""
    from utils.machine import has_real_bf16

    return ["float32", "bfloat16"] if has_real_bf16("cpu") else ["float32"]


def race_at(settings: Settings, batch: int, context: int) -> dict[str, list[Sample]]:
    """Return the samples of all contestants for one shape of batch."""
    shape, arguments = f"{batch} × {context}", (settings.config, batch, context)
    contestants: dict[str, Child] = {}
    for dtype in dtypes():
        contestants |= {
            f"matrix product {dtype}, {shape}": Child(matrix_product, dtype, settings.matrix, imports=("torch",)),
            f"ours {dtype}, {shape}": Child(ours, *arguments, dtype, imports=("utils.training.loop",)),
            f"transformers {dtype}, {shape}": Child(peer, *arguments, dtype, imports=(TRANSFORMERS,)),
        }
    samples = race(contestants, settings.rounds)
    add_share_of_peak(samples, flops_per_token(settings.config, context))
    return samples


def add_share_of_peak(samples: dict[str, list[Sample]], flops: int) -> None:
    """Add to each sample of training which share of the matrix product's speed in its round it used."""
    for name, turns in samples.items():
        who, _, rest = name.partition(" ")
        if who == "matrix":
            continue
        for sample, peak in zip(turns, samples[f"matrix product {rest}"], strict=True):
            sample[SHARE] = sample[SPEED] * flops / (peak[FLOPS] * 1e12)


def ratios(samples: dict[str, list[Sample]], settings: Settings) -> list:
    """Compare speed and memory dtype by dtype, and our largest batch's memory with their smallest one's."""
    found = []
    for dtype in dtypes():
        target = 1.25 if dtype == "bfloat16" else None
        names = [f"{dtype}, {batch} × {context}" for batch, context in settings.shapes]
        for name in names:
            found.append(compare(samples, f"ours {name}", f"transformers {name}", SPEED, target=target))
            found.append(compare(samples, f"ours {name}", f"transformers {name}", "peak bytes"))
        if len(names) > 1:
            found.append(compare(samples, f"ours {names[-1]}", f"transformers {names[0]}", "peak bytes"))
    return found


def matrix_product(dtype: str, size: int, device: str | torch.device = "cpu"):
    """Measure the speed of a large product, the best this machine does with matrices."""
    import torch

    a, b = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))

    def product() -> None:
        c = a @ b
        if c.is_cuda:  # until here it was only asked for
            torch.cuda.synchronize(c.device)

    def turn() -> Sample:
        best = min(timed(product) for _ in range(8))
        return {FLOPS: 2 * size**3 / best / 1e12}

    return turn


def ours(config: GPT2Config, batch: int, context: int, dtype: str):
    """Take steps of the course's own training loop."""
    import torch

    from utils.model import GPT2

    torch.manual_seed(0)
    return our_steps(GPT2(config), batch, context, dtype)


def our_steps(model, batch: int, context: int, dtype: str):
    """Return a turn that is one step of a model in the course's own loop, on random tokens."""
    import torch

    from utils.batches import Batches
    from utils.training.config import TrainConfig
    from utils.training.data import TrainingData
    from utils.training.distributed import World
    from utils.training.loop import Trainer
    from utils.training.malloc import KeepFreedMemory

    tokens = torch.randint(model.config.vocab_size, (20 * batch * context,))
    data = TrainingData(Batches(tokens, batch, context))
    settings = TrainConfig(context=context, batch_size=batch, dtype=dtype)
    KeepFreedMemory().__enter__()  # as train() does, here until the contestant ends
    trainer = Trainer(model.train(), data, settings, World())
    return lambda: {SPEED: batch * context / timed(trainer.step)}


def peer(config: GPT2Config, batch: int, context: int, dtype: str):
    """Take the same steps with transformers' GPT-2 and a loop of the usual form."""
    import torch

    torch.manual_seed(0)
    return peer_steps(plain_peer(config), batch, context, dtype)


def peer_steps(model, batch: int, context: int, dtype: str):
    """Return a turn that is one step of transformers' model, or peft's around it, in a loop of the usual form."""
    import torch

    learned = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step() -> None:
        tokens = torch.randint(model.config.vocab_size, (batch, context))
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        float(torch.nn.utils.clip_grad_norm_(learned, 1.0))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda: {SPEED: batch * context / timed(step)}


def plain_peer(config: GPT2Config):
    """Return transformers' GPT-2 of a shape, with random weights and without dropout."""
    from transformers import GPT2Config as PeerConfig
    from transformers import GPT2LMHeadModel

    shape = PeerConfig(n_layer=config.n_layer, n_head=config.n_head, n_embd=config.n_embd, use_cache=False)
    shape.vocab_size, shape.n_positions = config.vocab_size, config.context
    shape.resid_pdrop = shape.embd_pdrop = shape.attn_pdrop = 0.0
    return GPT2LMHeadModel(shape)
