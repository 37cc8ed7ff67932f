"""TensorFlow checkpoints read and written by TensorFlow itself, in a process of its own: `python -m` runs this file.

A process of its own, because TensorFlow takes 0.8 GB of memory and all of a GPU's, and keeps them. A process that has
imported it already, such as gpt-2-simple's, calls the two functions itself.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def read_variables(prefix: str, wanted: str, target: str) -> list[dict[str, Any]]:
    """List every variable of a checkpoint; write the values of those whose names match `wanted` into one flat file."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
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
    import tensorflow as tf

    values = [np.memmap(source, np.float32, "r", each["offset"], tuple(each["shape"])) for each in variables]
    names, cpu = [each["name"] for each in variables], tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    with tf.Graph().as_default(), tf.compat.v1.Session(config=cpu) as session:
        places = [tf.compat.v1.placeholder(tf.float32, value.shape) for value in values]
        save = tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=places)
        session.run(save, dict(zip(places, values, strict=True)))


def answer_request(asked: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for and return what was found, or what TensorFlow says against it."""
    works: dict[str, Callable[..., Any]] = {"read": read_variables, "write": write_variables}
    try:
        return {"found": works[asked.pop("work")](**asked)}
    except Exception as error:  # TensorFlow's errors have no other class in common
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    print(json.dumps(answer_request(json.load(sys.stdin))))
