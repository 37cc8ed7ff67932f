"""Small models and measuring instruments that several test files share."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from utils.config import GPT2Config
from utils.files.places import ROOT
from utils.model import GPT2

TINY = GPT2Config(n_layer=2, n_head=4, n_embd=32, vocab_size=97, context=24)


@torch.no_grad()
def lively(model: torch.nn.Module, seed: int = 0, spread: float = 0.15) -> torch.nn.Module:
    """Move every weight away from its start, biases and norms too, so that none may be lost or swapped."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=spread)
    return model.eval()


def tiny_model(config: GPT2Config = TINY, seed: int = 0, spread: float = 0.15) -> GPT2:
    """Return a tiny model whose every tensor matters."""
    torch.manual_seed(seed)
    return lively(GPT2(config), seed, spread)


def on_meta(config: GPT2Config) -> GPT2:
    """Return a model of shapes alone, without memory for its weights."""
    with torch.device("meta"):
        return GPT2(config)


def same_weights(a: GPT2, b: GPT2) -> bool:
    """Say whether two models have the same parameters, to the last bit."""
    mine, other = dict(a.named_parameters()), dict(b.named_parameters())
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def random_tokens(batch: int, time: int, vocab: int = TINY.vocab_size, seed: int = 0) -> Tensor:
    """Return tokens (batch, time), the same ones for the same seed."""
    return torch.randint(vocab, (batch, time), generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Difference:
    """How far two sets of logits are apart, and how often they agree on the likeliest token."""

    largest: float
    root_mean_square: float
    same_choice: float


def compare_logits(a: Tensor, b: Tensor) -> Difference:
    """Compare logits (…, vocab) of two models on the same tokens."""
    assert a.shape == b.shape
    error, agree = a.float() - b.float(), (a.argmax(-1) == b.argmax(-1)).float().mean()
    return Difference(float(error.abs().max()), float(error.square().mean().sqrt()), float(agree))


class LargestTensor(TorchDispatchMode):
    """Remembers how many values the largest tensor has that PyTorch makes meanwhile."""

    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        new = [leaf.numel() for leaf in made if leaf.untyped_storage()._cdata not in given]  # and not a view
        self.values = max([self.values, *new])
        return result


def peak_bytes(work: Callable[[], object], folder: Path) -> int:
    """Return how many bytes PyTorch's allocator had given out on the CPU at the fullest moment of `work`."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    profiled.export_chrome_trace(str(folder / "trace.json"))
    trace = json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    steps = [(event["ts"], event["args"]["Bytes"]) for event in trace if event["name"] == "[memory]"]
    return max(accumulate(size for _, size in sorted(steps, key=lambda step: step[0])))


def theirs(config: GPT2Config, seed: int = 0, spread: float = 0.0):
    """Return a GPT-2 of `transformers` with random weights: the reference that we did not write."""
    import transformers

    settings = transformers.GPT2Config(
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        vocab_size=config.vocab_size,
        n_positions=config.context,
        bos_token_id=config.vocab_size - 1,
        eos_token_id=config.vocab_size - 1,
    )
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(settings).eval()
    return lively(model, seed, spread) if spread else model


LOADING_PEAK = """
import sys, torch
from pathlib import Path
from utils.loaders import load_gpt2
def memory(kind):
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))
for warm_up in sys.argv[2:]:
    load_gpt2(warm_up)  # what PyTorch allocates once
Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
before = memory("VmRSS")
model = load_gpt2(sys.argv[1])
print((memory("VmHWM") - before) / sum(p.nbytes for p in model.parameters()))
"""


def child(code: str, *words: str) -> str:
    """Run Python code in a process of its own and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loading_peak(path: Path, *warm_ups: Path) -> float:
    """Return the peak of loading a model in a process of its own, as a multiple of its weights' bytes."""
    return float(child(LOADING_PEAK, str(path), *map(str, warm_ups)))


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
