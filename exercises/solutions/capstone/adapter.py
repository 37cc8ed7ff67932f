"""The adapter of the solution: every function is one of my_gpt2.py."""

from my_gpt2 import (  # noqa: F401
    adamw_step,
    attention,
    block,
    clip_gradients,
    embed,
    gelu,
    generate,
    layer_norm,
    linear4,
    load_model,
    lora_linear,
    loss,
    mlp,
    new_model,
    pack4,
)


def logits(model, tokens):
    return model.logits(tokens)


def parameters(model):
    return list(model.weights.values())
