"""One model, opened by programs of different makers, behind the same three questions.

`logits(tokens)` are those of the token that comes next, (vocab,), up to a constant that they all share: llama.cpp
tells probabilities only. `generate(tokens, count)` is greedy. `nbytes` is what the weights take in memory.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from utils.errors import CourseError
from utils.model import GPT2
from utils.sampling import Sampling, generate
from utils.serve.llama_cpp import LlamaCpp
from utils.session import refuse_hub_code


def quiet_libraries() -> None:
    """Let libraries speak of errors only: not of GPU kernels that a CPU lacks, nor by progress bars."""
    for name in ("accelerate", "torchao", "bitsandbytes", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    refuse_hub_code()
    from transformers.utils import logging as theirs

    theirs.set_verbosity_error()
    theirs.disable_progress_bar()


class Opened(Protocol):
    """What every program can be asked about the model that it opened."""

    nbytes: int

    def logits(self, tokens: Sequence[int]) -> Tensor: ...

    def generate(self, tokens: Sequence[int], count: int) -> list[int]: ...


class Ours:
    """A model of this course."""

    def __init__(self, model: GPT2) -> None:
        self.model, self.nbytes = model, held_bytes(model)

    @torch.no_grad()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        return self.model(torch.tensor([tokens], device=self.model.device))[0, -1].float().cpu()

    def generate(self, tokens: Sequence[int], count: int) -> list[int]:
        return generate(self.model, [tokens], Sampling(max_new=count, temperature=0, stop=()))[0]


class Theirs:
    """A model of `transformers`, whatever quantized its layers."""

    def __init__(self, model: Any) -> None:  # a PreTrainedModel
        self.model, self.nbytes = model.eval(), held_bytes(model)  # bitsandbytes repacks at the first forward

    @torch.no_grad()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        return self.model(torch.tensor([tokens], device=self.model.device)).logits[0, -1].float().cpu()

    def generate(self, tokens: Sequence[int], count: int) -> list[int]:
        given = torch.tensor([tokens], device=self.model.device)
        length = {"max_new_tokens": count, "min_new_tokens": count}
        rows = self.model.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False, pad_token_id=0, **length
        )
        return rows[0, len(tokens) :].tolist()


class Llama:
    """A GGUF file in llama.cpp, which computes with the packed weights as they are."""

    def __init__(self, path: str | Path) -> None:
        from utils.formats.gguf import open_gguf

        file = open_gguf(path)
        self.nbytes = sum(tensor.nbytes for tensor in file.tensors.values())
        self.vocab = len(file.need("tokenizer.ggml.tokens", list))
        self.model = LlamaCpp(path)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        return self.model.log_probabilities(tokens, self.vocab)

    def generate(self, tokens: Sequence[int], count: int) -> list[int]:
        return self.model.tokens(tokens, count)


class Simple:
    """A checkpoint in gpt-2-simple and TensorFlow, whose import turns eager mode off in the whole process."""

    def __init__(self, folder: str | Path) -> None:
        import gpt_2_simple
        import tensorflow as tf
        from gpt_2_simple.src import model

        self.hparams = model.default_hparams()
        self.hparams.override_from_dict(json.loads((Path(folder) / "hparams.json").read_text(encoding="utf-8")))
        self.session = gpt_2_simple.start_tf_sess()
        self.given = tf.compat.v1.placeholder(tf.int32, [1, None])
        self.next = model.model(hparams=self.hparams, X=self.given)["logits"][0, -1]
        weights = tf.compat.v1.trainable_variables()
        latest = tf.train.latest_checkpoint(str(folder))
        tf.compat.v1.train.Saver(var_list=weights).restore(self.session, latest)
        self.nbytes = sum(int(weight.shape.num_elements()) * weight.dtype.size for weight in weights)
        self.samplers: dict[int, Tensor] = {}  # a graph for each length

    def logits(self, tokens: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.session.run(self.next, {self.given: [list(tokens)]}))

    def generate(self, tokens: Sequence[int], count: int) -> list[int]:
        from gpt_2_simple.src import sample

        if count not in self.samplers:  # temperature 0 divides by it; the one likeliest is greedy, too
            self.samplers[count] = sample.sample_sequence(
                hparams=self.hparams, length=count, context=self.given, batch_size=1, temperature=1, top_k=1
            )
        rows = self.session.run(self.samplers[count], {self.given: [list(tokens)]})
        return rows[0, len(tokens) :].tolist()


def held_bytes(model: nn.Module) -> int:
    """Return the bytes of all tensors that a model holds, scales included; what is shared counts once."""
    stores: dict[tuple, int] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        for part in _parts(tensor):
            store = part.untyped_storage()
            stores[part.device, store.data_ptr()] = store.nbytes()
    return sum(stores.values())


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the plain tensors that one of a library's own kind is made of; get_memory_footprint forgets the scales."""
    if hasattr(tensor, "__tensor_flatten__"):  # torchao
        yield from (part for name in tensor.__tensor_flatten__()[0] for part in _parts(getattr(tensor, name)))
        return
    yield tensor.data
    scales = [getattr(tensor, name, None) for name in ("CB", "SCB")]  # bitsandbytes, 8 bits
    state = getattr(tensor, "quant_state", None)  # 4 bits
    while state is not None:
        scales += [state.absmax, state.code, getattr(state, "offset", None)]
        state = getattr(state, "state2", None)
    yield from (scale for scale in scales if isinstance(scale, Tensor))


def use_linear_layers(model: nn.Module) -> int:
    """Put a Linear in the place of each Conv1D of `transformers`, in place, and return how many there were.

    Many quantizers look for Linear alone and pass by everything else in silence.
    """
    from transformers.pytorch_utils import Conv1D

    found = [name for name, module in model.named_modules() if isinstance(module, Conv1D)]
    for name in found:
        parent, _, child = name.rpartition(".")
        old: Any = model.get_submodule(name)
        inputs, outputs = old.weight.shape  # Conv1D stores in × out
        new = nn.Linear(inputs, outputs, device="meta")
        new.weight, new.bias = nn.Parameter(old.weight.detach().T.contiguous()), old.bias
        setattr(model.get_submodule(parent), child, new)
    if not found:
        raise CourseError("This model has no Conv1D: its layers are Linear already, or packed by a quantizer.")
    return len(found)
