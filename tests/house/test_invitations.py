"""Every *Change this* of a lesson, run as a learner would type it: it must lead somewhere, and say what is promised."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

import nbformat
import pytest

from tools.classroom.key import CHANGE
from tools.repo.notebooks import SETTINGS, execute, read_notebook
from utils.files.places import ROOT


@dataclass(frozen=True)
class Invitation:
    """One thing to type, in a cell of its own, or in the cell `edits` where `old` stands.

    `stands_in` is the text that invites, which must hold what is typed; `says` is a pattern of what comes out.
    """

    stands_in: str
    typed: str
    says: str
    edits: str = ""
    old: str = ""
    new: str = ""  # what then stands there, if it is more than what is typed
    then: str = ""  # what else the text asks to look at
    again: tuple[str, ...] = ()  # cells that it asks to run again


QUANTIZED = 'lines = inspect_file(packed["Q4_0"])'
LIMITS = 'limits = {"cpu": held_bytes(network) - network.config.n_layer // 2 * block}'
# all cells about one matrix
WEIGHTS = (
    *("cell-04", "cell-06", "cell-08", "cell-12", "cell-14", "cell-17", "cell-19", "cell-21", "cell-25"),
    *("cell-29", "cell-31", "cell-33", "nf4-rivals", "cell-35", "cell-41"),
)
METHODS = ("cell-12", "cell-14", "two-columns", "cell-16", "cell-18", "cell-20", "cell-22", "clipping")
ACT_ORDER = """order = H.diagonal().argsort(descending=True)
sorted_first = gptq_by_hand(W[:, order], H[order][:, order], 3)[:, order.argsort()]
print("act-order", output_error(W, sorted_first, H), "plain rounding", output_error(W, nearest, H))
for damping in (0.01, 1, 100, 10_000):
    print(damping, output_error(W, gptq_by_hand(W, H, 3, damping), H))"""
OTHER_TEXT = """from utils.files.places import DATA
from utils.quantize.recipe import read_tokens
calibration = draw_rows(read_tokens(DATA / "handbook" / "handbook.txt"), rows=8, context=128)"""
OWN_STORY = """text = (
    "Not so very long ago, an honest girl named Nora grew up in a crooked castle. Nora went everywhere with Milo, "
    "a prince who collected smooth stones.\\nEverybody was talking about the wheelbarrow race."
)"""
POEMS = """from utils.files.places import DATA

