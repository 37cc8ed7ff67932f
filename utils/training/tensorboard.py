"""Who may be told of each step and epoch of a run: TensorBoard; and the sentence that each epoch writes."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c
from utils.model import GPT2
from utils.run_log import RunLog
from utils.sampling import Sampling, complete


def epoch_sentence(model: GPT2, tokenizer, prompt: str, settings: Sampling = Sampling(max_new=24, temperature=0)):
    """Return a function that lets the model, as it is by then, go on from `prompt`: a RunLog's `sample`."""

    def sentence() -> str:
        training = model.training
        model.eval()
        try:
            return prompt + complete(model, tokenizer, prompt, settings)[0]
        finally:
            model.train(training)

    return sentence


class TensorBoard:
    """Writes a run's figures for `tensorboard --logdir FOLDER`; give it to a RunLog's watchers.

    Its file is a row of records that TensorBoard's own package describes; writing them ourselves spares TensorFlow.
    """

    def __init__(self, folder: str | Path, resource: Callable[[], Mapping[str, float]] | None = None) -> None:
        self.resource = resource
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self.path = Path(folder) / name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(time.time(), file_version="brain.Event:2")

    def step(self, log: RunLog) -> None:
        record, when = log.history[-1], log.moments[-1].timestamp()
        figures = {"loss/training": record.loss, "learning rate": record.learning_rate}
        figures |= {"gradient norm": record.gradient_norm, "speed/tokens per second": record.tokens / record.seconds}
        figures |= dict(self.resource()) if self.resource else {}
        values = [{"tag": name, "simple_value": value} for name, value in figures.items()]
        self._write(when, step=record.step, summary={"value": values})

    def epoch(self, log: RunLog, cells: Mapping[str, str]) -> None:
        values = []
        if cells["Avg Validation Loss"]:
            values.append({"tag": "loss/held out", "simple_value": float(cells["Avg Validation Loss"])})
        if cells["Generated Sentence"]:
            values.append(text_value("sentence", cells["Generated Sentence"]))
        self._write(log.moments[-1].timestamp(), step=int(cells["Total Steps"]), summary={"value": values})

    def _write(self, when: float, **parts) -> None:
        """Append one event: its length and its bytes, each with a checksum."""
        event = protos().Event(wall_time=when, **parts).SerializeToString()
        length = struct.pack("<Q", len(event))
        record = length + masked_crc32c(length) + event + masked_crc32c(event)
        try:
            with self.path.open("ab") as file:
                file.write(record)
        except OSError as error:
            raise CourseError(f"{self.path} could not be written: {error.strerror or error}. Make room.") from error


def protos():
    """Return TensorBoard's descriptions of what stands in its files."""
    try:
        from tensorboard.compat.proto import event_pb2
    except ImportError as error:
        raise CourseError("tensorboard is not here. Add it: python -m pip install tensorboard.") from error
    return event_pb2


def text_value(tag: str, text: str) -> dict:
    """Return a text as TensorBoard's page of texts wants it."""
    words = {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": 1}]}, "string_val": [text.encode("utf-8")]}
    return {"tag": f"{tag}/text_summary", "metadata": {"plugin_data": {"plugin_name": "text"}}, "tensor": words}
