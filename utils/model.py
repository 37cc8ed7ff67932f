"""GPT-2 in one file, in the order in which a token travels through it.

Shapes in comments: batch, time (positions), width (n_embd), head, vocab.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from utils.config import LOSS_CHUNK, GPT2Config
from utils.errors import CourseError
from utils.machine import cpu_linear, looks_back_in_float32


class Linear(nn.Linear):
    """A linear layer; on a CPU it takes the fastest way through its weights, which is not always PyTorch's first."""

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        multiply = cpu_linear if x.device.type == "cpu" else F.linear
        return multiply(x, self.weight, self.bias)


class Embedding(nn.Embedding):
    """A table of rows; one on the meta device is left alone, since its weights come from a file."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:  # drawing meta numbers would import 80 MB of PyTorch's compiler
            super().reset_parameters()


class KeyValueCache:
    """Keys and values of every token so far, so that a new token costs one position and not all of them."""

    def __init__(self, config: GPT2Config, batch: int, length: int, like: Tensor) -> None:
        shape = (config.n_layer, 2, batch, config.n_head, length, config.head_width)
        dtype = like.dtype  # a CPU looks back faster in float32 than in 16 bits
        if like.device.type == "cpu" and dtype in (torch.float16, torch.bfloat16):
            dtype = torch.float32
        self.store = torch.empty(shape, dtype=dtype, device=like.device)
        self.used = 0  # positions that hold something

    @property
    def length(self) -> int:
        return self.store.shape[-2]

    def append(self, layer: int, kv: Tensor) -> Tensor:
        """Keep keys and values (2, batch, head, time, head width) of new tokens and return those of all tokens."""
        end = self.used + kv.shape[-2]
        if end > self.length:  # a slice would drop the token and say nothing
            raise CourseError(f"The cache holds {self.length} tokens, {end} are needed. Make a longer one.")
        store = self.store[layer]
        store[..., self.used : end, :] = kv
        return store[..., :end, :]


class Attention(nn.Module):
    """Every token looks back at the tokens before it and takes from them what it needs."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.n_head, self.layer = config.n_head, layer
        self.qkv = Linear(config.n_embd, 3 * config.n_embd)
        self.out = Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        batch, time, width = x.shape
        qkv = self.qkv(x).view(batch, time, 3, self.n_head, width // self.n_head).permute(2, 0, 3, 1, 4)
        if looks_back_in_float32(qkv):
            qkv = qkv.float()
        if qkv.stride(-1) != 1:  # attention without a (time, time) matrix wants each head's numbers side by side
            qkv = qkv.contiguous()
        q, k, v = qkv.unbind()  # each (batch, head, time, head width)
        if cache is not None:
            k, v = cache.append(self.layer, qkv[1:])  # (batch, head, past + time, head width)
        causal = mask is None and time > 1  # a single new token may look at everything before it
        y = F.scaled_dot_product_attention(q.to(k.dtype), k, v, attn_mask=mask, is_causal=causal)
        return self.out(y.transpose(1, 2).reshape(batch, time, width).to(x.dtype))


class MLP(nn.Module):
    """Every token thinks for itself: four times as wide, bent by GELU, and back."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.up = Linear(config.n_embd, 4 * config.n_embd)
        self.down = Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:  # (batch, time, width)
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and MLP, each reading a normed copy of the residual stream and adding to it."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.n_embd)
        self.attention = Attention(config, layer)
        self.norm2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), cache, mask)
        return x + self.mlp(self.norm2(x))


class GPT2(nn.Module):
    """The whole network: tokens (batch, time) in, logits (batch, time, vocab) or a loss out."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.recompute = False  # in training: forget what happened within blocks, and compute it again backwards
        self.origin = ""  # the size, folder or file that the weights came from
        self.token_embedding = Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = Embedding(config.context, config.n_embd)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.head = Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie_head()
        if not self.token_embedding.weight.is_meta:
            self.initialize()

    def tie_head(self) -> None:
        """Let the head use the token embedding's own storage."""
        self.head.weight = self.token_embedding.weight

    @torch.no_grad()
    def initialize(self) -> None:
        """Draw GPT-2's starting weights: 0.02, and 0.02/√(2·layers) where a block adds to the residual stream."""
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                weight.normal_(0, 0.02 / math.sqrt(2 * self.config.n_layer))
            elif weight.dim() == 2:
                weight.normal_(0, 0.02)
            elif name.endswith("bias"):
                weight.zero_()

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        cache: KeyValueCache | None = None,
        padding: Tensor | None = None,
        divisor: Tensor | None = None,
    ) -> Tensor:
        """Return logits, or with `targets` (batch, time) the mean loss; targets of -100 don't count.

        `padding` (batch,) says how many positions at the left of each row hold no text; `divisor`
        replaces the number of targets in the mean, for batches that are cut into parts.
        """
        x = self.residual_stream(tokens, cache, padding)
        if targets is not None:
            return chunked_cross_entropy(x.flatten(0, 1), self.head.weight, targets.flatten(), divisor)
        if cache is not None:
            x = x[:, -1:]  # only the next token is wanted
        return self.head(x)

    def residual_stream(
        self, tokens: Tensor, cache: KeyValueCache | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """Return what the head reads: (batch, time, width) after the last block and the final norm."""
        past = cache.used if cache is not None else 0
        time = tokens.shape[1]
        self.check_length(past + time)
        positions = torch.arange(past, past + time, device=tokens.device)  # (time,)
        mask = None
        if padding is not None:
            positions = (positions - padding[:, None]).clamp(min=0)  # (batch, time)
        if padding is not None or (past and time > 1):
            mask = attention_mask(past, time, padding, tokens.device)
        x = self.token_embedding(tokens) + self.position_embedding(positions)  # (batch, time, width)
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, cache, mask, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, cache, mask)
        if cache is not None:
            cache.used += time
        return self.final_norm(x)

    def check_length(self, length: int) -> None:
        """Refuse a text that is longer than the learned positions."""
        if length > self.config.context:
            raise CourseError(
                f"The text has {length} tokens, this model knows positions for {self.config.context}. "
                "Shorten it, or let `generate(..., window=True)` slide a window over it."
            )

    def new_cache(self, batch: int = 1, length: int | None = None) -> KeyValueCache:
        """Return an empty cache for `batch` texts of at most `length` tokens."""
        return KeyValueCache(self.config, batch, length or self.config.context, self.final_norm.weight)

    @property
    def device(self) -> torch.device:
        return self.final_norm.weight.device


