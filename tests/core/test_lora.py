"""LoRA by the promises it makes, held against arithmetic, autograd and peft."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import replace

import pytest
import torch
from runs import QUICK, quiet_log, tiny_data, train_at_once_and_in_parts
from shapes import TINY, peak_bytes, random_tokens, theirs, tiny_model
from torch.testing import assert_close

from utils.config import SIZES, Workload, total_parameters
from utils.errors import CourseError
from utils.files.signals import StopRequest
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import open_weights
from utils.formats.peft_files import CONFIG, WEIGHTS, adapter_tensors, load_lora, save_lora
from utils.formats.safetensors import write_safetensors
from utils.loaders import load_gpt2, save_gpt2
from utils.lora import (
    adapters,
    add_lora,
    estimate_lora_memory,
    lora_parameters,
    merge_lora,
    pack_base,
    remove_lora,
    trained_parameters,
    unmerge_lora,
)
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import LAYERS, QuantizedLinear, layer_names, quantize_model
from utils.sampling import Sampling, generate
from utils.training.data import TrainingData
from utils.training.distributed import World
from utils.training.loop import Trainer, train
from utils.training.recipes import TrainingRecipe, build_model

TOKENS = random_tokens(3, 12)


def base_bytes(model: GPT2) -> dict[str, bytes]:
    """Everything but the adapters, byte for byte, under the names it has without them."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {
        name.replace(".base.", "."): tensor.detach().numpy().tobytes()
        for name, tensor in tensors
        if "lora_" not in name
    }


def stirred(model: GPT2, seed: int = 1) -> GPT2:
    """Give B numbers too, as training would, so that the adapters do something."""
    generator = torch.Generator().manual_seed(seed)
    for layer in adapters(model).values():
        layer.lora_B.weight.data.normal_(0, 0.2, generator=generator)
    return model


def one_step(model: GPT2) -> None:
    model(TOKENS, TOKENS.roll(-1, 1)).backward()
    torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2).step()


def adapted(rank: int = 4, alpha: float = 8, seed: int = 0) -> GPT2:
    model = tiny_model()
    torch.manual_seed(seed)
    return add_lora(model, rank, alpha)


@pytest.mark.parametrize("bits", [0, 4, 8])
def test_a_model_with_new_adapters_gives_the_same_logits_to_the_last_bit(bits):
    model = tiny_model() if not bits else pack_base(tiny_model(), bits)
    before = model(TOKENS)
    add_lora(model, 4, 8)
    assert len(adapters(model)) == 8
    assert torch.equal(model(TOKENS), before)


@pytest.mark.parametrize("bits", [0, 4])
def test_a_step_trains_every_a_and_b_and_no_byte_of_anything_else(bits):
    model = tiny_model() if not bits else pack_base(tiny_model(), bits)
    before = base_bytes(model)
    add_lora(model, 4, 8)
    start = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" in name}
    one_step(model)  # B learns, and A's gradient is still zero, for B was
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            assert float(parameter.grad.norm()) > 1e-6, name
        assert ("lora_" in name) == parameter.requires_grad == (parameter.grad is not None), name
    one_step(model)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            assert float(parameter.grad.norm()) > 1e-6, name
            assert not torch.equal(parameter, start[name]), name
    assert base_bytes(model) == before


def test_gradients_of_the_adapters_are_those_of_the_full_product():
    model = stirred(add_lora(tiny_model(), 4, 8, ["mlp.up"]))
    plain = remove_lora(merge_lora(copy.deepcopy(model)))
    for each in (model, plain):
        each(TOKENS, TOKENS.roll(-1, 1)).backward()
    for name, layer in adapters(model).items():
        full = plain.get_submodule(name).weight.grad  # of W + (alpha / rank) · B · A
        assert_close(layer.lora_B.weight.grad, 2.0 * full @ layer.lora_A.weight.T, atol=1e-5, rtol=1e-4)
        assert_close(layer.lora_A.weight.grad, 2.0 * layer.lora_B.weight.T @ full, atol=1e-5, rtol=1e-4)


