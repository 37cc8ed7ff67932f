"""Golden facts about the real GPT-2: what is published about its weights, beside what our code finds in them.

Each fact has its source. `python course.py record` writes them into the record of a size, and fails where one is wrong.
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from tools.commands.evaluation import join_rows
from utils.config import total_parameters
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.files.hub import Pin, cache_folder, download, fetch
from utils.files.published import PublishedPrompt, published_prompts
from utils.model import GPT2, record_activations
from utils.quantize.quantized_linear import dequantize_model
from utils.quantize.recipe import HELD_OUT_SEED, QuantizationRecipe, apply_recipe, calibration_rows, story_tokens
from utils.sampling import Sampling, complete
from utils.tokenizer import Tokenizer

PARAMETERS = {"small": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}
TURING = "Alan Turing theorized that computers would one day become"
CONTINUATION = " the most powerful machines on the planet."
PERPLEXITY = {"small": 29.94}  # of the test text of WikiText-2, rows joined, context and stride 1024, mean over tokens
# The raw text of WikiText-2 (CC BY-SA, so not part of the course), as llama.cpp's scripts take it; a text of another
# hash is refused, so the figure can't drift with it.
WIKITEXT = (
    "datasets/ggml-org/ci/resolve/927b3642933080f1b0e811e2f916e14c292992f9/wikitext-2-raw-v1.zip",
    Pin("ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11", 4_721_645),
)
WIKITEXT_TOKENS = 287_644
QUANTIZERS = ("rtn", "awq", "gptq", "mixed")


@dataclass(frozen=True)
class Fact:
    """One fact: what was expected and what was found; `right` is None where nothing is published to hold it to."""

    name: str
    source: str
    expected: str
    got: str
    right: bool | None

    @property
    def verdict(self) -> str:
        return "measured" if self.right is None else "right" if self.right else "WRONG"


@dataclass(frozen=True)
class Claim:
    """A fact that has not been looked up yet; `find` returns what was found, and whether it is right."""

    name: str
    source: str
    expected: str
    find: Callable[[GPT2], tuple[str, bool | None]]

    def check(self, model: GPT2) -> Fact:
        try:
            got, right = self.find(model)
        except CourseError as error:  # a text that can't be had, say: the other facts are still worth knowing
            got, right = str(error), False
        return Fact(self.name, self.source, self.expected, got, right)


def claims(size: str) -> Iterator[Claim]:
    """Yield what is to be checked about a size, the quick ones first."""
    count = PARAMETERS[size]
    yield Claim("parameters", "Hugging Face model cards", f"{count:,}", lambda model: count_weights(model, count))
    if size == "small":
        yield Claim("greedy text", "README of picoGPT", CONTINUATION, continue_greedily)
        yield Claim("logits of five prompts", "Transformer Explainer", "within 0.01", compare_logits)
        yield Claim("attention of 144 heads", "Transformer Explainer", "within 0.01", compare_attention)
    yield Claim("logits", "transformers, same file", "within 0.001", lambda model: compare_transformers(model, size))
    yield Claim("quantizers at 3 bits", "lesson 08", "rtn is the worst", rank_quantizers)
    known = PERPLEXITY.get(size)
    expected = f"{known} ± 0.1" if known else "not published with this protocol"
    yield Claim(
        "perplexity of WikiText-2", "rows joined, stride 1024, per token", expected, lambda m: read_wikitext(m, known)
    )


def count_weights(model: GPT2, expected: int) -> tuple[str, bool]:
    """Count the numbers in the loaded model; the tied head comes once."""
    count = sum(weight.numel() for weight in model.parameters())
    return f"{count:,}", count == expected == total_parameters(model.config)


def continue_greedily(model: GPT2) -> tuple[str, bool]:
    """Let the model go on with Turing's sentence."""
    (text,) = complete(model, Tokenizer.gpt2(), TURING, Sampling(max_new=8, temperature=0))
    return text, text == CONTINUATION


def published_differences(model: GPT2, prompt: PublishedPrompt) -> tuple[float, float]:
    """Return the largest differences of our logits and of our attention from the published ones for a prompt."""
    with torch.no_grad():
        ours = record_activations(model, torch.tensor([prompt.tokens], device=model.device))
    patterns = torch.stack([ours[f"blocks.{layer}.attention.pattern"][0] for layer in range(model.config.n_layer)])
    if patterns.shape != prompt.attention.shape:
        raise CourseError(f"Found patterns {tuple(patterns.shape)}, published are {tuple(prompt.attention.shape)}.")
    logits = ours["logits"][0, -1].cpu() - prompt.logits
    return float(logits.abs().max()), float((patterns.cpu() - prompt.attention).abs().max())


def compare_logits(model: GPT2) -> tuple[str, bool]:
    """Compare the logits after the published prompts."""
    worst = max(published_differences(model, prompt)[0] for prompt in published_prompts())
    return f"{worst:.2g} apart", worst < 1e-2


def compare_attention(model: GPT2) -> tuple[str, bool]:
    """Compare all heads on the published prompts."""
    worst = max(published_differences(model, prompt)[1] for prompt in published_prompts())
    return f"{worst:.2g} apart", worst < 1e-2


def compare_transformers(model: GPT2, size: str) -> tuple[str, bool]:
    """Compare our logits with those of transformers from the same folder, at every place of a prompt."""
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(fetch(size), dtype=torch.float32).eval()
    tokens = torch.tensor([Tokenizer.gpt2().encode(TURING)])
    with torch.no_grad():
        worst = float((model(tokens.to(model.device)).cpu() - theirs(tokens).logits).abs().max())
    return f"{worst:.2g} apart", worst < 1e-3


def rank_quantizers(model: GPT2) -> tuple[str, bool]:
    """Round the blocks to 3 bits in groups of 64 in four ways, and order the ways by perplexity on fresh stories."""
    calibration = calibration_rows(model, story_tokens(60), rows=8, context=128)
    held_out, found = story_tokens(8, seed=HELD_OUT_SEED)[:1025], {}
    for method in QUANTIZERS:
        changed = apply_recipe(copy.deepcopy(model), QuantizationRecipe(method, 3, 64), calibration)
        found[method] = measure_loss(dequantize_model(changed), held_out, Protocol(128, 128)).perplexity
    order = sorted(found, key=lambda method: found[method])
    return " < ".join(f"{method} {found[method]:.2f}" for method in order), order[-1] == "rtn"


def read_wikitext(model: GPT2, expected: float | None) -> tuple[str, bool | None]:
    """Measure the perplexity of WikiText-2's test text."""
    tokens = Tokenizer.gpt2().encode(join_rows(wikitext()))
    if len(tokens) != WIKITEXT_TOKENS:
        raise CourseError(
            f"WikiText-2 has {len(tokens):,} tokens, expected {WIKITEXT_TOKENS:,}: was it joined by rows?"
        )
    score = measure_loss(model, tokens, Protocol(1024, 1024))
    return f"{score.perplexity:.2f}", None if expected is None else abs(score.perplexity - expected) < 0.1


def wikitext() -> str:
    """Return the raw test text of WikiText-2, fetched once and held to its hash."""
    address, pin = WIKITEXT
    path: Path = download(address, cache_folder() / "texts" / "wikitext-2-raw-v1.zip", pin)
    with zipfile.ZipFile(path) as archive:
        return archive.read("wikitext-2-raw/wiki.test.raw").decode("utf-8")
