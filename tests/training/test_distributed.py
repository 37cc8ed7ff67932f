"""Two processes train as one: DDP and FSDP, on one machine, with two agents, and on two hosts of a network."""

from __future__ import annotations

import csv
import faulthandler
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import QUICK, child_environment, tiny_data, tiny_model, tiny_tokens, weights
from torch.testing import assert_close

from utils.batches import Batches
from utils.errors import CourseError
from utils.formats.open_file import open_weights
from utils.loaders import load_gpt2
from utils.lora import add_lora
from utils.run_log import RunLog
from utils.training.checkpoints import LAST
from utils.training.data import TrainingData
from utils.training.distributed import World, full_tensor, is_sharded, local_shard, shard
from utils.training.loop import Trainer, train

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed part"),
    pytest.mark.skipif(sys.platform == "win32", reason="torch for Windows lacks what torchrun's store needs"),
]

STEPS, HALF = 6, 3
# a rate that does not look ahead to max_steps, and a clip that bites
TOGETHER = replace(QUICK, max_steps=STEPS, accumulate=2, clip=0.5, min_learning_rate=1e-2, evaluate_every=2)
RUNS = {
    "ddp": {},
    "fsdp": {"parallel": "fsdp"},
    "muon": {"parallel": "fsdp", "optimizer": "muon"},
    "last_layer": {"parallel": "fsdp", "train_layers": 1, "gradient_checkpointing": True},
}


# What each process does; torchrun gets here through the end of this file


def share_of(world: World) -> TrainingData:
    return TrainingData(Batches(tiny_tokens(), 4, 16, rank=world.rank, world_size=world.world_size), tiny_tokens(100))


def train_share(folder: Path, name: str, world: World, **changes) -> None:
    """Train on half of each batch, and keep the weights that this process ends with."""
    config = replace(TOGETHER, out=str(folder / name), **changes)
    log = RunLog(folder / name, show=lambda line: None)
    model = tiny_model(seed=world.rank)  # they start apart: the first process's weights must win
    train(model, share_of(world), config, log)
    torch.save(weights(model), folder / f"{name}{world.rank}.pt")


def keep_facts(folder: Path, world: World) -> None:
    """Look into a trainer: its gradients, how many numbers it holds, and when it wants to save."""
    config = replace(TOGETHER, parallel="fsdp", save_minutes=30)
    trainer = Trainer(tiny_model(seed=world.rank), share_of(world), config, world)
    trainer.progress.step = 1  # no step at which everybody saves anyway
    trainer.saved_at -= 3600 * world.rank  # the second clock says that it is time
    facts = {"saves": trainer.time_to_save(), "handed_in": sum(w.numel() for w in trainer.given.parameters())}
    trainer.backward([trainer.data.batches.next_batch() for _ in range(config.accumulate)])
    parameters = list(trainer.model.parameters())
    assert all(is_sharded(p) and is_sharded(p.grad) for p in parameters)
    facts["held"] = sum(local_shard(p).numel() for p in parameters)
    facts["gradients_held"] = sum(local_shard(p.grad).numel() for p in parameters)
    facts["gradients"] = [full_tensor(p.grad) for p in parameters]
    torch.save(facts, folder / f"facts{world.rank}.pt")


def work(folder: Path, everything: bool) -> None:
    world = World()
    with world.joined():
        if not everything:
            return train_share(folder, "fsdp", world, **RUNS["fsdp"])
        for name, changes in RUNS.items():
            train_share(folder, name, world, **changes)
        train_share(folder, "two_to_one", world, parallel="fsdp", max_steps=HALF)
        train_share(folder, "one_to_two", world, parallel="fsdp", resume=True)
        keep_facts(folder, world)


# How they are launched


def agent(folder: Path, address: str, endpoint: str, everything: bool = False) -> list[str]:
    """One machine's torchrun with one process: two of them meet at the endpoint and find out who is who."""
    here = "true" if endpoint.startswith(f"{address}:") else "false"
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", "--rdzv-id=test", f"--local-addr={address}"]
    options = ["--nnodes=2", "--nproc-per-node=1", *meeting]
    if not everything:  # on loopback the agents find out by themselves who holds the endpoint
        options.append(f"--rdzv-conf=is_host={here}")
    words = [*options, __file__, str(folder), "everything" if everything else "fsdp"]
    return [sys.executable, "-m", "torch.distributed.run", *words]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(*commands: list[str], **variables: str) -> None:
    """Run the commands at the same time, and expect all of them to succeed."""
    env = child_environment(**variables)
    with ExitStack() as stack:  # into files: nobody reads two pipes at once, and a full one would stop both agents
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        running = [
            subprocess.Popen(command, env=env, stdout=file, stderr=file)
            for command, file in zip(commands, said, strict=True)
        ]
        for process in running:
            stack.callback(process.kill)
        deadline = time.monotonic() + 420  # agents that wait in vain for each other at the end give up after 300
        while None in (ended := [process.poll() for process in running]) and not any(ended):
            assert time.monotonic() < deadline, "\n".join(map(last_words, said))
            time.sleep(0.1)
        assert ended == [0] * len(running), "\n".join(map(last_words, said))


def last_words(file) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")[-4000:]


# What is compared with it