def test_gradients_through_packed_weights_are_those_through_the_same_weights_unpacked():
    packed = stirred(add_lora(pack_base(tiny_model(), 4), 4, 8))
    plain = copy.deepcopy(packed)
    for layer in adapters(plain).values():
        linear = torch.nn.Linear(layer.in_features, layer.out_features)
        linear.weight.data, linear.bias.data = layer.base.weight, layer.base.bias.data
        layer.base = linear.requires_grad_(False)
    for each in (packed, plain):
        each(TOKENS, TOKENS.roll(-1, 1)).backward()
    for ours, reference in zip(adapters(packed).values(), adapters(plain).values(), strict=True):
        assert_close(ours.lora_A.weight.grad, reference.lora_A.weight.grad, atol=1e-5, rtol=1e-4)
        assert_close(ours.lora_B.weight.grad, reference.lora_B.weight.grad, atol=1e-5, rtol=1e-4)


def test_merged_equals_unmerged_and_taking_it_out_again_restores_the_weights():
    model = stirred(adapted())
    before, weights = model(TOKENS), {name: layer.base.weight.clone() for name, layer in adapters(model).items()}
    plain = model.get_submodule("blocks.0.mlp.up").base(torch.ones(32))
    merge_lora(merge_lora(model))  # twice is once
    assert_close(model(TOKENS), before, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model.get_submodule("blocks.0.mlp.up").base(torch.ones(32)), plain, atol=1e-2)
    unmerge_lora(unmerge_lora(model))
    assert_close(model(TOKENS), before, atol=1e-5, rtol=1e-5)
    for name, layer in adapters(model).items():
        assert_close(layer.base.weight, weights[name], atol=1e-6, rtol=0)


def test_the_weight_of_an_adapted_layer_is_what_it_multiplies_with():
    model = stirred(adapted())
    layer, x = model.get_submodule("blocks.1.attention.qkv"), torch.randn(5, 32)
    assert_close(layer(x), x @ layer.weight.T + layer.bias, atol=1e-5, rtol=1e-5)
    merge_lora(model)
    assert_close(layer(x), x @ layer.weight.T + layer.bias, atol=1e-5, rtol=1e-5)


def test_a_merged_model_without_adapters_is_a_plain_one_that_can_be_saved(tmp_path):
    model = stirred(adapted())
    before = model(TOKENS)
    with pytest.raises(CourseError, match="save_lora, or first merge_lora and remove_lora"):
        save_gpt2(model, tmp_path)
    save_gpt2(remove_lora(merge_lora(model)), tmp_path)
    assert_close(load_gpt2(tmp_path)(TOKENS), before, atol=1e-5, rtol=1e-5)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_removing_without_merging_gives_the_old_model_back():
    model = remove_lora(stirred(adapted()))
    assert torch.equal(model(TOKENS), tiny_model()(TOKENS))


def test_packed_weights_can_not_be_merged_into():
    model = stirred(add_lora(pack_base(tiny_model(), 4), 4, 8))
    before = base_bytes(model)
    with pytest.raises(CourseError, match="packed to 4 bits.*load it on the unquantized model"):
        merge_lora(model)
    assert base_bytes(model) == before


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layers", [LAYERS, ["attention.qkv"], ["attention.out", "mlp.down"]])
def test_trained_parameters_are_rank_times_inputs_and_outputs_at_every_size(size, layers):
    with torch.device("meta"):
        model = add_lora(GPT2(SIZES[size]), 8, 16, layers)
    width = SIZES[size].n_embd
    sizes = {"attention.qkv": (1, 3), "attention.out": (1, 1), "mlp.up": (1, 4), "mlp.down": (4, 1)}
    by_hand = SIZES[size].n_layer * sum(8 * (sizes[name][0] + sizes[name][1]) * width for name in layers)
    assert trained_parameters(model) == by_hand == lora_parameters(SIZES[size], 8, layers)
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert whole - by_hand == total_parameters(SIZES[size])


