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

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SYSTEMS = [("linux", "Linux", "x86_64"), ("darwin", "Darwin", "arm64"), ("win32", "Windows", "AMD64")]
MACHINES = [(python, *system) for python in ("3.11.2", "3.12.0", "3.13.0") for system in SYSTEMS]
WITH_TORCH = re.compile(r"nvidia-(?!ml-py)|cuda-|triton")  # what the CUDA build of torch brings itself


def requirement_lines() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]


def direct() -> list[Requirement]:
    return [Requirement(text) for text in PROJECT["dependencies"]]


def pins(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Return name → version of what requirements.txt installs in an environment, this one by default."""
    found = {}
    for line in requirement_lines():
        if line.marker is None or line.marker.evaluate(environment):
            name = canonicalize_name(line.name)
            assert name not in found, f"requirements.txt pins {name} twice in {environment or 'this environment'}"
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


def test_every_requirement_is_one_exact_version():
    for line in requirement_lines():
        operators = [specifier.operator for specifier in line.specifier]
        assert operators == ["=="], f"{line} is not an exact pin: make requirements.txt anew"
        assert "*" not in str(line.specifier) and line.url is None


def test_nobody_is_made_to_download_cuda():
    assert [line.name for line in requirement_lines() if WITH_TORCH.match(canonicalize_name(line.name))] == []
    assert Version(pins()["torch"]).local is None  # the build is course.py's choice


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine[0]}-{machine[1]}")
def test_pins_satisfy_the_ranges_on_every_machine(machine):
    pinned = pins(environment_of(*machine))
    for wanted in direct():
        name = canonicalize_name(wanted.name)
        assert name in pinned, f"{name} is in pyproject.toml but not in requirements.txt: make that anew"
        assert wanted.specifier.contains(pinned[name]), f"{name} {pinned[name]} does not satisfy {wanted}"


def test_pins_differ_between_machines_where_they_must():
    linux, mac, windows = (pins(environment_of("3.13.0", *system)) for system in SYSTEMS)
    assert "pexpect" in linux and "pexpect" not in windows
    assert "pywinpty" in windows and "colorama" in windows and "pywinpty" not in linux
    assert "appnope" in mac and "appnope" not in linux


def needs_of(name: str, extras: frozenset[str]) -> list[Requirement]:
    """Return what an installed package needs here, with those extras."""
    found = [Requirement(text) for text in metadata.distribution(name).requires or []]
    variants = [{"extra": extra} for extra in extras or {""}]
    return [need for need in found if not need.marker or any(need.marker.evaluate(v) for v in variants)]


def test_everything_that_the_pins_need_is_pinned_too():
    installed = {canonicalize_name(d.name): d.version for d in metadata.distributions()}
    pinned = pins()
    other = [n for n, v in pinned.items() if Version(installed.get(n, "0")).public != Version(v).public]
    if other:
        pytest.skip(f"this environment was not made from the pins: {', '.join(other[:5])} differ")
    waiting = [(need, "pyproject.toml") for need in direct()]
    seen = set()
    while waiting:
        need, because = waiting.pop()
        name, extras = canonicalize_name(need.name), frozenset(need.extras)
        if (name, extras) in seen or WITH_TORCH.match(name):
            continue
        seen.add((name, extras))
        assert name in pinned, f"{because} needs {name}, which is not pinned: make requirements.txt anew"
        assert need.specifier.contains(pinned[name], prereleases=True), f"{because} wants {need}"
        waiting += [(further, name) for further in needs_of(name, extras)]
    assert len(seen) > 200


def test_python_versions_agree_everywhere():
    launcher = (ROOT / "course.py").read_text(encoding="utf-8")
    supported = Requirement(f"python{PROJECT['requires-python']}").specifier
    accepted = [v for v in ("3.10", "3.11", "3.12", "3.13", "3.14") if supported.contains(f"{v}.5")]
    assert accepted == ["3.11", "3.12", "3.13"]
    assert re.search(r'VERSION not in \("3.11", "3.12", "3.13"\)', launcher)


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
    assert sorted(named) == sorted(canonicalize_name(need.name) for need in direct())
    assert set(named) <= set(pins())


def test_condas_file_gives_one_reason_per_dependency(conda):
    entries = [line for line in conda[1] if re.match(r"\s+- (?!pip:|conda-forge|nodefaults)", line)]
    without = [line.strip() for line in entries if not re.search(r"  # \w.{6,}", line)]
    assert without == []


@pytest.mark.parametrize("name", ["fast", "weekly"])
def test_workflows_are_yaml_and_run_the_readmes_test_command(name):
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    for job in yaml.safe_load(text)["jobs"].values():
        assert any(step.get("run", "").startswith("python course.py test") for step in job["steps"])
        assert job["env"]["COURSE_MODEL"] == "nano" and job["timeout-minutes"] <= 90


def test_the_fast_workflow_covers_three_systems_and_two_pythons():
    text = (ROOT / ".github" / "workflows" / "fast.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["test"]
    systems = {system.partition("-")[0] for system in job["strategy"]["matrix"]["os"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert 15 < job["timeout-minutes"] <= 60, "12 minutes were measured on two cores; others are slower"


def test_ci_runs_the_command_that_the_readme_gives():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r'"\$python" course.py test "\$@"$', script, re.MULTILINE)
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