poems = [path.read_text(encoding="utf-8") for path in sorted((DATA / "poems").glob("*.txt"))]
far, far_out = tokens_of(poems[20:]), tokens_of(poems[:20])
poet, _, _ = fine_tune(far, far_out, "poet")
for name, loss in {"base": loss_of(course.model, far_out), "tuned": loss_of(poet, far_out)}.items():
    print(f"{name} {loss:.1f}, counting {counting(far, far_out):.1f}")"""
PLAYGROUND = 'tokenizer, "Once upon a")\nassert'
HARMED = 'print(clean("He wrote:\\n*** START OF THE PROJECT GUTENBERG EBOOK ODES ***\\nand laughed.", ("licence",))[0])'
TENTH = 'allowed = (need["key/value cache"] + need["activations"]) // 10'
# For each lesson the cells that come first, as they stand, and its invitations.
LESSONS = {
    "00_set_up_and_choose_a_size": (
        ["cell-03", "cell-30", "cell-13"],
        [
            Invitation("cell-33", "0.2", "Once upon a time", "cell-32", "temperature=0.8", "temperature=0.2"),
            Invitation("cell-33", "1.5", "Once upon a time", "cell-32", "temperature=0.8", "temperature=1.5"),
            Invitation(
                "cell-22",
                "calculator",
                "Dropdown",
                "cell-23",
                'assert len(calculator.children) == 6, "five controls and a picture: was one taken away?"',
                "calculator.children[4].value = True\ncalculator.children[2].value = 64",
            ),
        ],
    ),
    "01_turn_text_into_tokens": (
        ["cell-02", "cell-06", "cell-10", "cell-paper", "cell-15", "cell-19"],
        [
            Invitation("cell-23", "learned_from = page", "GPT-2's too", "cell-21", "learned_from = handbook"),
            Invitation("cell-38", "your own name", r"\[' Ada'\]", "cell-37", '" STRAWBERRY"', '"Ada", " Ada"'),
            Invitation("cell-42", "capitals", "THE LAST", "cell-43", "The last boat waits", "THE LAST BOAT WAITS"),
        ],
    ),
    "02_one_head_by_hand": (
        ["head-02", "head-04", "head-06", "head-10", "head-11", "head-23", "head-25"],
        [
            Invitation(
                "head-24",
                "to_query[2] = torch.tensor([1.5, 0, 0, 0])",
                r"tensor\(0\).*Figure",  # Tom, the only person
                then="print(look(x @ to_query, k)[2].argmax())\n"
                "attention_arcs(words, look(x @ to_query, k)[2].tolist())",
            ),
            Invitation(
                "head-38",
                "Browse with a text of your own",
                r"\d+ tokens, then .*Figure",
                "head-25",
                OWN_STORY,
                'text = "A fox named Ada lived in a wood. Ada had a friend, a mole named Ben. One day,"',
                again=tuple(f"head-{number}" for number in (26, 28, 29, 30, 32, 34, 36, 37)),
            ),
        ],
    ),
    "03_build_the_whole_network": (
        [
            *("cell-02", "map-1", "cell-04", "cell-07", "cell-09", "cell-11", "cell-19", "cell-20", "cell-24"),
            *("cell-26", "cell-31", "cell-32", "cell-34", "cell-39"),
        ],
        [
            Invitation(
                "cell-41",
                "Put a text of your own into `story`",
                r"\(7, 14, 50257\).*Figure",
                "cell-39",
                OWN_STORY.replace("text = ", "story = "),
                'story = "A fox named Ada lived in a wood. Ada had a friend, a mole named Ben. One day,"',
                again=("cell-40",),
            ),
            Invitation(
                "cell-41",
                "mine.blocks = mine.blocks[:2] + mine.blocks[3:]",
                "Once upon a time, there lived a fox named Anna",
                again=("cell-34",),
            ),
            Invitation(
                "cell-21",
                ".transpose(1, 2)",
                "CheckError.*change places",
                "cell-19",
                "y.transpose(1, 2).reshape(batch",
                "y.reshape(batch",
                again=("cell-20",),
            ),
            Invitation(
                "cell-18",
                "x.var(-1, keepdim=True)",
                "CheckError.*plain mean of squares",
                "cell-11",
                "centered.square().mean(-1, keepdim=True)",
            ),
        ],
    ),
    "04_turn_logits_into_text": (
        ["cell-02", "cell-04", "cell-05", "cell-07", "cell-07b", "cell-21", "cell-23", "cell-26", "cell-draft"],
        [
            Invitation("cell-27", "Once upon a", "Textarea", "cell-29", "tokenizer, prompt)\nassert", PLAYGROUND),
            Invitation("cell-37", "most=12", "60 tokens in", "cell-speculate", "most=4"),
            Invitation("cell-42", "((198,), ())", r"at \(198,\)", "cell-41", "((tokenizer.end_of_text,), ())"),
            Invitation(
                "cell-24",
                "ordered.cumsum(-1) >= p",
                r"\b0 of 50,257",
                "cell-23",
                "ordered.cumsum(-1) - ordered >= p",
                again=("cell-23b",),
            ),
        ],
    ),
    "05_open_a_model_file": (
        ["cell-02", "cell-04", "cell-06", "cell-17", "cell-21", "cell-23", "cell-25"],
        [
            Invitation(
                "cell-18",
                '(folder / "cut.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))',
                "cut.safetensors was loaded",
                then='try_to_load(folder / "cut.safetensors")',
            ),
            Invitation("cell-42", "lines = inspect_file(folder)", "16.00 bits per weight", "cell-41", QUANTIZED),
            Invitation(
                "cell-42",
                'lines = inspect_file(Path("05_open_a_model_file.ipynb"))',
                "no format known",
                "cell-41",
                QUANTIZED,
            ),
            Invitation("cell-42", "lines = inspect_file(hostile)", "CourseError.*refused", "cell-41", QUANTIZED),
        ],
    ),
    "06_load_it_with_any_loader": (
        ["cell-02", "cell-04", "cell-06", "cell-yardsticks", "cell-10", "cell-k-family", "cell-k-write"],
        [
            Invitation("cell-07", "compare(true[:, torch.randperm(true.shape[1])])", r"\(1\.[34]"),
            Invitation("cell-12a", 'limits = {"cpu": block}', "{'': 'disk'}", "cell-device-map", LIMITS),
            Invitation("cell-19", '"fp4"', "4.127 bits", "cell-18", '"nf4"', then="compare(logits_of(four))"),
            Invitation(
                "cell-29",
                "rows[0, 0] = 5",
                "tensor",
                "cell-k-read",
                "blocks = torch.stack",
                "rows = rows.clone()\nrows[0, 0] = 5\nblocks = torch.stack",
                "(again - rows)[0, 32:64].abs().max()",
            ),
        ],
    ),
    "07_quantize_one_matrix": (
        ["cell-02", "activations", "activations-small", "activations-8-bits"],
        [
            Invitation(
                "activations-seen",
                "with_outliers(model, [100, 101], 16)",
                r"16 bits beyond 6 .*one scale at 16: 1\.[5-7]",
                "activations",
                "with_outliers(model, [100, 101], 128)",
                then='print(f"one scale at 16: {perplexity(strange, {}):.2f}")',
                again=("activations-8-bits",),
            ),
            Invitation(
                "cell-42",
                "course.model.blocks[0].attention.qkv.weight",
                r"\(768, 256\).*group 128 zero point.*one scale per 64",
                "cell-02",
                "course.model.blocks[2].mlp.up.weight",
                again=WEIGHTS,
            ),
        ],
    ),
    "08_quantize_the_whole_model": (
        ["cell-02", "cell-04", *METHODS],
        [
            Invitation("cell-19", ACT_ORDER, r"act-order 0\.0\d+ plain rounding 0\.\d+"),
            Invitation(
                "cell-40",
                OTHER_TEXT,
                r"1,024 tokens to calibrate with.*error is \d+% of what it was",
                "cell-04",
                "calibration = draw_rows(story_tokens(60), rows=8, context=128)  # (rows, time)",
                again=METHODS,
            ),
        ],
    ),
    "09_fit_it_on_your_machine": (
        ["cell-02", "cell-12"],
        [
            Invitation(
                "cell-09",
                'calculator.children[0].value = "small"',
                "index=1",
                "cell-08",
                "assert bytes",
                'calculator.children[0].value = "small"\ncalculator.children[4].value = True\nassert bytes',
            ),
            Invitation(
                "cell-25",
                'plan = Plan(config, work, "gpu", "gpu", ("gpu",) * 2 + ("cpu",) * (config.n_layer - 2))',
                "True",
                then="two = torch.tensor([[1, 2]])\n"
                'print(torch.equal(load_with_plan(course.size, plan, folder / "gpu", "cpu")(two), model(two)))',
            ),
            Invitation("cell-42", TENTH, "Going on with batch 2,|holds no process", "cell-41", TENTH[:-2] + "3"),
        ],
    ),
    "10_prepare_a_dataset": (
        ["cell-02", "cell-04", "cell-06"],
        [
            Invitation("cell-13", "'2,\"two\"'", r"csv alone \['1', '2', '3'", "cell-12", "'2,\"two'"),
            Invitation(
                "cell-13",
                'errors="replace"',
                "'5', '6', '7'",
                "cell-12",
                "read_records(damaged, damage)",
                'read_records(damaged, damage, errors="replace")',
            ),
            Invitation("cell-23", HARMED, "and laughed"),
            Invitation(
                "cell-42", "tokenizer.end_of_text", "3 targets that count", "cell-39", ", tokenizer.end_of_text]", "]"
            ),
        ],
    ),
    "12_fine_tune_gpt2_small": (
        ["cell-02", "cell-04", "cell-08", "cell-18", "cell-06", "cell-12", "cell-13"],
        [
            Invitation("cell-20", POEMS, r"base 1\d\.\d, counting [67]\.\d\s+tuned [67]\.\d"),
            Invitation("cell-03", 'dialect = "letters"', "Dear .*Good night", "cell-04", 'dialect = "play"'),
            Invitation(
                "cell-03",
                'dialect = "ballad"',
                "Now sing, wind and rain.*form kept: 0% before",
                "cell-04",
                'dialect = "play"',
                again=("cell-08", "cell-14", "cell-16-form"),
            ),
        ],
    ),
    "13_fine_tune_gpt2_medium_with_less": (
        ["cell-02", "cell-04"],
        [
            Invitation(
                "cell-24",
                "batch=1",
                r"QLoRA +weights 384 MB .*activations \d{3} MB",
                "cell-04",
                "batch=4",
                again=("cell-32-bits", "cell-23"),
            ),
        ],
    ),
    "16_scale_out": (
        ["cell-02"],
        [
            Invitation(
                "cell-41",
                "step_tokens = 2048 * 1024",
                r"713 hours.*'512 apart': '[34] hours'",
                "cell-38",
                "512 * 1024",
                "2048 * 1024",
                then="print(hours(512, 2 * 25e9))",
            ),
        ],
    ),
}


@pytest.fixture(scope="module", params=LESSONS)
def lesson(request):
    """Run a lesson's cells and all that it invites to, in one kernel; return its texts and what each one printed."""
    path = ROOT / "lessons" / f"{request.param}.ipynb"
    stored = read_notebook(path)
    sources = {cell.id: cell.source for cell in stored.cells}
    first, invitations = LESSONS[request.param]
    steps = [(None, sources[name]) for name in first]
    for one in invitations:
        steps.append((one, as_typed(one, sources)))
        steps += [(one, sources[name]) for name in one.again]
        steps += [(one, one.then)] if one.then else []
    run = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for _, source in steps])
    execute(run, path, SETTINGS, timeout=300, allow_errors=True)
    said: dict[Invitation | None, str] = {}
    for (one, _), cell in zip(steps, run.cells, strict=True):
        said[one] = said.get(one, "") + "\n".join(map(text_of, cell.outputs))
    return stored, invitations, said