@pytest.mark.parametrize("bits", [0, 4])
def test_the_estimate_of_memory_is_within_a_fifth_of_the_measured_peak(tmp_path, bits):
    config, work = replace(SIZES["nano"], vocab_size=8000, context=256), Workload(4, 256, "float32", True)

    def step() -> None:
        torch.manual_seed(0)
        model = GPT2(config)
        add_lora(pack_base(model, bits) if bits else model, 8, 16)
        tokens = random_tokens(4, 256, 8000)
        model.train()(tokens, tokens).backward()
        torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True).step()

    expected = sum(estimate_lora_memory(config, work, 8, base_bits=bits).values())
    assert peak_bytes(step, tmp_path) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8), "rank is 0"),
        ((2.5, 8), "rank is 2.5"),
        ((2, 0), "alpha is 0"),
        ((2, 2, ["mlp.upp"]), "no layer 'mlp.upp'"),
        ((2, 2, ["blocks.7.mlp.up"]), "no layer 'blocks.7.mlp.up'"),
        ((2, 2, []), "nothing would be trained"),
    ],
)
def test_what_can_not_be_is_refused_and_the_model_left_alone(arguments, message):
    model = tiny_model()
    with pytest.raises(CourseError, match=message):
        add_lora(model, *arguments)
    assert not adapters(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_adapters_on_adapters_are_refused_and_so_is_work_on_none():
    with pytest.raises(CourseError, match="has adapters already"):
        add_lora(adapted(), 4, 8)
    for function in (merge_lora, unmerge_lora, remove_lora):
        with pytest.raises(CourseError, match="has no adapters"):
            function(tiny_model())


def test_generation_with_a_cache_uses_the_adapters():
    model = stirred(adapted())
    settings = Sampling(max_new=8, temperature=0, stop=())
    with_adapters = generate(model, [[1, 2, 3]], settings)
    assert with_adapters != generate(tiny_model(), [[1, 2, 3]], settings)
    assert with_adapters == generate(remove_lora(merge_lora(model)), [[1, 2, 3]], settings)


def test_adapters_stay_in_float32_beside_a_base_of_16_bits():
    model = stirred(add_lora(tiny_model().bfloat16(), 4, 8))
    assert {p.dtype for name, p in model.named_parameters() if "lora_" in name} == {torch.float32}
    model(TOKENS, TOKENS.roll(-1, 1)).backward()
    assert all(layer.lora_A.weight.grad.isfinite().all() for layer in adapters(model).values())


# Files, ours and peft's


def peft_model(base, folder=None, **settings):
    from peft import LoraConfig, PeftModel, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if folder is not None:
            return PeftModel.from_pretrained(base, folder).eval()
        return get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=True, **settings))


@pytest.fixture
def twins(tmp_path):
    """The same weights as our model and as that of transformers."""
    base = theirs(TINY, spread=0.15)
    base.save_pretrained(tmp_path / "base")
    return load_gpt2(tmp_path / "base"), base


@pytest.mark.parametrize("layers", [LAYERS, ["attention.qkv"], ["blocks.1.mlp.up", "blocks.0.attention.out"]])
def test_our_adapters_load_in_peft_with_equal_logits(twins, tmp_path, layers):
    ours, base = twins
    save_lora(stirred(add_lora(ours, 4, 12, layers)), tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == sorted([CONFIG, WEIGHTS])
    other = peft_model(base, tmp_path / "adapter")
    with torch.no_grad():
        assert_close(ours(TOKENS), other(TOKENS).logits, atol=1e-4, rtol=1e-4)
        merged = other.merge_and_unload()
        assert_close(ours(TOKENS), merged(TOKENS).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 4, "lora_alpha": 12, "target_modules": ["c_attn"]},
        {"r": 2, "lora_alpha": 5, "target_modules": ["c_attn", "c_proj", "c_fc"], "init_lora_weights": "gaussian"},
        {"r": 3, "lora_alpha": 3, "target_modules": ["mlp.c_proj"], "layers_to_transform": [1]},
    ],
)
def test_adapters_of_peft_load_in_ours_with_equal_logits(twins, tmp_path, settings):
    ours, base = twins
    other = peft_model(base, **settings).eval()
    generator = torch.Generator().manual_seed(4)
    for name, weight in other.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.2, generator=generator)
    other.save_pretrained(tmp_path / "adapter")
    plain = ours(TOKENS)
    load_lora(ours, tmp_path / "adapter")
    with torch.no_grad():
        assert_close(ours(TOKENS), other(TOKENS).logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours(TOKENS), plain, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_rslora": True}, "use_rslora is True, expected None"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"rank_pattern": {"c_attn": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"c_attn": 2}}, "alpha_pattern"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"target_modules": ["wte", "c_attn"]}, "belongs to no linear layer"),
    ],
)
def test_what_peft_can_and_plain_lora_can_not_is_refused(twins, tmp_path, settings, message):
    ours, base = twins
    other = peft_model(base, **{"r": 4, "lora_alpha": 8, "target_modules": ["c_attn"], **settings})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.save_pretrained(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / CONFIG).read_text(encoding="utf-8"))
    config.update({name: value for name, value in settings.items() if name == "init_lora_weights"})
    (tmp_path / "adapter" / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CourseError, match=message):
        load_lora(ours, tmp_path / "adapter")
    assert not adapters(ours)


