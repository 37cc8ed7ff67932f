"""The capstone by libraries and by the course's own rooms: another right way, which every check has to accept."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from utils.config import GPT2Config
from utils.loaders import load_gpt2
from utils.model import GPT2, MLP, Attention, Block
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import QuantizedLinear
from utils.sampling import Sampling
from utils.sampling import generate as generate_rows

OURS = {"c_attn": "qkv", "c_fc": "up", "ln_1": "norm1", "ln_2": "norm2", "attn": "attention", "mlp": "mlp"}


def embed(tokens, token_table, position_table, first=0):
    return F.embedding(tokens, token_table) + position_table[first:][: tokens.shape[1]]


def layer_norm(x, weight, bias):
    return F.layer_norm(x, weight.shape, weight, bias)


def gelu(x):
    return nn.GELU(approximate="tanh")(x)


def called(module, weights, x, last="out"):
    """Call one of the course's modules with weights of the hub's names and layout."""
    renamed = {}
    for name, weight in weights.items():
        *path, kind = name.split(".")
        down = "down" if "mlp" in path or last == "down" else "out"
        place = [{**OURS, "c_proj": down}[part] for part in path]
        renamed[".".join([*place, kind])] = weight.T if weight.dim() == 2 else weight
    return functional_call(module, renamed, (x,))


def shape(x, n_head=1):
    return GPT2Config(1, n_head, x.shape[-1], vocab_size=8, context=x.shape[1])


def attention(x, weights, n_head):
    return called(Attention(shape(x, n_head), 0), weights, x)


def mlp(x, weights):
    return called(MLP(shape(x)), weights, x, "down")


def block(x, weights, n_head):
    return called(Block(shape(x, n_head), 0), weights, x)


def load_model(folder):
    return load_gpt2(folder)


def logits(model, tokens):
    return model(tokens)


def loss(logits, targets):
    return F.cross_entropy(logits.transpose(1, 2), targets)


def generate(model, tokens, count):
    rows = generate_rows(model, tokens.tolist(), Sampling(max_new=count, temperature=0, stop=()))
    return torch.cat([tokens, torch.tensor(rows)], dim=1)


def new_model(n_layer, n_head, width, vocab, context):
    return GPT2(GPT2Config(n_layer, n_head, width, vocab, context))


def parameters(model):
    return list(model.parameters())


def adamw_step(parameters, gradients, state, rate, decay):
    if not state:
        state["optimizer"] = torch.optim.AdamW(parameters, betas=(0.9, 0.95), eps=1e-8)
    state["optimizer"].param_groups[0].update(lr=rate, weight_decay=decay)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    state["optimizer"].step()


def clip_gradients(gradients, limit):
    norm = nn.utils.get_total_norm(gradients)
    for gradient in gradients:
        gradient.mul_(torch.clamp(limit / (norm + 1e-6), max=1.0))
    return norm


def lora_linear(x, weight, bias, a, b, alpha):
    return F.linear(x, weight.T, bias) + F.linear(F.linear(x, a.T), b.T) * (alpha / len(b))


def pack4(weight, group):
    return QuantizedLinear.of(quantize(weight.T.contiguous(), Grid(4, group)))


def linear4(x, packed, bias):
    return packed(x) + bias