def attention_mask(past: int, time: int, padding: Tensor | None, device: torch.device) -> Tensor:
    """Return True where a token may look: (batch or 1, 1, time, past + time), causal and never at padding."""
    here = torch.arange(past, past + time, device=device)[:, None]  # (time, 1) positions that look
    there = torch.arange(past + time, device=device)[None, :]  # (1, past + time) positions looked at
    mask = (there <= here)[None, None]
    if padding is None:
        return mask
    seen = there[None, None] >= padding[:, None, None, None]
    return (mask & seen) | (there == here)[None, None]  # padding looks at itself, so no row is empty


def crop_context(model: GPT2, context: int) -> GPT2:
    """Shorten the learned positions of `model` to `context`, in place."""
    if not 1 <= context <= model.config.context:
        raise CourseError(f"context {context} was asked for, this model can be cropped to 1–{model.config.context}.")
    weight = model.position_embedding.weight[:context].detach().clone()
    model.position_embedding = Embedding.from_pretrained(weight, freeze=False)
    model.config = GPT2Config(**{**model.config.__dict__, "context": context})
    return model


@torch.no_grad()
def record_activations(model: GPT2, tokens: Tensor) -> dict[str, Tensor]:
    """Run `tokens` (batch, time) and return every module's output by name, attention patterns included.

    `blocks.0.attention.pattern` (batch, head, time, time) says how much each token looks at each other one.
    """
    records: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            records[name] = output.detach()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    try:
        records["logits"] = model(tokens)
    finally:
        for handle in handles:
            handle.remove()
    for layer in range(model.config.n_layer):
        qkv = records[f"blocks.{layer}.attention.qkv"]
        records[f"blocks.{layer}.attention.pattern"] = attention_pattern(qkv, model.config.n_head)
    return records


