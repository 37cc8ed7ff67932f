"""GPT-2 whole, in one file: one of many ways to fill the learner's empty one.

Weights are a dictionary of tensors under the names that GPT-2's own files use, so that loading is a copy and a name
says which line reads it. A matrix is (inputs, outputs) there: y = x · W + b.
Shapes in comments: batch, time (positions), width, head, vocab.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

BETAS, EPSILON = (0.9, 0.95), 1e-8
IGNORE = -100  # a target that does not count


# The parts


def embed(tokens: Tensor, token_table: Tensor, position_table: Tensor, first: int = 0) -> Tensor:
    positions = torch.arange(first, first + tokens.shape[-1])
    return token_table[tokens] + position_table[positions]  # (batch, time, width)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)  # (batch, time, 1)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(x: Tensor, weights: dict[str, Tensor], n_head: int, cache: list | None = None) -> Tensor:
    batch, time, width = x.shape
    parts = linear(x, weights, "c_attn").split(width, dim=-1)  # queries, keys, values: (batch, time, width)
    q, k, v = (each.view(batch, time, n_head, -1).transpose(1, 2) for each in parts)  # (batch, head, time, width/head)
    past = 0
    if cache is not None:
        if cache:
            past = cache[0].shape[-2]
            k, v = torch.cat([cache[0], k], dim=-2), torch.cat([cache[1], v], dim=-2)
        cache[:] = [k, v]
    scores = q @ k.transpose(-2, -1) / math.sqrt(width // n_head)  # (batch, head, time, past + time)
    future = torch.ones(time, past + time, dtype=torch.bool).triu(past + 1)
    pattern = scores.masked_fill(future, -math.inf).softmax(-1)
    y = (pattern @ v).transpose(1, 2).reshape(batch, time, width)  # the heads side by side
    return linear(y, weights, "c_proj")


def mlp(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    return linear(gelu(linear(x, weights, "c_fc")), weights, "c_proj")


def under(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(name): value for key, value in weights.items() if key.startswith(name)}


def norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return layer_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def block(x: Tensor, weights: dict[str, Tensor], n_head: int, cache: list | None = None) -> Tensor:
    x = x + attention(norm(x, weights, "ln_1"), under(weights, "attn."), n_head, cache)
    return x + mlp(norm(x, weights, "ln_2"), under(weights, "mlp."))


# The model


@dataclass
class GPT2:
    weights: dict[str, Tensor]
    n_layer: int
    n_head: int

    def logits(self, tokens: Tensor, caches: list[list] | None = None) -> Tensor:
        first = caches[0][0].shape[-2] if caches and caches[0] else 0
        x = embed(tokens, self.weights["wte.weight"], self.weights["wpe.weight"], first)
        for layer in range(self.n_layer):
            cache = None if caches is None else caches[layer]
            x = block(x, under(self.weights, f"h.{layer}."), self.n_head, cache)
        if caches is not None:
            x = x[:, -1:]  # only the next token is wanted
        return norm(x, self.weights, "ln_f") @ self.weights["wte.weight"].T  # (batch, time, vocab)


def load_model(folder: str | Path) -> GPT2:
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    weights = load_file(Path(folder) / "model.safetensors")
    return GPT2({name: value.float() for name, value in weights.items()}, config["n_layer"], config["n_head"])


def new_model(n_layer: int, n_head: int, width: int, vocab: int, context: int) -> GPT2:
    shapes = {"wte.weight": (vocab, width), "wpe.weight": (context, width)}
    for layer in range(n_layer):
        h = f"h.{layer}."
        shapes |= {f"{h}ln_1.weight": (width,), f"{h}ln_1.bias": (width,)}
        shapes |= {f"{h}attn.c_attn.weight": (width, 3 * width), f"{h}attn.c_attn.bias": (3 * width,)}
        shapes |= {f"{h}attn.c_proj.weight": (width, width), f"{h}attn.c_proj.bias": (width,)}
        shapes |= {f"{h}ln_2.weight": (width,), f"{h}ln_2.bias": (width,)}
        shapes |= {f"{h}mlp.c_fc.weight": (width, 4 * width), f"{h}mlp.c_fc.bias": (4 * width,)}
        shapes |= {f"{h}mlp.c_proj.weight": (4 * width, width), f"{h}mlp.c_proj.bias": (width,)}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    weights = {name: starting_weight(name, shape, n_layer).requires_grad_() for name, shape in shapes.items()}
    return GPT2(weights, n_layer, n_head)


def starting_weight(name: str, shape: tuple[int, ...], n_layer: int) -> Tensor:
    if name.endswith("c_proj.weight"):  # what a block adds to the residual stream
        return torch.randn(shape) * 0.02 / math.sqrt(2 * n_layer)
    if len(shape) == 2:
        return torch.randn(shape) * 0.02
    return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)


@torch.no_grad()
def generate(model: GPT2, tokens: Tensor, count: int) -> Tensor:
    caches: list[list] = [[] for _ in range(model.n_layer)]
    text = new = tokens
    for _ in range(count):
        new = model.logits(new, caches)[:, -1].argmax(-1, keepdim=True)  # (batch, 1)
        text = torch.cat([text, new], dim=1)
    return text


# Training


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    counted = targets != IGNORE
    logits, targets = logits[counted], targets[counted]  # (tokens, vocab), (tokens,)
    right = logits.gather(-1, targets[:, None])[:, 0]
    return (logits.logsumexp(-1) - right).mean()


@torch.no_grad()
def adamw_step(parameters: list[Tensor], gradients: list[Tensor], state: dict, rate: float, decay: float) -> None:
    state.setdefault("moments", [(torch.zeros_like(each), torch.zeros_like(each)) for each in parameters])
    step = state["step"] = state.get("step", 0) + 1
    for parameter, gradient, (first, second) in zip(parameters, gradients, state["moments"], strict=True):
        first.lerp_(gradient, 1 - BETAS[0])
        second.lerp_(gradient.square(), 1 - BETAS[1])
        mean, square = first / (1 - BETAS[0] ** step), second / (1 - BETAS[1] ** step)
        parameter.mul_(1 - rate * decay)
        parameter.sub_(rate * mean / (square.sqrt() + EPSILON))


@torch.no_grad()
def clip_gradients(gradients: list[Tensor], limit: float) -> float:
    length = float(sum(each.square().sum() for each in gradients) ** 0.5)
    if length > limit:
        for each in gradients:
            each.mul_(limit / length)
    return length


# With less


def lora_linear(x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return x @ weight + bias + alpha / a.shape[1] * (x @ a @ b)


@dataclass
class Packed:
    codes: Tensor  # (groups, group / 2, outputs): two weights a byte
    scales: Tensor  # (groups, 1, outputs) of float16


def pack4(weight: Tensor, group: int) -> Packed:
    groups = weight.unflatten(0, (-1, group))  # (groups, group, outputs)
    scales = (groups.abs().amax(1, keepdim=True) / 7).half().clamp(min=2**-24)
    codes = (groups / scales.float()).round().clamp(-8, 7).add(8).to(torch.uint8)
    return Packed(codes[:, 0::2] | codes[:, 1::2] << 4, scales)


def linear4(x: Tensor, packed: Packed, bias: Tensor) -> Tensor:
    codes = torch.stack([packed.codes & 15, packed.codes >> 4], dim=2).flatten(1, 2)  # (groups, group, outputs)
    weight = (codes.float() - 8) * packed.scales.float()
    return x @ weight.flatten(0, 1) + bias
