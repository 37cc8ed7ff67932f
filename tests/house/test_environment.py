"""The environment: exact pins that follow from the ranges, conda's door to them, a `utils` that is ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from utils.files.places import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, UV, GROUPS = PYPROJECT["project"], PYPROJECT["tool"]["uv"], PYPROJECT["dependency-groups"]
SYSTEMS = [("linux", "Linux", "x86_64"), ("darwin", "Darwin", "arm64"), ("win32", "Windows", "AMD64")]
MACHINES = [(python, *system) for python in ("3.11.2", "3.12.0", "3.13.0") for system in SYSTEMS]
WITH_TORCH = re.compile(r"nvidia-(?!ml-py)|cuda-|triton")  # what the CUDA build of torch brings itself
FILES = {None: "requirements.txt", **{group: f"requirements/{group}.txt" for group in GROUPS}}


def requirement_lines(group: str | None = None) -> list[Requirement]:
    """Return the lines of a learner's pins, or of those of a group."""
    lines = (ROOT / FILES[group]).read_text(encoding="utf-8").splitlines()
    return [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]


def direct(group: str | None = None, environment: dict[str, str] | None = None) -> list[Requirement]:
    """Return what pyproject.toml asks for, for a learner or in a group, in an environment, this one by default."""
    entries = GROUPS[group] if group else PROJECT["dependencies"]
    included = [need for e in entries if isinstance(e, dict) for need in direct(e["include-group"], environment)]
    needs = [Requirement(entry) for entry in entries if isinstance(entry, str)]
    return [*included, *(need for need in needs if not need.marker or need.marker.evaluate(environment))]


def pins(environment: dict[str, str] | None = None, group: str | None = None) -> dict[str, str]:
    """Return name → version of what a file of pins installs in an environment, this one by default."""
    found = {}
    for line in requirement_lines(group):
        if line.marker is None or line.marker.evaluate(environment):
            name = canonicalize_name(line.name)
            assert name not in found, f"{FILES[group]} pins {name} twice in {environment or 'this environment'}"
            found[name] = next(iter(line.specifier)).version
    return found


def environment_of(python: str, platform: str, system: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "nt" if platform == "win32" else "posix",
        "implementation_name": "cpython",
    }


@pytest.mark.parametrize("group", FILES)
def test_every_requirement_is_one_exact_version(group):
    for line in requirement_lines(group):
        operators = [specifier.operator for specifier in line.specifier]
        assert operators == ["=="], f"{line} is not an exact pin: make {FILES[group]} anew"
        assert "*" not in str(line.specifier) and line.url is None


@pytest.mark.parametrize("group", FILES)
def test_nobody_is_made_to_download_cuda(group):
    assert [line.name for line in requirement_lines(group) if WITH_TORCH.match(canonicalize_name(line.name))] == []
    assert Version(pins()["torch"]).local is None  # the build is course.py's choice


@pytest.mark.parametrize("group", FILES)
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine[0]}-{machine[1]}")
def test_pins_satisfy_the_ranges_on_every_machine(machine, group):
    environment = environment_of(*machine)
    pinned = pins(environment, group)
    for wanted in direct(group, environment):
        name = canonicalize_name(wanted.name)
        assert name in pinned, f"{name} is in pyproject.toml but not in {FILES[group]}: make that anew"
        assert wanted.specifier.contains(pinned[name]), f"{name} {pinned[name]} does not satisfy {wanted}"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine[0]}-{machine[1]}")
def test_what_teachers_and_developers_add_leaves_a_learners_versions_as_they_are(machine):
    environment = environment_of(*machine)
    learner, developer, teacher = (pins(environment, group) for group in (None, "dev", "teach"))
    assert {name for name in learner.keys() & developer.keys() if learner[name] != developer[name]} == set()
    assert teacher.items() <= developer.items()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine[0]}-{machine[1]}")
def test_there_is_one_tensorflow_and_on_linux_the_small_one(machine):
    names = {name for name in pins(environment_of(*machine)) if name.startswith("tensorflow")}
    assert names == {"tensorflow-cpu" if machine[1] == "linux" else "tensorflow"}


def test_gptqmodel_runs_on_the_torch_that_the_course_runs_on():
    assert pins(group="gptqmodel")["torch"] == pins()["torch"]


def test_pins_differ_between_machines_where_they_must():
    linux, mac, windows = (pins(environment_of("3.13.0", *system)) for system in SYSTEMS)
    assert "pexpect" in linux and "pexpect" not in windows
    assert "pywinpty" in windows and "colorama" in windows and "pywinpty" not in linux
    assert "appnope" in mac and "appnope" not in linux


def needs_of(name: str, extras: frozenset[str]) -> list[Requirement]:
    """Return what an installed package needs here, with those extras, as pyproject.toml corrects it."""
    found = [Requirement(text) for text in metadata.distribution(name).requires or []]
    variants = [{"extra": extra} for extra in extras or {""}]
    found = [need for need in found if not need.marker or any(need.marker.evaluate(v) for v in variants)]
    instead = {need.name: need for need in map(Requirement, UV["override-dependencies"])}
    found = [instead.get(need.name, need) for need in found if need.name not in UV["exclude-dependencies"]]
    return [need for need in found if not need.marker or any(need.marker.evaluate(v) for v in variants)]


