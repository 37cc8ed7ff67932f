"""Sizes of GPT-2 and the arithmetic that follows from them: parameters, bytes, FLOPs, what a cluster takes.

Lessons 00 and 16 build it. FLOPs a token: Chowdhery et al. 2022 (PaLM, appendix B), arXiv:2204.02311; the best
split of operations: Hoffmann et al. 2022 (Chinchilla), arXiv:2203.15556.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass

from utils.errors import CourseError

LOSS_CHUNK = 512  # tokens whose logits exist at one time while the loss is computed
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int4": 0.5}

# Dense peaks in FLOP/s from the makers' data sheets, by a word in the device's name and by dtype. Longest name first.
PEAK_FLOPS = {
    "H200": {"bfloat16": 989e12, "float16": 989e12, "float32": 67e12},
    "H100 PCIe": {"bfloat16": 756e12, "float16": 756e12, "float32": 51e12},
    "H100": {"bfloat16": 989e12, "float16": 989e12, "float32": 67e12},
    "A100": {"bfloat16": 312e12, "float16": 312e12, "float32": 19.5e12},
    "L40S": {"bfloat16": 362e12, "float16": 362e12, "float32": 91.6e12},
    "L4": {"bfloat16": 121e12, "float16": 121e12, "float32": 30.3e12},
    "A10G": {"bfloat16": 70e12, "float16": 70e12, "float32": 35e12},
    "V100": {"float16": 125e12, "float32": 15.7e12},
    "T4": {"float16": 65e12, "float32": 8.1e12},
}


@dataclass(frozen=True)
class GPT2Config:
    """The shape of one GPT-2."""

    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    vocab_size: int = 50257
    context: int = 1024
    dropout: float = 0.0  # share of numbers set to 0 at random while it trains; no file that is loaded sets it

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "dropout" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise CourseError(f"{name} is {value!r}, expected a whole number of at least 1.")
        if not isinstance(self.dropout, float | int) or not 0 <= self.dropout < 1:
            raise CourseError(f"dropout is {self.dropout!r}, expected 0 or more, and below 1.")
        if self.n_embd % self.n_head:
            raise CourseError(
                f"n_embd {self.n_embd} can't be shared out among n_head {self.n_head} heads. "
                f"Choose a number of heads that divides {self.n_embd}."
            )

    @property
    def head_width(self) -> int:
        return self.n_embd // self.n_head


SIZES = {
    "nano": GPT2Config(6, 4, 256),
    "small": GPT2Config(12, 12, 768),
    "medium": GPT2Config(24, 16, 1024),
    "large": GPT2Config(36, 20, 1280),
    "xl": GPT2Config(48, 25, 1600),
}


def count_parameters(config: GPT2Config) -> dict[str, int]:
    """Count the parameters of each part; the head shares the token embedding and adds none.

    >>> sum(count_parameters(SIZES["small"]).values())
    124439808
    """
    n, width = config.n_layer, config.n_embd
    return {
        "token embedding": config.vocab_size * width,
        "position embedding": config.context * width,
        "attention": n * (4 * width * width + 4 * width),  # qkv and out, with biases
        "mlp": n * (8 * width * width + 5 * width),  # up and down, with biases
        "norms": (2 * n + 1) * 2 * width,  # two in each block, one at the end: scale and shift
    }


def total_parameters(config: GPT2Config) -> int:
    """Return the number of parameters of the whole network."""
    return sum(count_parameters(config).values())


@dataclass(frozen=True)
class Workload:
    """What is done with a model: how many sequences of how many tokens, in which dtype and where, and if it trains."""

    batch: int = 1
    context: int = 1024
    dtype: str = "float32"
    training: bool = False
    device: str = "cpu"  # or cuda, mps


def estimate_memory(config: GPT2Config, work: Workload = Workload()) -> dict[str, int]:
    """Estimate the bytes of each kind of memory that `work` needs; weights and cache are exact.

    Without training, `work` reads one prompt of its whole context and has the next token computed.
    Training keeps float32 weights, gradients and two AdamW moments whatever the dtype of its products.
    """
    if work.dtype not in BYTES:
        raise CourseError(f"dtype {work.dtype!r} is unknown, expected one of {', '.join(BYTES)}.")
    if not 1 <= work.context <= config.context or work.batch < 1:
        raise CourseError(
            f"batch {work.batch} with context {work.context} can't be, expected a batch of at least 1 "
            f"and a context from 1 to {config.context}."
        )
    parameters, tokens = total_parameters(config), work.batch * work.context
    size = BYTES[work.dtype]
    if not work.training:
        cache = 2 * config.n_layer * config.n_embd * tokens * _cache_size(work)
        activations = _reading_bytes(config, work)
        return {"weights": int(parameters * size), "key/value cache": cache, "activations": activations}
    return {
        "weights": 4 * parameters,
        "gradients": 4 * parameters,
        "optimizer": 8 * parameters,
        "activations": _activation_bytes(config, tokens, max(size, 2)),
    }


def _cache_size(work: Workload) -> int:
    """Bytes of one number in the cache: int8 and int4 are for weights, and on a CPU attention reads float32."""
    return 4 if work.device == "cpu" or work.dtype == "float32" else 2


def _reading_bytes(config: GPT2Config, work: Workload) -> int:
    """Bytes of what exists while a prompt is read, at its fullest moment: inside of an MLP, or at the head."""
    width, tokens, size = config.n_embd, work.batch * work.context, _cache_size(work)
    # widths of each token: the stream before and after attention 2, its norm 1, the MLP without and with its bias 8
    inside = 11 * tokens * width * size
    logits = 2 * work.batch * config.vocab_size * size
    copies = 0
    if work.device == "cpu" and work.dtype in ("float16", "bfloat16"):  # a matrix is widened to float32 for its product
        copies = 4 * width * 4 * width
        logits += 4 * config.vocab_size * width if work.batch > 1 else 0  # one row is multiplied as it is
    return max(inside + copies, logits)


def _activation_bytes(config: GPT2Config, tokens: int, size: float) -> int:
    """Bytes kept for the backward pass at its fullest moment, while the loss is computed."""
    width, n = config.n_embd, config.n_layer
    # widths of each token and block: norms 2, qkv 3, attention 1, up 4, gelu 4; and 2 inputs of norms in float32
    blocks = n * tokens * width * (14 * size + 2 * 4)
    ends = 3 * tokens * width * 4  # final norm: input, output and its gradient
    logits = min(tokens, LOSS_CHUNK) * config.vocab_size * size  # a chunk of logits becomes its own gradient
    product = config.vocab_size * width * 4  # what the chunks add up to for the head, in float32
    matrices = 12 * n * width * width + config.vocab_size * width
    copies = matrices * size if size < 4 else 0  # of the float32 weights, in 16 bits
    return int(blocks + ends + logits + product + copies)


def flops_per_token(config: GPT2Config, context: int | None = None) -> int:
    """FLOPs for one token, forward and backward: 6·N + 12·L·H·Q·T (layers, heads, head width, context).

    >>> flops_per_token(SIZES["small"], 1024)
    859885056
    """
    length = context or config.context
    attention = 12 * config.n_layer * config.n_head * config.head_width * length
    return 6 * total_parameters(config) + attention


def peak_flops(device_name: str, dtype: str) -> float | None:
    """Return the device's dense peak in FLOP/s, or None when it is not in the table."""
    if re.search(r"\bMIG\b", device_name):  # a slice of a GPU, whose share the name does not tell
        return None
    for name, peaks in PEAK_FLOPS.items():
        if re.search(rf"\b{name}\b", device_name.replace("-", " "), re.IGNORECASE):
            return peaks.get(dtype)
    return None


