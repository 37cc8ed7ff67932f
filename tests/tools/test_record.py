"""Recording the real sizes: what is kept of a lesson, how a lesson shows it, and that no stand-in passes for real."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hub_server import HubServer, Reply
from nbformat import v4

from tools.__main__ import main
from tools.repo import golden, record
from tools.repo.notebooks import read_notebook, run_notebook, write_notebook
from utils.config import SIZES
from utils.errors import CourseError
from utils.files import hub
from utils.files.hub import HubModel, Pin
from utils.files.places import ROOT
from utils.files.published import published_prompts
from utils.files.recorded import FIELDS, Record, read_record, recorded_bundles
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2

PICTURE = """import matplotlib.pyplot as plt
print("one")
plt.plot([1, 2])
plt.show()"""
REAL = hub.is_real("small") and hub.is_downloaded("small")


def lesson(*cells: tuple[str, str]):
    """Return a notebook of code cells, each with the name under which it is to be recorded, or none."""
    made = []
    for name, source in cells:
        made.append(v4.new_code_cell(source, metadata={"tags": [f"record:{name}"]} if name else {}))
    return v4.new_notebook(cells=[v4.new_markdown_cell("# A lesson"), *made])


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two short lessons and empty folders for their records."""
    monkeypatch.setattr(record, "LESSONS", tmp_path / "lessons")
    monkeypatch.setattr(record, "STAND_IN", tmp_path / "stand_in")
    (tmp_path / "lessons").mkdir()
    size = "import os\nprint('size', os.environ['COURSE_MODEL'])"
    write_notebook(lesson(("size", size), ("", "print(2)"), ("drawn", PICTURE)), tmp_path / "lessons" / "41_look.ipynb")
    write_notebook(lesson(("fails", "assert 1 == 2, 'one is not two'")), tmp_path / "lessons" / "42_fail.ipynb")
    return tmp_path


