"""Living views in a notebook: the JavaScript of the course's site, fed by the model in memory, whatever its size.

In a page the model itself is JavaScript; here the views ask Python for each pass (anywidget's messages).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from html import escape
from itertools import product
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.model import GPT2, record_activations
from utils.tokenizer import CharTokenizer, Tokenizer, tokenizer_for_page

SCRIPTS = ROOT / "docs" / "site" / "live"
VIEWS = ("sampling", "attention", "lens", "network")
IN_BLOCK = {  # what the drawing of the network shows of a block, by the module whose output it is …
    "norm1": ".norm1",
    "qkv": ".attention.qkv",
    "attention": ".attention.out",
    "norm2": ".norm2",
    "up": ".mlp.up",
    "down": ".mlp.down",
    "out": "",
}
INTO = {"mixed": "attention.out", "middle": "norm2", "gelu": "mlp.down"}  # … or by the module that it goes into


class LivingView(anywidget.AnyWidget):
    """One view of a model: next tokens and sampling, attention, the logit lens, or the network drawn."""

    _esm = SCRIPTS / "notebook.js"
    _css = SCRIPTS / "live.css"
    view = traitlets.Unicode().tag(sync=True)
    prompt = traitlets.Unicode().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    sources = traitlets.Dict().tag(sync=True)

    def __init__(self, view: str, model: GPT2, tokenizer: Tokenizer | CharTokenizer, prompt: str) -> None:
        if view not in VIEWS:
            raise CourseError(f"{view!r} is no view, expected one of {', '.join(VIEWS)}.")
        config, self.gpt2 = model.config, same_weights_apart(model)
        shape = {"layers": config.n_layer, "heads": config.n_head, "width": config.n_embd, "context": config.context}
        shape["vocab"] = min(config.vocab_size, tokenizer.vocab_size)
        about = {"config": shape, "tokenizer": tokenizer_for_page(tokenizer), "names": list(note_names(model))}
        sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(SCRIPTS.glob("*.js"))}
        super().__init__(view=view, prompt=prompt, about=about, sources=sources)
        self.on_msg(self.hear)

    def _repr_mimebundle_(self, **settings: Any) -> tuple[dict, dict]:
        """Show the view; leave its place for the site, which fills it, and a sentence for GitHub and print."""
        data, metadata = super()._repr_mimebundle_(**settings) or ({}, {})
        said = f"The view {self.view!r} is alive where a kernel runs: run this cell."
        place = place_for(self.view, f"<p>{said}</p>", prompt=self.prompt)
        return data | {"text/plain": said, "text/html": place}, metadata

    def hear(self, _: Any, message: dict, buffers: list) -> None:
        """Answer a question of the page; what is wrong is said there, not in a log that nobody reads."""
        try:
            arrays = self.answer(message, buffers)
        except (CourseError, RuntimeError, IndexError) as error:
            return self.send({"number": message["number"], "error": str(error)})
        whole = [array.detach().float().cpu().contiguous() for array in arrays]
        shapes = [{"shape": list(array.shape)} for array in whole]
        self.send({"number": message["number"], "arrays": shapes}, [array.numpy().tobytes() for array in whole])

    def answer(self, message: dict, buffers: list) -> list[Tensor]:
        """Return the arrays that a message asks for."""
        size = self.about["config"]["vocab"]
        if message["kind"] == "logits":
            streams = torch.frombuffer(bytearray(buffers[0]), dtype=torch.float32).view(message["count"], -1)
            return [head_of(self.gpt2, streams)[:, :size]]
        seen = look(self.gpt2, message["tokens"], message["muted"])
        arrays = [seen["logits"][0, -1, :size]]
        if message["keep"] or message["note"]:
            arrays += [patterns_of(self.gpt2, seen), streams_of(self.gpt2, seen)]
        if message["note"]:
            arrays += [seen[name][0, -1] for name in self.about["names"]]
        return arrays


def place_for(view: str, instead: str, **settings: object) -> str:
    """Return the HTML of a place that the site's script, live.js, brings to life; `instead` stands there until then.

    >>> place_for("lens", "<p>soon</p>", prompt="Hi")
    '<div class="live" data-live="lens" data-prompt="Hi"><p>soon</p></div>'
    """
    data = "".join(f' data-{name}="{escape(str(value))}"' for name, value in settings.items())
    return f'<div class="live" data-live="{view}"{data}>{instead}</div>'


def same_weights_apart(model: GPT2) -> GPT2:
    """Return the model with modules of its own that share its weights.

    Jupyter answers each view in a thread of its own (subshells), beside a cell that may run the same model: hooks on
    shared modules would note, and silence, passes of somebody else.
    """
    weights = [*model.parameters(), *model.buffers()]
    return deepcopy(model, {id(weight): weight for weight in weights})


def note_names(model: GPT2) -> Iterator[str]:
    """Yield the names of all parts whose output for the newest token can be shown, in the order of the network."""
    yield from ("token_embedding", "position_embedding", "embedding")
    for layer in range(model.config.n_layer):
        yield from (f"blocks.{layer}.{name}" for name in (*IN_BLOCK, *INTO))
    yield "final_norm"


@torch.inference_mode()
def head_of(model: GPT2, streams: Tensor) -> Tensor:
    """Return the logits (count, vocab) of residual streams (count, width) as if the network ended there."""
    weight = model.final_norm.weight
    return model.head(model.final_norm(streams.to(weight.device, weight.dtype)))


@torch.inference_mode()
def look(model: GPT2, tokens: list[int], muted: Iterable[str] = ()) -> dict[str, Tensor]:
    """Run tokens without some heads ("2.1" is head 1 of block 2) and return all that a view may ask for, by name."""
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in muted:
            layer, head = map(int, name.split("."))
            hooks.enter_context(silenced(model, layer, head))
        for layer, (name, place) in product(range(model.config.n_layer), INTO.items()):
            hooks.enter_context(noted(seen, f"blocks.{layer}.{name}", model.get_submodule(f"blocks.{layer}.{place}")))
        records = record_activations(model, torch.tensor([tokens], device=model.device))
    seen |= {name: records[name] for name in ("logits", "token_embedding", "final_norm")}
    seen["position_embedding"] = records["position_embedding"][None]
    seen["embedding"] = seen["token_embedding"] + seen["position_embedding"]
    for layer in range(model.config.n_layer):
        seen |= {f"blocks.{layer}.{name}": records[f"blocks.{layer}{place}"] for name, place in IN_BLOCK.items()}
        seen[f"blocks.{layer}.pattern"] = records[f"blocks.{layer}.attention.pattern"]
    return seen


@contextmanager
def noted(seen: dict[str, Tensor], name: str, module: torch.nn.Module) -> Iterator[None]:
    """Write down what goes into a module."""

    def hook(_: torch.nn.Module, inputs: tuple, output: Tensor) -> None:
        seen[name] = inputs[0]

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def silenced(model: GPT2, layer: int, head: int) -> Iterator[None]:
    """Let one head add nothing: its part of what goes into the output matrix of its block is 0."""
    width = model.config.head_width

    def hook(_: torch.nn.Module, inputs: tuple) -> tuple:
        mixed = inputs[0].clone()
        mixed[..., head * width : (head + 1) * width] = 0
        return (mixed,)

    handle = model.get_submodule(f"blocks.{layer}.attention.out").register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def patterns_of(model: GPT2, seen: dict[str, Tensor]) -> Tensor:
    """Return how much each token looks at each other one: (layer · head, time, time)."""
    return torch.cat([seen[f"blocks.{layer}.pattern"][0] for layer in range(model.config.n_layer)])


def streams_of(model: GPT2, seen: dict[str, Tensor]) -> Tensor:
    """Return the residual stream before the first block and after each: (stage, time, width)."""
    names = ["embedding", *(f"blocks.{layer}.out" for layer in range(model.config.n_layer))]
    return torch.stack([seen[name][0] for name in names])