def test_an_adapter_for_another_depth_or_width_is_refused_and_the_model_left_alone(tmp_path):
    save_lora(adapted(), tmp_path)
    for change, message in (({"n_layer": 1}, "belongs to no linear layer"), ({"n_embd": 64}, "of another width")):
        model = tiny_model(replace(TINY, **change))
        with pytest.raises(CourseError, match=message):
            load_lora(model, tmp_path)
        assert not adapters(model)
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_with_a_part_missing_is_refused(tmp_path):
    save_lora(adapted(), tmp_path)
    tensors = [(name, stored.read().clone()) for name, stored in open_weights(tmp_path / WEIGHTS).items()]
    write_safetensors(tmp_path / WEIGHTS, tensors[1:], {})
    with pytest.raises(CourseError, match="lacks .*lora_A"):
        load_lora(tiny_model(), tmp_path)
    (tmp_path / CONFIG).unlink()
    with pytest.raises(CourseError, match="adapter_config.json is not there"):
        load_lora(tiny_model(), tmp_path)


def test_a_folder_with_an_adapter_loads_as_the_merged_model(tmp_path):
    save_gpt2(tiny_model(), tmp_path / "base")
    model = stirred(add_lora(load_gpt2(tmp_path / "base"), 4, 8))
    save_lora(model, tmp_path / "adapter")
    loaded = load_gpt2(tmp_path / "adapter")
    assert not adapters(loaded)
    assert_close(loaded(TOKENS), model(TOKENS), atol=1e-5, rtol=1e-5)


def test_adapters_as_peft_saved_them_until_2023_load(tmp_path):
    save_gpt2(tiny_model(), tmp_path / "base")
    model = stirred(add_lora(load_gpt2(tmp_path / "base"), 4, 8))
    new = load_gpt2(save_lora(model, tmp_path / "adapter"))
    (tmp_path / "adapter" / WEIGHTS).unlink()
    torch.save(dict(adapter_tensors(model)), tmp_path / "adapter" / "adapter_model.bin")
    for place in (tmp_path / "adapter", tmp_path / "adapter" / "adapter_model.bin"):
        assert load_gpt2(place)(TOKENS).equal(new(TOKENS))


def test_a_folder_with_an_adapter_of_a_packed_model_packs_its_base_again(tmp_path):
    save_gpt2(tiny_model(), tmp_path / "base")
    base = quantize_model(load_gpt2(tmp_path / "base"), Grid(4, 16, "nf4"))
    model = stirred(add_lora(base, 4, 8))
    save_lora(model, tmp_path / "adapter")
    loaded = load_gpt2(tmp_path / "adapter")
    assert all(isinstance(layer.base, QuantizedLinear) for layer in adapters(loaded).values())
    assert_close(loaded(TOKENS), model(TOKENS), atol=1e-6, rtol=1e-6)


def test_inspect_knows_an_adapter(tmp_path):
    save_lora(adapted(), tmp_path)
    lines = inspect_file(tmp_path)
    assert lines[0].startswith(f"{WEIGHTS}: 16 tensors")
    assert any(line.startswith("load_gpt2: yes, its folder") for line in lines)
    assert "transformers: yes, with peft" in lines


def test_an_adapter_that_names_no_model_says_what_to_do(tmp_path):
    save_lora(adapted(), tmp_path)
    with pytest.raises(CourseError, match="names no model. Load the model first"):
        load_gpt2(tmp_path)


