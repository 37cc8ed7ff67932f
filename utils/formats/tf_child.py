"""TensorFlow checkpoints read and written by TensorFlow itself, in a process of its own: `python -m` runs this file.

A process of its own, because TensorFlow takes 0.7 GB of memory and all of a GPU's, and keeps them. There only the parts
that do the work are imported: 0.4 GB, and half a second where the whole takes four. A process that has imported
TensorFlow already, such as gpt-2-simple's, calls the two functions itself.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import numpy as np


def read_variables(prefix: str, wanted: str, target: str) -> list[dict[str, Any]]:
    """List every variable of a checkpoint; write the values of those whose names match `wanted` into one flat file."""
    from tensorflow.python.training.py_checkpoint_reader import NewCheckpointReader

    reader = NewCheckpointReader(prefix)
    dtypes, found, at = reader.get_variable_to_dtype_map(), [], 0
    with Path(target).open("wb") as file:
        for name, shape in sorted(reader.get_variable_to_shape_map().items()):
            entry = {"name": name, "dtype": dtypes[name].name, "shape": shape, "offset": None}
            if re.fullmatch(wanted, name):
                entry["offset"] = at
                at += file.write(np.ascontiguousarray(reader.get_tensor(name)).tobytes())
            found.append(entry)
    return found


def write_variables(prefix: str, variables: list[dict[str, Any]], source: str) -> None:
    """Write float32 variables, whose values lie in one flat file, as a checkpoint."""
    from tensorflow.python.eager.context import eager_mode
    from tensorflow.python.framework.ops import device
    from tensorflow.python.ops.gen_io_ops import save_v2

    values = [np.memmap(source, np.float32, "r", each["offset"], tuple(each["shape"])) for each in variables]
    with eager_mode(), device("CPU:0"):
        save_v2(prefix, [each["name"] for each in variables], [""] * len(values), values)


def answer_request(asked: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for and return what was found, or what TensorFlow says against it."""
    works: dict[str, Callable[..., Any]] = {"read": read_variables, "write": write_variables}
    try:
        return {"found": works[asked.pop("work")](**asked)}
    except Exception as error:  # TensorFlow's errors have no other class in common
        return {"error": f"{type(error).__name__}: {error}"}


def import_parts_only() -> None:
    """Let parts of TensorFlow be imported without the whole, Keras and all, which takes seven times as long."""
    spec = find_spec("tensorflow")
    assert spec, "utils.formats.tf_checkpoint has looked"
    sys.modules["tensorflow"] = module_from_spec(spec)  # and its __init__ does not run


if __name__ == "__main__":
    import_parts_only()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    print(json.dumps(answer_request(json.load(sys.stdin))))
