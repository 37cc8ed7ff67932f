"""llama.cpp as a peer: a server in this process that generates from a GGUF file."""

from __future__ import annotations

from utils.llama_cpp import LlamaCpp

__all__ = ["LlamaCpp"]
