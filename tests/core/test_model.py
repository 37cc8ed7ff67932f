"""The network: storage, initialization, causality, cache, padding, activations and the chunked loss."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from shapes import TINY, child, peak_bytes, random_tokens, tiny_model
from torch.testing import assert_close

from utils import machine
from utils.config import LOSS_CHUNK, GPT2Config
from utils.errors import CourseError
from utils.machine import prepare_for_speed
from utils.model import GPT2, IGNORE, MLP, chunked_cross_entropy, crop_context, record_activations, set_dropout


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def is_tied(model: GPT2) -> bool:
    return model.head.weight.data_ptr() == model.token_embedding.weight.data_ptr()


# Storage and first weights


def test_head_and_token_embedding_share_storage_through_every_move():
    model = GPT2(TINY)
    assert is_tied(model) and "head.weight" not in dict(model.named_parameters())
    assert is_tied(model.to(torch.bfloat16)) and model.head.weight.dtype == torch.bfloat16
    assert is_tied(model.to("cpu", torch.float32)) and is_tied(model.half()) and is_tied(copy.deepcopy(model))


def test_one_step_moves_head_and_token_embedding_together():
    model = GPT2(TINY)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(random_tokens(2, 8), random_tokens(2, 8, seed=1)).backward()
    optimizer.step()
    assert is_tied(model) and torch.equal(model.head.weight, model.token_embedding.weight)


def test_residual_projections_start_smaller_by_the_root_of_twice_the_layers():
    torch.manual_seed(0)
    model = GPT2(GPT2Config(n_layer=8, n_head=4, n_embd=128, vocab_size=500, context=64))
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            into_residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
            expected = 0.02 / math.sqrt(2 * 8) if into_residual else 0.02
            error = 5 * expected / math.sqrt(2 * weight.numel())  # five deviations of a measured deviation
            weight = weight.detach()
            assert float(weight.std()) == pytest.approx(expected, abs=error), name
            assert abs(float(weight.mean())) < 5 * expected / math.sqrt(weight.numel()), name
        else:
            first = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            assert torch.equal(weight, torch.full_like(weight, first)), name


def test_a_new_model_guesses_like_a_fair_die():
    model = GPT2(GPT2Config(2, 4, 64, vocab_size=1000, context=32))
    with torch.no_grad():
        loss = float(model(random_tokens(4, 32, 1000), random_tokens(4, 32, 1000, seed=1)))
    assert loss == pytest.approx(math.log(1000), abs=0.1)


# What a token sees


def test_gelu_is_the_tanh_one_and_not_the_exact_one():
    mlp = MLP(TINY)
    torch.nn.init.uniform_(mlp.up.weight, -1, 1)
    x = torch.linspace(-3, 3, 5 * TINY.n_embd).view(5, TINY.n_embd)
    up = mlp.up(x)
    by_hand = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
    exact = 0.5 * up * (1 + torch.erf(up / math.sqrt(2)))
    assert_close(mlp(x), mlp.down(by_hand), atol=1e-6, rtol=0)
    assert (mlp(x) - mlp.down(exact)).abs().max() > 2e-5


def test_a_later_token_never_changes_earlier_logits(model):
    tokens = random_tokens(2, 16)
    changed = tokens.clone()
    changed[:, 9] = (changed[:, 9] + 1) % TINY.vocab_size
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :9], after[:, :9])
    assert ((before[:, 9:] - after[:, 9:]).abs().amax(-1) > 1e-4).all(), "a token is not seen by itself or later"


def test_the_same_token_means_something_else_elsewhere(model):
    logits = model(torch.full((1, 4), 7))[0]
    assert (logits[0] - logits[3]).abs().max() > 1e-3, "positions are not added"


@pytest.mark.parametrize("split", [[1] * 12, [5, 7], [11, 1], [1, 11], [4, 1, 1, 6], [12]])
def test_cached_logits_equal_uncached_ones(model, split):
    tokens = random_tokens(3, 12)
    whole, cache, past = model(tokens), model.new_cache(3, 12), 0
    with torch.no_grad():
        for part in split:
            logits = model(tokens[:, past : past + part], cache=cache)
            past += part
            assert logits.shape == (3, 1, TINY.vocab_size) and cache.used == past
            assert_close(logits[:, 0], whole[:, past - 1], atol=1e-5, rtol=1e-5)


def test_a_full_cache_refuses_one_token_more(model):
    cache = model.new_cache(1, 4)
    with torch.no_grad():
        model(random_tokens(1, 4), cache=cache)
        with pytest.raises(CourseError, match="holds 4 tokens, 5 are needed"):
            model(random_tokens(1, 1), cache=cache)
        with pytest.raises(CourseError, match="holds 4 tokens, 6 are needed"):
            model(random_tokens(1, 6), cache=model.new_cache(1, 4))


@pytest.mark.parametrize("split", [[6], [4, 2], [1] * 6])
def test_left_padding_changes_nothing_for_any_row(model, split):
    lengths = [6, 4, 1]
    rows = [random_tokens(1, n, seed=n) for n in lengths]
    padding = torch.tensor([6 - n for n in lengths])
    batch = torch.cat([F.pad(row, (6 - n, 0), value=13) for row, n in zip(rows, lengths, strict=True)])
    cache, past = model.new_cache(3, 6), 0
    with torch.no_grad():
        for part in split:
            cached = model(batch[:, past : past + part], cache=cache, padding=padding)
            past += part
        uncached = model(batch, padding=padding)
    for i, row in enumerate(rows):
        alone = model(row)[0]
        assert_close(uncached[i, 6 - lengths[i] :], alone, atol=1e-5, rtol=1e-5)
        assert_close(cached[i, -1], alone[-1], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(uncached).all()


def test_a_text_longer_than_the_context_is_refused(model):
    assert model(random_tokens(1, TINY.context)).shape == (1, 24, 97)
    with pytest.raises(CourseError, match="has 25 tokens, this model knows positions for 24.*window=True"):
        model(random_tokens(1, 25))
    cache = model.new_cache(1)
    with torch.no_grad(), pytest.raises(CourseError, match="has 25 tokens"):
        model(random_tokens(1, 24), cache=cache)
        model(random_tokens(1, 1), cache=cache)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_prepared_for_speed_is_the_same_model(dtype, monkeypatch):
    monkeypatch.setattr(machine, "has_real_bf16", lambda kind: False)  # the slowest kind of CPU has the most ways
    tokens, plain = random_tokens(2, 12), tiny_model().to(dtype)
    fast = prepare_for_speed(copy.deepcopy(plain))
    kinds = {type(module) for module in fast.modules()}
    assert (machine.Linear16 in kinds) is (dtype != torch.float32) and is_tied(fast) and is_tied(copy.deepcopy(fast))
    assert list(fast.state_dict()) == list(plain.state_dict())
    reference = plain.double()(tokens)
    with torch.no_grad():
        cache = fast.new_cache(2, 12)
        assert cache.store.dtype == torch.float32
        cached = [fast(tokens[:, i : i + 1], cache=cache)[:, -1] for i in range(12)]
        found = [fast(tokens), torch.stack(cached, 1), fast(tokens[:1])]
    scale = reference.abs().max().item()
    for logits in found:
        assert logits.dtype == dtype
        assert_close(logits.double(), reference[: len(logits)], atol=TOLERANCE[dtype] * scale, rtol=0)


TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.1, torch.float16: 0.02}


def test_an_empty_model_costs_no_compiler():
    code = "import sys, torch; from utils.config import SIZES; from utils.model import GPT2; before = len(sys.modules)"
    code += "\nwith torch.device('meta'): GPT2(SIZES['xl'])\nprint(len(sys.modules) - before)"
    assert int(child(code)) < 50, "PyTorch's own embedding imports hundreds of modules on the meta device"


# Cropping and looking inside


def test_a_cropped_model_gives_the_same_logits_and_refuses_more():
    model, tokens = tiny_model(), random_tokens(2, 10)
    before = model(tokens)
    crop_context(model, 10)
    assert model.config == GPT2Config(2, 4, 32, 97, context=10) and model.position_embedding.weight.shape == (10, 32)
    assert model.position_embedding.weight.requires_grad and torch.equal(model(tokens), before)
    with pytest.raises(CourseError, match="knows positions for 10"):
        model(random_tokens(1, 11))
    for wrong in (0, 11):
        with pytest.raises(CourseError, match=f"context {wrong} .*1–10"):
            crop_context(model, wrong)


def test_activations_are_recorded_by_name(model):
    tokens = random_tokens(2, 9)
    records = record_activations(model, tokens)
    inside = ["norm1", "attention.qkv", "attention.out", "attention", "norm2", "mlp.up", "mlp.down", "mlp"]
    blocks = [f"blocks.{i}{name}" for i in range(2) for name in ["", ".attention.pattern", *(f".{n}" for n in inside)]]
    assert set(records) == {"token_embedding", "position_embedding", "final_norm", "head", "logits", *blocks}
    assert records["blocks.0"].shape == (2, 9, 32) and records["blocks.1.mlp.up"].shape == (2, 9, 128)
    assert_close(records["logits"], model(tokens).detach())
    residual = records["token_embedding"] + records["position_embedding"]
    for i in range(2):
        residual = residual + records[f"blocks.{i}.attention"] + records[f"blocks.{i}.mlp"]
    assert_close(records["blocks.1"], residual, atol=1e-6, rtol=1e-5)
    assert not any(module._forward_hooks for module in model.modules()), "hooks are left behind"


def test_attention_patterns_are_what_attention_uses(model):
    tokens = random_tokens(2, 9)
    records = record_activations(model, tokens)
    for i, block in enumerate(model.blocks):
        pattern = records[f"blocks.{i}.attention.pattern"]  # (batch, head, time, time)
        assert_close(pattern.sum(-1), torch.ones(2, 4, 9))
        assert torch.equal(pattern, pattern.tril()) and (pattern.tril() > 0).sum() == 2 * 4 * 45
        v = records[f"blocks.{i}.attention.qkv"][..., 64:].view(2, 9, 4, 8).transpose(1, 2)
        mixed = (pattern @ v).transpose(1, 2).reshape(2, 9, 32)
        assert_close(block.attention.out(mixed).detach(), records[f"blocks.{i}.attention"], atol=1e-5, rtol=1e-5)


def test_hooks_are_removed_when_the_text_is_refused(model):
    with pytest.raises(CourseError):
        record_activations(model, random_tokens(1, 25))
    assert not any(module._forward_hooks for module in model.modules())


# The loss in chunks


def reference_loss(x, weight, targets, divisor=None):
    total = F.cross_entropy(x @ weight.T, targets, ignore_index=IGNORE, reduction="sum")
    return total / ((targets != IGNORE).sum() if divisor is None else divisor)


def values_and_gradients(function, x, weight, *rest):
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    loss = function(x, weight, *rest)
    (3 * loss).backward()
    return loss.detach(), x.grad, weight.grad


@given(tokens=st.integers(1, 40), ignored=st.integers(0, 39), divided=st.booleans(), seed=st.integers(0, 99))
def test_chunked_loss_and_gradients_equal_pytorchs(tokens, ignored, divided, seed):
    generator = torch.Generator().manual_seed(seed)
    x, weight = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (tokens, 11))
    targets = torch.randint(11, (tokens,), generator=generator)
    targets[torch.randperm(tokens, generator=generator)[: min(ignored, tokens - 1)]] = IGNORE
    divisor = torch.tensor(7.5) if divided else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.model.LOSS_CHUNK", 8)  # so that a few tokens make several chunks, the last one shorter
        ours = values_and_gradients(chunked_cross_entropy, x, weight, targets, divisor)
    for mine, expected in zip(ours, values_and_gradients(reference_loss, x, weight, targets, divisor), strict=True):
        assert_close(mine.double(), expected, atol=1e-6, rtol=1e-5)


def test_loss_of_the_model_equals_pytorchs_over_real_chunks(model):
    config = GPT2Config(1, 2, 16, vocab_size=50, context=256)
    model, tokens = tiny_model(config), random_tokens(3, 256, 50)  # 768 tokens are a chunk and a half
    targets = random_tokens(3, 256, 50, seed=1)
    targets[0, :100] = IGNORE
    loss, parameters = model(tokens, targets), list(model.parameters())
    reference = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    assert_close(loss, reference)
    assert_close(*(torch.autograd.grad(one, parameters) for one in (loss, reference)), atol=1e-6, rtol=1e-4)


def test_parts_over_one_divisor_add_up_to_the_whole(model):
    tokens, targets = random_tokens(4, 10), random_tokens(4, 10, seed=1)
    targets[3, 2:] = IGNORE
    count = (targets != IGNORE).sum()
    parts = [model(t, y, divisor=count) for t, y in zip(tokens.split(1), targets.split(1), strict=True)]
    assert_close(sum(parts), model(tokens, targets))


def test_all_targets_ignored_give_zero_and_no_gradient(model):
    loss = model(random_tokens(1, 5), torch.full((1, 5), IGNORE))
    assert loss.item() == 0.0
    assert all(not g.any() for g in torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("wrong", [-1, -99, 97])
def test_a_target_that_is_no_token_is_refused(model, wrong):
    targets = random_tokens(1, 5)
    targets[0, 3] = wrong
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        model(random_tokens(1, 5), targets)


@pytest.mark.parametrize("learns", [True, False])
def test_the_loss_never_holds_all_logits_and_without_learning_no_gradient(learns, tmp_path):
    vocab, tokens = 3000, random_tokens(8, 256, 3000)
    model = tiny_model(GPT2Config(1, 1, 8, vocab_size=vocab, context=256))
    x, head = torch.randn(2048, 8, requires_grad=True), model.head.weight

    def work() -> None:
        with torch.set_grad_enabled(learns):
            loss = chunked_cross_entropy(x, head, tokens.flatten())
        if learns:
            torch.autograd.grad(loss, [x, head])

    chunk, gradient = 4 * LOSS_CHUNK * vocab, 4 * vocab * 8
    assert peak_bytes(work, tmp_path) < 1.3 * chunk + 3 * learns * gradient, "all logits at once would be four chunks"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_16_bit_autocast_gives_the_loss_and_gradients_of_float32(dtype, tolerance):
    model, tokens, targets = tiny_model(spread=0.05), random_tokens(2, 16), random_tokens(2, 16, seed=1)

    def run(enabled: bool):
        with torch.autocast("cpu", dtype, enabled=enabled):
            loss = model(tokens, targets)
        assert loss.dtype == torch.float32
        return loss, torch.autograd.grad(loss, list(model.parameters()))

    (loss, gradients), (expected, references) = run(True), run(False)
    assert_close(loss, expected, atol=0, rtol=tolerance)
    for mine, reference in zip(gradients, references, strict=True):
        assert mine.dtype == torch.float32
        if reference.norm() > 1e-6:  # keys' biases have no gradient but rounding
            assert (mine - reference).norm() < 3 * tolerance * reference.norm()


def test_float16_keeps_small_probabilities_of_a_large_batch():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(64, 32, generator=generator), torch.randn(1000, 32, generator=generator) / 50
    targets = torch.zeros(64, dtype=torch.long)  # so every other row of the weight learns by its probability alone
    divisor = torch.tensor(100_000 / 2**16)  # a large step's targets, and the scaler's first scale: 0.001 of it stays
    _, _, expected = values_and_gradients(chunked_cross_entropy, x, weight, targets, divisor)
    with torch.autocast("cpu", torch.float16):
        _, _, found = values_and_gradients(chunked_cross_entropy, x, weight, targets, divisor)
    assert (found[1:] - expected[1:]).norm() < 0.01 * expected[1:].norm()


def test_a_loss_in_16_bits_keeps_its_digits():
    model, tokens = tiny_model(spread=0.02), random_tokens(8, 24)
    with torch.no_grad():
        exact = float(model(tokens, tokens))
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(tokens, tokens)
    assert loss.dtype == torch.float32 and float(loss) == pytest.approx(exact, rel=5e-4), "one sum would round to 0.4 %"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_give_the_logits_of_float32_with_and_without_a_cache(dtype):
    tolerance = TOLERANCE[dtype]
    tokens, exact = random_tokens(2, 10), tiny_model().double()
    model, reference = copy.deepcopy(exact).to(dtype), exact(tokens)
    with torch.no_grad():
        whole, cache = model(tokens), model.new_cache(2, 10)
        cached = [model(tokens[:, i : i + 1], cache=cache)[:, -1] for i in range(10)]
    assert whole.dtype == cached[0].dtype == dtype
    scale = reference.abs().max().item()
    assert_close(whole.double(), reference, atol=tolerance * scale, rtol=0)
    assert_close(torch.stack(cached, 1).double(), reference, atol=tolerance * scale, rtol=0)


# Dropout


def test_dropout_is_off_by_default_and_whenever_a_model_writes():
    model, tokens = tiny_model().train(), random_tokens(2, 12)
    without = model(tokens)
    assert torch.equal(without, model.eval()(tokens))
    set_dropout(model, 0.5).train()
    assert not torch.equal(model(tokens), model(tokens)) and torch.equal(model.eval()(tokens), without)


def test_recomputed_blocks_drop_what_they_dropped_before():
    gradients = []
    for again in (False, True):
        model = set_dropout(tiny_model(), 0.5).train()
        model.recompute = again
        torch.manual_seed(3)
        model(random_tokens(2, 12), random_tokens(2, 12, seed=1)).backward()
        gradients.append([weight.grad for weight in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