def attention_pattern(qkv: Tensor, n_head: int) -> Tensor:
    """Return softmax(q·k/√width) under the causal mask from qkv (batch, time, 3·width): (batch, head, time, time)."""
    batch, time, triple = qkv.shape
    q, k, _ = qkv.view(batch, time, 3, n_head, triple // 3 // n_head).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~attention_mask(0, time, None, qkv.device), -math.inf).softmax(-1)


def weight_bytes(model: GPT2) -> int:
    """Return the bytes of all weights in memory, what is shared counted once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


IGNORE = -100  # a target that does not count, PyTorch's own convention


def chunked_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Return the summed loss of x (tokens, width) · weightᵀ (width, vocab) against targets, over `divisor`.

    Without a divisor the sum is divided by the number of targets that count, which makes it the mean.
    """
    if divisor is None:
        divisor = (targets != IGNORE).sum().clamp(min=1)
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    if not torch.is_grad_enabled():  # inside of the function it is always off, so it can't ask by itself
        x, weight = x.detach(), weight.detach()
    return _ChunkedCrossEntropy.apply(x, weight, targets, divisor, dtype)


def loss_and_error(logits: Tensor, targets: Tensor, wants_error: bool) -> tuple[Tensor, Tensor | None]:
    """Return the summed loss of logits (chunk, vocab) and its gradient, softmax − one-hot, in the logits' own place."""
    counts = (targets != IGNORE)[:, None]
    ids = targets[:, None].where(counts, 0)
    right, top = logits.gather(1, ids), logits.amax(-1, keepdim=True)
    shares = logits.sub_(top).exp_()  # of a softmax, not yet divided by their sum
    sums = shares.sum(-1, keepdim=True)
    loss = ((sums.log() + top - right) * counts).sum()
    if not wants_error:
        return loss, None
    return loss, shares.mul_(counts / sums).scatter_add_(1, ids, -counts.to(shares.dtype))


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, targets: Tensor, divisor: Tensor, dtype: torch.dtype) -> Tensor:
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x) if wants_x else None
        grad_weight = None  # the first chunk's part becomes the sum
        x16, weight16 = x.to(dtype), weight.to(dtype)  # no copy when the dtype is already right
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        for rows in torch.arange(len(x), device="cpu").split(LOSS_CHUNK):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            loss, error = loss_and_error((x16[part] @ weight16.T).float(), targets[part], wants_x or wants_weight)
            total += loss
            if error is None:
                continue
            error = error.to(dtype)
            if wants_x:
                grad_x[part] = (error @ weight16).to(x.dtype)
            if not wants_weight:
                continue
            if grad_weight is None:
                grad_weight = (error.T @ x16[part]).to(weight.dtype)
            elif dtype == weight.dtype:
                grad_weight.addmm_(error.T, x16[part])  # no product as large as the head beside the sum
            else:
                grad_weight += error.T @ x16[part]
        ctx.grads = [divisor, grad_x, grad_weight]  # not saved_tensors: who holds them alone need not copy them
        return total / divisor

    @staticmethod
    def backward(ctx, grad: Tensor):
        if ctx.grads is None:
            raise CourseError("This loss has been taken backwards before, expected once. Compute it again first.")
        (divisor, *grads), ctx.grads = ctx.grads, None
        scale = grad / divisor  # not before: a softmax over thousands of targets is 0 in float16
        return (*(None if part is None else part.mul_(scale) for part in grads), None, None, None)
