"""Export for deployment: a model and its page as one folder that runs elsewhere; weights, code, pins, how to start."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import torch

from utils.bpe import GPT2_TOKENIZER
from utils.errors import CourseError
from utils.files.beginnings import write_beginnings
from utils.files.places import ROOT
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_with_tokenizer, save_gpt2
from utils.model import GPT2
from utils.quantize.quantized_linear import plan_of
from utils.serve.server import beginnings_of
from utils.serve.thoughts import SCRIPT, STYLE

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

A GPT-2 with its page, written by `python course.py serve --export`. It needs Python 3.11 to 3.13 and nothing else of
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
    write_beginnings(folder / "model", beginnings_of(model))
    ours, others = needed_modules("utils.serve.page")
    for file in (*ours.values(), STYLE, SCRIPT, GPT2_TOKENIZER):
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    title, python = f"GPT-2 {Path(model).name}", f"{sys.version_info[0]}.{sys.version_info[1]}"
    texts = {
        "app.py": START.replace("NAME", repr(Path(model).name)),
        "requirements.txt": "\n".join(pinned_packages(others)) + "\n",
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


def needed_modules(start: str) -> tuple[dict[str, Path], set[str]]:
    """Return the files of `start` and of all our modules that it imports, now or later; and others' names."""
    finder = ModuleFinder([str(ROOT)])  # finds ours alone, inside functions too
    finder.import_hook(start)
    files = {name: getattr(module, "__file__", None) for name, module in finder.modules.items()}
    ours = {name: Path(file) for name, file in files.items() if file}
    others = {name.partition(".")[0] for name in finder.badmodules} - sys.stdlib_module_names - {"utils"}
    return ours, others


def pinned_packages(modules: set[str]) -> list[str]:
    """Return the packages of these modules, at the versions that run here."""
    owners = importlib.metadata.packages_distributions()
    packages = sorted({owners[module][0] for module in modules if module in owners}, key=str.lower)
    return [f"{package}=={importlib.metadata.version(package).partition('+')[0]}" for package in packages]
