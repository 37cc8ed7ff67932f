"""GPT-2, a decoder-only Transformer in one file, in the order in which a token travels through it.

Lessons 02 and 03 build this by hand. What it follows:
Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762: attention, residual stream, tied embeddings;
Hendrycks and Gimpel 2016, arXiv:1606.08415: GELU, of which GPT-2 takes the tanh form;
Xiong et al. 2020, arXiv:2002.04745: why the norm stands before each part (pre-norm);
Srivastava et al. 2014, "Dropout", JMLR 15, where GPT-2 has it: embeddings, attention weights, what each part adds;
Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": sizes, starting weights, byte-level BPE.

Shapes in comments: batch, time (positions), width (n_embd), head, vocab.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import LinearCrossEntropyOptions
from torch.utils.checkpoint import checkpoint

from utils.config import LOSS_CHUNK, GPT2Config
from utils.errors import CourseError
from utils.machine import Embedding

IGNORE = -100  # a target that does not count, PyTorch's own convention


def drop(x: Tensor, part: GPT2 | Attention | MLP) -> Tensor:
    """Dropout: while a part trains, set its share of numbers to 0 and scale the others up, so that the mean stays."""
    return F.dropout(x, part.dropout) if part.training and part.dropout else x


class KeyValueCache:
    """KV cache: keys and values of every token so far, so that a new token costs one position and not all of them."""

    def __init__(self, config: GPT2Config, batch: int, length: int, like: Tensor) -> None:
        shape = (config.n_layer, 2, batch, config.n_head, length, config.head_width)
        self.store = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.used = 0  # positions that hold something

    @property
    def length(self) -> int:
        return self.store.shape[-2]

    def append(self, layer: int, k: Tensor, v: Tensor) -> Tensor:
        """Keep keys and values (batch, head, time, head width) of new tokens and return those of all tokens so far."""
        end = self.used + k.shape[-2]
        if end > self.length:  # a slice would drop the token and say nothing
            raise CourseError(f"The cache holds {self.length} tokens, {end} are needed. Make a longer one.")
        store = self.store[layer]  # (2, batch, head, length, head width)
        store[0, ..., self.used : end, :] = k
        store[1, ..., self.used : end, :] = v
        return store[..., :end, :]  # (2, batch, head, past + time, head width)


class Attention(nn.Module):
    """Multi-head causal self-attention: every token looks back at those before it and takes what it needs."""

    attend: Callable[..., Tensor] = staticmethod(F.scaled_dot_product_attention)  # softmax(q·kᵀ/√width)·v

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.n_head, self.layer, self.dropout = config.n_head, layer, config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        batch, time, width = x.shape
        qkv = self.qkv(x)  # (batch, time, 3 · width): all queries, then all keys, then all values
        qkv = qkv.view(batch, time, 3, self.n_head, width // self.n_head)  # (batch, time, 3, head, head width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # each (batch, head, time, head width)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)  # each (batch, head, past + time, head width)
        causal = mask is None and time > 1  # a single new token may look at everything before it
        p = self.dropout if self.training else 0.0
        y = self.attend(q, k, v, attn_mask=mask, is_causal=causal, dropout_p=p)  # (batch, head, time, head width)
        y = y.transpose(1, 2).reshape(batch, time, width)  # (batch, time, width): the heads side by side
        return drop(self.out(y), self)  # (batch, time, width)


class MLP(nn.Module):
    """Feed-forward layer: every token thinks for itself, four times as wide, bent by GELU, and back."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = config.dropout

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.up(x), approximate="tanh")  # (batch, time, 4 · width)
        return drop(self.down(x), self)  # (batch, time, width)