def format_bytes(count: float) -> str:
    """Write a number of bytes for people.

    >>> format_bytes(497_759_232)
    '498 MB'
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 999.5 * size else f"{count / size:,.0f} {unit}"
    return f"{count:.0f} bytes"


TOKENS_PER_PARAMETER = 20  # Chinchilla: 70 billion parameters, 1.4 trillion tokens


def best_split(flops: float) -> tuple[float, float]:
    """Compute-optimal training (Chinchilla): the parameters and tokens that make the most of 6·N·D operations.

    >>> best_split(6 * 1000 * 20_000)
    (1000.0, 20000.0)
    """
    parameters = math.sqrt(flops / (6 * TOKENS_PER_PARAMETER))
    return parameters, TOKENS_PER_PARAMETER * parameters


@dataclass(frozen=True)
class Cluster:
    """Devices that train together, and what one of them can do."""

    devices: int
    peak: float  # FLOP/s of one device
    mfu: float  # share of the peak that it reaches while it computes; measured, or a guess
    bandwidth: float  # bytes/s that it can send while it receives as many


def held_bytes(config: GPT2Config, devices: int = 1, parallel: str = "ddp") -> dict[str, float]:
    """Return the bytes of weights, gradients and optimizer that each device keeps between two steps."""
    whole = estimate_memory(config, Workload(training=True))
    share = devices if parallel == "fsdp" else 1
    return {name: whole[name] / share for name in ("weights", "gradients", "optimizer")}


def sent_bytes(config: GPT2Config, devices: int, parallel: str = "ddp") -> float:
    """Return the bytes that each device sends in one step, in float32.

    DDP adds gradients up and hands the sums around, which is two passes; FSDP gathers weights for the way forward
    and again for the way back, and adds gradients up once. In a pass a device sends all parts but one.
    """
    passes = 2 if parallel == "ddp" else 3
    return passes * 4 * total_parameters(config) * (devices - 1) / devices


def step_seconds(config: GPT2Config, cluster: Cluster, tokens: int, parallel: str = "ddp") -> tuple[float, float]:
    """Return the seconds that each device computes and that it sends in one step of `tokens` tokens in all."""
    computing = flops_per_token(config) * tokens / cluster.devices / (cluster.peak * cluster.mfu)
    return computing, sent_bytes(config, cluster.devices, parallel) / cluster.bandwidth