def as_typed(one: Invitation, sources: dict[str, str]) -> str:
    """Return what is typed, in the cell that it changes if there is one."""
    if not one.edits:
        return one.typed
    assert sources[one.edits].count(one.old) == 1, f"{one.edits} has no place of its own for {one.typed}"
    return sources[one.edits].replace(one.old, one.new or one.typed)


def text_of(output: nbformat.NotebookNode) -> str:
    """Return what a learner reads of one output."""
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return output.get("text", "") + output.get("data", {}).get("text/plain", "")


def test_what_a_lesson_invites_to_type_runs_and_says_what_it_should(lesson):
    _, invitations, said = lesson
    assert not re.search(r"\b\w*Error\b", said[None]), said[None]
    for one in invitations:
        assert re.search(one.says, said[one], re.DOTALL), f"{one.typed}: {said[one][-800:]}"
        assert "Error" in one.says or not re.search(r"\b\w+Error: ", said[one]), said[one][-800:]


def test_each_invitation_of_a_lesson_is_run(lesson):
    stored, invitations, _ = lesson
    inviting = {cell.id: cell.source for cell in stored.cells if CHANGE in cell.source}
    assert inviting.keys() == {one.stands_in for one in invitations}
    assert all(one.typed in inviting[one.stands_in] for one in invitations), "a text asks for something else"


TOLD = ("lessons/*.ipynb", "labs/0[12347]_*.ipynb")


@pytest.mark.parametrize("path", sorted(path for each in TOLD for path in ROOT.glob(each)), ids=lambda path: path.stem)
def test_an_assertion_that_a_learner_meets_says_what_to_look_at(path):
    for cell in (cell for cell in read_notebook(path).cells if cell.cell_type == "code"):
        source = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source)
        mute = [ast.unparse(n) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Assert) and n.msg is None]
        assert mute == [], f"{cell.id}: {mute[0]}"
