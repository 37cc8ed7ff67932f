"""The files of labs/scale, checked as far as one machine can: parsed, and their commands run with stand-ins."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from utils.files.places import ROOT
from utils.formats.safetensors import read_note
from utils.loaders import load_gpt2
from utils.texts.bins import tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.tokenizer import Tokenizer
from utils.training.checkpoints import LAST

SCALE = ROOT / "labs" / "scale"
SCRIPTS = sorted([*SCALE.glob("*.sh"), *SCALE.glob("*.slurm")])
TINY = (
    "n_layer=2 n_head=2 n_embd=16 context=32 dtype=float32 device=cpu optimizer=adamw warmup_steps=1 evaluate_every=2"
)

pytestmark = pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="these scripts need bash")
distributed = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed part")

# Stand-ins for what a cluster has: srun starts a task for each machine, here all on this one
SRUN = """#!/usr/bin/env bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 9
shift
for number in $(seq 0 $((SLURM_JOB_NUM_NODES - 1))); do SLURM_NODEID=$number "$@" & tasks="${tasks:-} $!"; done
for task in $tasks; do wait "$task" || exit 1; done
"""
SCONTROL = """#!/usr/bin/env bash
[ "$*" = "show hostnames $SLURM_JOB_NODELIST" ] || exit 9
echo 127.0.0.1; echo another.machine
"""
SAY_WORDS = '#!/usr/bin/env bash\nprintf "%s\\n" "$(basename "$0")" "$@"\n'


def stand_in(folder: Path, **programs: str) -> str:
    """Write programs into a folder and return a PATH on which they come first."""
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def run(command: list[str], **variables: str) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    return done.stdout


def read_job() -> tuple[dict, dict]:
    service, job = yaml.safe_load_all((SCALE / "train-job.yaml").read_text(encoding="utf-8"))
    return service, job


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_bash_that_stops_at_the_first_error(path):
    run(["bash", "-n", str(path)])
    assert "\nset -euo pipefail\n" in path.read_text(encoding="utf-8")


def test_no_file_names_a_host_or_holds_a_secret():
    for path in SCALE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)) <= {"127.0.0.1", "0.0.0.0"}, path.name
        assert not re.search(r"(?i)(password|secret|token|_key)\s*[=:]\s*[\"']?\w", text), path.name


@pytest.mark.parametrize("missing", ["RECIPE", "OUT"])
def test_a_setting_that_is_missing_is_asked_for(missing):
    settings = {"RECIPE": "labs/recipes/nano.yaml", "OUT": "runs/x"} | {missing: ""}
    with pytest.raises(AssertionError, match=f"Set {missing} to"):
        run(["bash", str(SCALE / "node.sh")], **settings)


def test_the_job_on_kubernetes_is_consistent_with_itself():
    service, job = read_job()
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    name = job["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert service["metadata"]["name"] == pod["subdomain"]
    assert given["NODES"] == str(job["spec"]["completions"]) == str(job["spec"]["parallelism"])
    assert given["PROCESSES"] == str(container["resources"]["limits"]["nvidia.com/gpu"])
    assert given["ENDPOINT"].startswith(f"{name}-0.{pod['subdomain']}:")  # the first machine, by its name
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    read = set(re.findall(r"\$\{(\w+)", (SCALE / "node.sh").read_text(encoding="utf-8")))
    assert set(given) <= read  # nothing is set that nobody reads


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "poems").mkdir()
    for path in sorted((ROOT / "data" / "poems").glob("*.txt"))[:6]:
        shutil.copy(path, folder / "poems")
    settings = BinSettings(fraction=0.3)
    return tokenize_to_bin(folder / "poems", folder / "bins", Tokenizer.gpt2(), settings).train.parent


@distributed
def test_a_job_whose_time_is_up_leaves_a_checkpoint_of_its_last_step(data, tmp_path):
    """A cluster sends SIGTERM; torchrun hands it on, and every process ends after the step at hand."""
    settings = {"RECIPE": "labs/recipes/nano.yaml", "OUT": str(tmp_path / "run"), "PROCESSES": "2"}
    settings |= {"ENDPOINT": f"127.0.0.1:{free_port()}", "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    settings["SETTINGS"] = f"data={data} {TINY} batch_size=2 max_steps=1000000 save_every=1000000 save_minutes=1000"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["bash", str(SCALE / "node.sh")], env={**os.environ, **settings}, **quiet)
    try:
        deadline = time.monotonic() + 200
        while not (tmp_path / "run" / "steps.csv").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        process.wait(timeout=100)
    finally:
        process.kill()
    with (tmp_path / "run" / "steps.csv").open(encoding="utf-8") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    saved = json.loads(read_note(tmp_path / "run" / LAST)["training"])["progress"]["step"]
    assert saved == steps[-1]


@distributed
def test_a_job_of_two_machines_on_slurm_goes_on_as_a_job_of_one_on_kubernetes(data, tmp_path):
    settings = {"RECIPE": "labs/recipes/nano.yaml", "OUT": str(tmp_path / "run"), "PROCESSES": "1"}
    path = stand_in(tmp_path / "bin", srun=SRUN, scontrol=SCONTROL)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "machines[1-2]"}
    slurm |= {"SLURM_SUBMIT_DIR": str(ROOT), "PATH": path, "PORT": str(free_port())}
    run(
        ["bash", str(SCALE / "train.slurm")],
        **settings,
        **slurm,
        SETTINGS=f"data={data} {TINY} batch_size=2 max_steps=2",
    )

    (container,) = read_job()[1]["spec"]["template"]["spec"]["containers"]
    cluster = {"NODES": "1", "JOB_COMPLETION_INDEX": "0", "LOCAL_ADDR": "127.0.0.1"}
    cluster["ENDPOINT"] = f"127.0.0.1:{free_port()}"
    run(container["command"], **settings, **cluster, SETTINGS=f"data={data} {TINY} batch_size=4 max_steps=4")
    with (tmp_path / "run" / "steps.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["samples"]) for row in rows] == [(str(step), "4") for step in (1, 2, 3, 4)]
    assert load_gpt2(tmp_path / "run").config.vocab_size == 50257  # the recipe's compact vocabulary was expanded


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    from dataclasses import replace

    from utils.config import SIZES
    from utils.loaders import save_gpt2
    from utils.model import GPT2

    model = GPT2(replace(SIZES["nano"], n_layer=1, n_head=2, n_embd=64, context=32))
    return save_gpt2(model, tmp_path_factory.mktemp("model"))


def test_vllm_is_given_a_folder_that_transformers_opens_too(tiny, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "served"
    path = stand_in(tmp_path / "bin", vllm=SAY_WORDS)
    said = run(["bash", str(SCALE / "serve_vllm.sh")], MODEL=str(tiny), FOLDER=str(folder), CONTEXT="32", PATH=path)
    words = said.split("\n")[1:]  # after what convert says
    assert words[:3] == ["vllm", "serve", str(folder)]
    assert words[words.index("--host") + 1] == "127.0.0.1"  # nobody else, unless asked
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("Hello my name is")["input_ids"] == [15496, 616, 1438, 318]
    assert transformers.AutoModelForCausalLM.from_pretrained(folder).config.n_positions == 32


def test_llama_cpp_is_given_a_file_and_a_context_for_each_that_talks(tiny, tmp_path):
    file = tmp_path / "served.gguf"
    path = stand_in(tmp_path / "bin", llama_server=SAY_WORDS)
    settings = {"MODEL": str(tiny), "FILE": str(file), "AT_ONCE": "3", "CONTEXT": "32", "PATH": path}
    words = run(["bash", str(SCALE / "serve_llama_cpp.sh")], **settings).split("\n")
    assert words[:3] == ["llama-server", "--model", str(file)]
    assert words[words.index("--ctx-size") + 1] == "96"
    assert load_gpt2(file).config.n_embd == 64
