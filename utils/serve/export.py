"""Export for deployment: a model and its page as one folder that runs elsewhere; weights, code, pins, how to start."""

from __future__ import annotations

import ast
import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from utils.bpe import GPT2_TOKENIZER
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_with_tokenizer, save_gpt2
from utils.model import GPT2
from utils.quantize.quantized_linear import plan_of

START = '''"""Serves the model beside this file: python app.py. GRADIO_SERVER_NAME and _PORT set where."""

import os
from pathlib import Path

from utils.serve.page import Address, serve

host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
serve({NAME: Path(__file__).resolve().parent / "model"}, address=Address(host, port), chat_log=None)
'''


READ_ME = """---
title: {title}
sdk: gradio
sdk_version: {gradio}
python_version: {python}
app_file: app.py
---

# {title}

A GPT-2 with its page, written by `python -m tools serve --export`. It needs Python 3.11 to 3.13 and nothing else of
the course:

```
python -m pip install -r requirements.txt
python app.py
```

The page is at http://127.0.0.1:7860. `model/` holds weights as safetensors and their shape, nothing that can run;
`utils/` holds the part of the course's code that the page needs, `data/` GPT-2's vocabulary. The chat keeps no log.
The lines between the dashes above are what Hugging Face Spaces reads: as a Space, the folder runs as it is.
"""


def export_app(model: str | Path, folder: str | Path) -> Path:
    """Write a new folder that serves `model` by itself."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder} is there already, expected a new or empty folder. Choose another name.")
    network, tokenizer = load_with_tokenizer(model)
    write_model(network, folder / "model")
    tokenizer.save(folder / "model")
    modules = needed_modules("utils.serve.page")
    for file in (*modules.values(), GPT2_TOKENIZER):
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    title, python = f"GPT-2 {Path(model).name}", f"{sys.version_info[0]}.{sys.version_info[1]}"
    texts = {
        "app.py": START.replace("NAME", repr(Path(model).name)),
        "requirements.txt": "\n".join(pinned_packages(modules)) + "\n",
        "README.md": READ_ME.format(title=title, gradio=importlib.metadata.version("gradio"), python=python),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return folder


def write_model(model: GPT2, folder: Path) -> None:
    """Write weights and shape alone, in 16 bits where that loses nothing."""
    weights = [weight for weight in model.parameters() if weight.is_floating_point()]
    exact = all(torch.equal(weight, weight.half().to(weight.dtype)) for weight in weights)
    dtype = torch.float16 if exact else None
    if plan_of(model):
        save_quantized(model, folder, dtype)
    else:
        save_gpt2(model, folder, dtype)


def needed_modules(start: str) -> dict[str, Path]:
    """Return the module `start` and all of ours that it imports, now or later, with their files."""
    found: dict[str, Path] = {}
    names = [start]
    while names:
        name = names.pop()
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name not in found and path.is_file():
            found[name] = path
            names += [one for one in imported_names(path) if one.startswith("utils")]
            names.append(name.rpartition(".")[0])  # the package that it lies in
    return found


def imported_names(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, inside functions too, and whatever it takes from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def pinned_packages(modules: dict[str, Path]) -> list[str]:
    """Return the packages that these modules import, at the versions that run here."""
    roots = {name.split(".")[0] for path in modules.values() for name in imported_names(path)} - sys.stdlib_module_names
    owners = importlib.metadata.packages_distributions()
    packages = {owners[root][0] for root in roots if root in owners} - {"hands-on-gpt2"}
    pins = {package: importlib.metadata.version(package).partition("+")[0] for package in packages}
    return [f"{package}=={pins[package]}" for package in sorted(pins, key=str.lower)]