class Block(nn.Module):
    """Transformer block: attention and MLP, each reading a normed copy of the residual stream and adding to it."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.n_embd)
        self.attention = Attention(config, layer)
        self.norm2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), cache, mask)  # (batch, time, width)
        return x + self.mlp(self.norm2(x))  # (batch, time, width)


class GPT2(nn.Module):
    """The language model: tokens (batch, time) in, logits (batch, time, vocab) or a loss out."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config, self.dropout = config, config.dropout
        self.recompute = False  # gradient checkpointing: forget what happened within blocks, compute it again backwards
        self.cache_dtype: torch.dtype | None = None  # of the KV cache; None is that of the weights
        self.origin = ""  # the size, folder or file that the weights came from
        self.token_embedding = Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = Embedding(config.context, config.n_embd)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie_head()
        if not self.token_embedding.weight.is_meta:
            self.initialize()

    def tie_head(self) -> None:
        """Tie the weights: let the head use the token embedding's own storage."""
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
        x = self.residual_stream(tokens, cache, padding)  # (batch, time, width)
        if targets is not None:
            return chunked_cross_entropy(x.flatten(0, 1), self.head.weight, targets.flatten(), divisor)  # ()
        if cache is not None:
            x = x[:, -1:]  # (batch, 1, width): only the next token is wanted
        return self.head(x)  # (batch, time, vocab)

    def residual_stream(
        self, tokens: Tensor, cache: KeyValueCache | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """Return what the head reads: (batch, time, width) after the last block and the final norm."""
        past, time = cache.used if cache is not None else 0, tokens.shape[1]
        self.check_length(past + time)
        positions = torch.arange(past, past + time, device=tokens.device)  # (time,)
        mask = None
        if padding is not None:
            positions = (positions - padding[:, None]).clamp(min=0)  # (batch, time)
        if padding is not None or (past and time > 1):
            mask = attention_mask(past, time, padding, tokens.device)  # (batch or 1, 1, time, past + time)
        x = drop(self.token_embedding(tokens) + self.position_embedding(positions), self)  # (batch, time, width)
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                again = bool(self.dropout)  # what fell the first time has to fall the second time
                x = checkpoint(block, x, cache, mask, use_reentrant=False, preserve_rng_state=again)
            else:
                x = block(x, cache, mask)  # (batch, time, width)
        if cache is not None:
            cache.used += time
        return self.final_norm(x)  # (batch, time, width)

    def check_length(self, length: int) -> None:
        """Refuse a text that is longer than the learned positions."""
        if length > self.config.context:
            raise CourseError(
                f"The text has {length} tokens, this model knows positions for {self.config.context}. "
                "Shorten it, or let `generate(..., window=True)` slide a window over it."
            )

    def new_cache(self, batch: int = 1, length: int | None = None) -> KeyValueCache:
        """Return an empty cache for `batch` texts of at most `length` tokens."""
        like = torch.empty(0, dtype=self.cache_dtype or self.final_norm.weight.dtype, device=self.device)
        return KeyValueCache(self.config, batch, length or self.config.context, like)

    @property
    def device(self) -> torch.device:
        return self.final_norm.weight.device


def attention_mask(past: int, time: int, padding: Tensor | None, device: torch.device) -> Tensor:
    """Return True where a token may look: (batch or 1, 1, time, past + time), causal and never at padding."""
    here = torch.arange(past, past + time, device=device)[:, None]  # (time, 1) positions that look
    there = torch.arange(past + time, device=device)[None, :]  # (1, past + time) positions looked at
    mask = (there <= here)[None, None]  # (1, 1, time, past + time)
    if padding is None:
        return mask
    seen = there[None, None] >= padding[:, None, None, None]  # (batch, 1, 1, past + time)
    return (mask & seen) | (there == here)[None, None]  # padding looks at itself, so no row is empty


def chunked_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Return the summed cross-entropy of x (tokens, width) · weightᵀ against targets (tokens,), over `divisor`.

    Without a divisor the sum is divided by the number of targets that count, which makes it the mean. The logits
    exist for LOSS_CHUNK tokens at a time: all of them (tokens, vocab) would be the largest tensor of a training run.
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):  # PyTorch's function does not cast by itself
        x, weight = (tensor.to(torch.get_autocast_dtype(kind)) for tensor in (x, weight))
    # In 16 bits a sum would come back with three digits; single losses round off evenly, and are summed in float32.
    narrow = x.dtype in (torch.float16, torch.bfloat16)
    losses = F.linear_cross_entropy(
        x,
        weight,
        targets,
        reduction="none" if narrow else "sum",
        # "auto" takes 2.5 times as long for bfloat16 on a CPU
        options=LinearCrossEntropyOptions(batch_chunk_size=LOSS_CHUNK, acc_policy="balanced"),
    )
    count = (targets != IGNORE).sum().clamp(min=1) if divisor is None else divisor
    return (losses.float() if narrow else losses).sum() / count


def set_dropout(model: GPT2, rate: float) -> GPT2:
    """Let `model` drop this share of its numbers while it trains, in place."""
    model.config = replace(model.config, dropout=rate)
    for part in model.modules():
        if isinstance(part, GPT2 | Attention | MLP):
            part.dropout = rate
    return model


def crop_context(model: GPT2, context: int) -> GPT2:
    """Crop the block size: shorten the learned positions of `model` to `context`, in place."""
    if not 1 <= context <= model.config.context:
        raise CourseError(f"context {context} was asked for, this model can be cropped to 1–{model.config.context}.")
    weight = model.position_embedding.weight[:context].detach().clone()
    model.position_embedding = Embedding.from_pretrained(weight, freeze=False)
    model.config = replace(model.config, context=context)
    return model


@torch.no_grad()
def record_activations(model: GPT2, tokens: Tensor) -> dict[str, Tensor]:
    """Run `tokens` (batch, time) with forward hooks and return every module's output by name, attention included.

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
    """Return softmax(q·kᵀ/√width) under the causal mask from qkv (batch, time, 3·width): (batch, head, time, time)."""
    batch, time, triple = qkv.shape
    q, k, _ = qkv.view(batch, time, 3, n_head, triple // 3 // n_head).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (batch, head, time, time)
    return scores.masked_fill(~attention_mask(0, time, None, qkv.device), -math.inf).softmax(-1)


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of all weights in memory, what is shared counted once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
