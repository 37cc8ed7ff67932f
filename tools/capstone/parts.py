"""The parts of the capstone: which functions each connects, how long it may take, and what it builds on."""

from __future__ import annotations

from dataclasses import dataclass

STARS = 5


@dataclass(frozen=True)
class Part:
    """One part; its checks stand in exercises/capstone/tests/test_NN_….py."""

    number: int
    name: str
    functions: tuple[str, ...]  # of the adapter
    minutes: int  # expected
    difficulty: int  # 1 to STARS
    lessons: str

    @property
    def stars(self) -> str:
        return "★" * self.difficulty + "☆" * (STARS - self.difficulty)


PARTS = (
    Part(1, "embedding", ("embed",), 15, 1, "01, 03"),
    Part(2, "layer norm", ("layer_norm",), 20, 1, "03"),
    Part(3, "GELU", ("gelu",), 10, 1, "03"),
    Part(4, "attention", ("attention",), 60, 4, "02, 03"),
    Part(5, "MLP", ("mlp",), 15, 1, "03"),
    Part(6, "block", ("block",), 20, 2, "03"),
    Part(7, "model with nano's real weights", ("load_model", "logits"), 60, 3, "03, 05"),
    Part(8, "loss", ("loss",), 25, 2, "11"),
    Part(9, "generation with a KV cache", ("generate",), 75, 5, "04"),
    Part(10, "starting weights", ("new_model", "parameters"), 30, 2, "03, 11"),
    Part(11, "AdamW", ("adamw_step",), 40, 3, "11"),
    Part(12, "gradient clipping", ("clip_gradients",), 15, 1, "11"),
    Part(13, "LoRA", ("lora_linear",), 20, 2, "13"),
    Part(14, "four bits", ("pack4", "linear4"), 50, 3, "07, 08"),
)
FUNCTIONS = tuple(name for part in PARTS for name in part.functions)
