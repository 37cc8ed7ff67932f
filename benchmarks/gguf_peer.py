"""llama.cpp as a peer: a server in this process that generates from a GGUF file."""

from __future__ import annotations

from pathlib import Path


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
