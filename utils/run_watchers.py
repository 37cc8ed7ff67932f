"""Who may be told of each step and epoch of a run: TensorBoard; and the sentence that each epoch writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from utils.errors import CourseError
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
    """Writes a run's figures for `tensorboard --logdir FOLDER`; give it to a RunLog's watchers."""

    def __init__(self, folder: str | Path, resource: Callable[[], Mapping[str, float]] | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise CourseError(
                "tensorboard is not here. Add it: python -m pip install tensorboard."
            ) from error
        self.resource = resource
        self.writer = SummaryWriter(str(folder), flush_secs=10)

    def step(self, log: RunLog) -> None:
        record, when = log.history[-1], log.moments[-1].timestamp()
        figures = {"loss/training": record.loss, "learning rate": record.learning_rate}
        figures |= {"gradient norm": record.gradient_norm, "speed/tokens per second": record.tokens / record.seconds}
        figures |= dict(self.resource()) if self.resource else {}
        for name, value in figures.items():
            self.writer.add_scalar(name, value, record.step, walltime=when)

    def epoch(self, log: RunLog, cells: Mapping[str, str]) -> None:
        if cells["Avg Validation Loss"]:
            self.writer.add_scalar("loss/held out", float(cells["Avg Validation Loss"]), int(cells["Total Steps"]))
        if cells["Generated Sentence"]:
            self.writer.add_text("sentence", cells["Generated Sentence"], int(cells["Total Steps"]))
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
