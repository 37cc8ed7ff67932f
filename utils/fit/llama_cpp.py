"""llama.cpp inside this process, through xllamacpp: greedy text and log-probabilities of one GGUF file (lesson 09)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


class LlamaCpp:
    """One GGUF file in llama.cpp."""

    def __init__(self, path: str | Path, threads: int | None = None, context: int = 512, gpu_layers: int = 0) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or torch.get_num_threads()
        params.n_gpu_layers = gpu_layers
        params.verbosity = -1  # errors only
        self.server = xllamacpp.Server(params)
        # A server that is given up before its loop has begun never hears of it, and waits for its loop for ever.
        self.generate([0], 1)

    def generate(self, prompt: Sequence[int], max_new: int) -> dict[str, float]:
        """Generate greedily and return llama.cpp's own timings: prompt_ms, and predicted_ms for predicted_n tokens."""
        return self._complete(prompt, max_new)["timings"]

    def tokens(self, prompt: Sequence[int], max_new: int) -> list[int]:
        """Generate greedily and return the new tokens."""
        answer = self._complete(prompt, max_new, logprobs=1)  # only with probabilities does it tell the ids
        return [entry["id"] for entry in answer["choices"][0]["logprobs"]["content"]]

    def log_probabilities(self, prompt: Sequence[int], vocab: int) -> Tensor:
        """Return the logarithm (vocab,) of each next token's probability."""
        answer = self._complete(prompt, 1, logprobs=vocab)
        entries = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found = torch.full((vocab,), float("nan"))
        found[[entry["id"] for entry in entries]] = torch.tensor([float(entry["logprob"]) for entry in entries])
        return found

    def _complete(self, prompt: Sequence[int], max_new: int, **extra) -> dict:
        fixed = {"temperature": 0, "ignore_eos": True, "cache_prompt": False}
        return self.server.handle_completions({"prompt": list(prompt), "max_tokens": max_new} | fixed | extra)