@pytest.fixture
def tiny_small(tmp_path, monkeypatch):
    """GPT-2 small as a tiny model behind a hub on this machine, under pins of its own: a stand-in."""
    torch.manual_seed(0)
    model = GPT2(replace(SIZES["nano"], n_layer=1, n_head=2, n_embd=16)).eval()
    save_gpt2(model, tmp_path / "made")
    files = {name: (tmp_path / "made" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    pins = {name: Pin(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    stand_in = HubModel("somebody/tiny", "0123456789abcdef" * 2, pins)
    monkeypatch.setattr(hub, "PINNED", hub.PINNED | {"small": stand_in})
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    replies = {f"{stand_in.repo}/resolve/{stand_in.revision}/{name}": Reply(body) for name, body in files.items()}
    with HubServer(replies) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


# Keeping


def test_a_record_holds_text_and_pictures_of_marked_cells_and_names_the_failing_lesson(folders, tiny_small, capsys):
    before = {path: path.read_bytes() for path in (ROOT / "data").rglob("*") if path.is_file()}
    assert main(["record", "small", "--report", str(folders / "report.md")]) == 1
    folder = folders / "stand_in" / "small"
    made = read_record("small", "41", folders / "stand_in")
    assert made is not None and made.stand_in and made.revision == hub.PINNED["small"].revision
    assert made.cells == {
        "size": {"text": "size small\n", "pictures": []},
        "drawn": {"text": "one\n", "pictures": ["41-drawn-0.png"]},
    }
    assert (folder / "41-drawn-0.png").read_bytes().startswith(b"\x89PNG") and made.torch and made.machine
    assert read_record("small", "42", folders / "stand_in") is None, "a lesson that stops leaves no record"
    facts = {fact["name"]: fact for fact in json.loads((folder / "facts.json").read_text(encoding="utf-8"))["facts"]}
    assert "one is not two" in facts["assertions of 42_fail"]["got"] and not facts["assertions of 42_fail"]["right"]
    assert facts["assertions of 41_look"]["right"] and facts["logits"]["right"], "transformers reads the same file"
    assert not facts["parameters"]["right"] and facts["parameters"]["expected"] == "124,439,808"
    report = (folders / "report.md").read_text(encoding="utf-8")
    assert "STAND-IN" in report and "| WRONG |" in report and hub.PINNED["small"].revision in report
    after = {path: path.read_bytes() for path in (ROOT / "data").rglob("*") if path.is_file()}
    assert after == before, "a stand-in leaves nothing in data/"


def test_an_older_record_of_a_lesson_that_fails_now_is_not_kept(folders, tiny_small):
    folder = folders / "stand_in" / "small"
    folder.mkdir(parents=True)
    for name in ("42.json", "42-fails-0.png", "published.json", "41.json"):
        (folder / name).write_text("old", encoding="utf-8")
    assert record.record_lesson(folders / "lessons" / "42_fail.ipynb", "small", folders / "stand_in").problem
    assert sorted(path.name for path in folder.iterdir()) == ["41.json", "published.json"]


def test_only_lessons_that_are_asked_for_are_run(folders):
    assert [path.stem for path in record.lessons_to_record()] == ["41_look", "42_fail"]
    assert [path.stem for path in record.lessons_to_record(["42"])] == ["42_fail"]
    with pytest.raises(CourseError, match="Lesson 43.*41, 42"):
        record.lessons_to_record(["43"])


def test_a_name_belongs_to_one_cell(folders):
    with pytest.raises(CourseError, match="record:same"):
        record.marked(lesson(("same", "1"), ("same", "2")))


def test_a_size_without_pins_is_refused(folders):
    assert main(["record", "nano"]) == 1


# Showing


@pytest.fixture
def recorded(tmp_path) -> Path:
    """A folder with lesson 06 at medium, as a real run would leave it."""
    (tmp_path / "medium").mkdir()
    (tmp_path / "medium" / "06-loaders-0.png").write_bytes(b"\x89PNG")
    cells = {"loaders": {"text": "a  1\n", "pictures": ["06-loaders-0.png"]}, "sizes": {"text": "7", "pictures": []}}
    made = Record("06", "medium", hub.PINNED["medium"].revision, False, "2 May 2027", "4 cores", "2.13.0", 12.3, cells)
    record.write_json(tmp_path / "medium" / "06.json", made.__dict__)
    return tmp_path


def test_what_was_recorded_is_shown_with_its_origin_and_what_is_missing_is_said(recorded):
    origin, loaders, picture, sizes, missing = recorded_bundles("06", folder=recorded)
    assert all(word in origin["text/markdown"] for word in ("medium", "6dcaa7a952f7", "2 May 2027", "4 cores"))
    assert "a  1" in loaders["text/markdown"] and "7" in sizes["text/markdown"]
    assert picture["image/png"] and "loaders" in picture["text/plain"]
    assert "small" in missing["text/markdown"] and "python course.py record small`" in missing["text/markdown"]
    assert len(recorded_bundles("06/sizes", ["medium"], recorded)) == 2


def test_text_that_looks_like_the_end_of_a_block_stays_in_its_block(recorded):
    made = read_record("medium", "06", recorded)
    record.write_json(
        recorded / "medium" / "06.json", made.__dict__ | {"cells": {"code": {"text": "```\n# big", "pictures": []}}}
    )
    shown = recorded_bundles("06/code", ["medium"], recorded)[1]["text/markdown"]
    assert shown.endswith("````text\n```\n# big\n````")


def test_a_lesson_that_nobody_recorded_gives_one_sentence_and_the_command(tmp_path):
    (only,) = recorded_bundles("14", folder=tmp_path)
    assert "python course.py record small medium" in only["text/markdown"]


@pytest.mark.parametrize(("place", "named"), [("five", "five"), ("06/nothing", "loaders, sizes")])
def test_a_place_that_is_none_is_named(recorded, place, named):
    with pytest.raises(CourseError, match=named):
        recorded_bundles(place, ["medium"], recorded)


def test_a_record_of_another_version_is_refused_with_its_fields(recorded):
    (recorded / "medium" / "06.json").write_text('{"lesson": "06"}', encoding="utf-8")
    with pytest.raises(CourseError, match=FIELDS[-1]):
        recorded_bundles("06", ["medium"], recorded)


def test_a_stand_in_says_so_wherever_it_is_shown(recorded):
    made = read_record("medium", "06", recorded)
    record.write_json(recorded / "medium" / "06.json", replace(made, stand_in=True).__dict__)
    assert "STAND-IN" in recorded_bundles("06", ["medium"], recorded)[0]["text/markdown"]


def test_every_lesson_with_marked_cells_shows_its_own_record():
    lessons = [path for path in record.lessons_to_record() if record.marked(read_notebook(path))]
    assert {path.stem[:2] for path in lessons} >= {"02", "03", "04", "06", "07", "08", "09", "12", "13", "14", "15"}
    for path in lessons:
        notebook = read_notebook(path)
        shown = [place for cell in notebook.cells if (place := record.recorded_place(cell))]
        assert shown == [path.stem[:2]], path.name
        assert 2 <= len(record.marked(notebook)) <= 4, path.name


def test_lessons_show_what_is_recorded_now(tmp_path, monkeypatch):
    copies = tmp_path / "lessons"
    copies.mkdir()
    for path in record.lessons_to_record():
        (copies / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(record, "LESSONS", copies)
    assert record.refresh_lessons() == [], "run `python course.py record`, or take its change of the lessons too"


def test_a_kernel_shows_what_is_stored(tmp_path, monkeypatch):
    path = tmp_path / "06_look.ipynb"
    start = "from utils import start\ncourse = start(seed=0)"
    write_notebook(lesson(("", start), ("", 'course.recorded("06")  # beside ours')), path)
    monkeypatch.setattr(record, "LESSONS", tmp_path)
    shown = run_notebook(path).cells[-1].outputs
    assert record.refresh_lessons() == [path]
    assert read_notebook(path).cells[-1].outputs == shown and shown


def test_the_records_in_data_are_those_of_the_pinned_weights():
    assert list(record.problems()) == []


# Golden facts


@pytest.fixture(scope="module")
def nano() -> GPT2:
    return load_gpt2("nano").eval()


def test_quantizers_are_ordered_by_perplexity_and_rounding_is_the_worst(nano, monkeypatch):
    monkeypatch.setattr(golden, "QUANTIZERS", ("gptq", "rtn"))  # the two quick ones
    order, right = golden.rank_quantizers(nano)
    assert right and re.fullmatch(r"gptq 1\.\d\d < rtn 1\.\d\d", order), order


def test_another_model_is_not_taken_for_gpt2_small(nano):
    assert golden.count_weights(nano, golden.PARAMETERS["small"]) == ("17,867,008", False)
    assert not golden.continue_greedily(nano)[1]


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("wikitext-2-raw/wiki.test.raw", text)
    return file.getvalue()


def test_a_perplexity_is_measured_on_one_text_only_and_another_text_is_refused(nano, tiny_small, monkeypatch):
    content = zipped(" = Fox = \n \n Once upon a time, there lived a fox . \n")
    tiny_small.serve("texts.zip", Reply(content))
    pin = Pin(hashlib.sha256(content).hexdigest(), len(content))
    monkeypatch.setattr(golden, "WIKITEXT", ("texts.zip", pin))
    with pytest.raises(CourseError, match="tokens, expected 287,644"):
        golden.read_wikitext(nano, 29.94)
    monkeypatch.setattr(golden, "WIKITEXT_TOKENS", 19)
    measured, right = golden.read_wikitext(nano, None)
    assert float(measured) > 1 and right is None
    monkeypatch.setattr(golden, "WIKITEXT", ("other.zip", replace(pin, sha256="0" * 64)))
    tiny_small.serve("other.zip", Reply(content))
    with pytest.raises(CourseError, match="000000000000"):
        golden.wikitext()


def test_a_text_that_cannot_be_had_is_a_wrong_fact_and_not_the_end(nano, tiny_small, monkeypatch):
    claim = golden.Claim("text", "here", "a number", lambda model: golden.read_wikitext(model, 1.0))
    fact = claim.check(nano)
    assert fact.right is False and "404" in fact.got and fact.verdict == "WRONG"


@pytest.mark.skipif(not REAL, reason="GPT-2 small's verified file is not in the cache: python course.py prefetch small")
@pytest.mark.parametrize("prompt", published_prompts(), ids=lambda prompt: prompt.text)
def test_our_logits_and_attention_are_the_published_ones(prompt):
    logits, attention = golden.published_differences(load_gpt2("small").eval(), prompt)
    assert logits < 1e-2 and attention < 1e-2


# The workflow


def test_the_workflow_proposes_what_was_recorded_and_says_where_facts_are_wrong():
    text = (ROOT / ".github" / "workflows" / "record.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert jobs["propose"]["needs"] == "record" and "WRONG" in jobs["propose"]["steps"][-1]["env"]["TITLE"]
    uploaded = next(step["with"]["path"] for step in jobs["record"]["steps"] if "upload" in step.get("uses", ""))
    assert {"data/recorded", "data/MANIFEST.json", "lessons"} <= set(uploaded.split())
    assert re.search(r"course\.py record \$SIZES --report (\S+)", text)[1] in uploaded
