"""Muon beside AdamW: which weights it takes, what its steps look like, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from runs import QUICK, tiny_data, tiny_model

from utils.config import SIZES
from utils.model import GPT2
from utils.training.config import TrainConfig
from utils.training.loop import train
from utils.training.optimizers import Muon, make_optimizer, orthogonalize


@pytest.mark.parametrize("shape", [(64, 64), (32, 128), (128, 32), (3, 40, 40)])
def test_orthogonal_steps_keep_directions_and_make_strengths_alike(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    _, strengths, _ = torch.linalg.svd(orthogonalize(matrices).float(), full_matrices=False)
    assert strengths.max() < 1.4, "Newton-Schulz leaves them near 1, not at it"
    assert (strengths > 0.6).float().mean() > 0.9, "all but the very smallest are drawn up"
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    inside = u.mT @ orthogonalize(matrices).float() @ vt.mT  # diagonal if the singular vectors are the same
    off_diagonal = inside - torch.diag_embed(inside.diagonal(dim1=-2, dim2=-1))
    assert off_diagonal.abs().max() < 0.05


def test_muon_takes_the_matrices_of_the_blocks_and_leaves_the_rest_to_adamw():
    with torch.device("meta"):
        model = GPT2(SIZES["nano"])
    groups = make_optimizer(model, TrainConfig(optimizer="muon")).param_groups
    sizes = [(len(group["params"]), group["weight_decay"], group["orthogonal"]) for group in groups]
    assert sizes == [(2, 0.1, False), (6 * 8 + 2, 0.0, False), (6 * 4, 0.1, True)]
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert [names[p] for p in groups[0]["params"]] == ["token_embedding.weight", "position_embedding.weight"]


def test_a_step_is_the_polar_factor_of_the_gradient_for_q_k_and_v_apart():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(48, 16))  # q, k and v of width 16
    weight.grad = torch.randn(48, 16) * torch.tensor([1.0, 100, 0.01]).repeat_interleave(16)[:, None]
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=1.0, weight_decay=0.0)
    optimizer.step()
    for part, gradient in zip(weight.detach().chunk(3), weight.grad.chunk(3), strict=True):
        assert 0.7 < part.norm() / (0.2 * 4 * 4) < 1.2, "each has a step of one size, however small its gradient"
        u, _, vt = torch.linalg.svd(gradient)
        assert torch.nn.functional.cosine_similarity(part.flatten(), -(u @ vt).flatten(), 0) > 0.9


def test_embeddings_and_norms_step_as_with_adamw_alone():
    models = []
    for name in ("adamw", "muon"):
        model = tiny_model()
        optimizer = make_optimizer(model, TrainConfig(optimizer=name))
        inputs, targets = tiny_data().batches.next_batch()
        model(inputs, targets).backward()
        optimizer.step()
        models.append(dict(model.named_parameters()))
    for name, weight in models[0].items():
        same = torch.equal(weight, models[1][name])
        assert same is not (".blocks." in f".{name}" and weight.dim() == 2), name


def test_training_with_muon_learns():
    result = train(tiny_model(), tiny_data(), replace(QUICK, optimizer="muon"))
    assert result.best_validate_loss < 3.5, "ln 50 is 3.9"
