"""What all checks share: the learner's functions, a random GPT-2 whose dimensions all differ, and nano itself."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tools.capstone.adapter import HOME, opened, unconnected
from tools.capstone.parts import PARTS
from utils.files.places import DATA

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

BATCH, TIME, LAYERS, HEADS, WIDTH, CONTEXT, VOCAB = 2, 5, 4, 3, 24, 19, 101


def pytest_configure() -> None:
    """Let libraries speak of errors only; transformers is imported by the fixtures that need it."""
    for name in ("torchao", "torch.utils._pytree", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def pytest_addoption(parser) -> None:
    parser.addoption("--folder", type=Path, default=HOME, help="the folder with adapter.py")


@pytest.fixture(scope="session")
def mine(pytestconfig):
    """The learner's adapter."""
    with opened(pytestconfig.getoption("--folder").resolve()) as adapter:
        yield adapter


@pytest.fixture(autouse=True)
def connected(request, mine):
    """Skip the checks of a part whose functions are not all connected; start each from the same random numbers."""
    part = PARTS[int(request.path.name.split("_")[1]) - 1]
    if waiting := unconnected(mine, part.functions):
        pytest.skip(f"connect {' and '.join(waiting)}")
    torch.manual_seed(part.number)


@pytest.fixture(scope="session")
def peer() -> GPT2LMHeadModel:
    """A random GPT-2 of transformers whose dimensions all differ, with biases and norms that are not at their start."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_positions": CONTEXT, "vocab_size": VOCAB}
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None, pad_token_id=None)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(1.0 if weight.dim() == 1 and weight.mean() > 0.5 else 0.0, 0.3)
    return model


@pytest.fixture(scope="session")
def heard(peer) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What went into each module of the peer and what came out of it, by its name, for one batch of tokens."""
    records: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: tuple, output) -> None:
            whole = output[0] if isinstance(output, tuple) else output
            records[name] = (inputs[0].detach(), whole.detach())

        return hook

    body = peer.transformer
    handles = [part.register_forward_hook(keep(name)) for name, part in body.h.named_modules(prefix="h") if name != "h"]
    with torch.no_grad():
        peer(torch.randint(VOCAB, (BATCH, TIME), generator=torch.Generator().manual_seed(1)))
    for handle in handles:
        handle.remove()
    return records


@pytest.fixture(scope="session")
def peer_folder(peer, tmp_path_factory) -> Path:
    """The peer as two files, laid out as GPT-2's own are."""
    folder = tmp_path_factory.mktemp("peer")
    tensors = {name: value.contiguous() for name, value in peer.transformer.state_dict().items()}
    save_file(
        {name: value for name, value in tensors.items() if not name.endswith(".attn.bias")},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(peer.config.to_dict()), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def nano_folder() -> Path:
    return DATA / "nano"


@pytest.fixture(scope="session")
def nano(nano_folder) -> GPT2LMHeadModel:
    """Nano with its real weights, as transformers reads it."""
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging as theirs

    theirs.disable_progress_bar()
    return GPT2LMHeadModel.from_pretrained(nano_folder, dtype=torch.float32).eval()
