"""llama.cpp as a peer: our model as a GGUF file, and a server in this process that generates from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.model import GPT2
from utils.tokenizer import read_gpt2_files

GGUF_NAMES = {
    "token_embedding": "token_embd",
    "position_embedding": "position_embd",
    "norm1": "attn_norm",
    "attention.qkv": "attn_qkv",
    "attention.out": "attn_output",
    "norm2": "ffn_norm",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
    "final_norm": "output_norm",
}


def gguf_name(name: str) -> str:
    """Translate one of our parameter names.

    >>> gguf_name("blocks.3.mlp.up.weight")
    'blk.3.ffn_up.weight'
    """
    module, _, kind = name.rpartition(".")
    if module.startswith("blocks."):
        _, layer, part = module.split(".", 2)
        return f"blk.{layer}.{GGUF_NAMES[part]}.{kind}"
    return f"{GGUF_NAMES[module]}.{kind}"


def write_gguf(model: GPT2, path: Path, kind: str) -> Path:
    """Write `model` with its matrices as `kind` (F32, F16, Q8_0 or Q4_0); the head stays tied."""
    import gguf
    from gguf.quants import quantize

    wanted = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, "gpt2")
    _add_shape(writer, model)
    _add_vocabulary(writer)
    for name, weight in model.named_parameters():
        values = weight.detach().float().numpy()  # (out, in), as GGUF wants it
        exact = values.ndim == 1 or name.startswith("position")
        chosen = gguf.GGMLQuantizationType.F32 if exact else wanted
        writer.add_tensor(gguf_name(name), quantize(np.ascontiguousarray(values), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_shape(writer, model: GPT2) -> None:
    config = model.config
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(1e-5)


def _add_vocabulary(writer) -> None:
    import gguf

    vocab, merges = read_gpt2_files()
    tokens = sorted(vocab, key=vocab.__getitem__)
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token == "<|endoftext|>" else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(vocab["<|endoftext|>"])
    writer.add_eos_token_id(vocab["<|endoftext|>"])


class LlamaCpp:
    """One GGUF file in llama.cpp, inside this process."""

    def __init__(self, path: Path, threads: int, context: int = 512) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_gpu_layers = 0
        params.verbosity = -1  # errors only
        self.server = xllamacpp.Server(params)

    def generate(self, prompt: list[int], max_new: int) -> dict[str, float]:
        """Generate greedily and return llama.cpp's own timings: prompt_ms, and predicted_ms for predicted_n tokens."""
        return self._complete(prompt, max_new)["timings"]

    def tokens(self, prompt: list[int], max_new: int) -> list[int]:
        """Generate greedily and return the new tokens."""
        answer = self._complete(prompt, max_new, logprobs=1)  # only with probabilities does it tell the ids
        return [entry["id"] for entry in answer["choices"][0]["logprobs"]["content"]]

    def _complete(self, prompt: list[int], max_new: int, **extra) -> dict:
        request = {"prompt": prompt, "max_tokens": max_new, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        return self.server.handle_completions(request | extra)