@pytest.mark.parametrize(("group", "at_least"), [(None, 170), ("teach", 80), ("dev", 100)])
def test_everything_that_the_pins_need_is_pinned_too(group, at_least):
    """So that they can be installed without asking any package what else it wants."""
    installed = {canonicalize_name(d.name): d.version for d in metadata.distributions()}
    pinned = pins(group=group)
    other = [n for n, v in pinned.items() if Version(installed.get(n, "0")).public != Version(v).public]
    if other:
        pytest.skip(f"this environment was not made from the pins: {', '.join(other[:5])} differ")
    waiting = [(need, "pyproject.toml") for need in direct(group)]
    seen = set()
    while waiting:
        need, because = waiting.pop()
        name, extras = canonicalize_name(need.name), frozenset(need.extras)
        if (name, extras) in seen or WITH_TORCH.match(name):
            continue
        seen.add((name, extras))
        assert name in pinned, f"{because} needs {name}, which is not pinned: make {FILES[group]} anew"
        assert need.specifier.contains(pinned[name], prereleases=True), f"{because} wants {need}"
        waiting += [(further, name) for further in needs_of(name, extras)]
    assert len(seen) >= at_least


def test_python_versions_agree_everywhere():
    launcher = (ROOT / "course.py").read_text(encoding="utf-8")
    supported = Requirement(f"python{PROJECT['requires-python']}").specifier
    accepted = tuple(v for v in ("3.10", "3.11", "3.12", "3.13", "3.14") if supported.contains(f"{v}.5"))
    assert accepted == ("3.11", "3.12", "3.13")
    assert f"VERSION not in {accepted}".replace("'", '"') in launcher


@pytest.fixture(scope="module")
def conda() -> tuple[dict, list[str]]:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text), text.splitlines()


def test_condas_dependencies_parse_as_match_specs_and_accept_our_pythons(conda):
    rattler = pytest.importorskip("rattler")
    specs = [rattler.MatchSpec(entry) for entry in conda[0]["dependencies"] if isinstance(entry, str)]
    assert {spec.name.normalized for spec in specs} == {"python", "pip"}
    python = next(spec for spec in specs if spec.name.normalized == "python")
    supported = rattler.VersionSpec(str(python.version))
    for version, accepted in (("3.10.9", False), ("3.11.2", True), ("3.13.5", True), ("3.14.0", False)):
        assert supported.matches(rattler.Version(version)) is accepted, version


def test_condas_pip_part_is_requirements_txt_and_names_every_direct_dependency(conda):
    rattler = pytest.importorskip("rattler")
    (section,) = (entry["pip"] for entry in conda[0]["dependencies"] if isinstance(entry, dict))
    assert section[:2] == ["-r requirements.txt", "-e ."]
    named = [canonicalize_name(rattler.MatchSpec(entry).name.normalized) for entry in section[2:]]
    on_a_mac = environment_of("3.12.0", *SYSTEMS[1])
    assert sorted(named) == sorted(canonicalize_name(need.name) for need in direct(None, on_a_mac))
    # pip asks for TensorFlow by this name on every system: the same version as the smaller build's
    assert f"tensorflow=={pins(on_a_mac)['tensorflow']}" in section


def test_condas_file_gives_one_reason_per_dependency(conda):
    entries = [line for line in conda[1] if re.match(r"\s+- (?!pip:|conda-forge|nodefaults)", line)]
    without = [line.strip() for line in entries if not re.search(r"  # \w.{6,}", line)]
    assert without == []


@pytest.mark.parametrize("name", ["fast", "pack", "weekly"])
def test_workflows_are_yaml_and_run_the_readmes_test_command(name):
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    for job in yaml.safe_load(text)["jobs"].values():
        most = 360 if "-m true_shape" in str(job["steps"]) else 90  # GitHub's own limit
        assert job["env"]["COURSE_MODEL"] == "nano" and job["timeout-minutes"] <= most
        tests = [step for step in job["steps"] if step.get("run", "").startswith("python course.py test")]
        assert tests or "vulnerabilities" in job["name"]


def test_the_fast_workflow_covers_three_systems_and_two_pythons():
    text = (ROOT / ".github" / "workflows" / "fast.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["test"]
    systems = {system.partition("-")[0] for system in job["strategy"]["matrix"]["os"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert 15 < job["timeout-minutes"] <= 60, "12 minutes were measured on two cores; others are slower"


def test_ci_runs_the_command_that_the_readme_gives():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r'"\$python" course.py test( --durations\S*)* "\$@"$', script, re.MULTILINE)
    assert "python course.py test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_import_utils_is_ours():
    import utils

    assert Path(utils.__file__).resolve().parent == ROOT / "utils"


def test_import_utils_is_ours_from_any_folder(tmp_path):
    try:
        metadata.distribution("hands-on-gpt2")
    except metadata.PackageNotFoundError:
        pytest.skip("utils is not installed in this environment: `pip install --no-deps -e .` does it")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", "import utils; print(utils.__file__)"]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, encoding="utf-8", check=True)
    assert Path(done.stdout.strip()).resolve() == ROOT / "utils" / "__init__.py"


def test_versions_of_the_project_agree():
    import utils

    assert utils.__version__ == PROJECT["version"]