def test_sizes_are_named_as_the_hub_names_them(tmp_path):
    model = adapted()
    model.origin = "medium"
    save_lora(model, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "openai-community/gpt2-medium"


# In the training loop


def test_the_loop_trains_adapters_and_lowers_the_loss(tmp_path):
    model = adapted()
    before = base_bytes(model)
    log = quiet_log(tmp_path)
    train(model, tiny_data(), replace(QUICK, max_steps=60), log)
    assert log.history[-1].loss < log.history[0].loss - 0.5
    assert base_bytes(model) == before


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_optimizer_and_dtype_moves_the_adapters(optimizer, dtype):
    trainer = Trainer(model := adapted(), tiny_data(), replace(QUICK, optimizer=optimizer, dtype=dtype), World())
    for _ in range(2):
        assert trainer.step().gradient_norm > 0
    assert all(layer.lora_B.weight.any() for layer in adapters(model).values())


@pytest.mark.parametrize("bits", [0, 4])
def test_a_resumed_run_of_adapters_equals_the_uninterrupted_one_bit_for_bit(tmp_path, bits):
    def fresh(seed: int) -> GPT2:
        model = pack_base(tiny_model(), bits) if bits else tiny_model()
        torch.manual_seed(seed)
        return add_lora(model, 4, 8)

    (whole, entire), (resumed, rest) = train_at_once_and_in_parts(fresh, QUICK, tmp_path, 5)
    assert [record.loss for record in rest.history] == [record.loss for record in entire.history[5:]]
    for (name, a), (_, b) in zip(adapter_tensors(resumed), adapter_tensors(whole), strict=True):
        assert torch.equal(a, b), name


def test_a_checkpoint_of_adapters_holds_adapters_only(tmp_path):
    train(model := adapted(), tiny_data(), replace(QUICK, out=str(tmp_path / "run")))
    stored = open_weights(tmp_path / "run" / "last.safetensors")
    numbers = sum(tensor.nbytes for name, tensor in stored.items() if not name.startswith("random")) / 4
    assert numbers == 3 * trained_parameters(model)  # themselves and AdamW's two moments
    assert (tmp_path / "run" / WEIGHTS).is_file()
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("other", [{"rank": 2}, {"alpha": 4}])
def test_resuming_with_other_adapters_is_refused(tmp_path, other):
    config = replace(QUICK, out=str(tmp_path / "run"), max_steps=1)
    train(adapted(), tiny_data(), config)
    with pytest.raises(CourseError, match="made with the adapters"):
        train(adapted(**other), tiny_data(), replace(config, resume=True))
    with pytest.raises(CourseError, match="this model has None"):
        train(tiny_model(), tiny_data(), replace(config, resume=True))


@pytest.mark.parametrize("in_folder", [False, True])
def test_early_stopping_brings_the_best_adapters_back(tmp_path, in_folder):
    noise = random_tokens(1, 100, seed=1)[0]
    rows = TrainingData(tiny_data().batches, noise)
    config = replace(QUICK, max_steps=300, evaluate_every=5, patience=2, out=str(tmp_path / "run") if in_folder else "")
    trainer = Trainer(adapted(), rows, config, World())
    result = trainer.run(StopRequest())
    assert "no better held-out loss" in result.reason
    trainer.progress.evaluated_step = -1
    assert trainer.evaluate() == pytest.approx(result.best_validate_loss, rel=1e-6)


def test_a_recipe_adapts_and_packs_the_model_that_it_names(tmp_path):
    save_gpt2(tiny_model(), tmp_path)
    recipe = TrainingRecipe(
        weights=str(tmp_path), lora_rank=3, lora_alpha=6, lora_layers="attention.qkv, mlp.up", base_bits=4
    )
    model = build_model(replace(recipe, device="cpu"), TINY.vocab_size, World())
    assert list(adapters(model)) == [name for name in layer_names(model) if name.endswith(("qkv", "up"))]
    assert all(layer.scale == 2 and layer.base.grid.kind == "nf4" for layer in adapters(model).values())
    assert model.origin == str(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"base_bits": 4}, "set lora_rank, too"), ({"lora_rank": 4, "compact": True}, "drop compact or lora_rank")],
)
def test_recipes_that_can_not_be_are_refused(settings, message):
    with pytest.raises(CourseError, match=message):
        build_model(TrainingRecipe(size="nano", n_layer=1, n_head=1, n_embd=8, device="cpu", **settings), 20, World())
