"""From a file to a model: seconds and peak memory of ours, of transformers and of torch.load, each in a new process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import (
    OthersWatch,
    Report,
    Rounds,
    Sample,
    compare,
    fresh_turn,
    interleave,
    machine_description,
    timed,
)
from utils.config import SIZES, GPT2Config, total_parameters

OURS, PEER, BARE, FILLED = "ours", "transformers from_pretrained", "torch.load alone", "torch.load into a new GPT2"


@dataclass(frozen=True)
class Settings:
    """Which model is loaded how often."""

    config: GPT2Config = SIZES["small"]
    rounds: Rounds = Rounds(7)


def measure(settings: Settings = Settings()) -> Report:
    """Write the weights in both formats, then load them in turns; what is loaded is also read once."""
    with TemporaryDirectory() as folder, OthersWatch() as others:
        write_weights(settings.config, Path(folder))
        samples = interleave(contestants(Path(folder)), settings.rounds)
    weights = 4 * total_parameters(settings.config)
    add_peak_over_weights(samples, weights)
    ratios = [compare(samples, other, OURS, "load seconds") for other in (PEER, BARE, FILLED)]
    notes = [
        f"The weights take {weights / 1e6:,.0f} MB; the file is in the system's cache; every weight is read once.",
        "Peak memory is what the process holds above its imports.",
        others.sentence(),
    ]
    title = "Loading float32 weights: seconds and peak memory"
    return Report("loading", title, asdict(settings), samples, ratios, notes, machine_description())


def add_peak_over_weights(samples: Mapping[str, list[Sample]], weights: int) -> None:
    """Add to each sample its peak memory as a multiple of the weights' bytes."""
    for sample in (sample for turns in samples.values() for sample in turns):
        sample["peak over weights"] = sample["peak bytes"] / weights


def write_weights(config: GPT2Config, folder: Path) -> None:
    """Write random weights as model.safetensors and as pytorch_model.bin."""
    import torch

    from utils.loaders import save_gpt2
    from utils.model import GPT2

    torch.manual_seed(0)
    model = GPT2(config)
    save_gpt2(model, folder)
    torch.save(model.state_dict(), folder / "ours.bin")


def contestants(folder: Path) -> dict[str, Callable[[], Sample]]:
    """Return one turn for each contestant, a new process every time."""
    ours, theirs = ("utils.loaders",), ("transformers.models.gpt2.modeling_gpt2", "transformers.generation")
    makes = {OURS: (load_ours, ours), PEER: (load_peer, theirs), BARE: (load_bare, ours), FILLED: (load_filled, ours)}
    return {name: fresh_turn(make, folder, imports=imports) for name, (make, imports) in makes.items()}


def _measured(load: Callable[[], list]) -> Sample:
    return {"load seconds": timed(lambda: sum(float(tensor.detach().sum()) for tensor in load()))}


def load_ours(folder: Path):
    from utils.loaders import load_gpt2

    return lambda: _measured(lambda: list(load_gpt2(folder).parameters()))


def load_peer(folder: Path):
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return lambda: _measured(lambda: list(GPT2LMHeadModel.from_pretrained(folder).parameters()))


def load_bare(folder: Path):
    import torch

    return lambda: _measured(lambda: list(torch.load(folder / "ours.bin", weights_only=True).values()))


def load_filled(folder: Path):
    """Load the way most tutorials do: a model with random weights first, then a state dict beside it."""
    import torch

    from utils.files.whole_files import read_json
    from utils.model import GPT2

    raw = read_json(folder / "config.json")
    config = GPT2Config(raw["n_layer"], raw["n_head"], raw["n_embd"], raw["vocab_size"], raw["n_positions"])

    def load() -> list:
        model = GPT2(config)
        model.load_state_dict(torch.load(folder / "ours.bin", weights_only=True))
        return list(model.parameters())

    return lambda: _measured(load)