def train_alone(folder: Path, **changes) -> list[torch.Tensor]:
    config = replace(TOGETHER, batch_size=8, out=str(folder), **changes)
    model = tiny_model(seed=9 if config.resume else 0)
    train(model, tiny_data(batch_size=8), config, RunLog(folder, show=lambda line: None))
    return weights(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All runs of one launch, two agents with a process each on loopback, beside the same runs of one process."""
    folder = tmp_path_factory.mktemp("runs")
    for name, changes in RUNS.items():
        torch.save(train_alone(folder / f"{name}_alone", **changes), folder / f"{name}_alone.pt")
    train_alone(folder / "one_to_two", max_steps=HALF)
    command = agent(folder, "127.0.0.1", f"127.0.0.1:{free_port()}", everything=True)
    launch(command, command)
    train_alone(folder / "two_to_one", resume=True)
    return folder


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "steps.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_curve(run: Path, alone: Path, within: float = 1e-5) -> None:
    ours, theirs = rows(run), rows(alone)
    assert [row["step"] for row in ours] == [str(step) for step in range(1, STEPS + 1)]  # one process writes the log
    for row, other in zip(ours, theirs, strict=True):
        assert (row["samples"], row["tokens"]) == (other["samples"], other["tokens"])
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=within)
        assert float(row["gradient_norm"]) == pytest.approx(float(other["gradient_norm"]), rel=10 * within)


def check_weights(first: list[torch.Tensor], second: list[torch.Tensor], within: float = 1e-5) -> None:
    for (name, _), a, b in zip(tiny_model().named_parameters(), first, second, strict=True):
        if not name.endswith("qkv.bias"):  # keys' biases have no gradient but rounding, which AdamW blows up
            assert_close(a, b, atol=within, rtol=within)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_give_the_weights_and_losses_of_one(folder, name):
    first, second, alone = (torch.load(folder / f"{name}{which}.pt") for which in ("0", "1", "_alone"))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    muon = name == "muon"  # which multiplies in bfloat16 where it can: there 1e-7 in a gradient can be 1e-3 in a step
    check_weights(first, alone, 5e-3 if muon else 1e-5)
    check_curve(folder / name, folder / f"{name}_alone", 1e-4 if muon else 1e-5)
    assert float(rows(folder / name)[0]["gradient_norm"]) > TOGETHER.clip or name == "last_layer"  # clipping mattered


def test_fsdp_gives_the_gradients_of_one_process(folder):
    trainer = Trainer(tiny_model(), tiny_data(batch_size=8), TOGETHER, World())
    trainer.backward([trainer.data.batches.next_batch() for _ in range(TOGETHER.accumulate)])
    expected = [parameter.grad for parameter in trainer.model.parameters()]
    for rank in (0, 1):
        assert_close(torch.load(folder / f"facts{rank}.pt")["gradients"], expected, atol=1e-6, rtol=1e-5)


def test_under_fsdp_each_process_holds_half_of_the_numbers(folder):
    count = sum(weight.numel() for weight in weights(tiny_model()))
    facts = [torch.load(folder / f"facts{rank}.pt") for rank in (0, 1)]
    assert [fact["held"] for fact in facts] == [fact["gradients_held"] for fact in facts] == [count // 2] * 2
    assert [fact["handed_in"] for fact in facts] == [0, 0]  # the model that was handed in keeps no second copy


def test_all_processes_save_when_one_clock_says_so(folder):
    assert [torch.load(folder / f"facts{rank}.pt")["saves"] for rank in (0, 1)] == [True, True]


@pytest.mark.parametrize("run", ["two_to_one", "one_to_two"])
def test_a_run_goes_on_with_another_number_of_processes_as_if_nothing_had_changed(folder, run):
    check_curve(folder / run, folder / "fsdp_alone")


def test_parts_are_gathered_into_the_files_that_one_process_writes(folder):
    ours, theirs = (open_weights(folder / name / LAST) for name in ("fsdp", "fsdp_alone"))
    assert {name: tensor.shape for name, tensor in ours.items() if name != "random.cpu"} == {
        name: tensor.shape for name, tensor in theirs.items() if name != "random.cpu"
    }
    model = load_gpt2(folder / "fsdp")  # the best weights, for anybody
    best = load_gpt2(folder / "fsdp_alone")
    check_weights(weights(model), weights(best))


def test_adapters_are_not_sharded():
    model = add_lora(tiny_model(), 2, 4.0)
    with pytest.raises(CourseError, match="this model has adapters, expected ddp"):
        shard(model)


# Two machines, as far as one can be two


@contextmanager
def two_hosts():
    """Yield the names of two network namespaces with a cable between them, 10.77.0.1 and 10.77.0.2; or skip."""
    names = [f"course{os.getpid()}{side}" for side in "ab"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=300)

    if sys.platform != "linux" or not shutil.which("ip"):
        pytest.skip("network namespaces need Linux and the command ip")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names, start=1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")
        yield names
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine makes no network namespaces: {error.stderr.strip()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=60, check=False)


def test_two_hosts_of_a_network_train_as_one_process(tmp_path):
    with two_hosts() as hosts:
        commands = [
            ["ip", "netns", "exec", host, *agent(tmp_path, f"10.77.0.{number}", "10.77.0.1:29400")]
            for number, host in enumerate(hosts, start=1)
        ]
        launch(*commands, GLOO_SOCKET_IFNAME="cable")
    alone = train_alone(tmp_path / "alone")
    for rank in (0, 1):
        check_weights(torch.load(tmp_path / f"fsdp{rank}.pt"), alone)
    check_curve(tmp_path / "fsdp", tmp_path / "alone")


if __name__ == "__main__":
    faulthandler.dump_traceback_later(240, exit=True)  # so that what hangs says where
    work(Path(sys.argv[1]), sys.argv[2] == "everything")
