"""Pictures of fine-tuning: the live curve tells what a run writes, the calculator follows its sliders."""

from __future__ import annotations

import pytest

from lessons.figures import tuning as diagrams_tuning
from lessons.figures.live import LiveCurve
from lessons.figures.svg import Drawing
from lessons.figures.tuning import adapter_calculator
from utils.run_log import RunLog, StepRecord


def test_a_live_curve_prints_a_sample_at_the_first_step_and_every_few(tmp_path, capsys):
    log = RunLog(tmp_path, show=lambda line: None, watchers=[LiveCurve(lambda: "All:\nWho?", 2, "own samples")])
    for step in range(1, 6):
        log.step(StepRecord(step, 3.0 / step, 0.1, 2, 128, 1e-3, 1.0, None))
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert told == ["step   1: All: / Who?", "step   2: All: / Who?", "step   4: All: / Who?"]


def test_the_adapter_calculator_draws_what_its_sliders_say():
    calculator = adapter_calculator("nano")
    rank, bits, batch, picture = calculator.children
    drawn = {picture.value}
    for control, value in ((rank, 64), (bits, 0), (batch, 16)):
        control.value = value
        drawn.add(picture.value)
    assert len(drawn) == 4


@pytest.mark.parametrize("name", ["rehearsal", "mixed_precision", "lora_paths", "lora_merge", "qlora_layer"])
def test_a_diagram_says_in_words_what_it_shows(name):
    drawing = getattr(diagrams_tuning, name)()
    assert isinstance(drawing, Drawing)
    assert len(drawing.alt.split()) > 15
