"""The smallest wheels that pip installs, for tests that must not fetch any."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# A project of one page, with a build backend of its own, so that nothing is fetched.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
"""


COMMANDS = """
import sys
try:
    import torch
    build = getattr(torch, "BUILD", "real")
except ImportError:
    build = "none"
print("ran", sys.argv[1:], "torch", build, "prefix", sys.prefix)
"""


def make_wheel(folder: Path, package: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> Path:
    """Write a wheel of `files`, by their paths, that requires other packages; return it."""
    stem = f"{package.replace('-', '_')}-{version}"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    info = {
        "METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needs}",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "top_level.txt": "\n".join({path.partition("/")[0].removesuffix(".py") for path in files}) + "\n",
    }
    files = {**files, **{f"{stem}.dist-info/{name}": text for name, text in info.items()}}
    digests = {path: hashlib.sha256(text.encode()).digest() for path, text in files.items()}
    record = [f"{path},sha256={base64.urlsafe_b64encode(d).rstrip(b'=').decode()}," for path, d in digests.items()]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{stem}.dist-info/RECORD", "\n".join([*record, f"{stem}.dist-info/RECORD,,"]))
    return path


def wheel_of_uv(folder: Path) -> Path | None:
    """Write the uv that is installed here as a wheel again, so that nothing is fetched; None where there is none."""
    try:
        uv = distribution("uv")
    except PackageNotFoundError:
        return None
    info = f"uv-{uv.version}"
    path = folder / f"{info}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in uv.files or []:
            name = f"{info}.data/scripts/{file.name}" if "bin" in file.parts or "Scripts" in file.parts else str(file)
            if file.suffix != ".pyc" and file.name not in ("RECORD", "INSTALLER", "REQUESTED"):
                wheel.write(file.locate(), name)
        wheel.writestr(f"{info}.dist-info/RECORD", "")
    return path
