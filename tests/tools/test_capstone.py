"""The capstone: its solution passes every check, an empty file none, and each part refuses its sabotages.

A sabotage changes one line of the solution; the checks of its part must refuse it and show input, got and expected.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.__main__ import main
from tools.capstone.adapter import ADAPTER, HOME
from tools.capstone.parts import FUNCTIONS, PARTS
from tools.capstone.report import DONE, NOT_STARTED, NOT_YET, stand
from tools.capstone.training import Plan, train_own
from tools.classroom.class_pack import course_files
from utils.errors import CourseError
from utils.files.places import ROOT

SOLUTION = ROOT / "exercises" / "solutions" / "capstone"
LIBRARIES = ROOT / "tests" / "capstone_by_libraries"
MINE = "my_gpt2.py"

# part, the line of the solution, what stands there instead, and words of the message
SABOTAGED = [
    (1, "torch.arange(first, first + tokens.shape[-1])", "torch.arange(tokens.shape[-1])", "What is `first` for?"),
    (
        1,
        "return token_table[tokens] + position_table[positions]",
        "return token_table[tokens]",
        "position_table come in",
    ),
    (2, "(x - mean).square().mean(-1, keepdim=True)", "x.var(-1, keepdim=True)", "width − 1?"),
    (2, "(variance + 1e-5).sqrt()", "(variance.sqrt() + 1e-5)", "Where is 1e-5 added"),
    (3, "torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))", "torch.erf(x / math.sqrt(2))", "error function"),
    (4, ".triu(past + 1)", ".triu(past + 2)", "expected"),
    (4, "math.sqrt(width // n_head)", "math.sqrt(width)", "How wide is one head?"),
    (4, "each.view(batch, time, n_head, -1).transpose(1, 2)", "each.reshape(batch, n_head, time, -1)", "expected"),
    (4, "q, k, v = (each", "k, q, v = (each", "In which order do queries, keys and values stand?"),
    (4, 'return linear(y, weights, "c_proj")', 'return y @ weights["c_proj.weight"]', "Is c_proj's bias added?"),
    (5, "linear(gelu(linear", "linear(torch.relu(linear", "That is ReLU."),
    (6, 'mlp(norm(x, weights, "ln_2")', 'mlp(norm(x, weights, "ln_1")', "through its own norm?"),
    (6, 'mlp(norm(x, weights, "ln_2"), under', "mlp(x, under", "Does the MLP read a normed copy?"),
    (7, 'norm(x, self.weights, "ln_f")', "x", "Is there a norm behind the last block?"),
    (7, "{name: value.float() for", "{name: value for", "expected"),
    (8, "- right).mean()", "- right).sum()", "Is it the sum, or the mean?"),
    (8, "- right).mean()", "- right).sum() / counted.numel()", "Those of -100 don't count"),
    (8, "logits.logsumexp(-1)", "logits.exp().sum(-1).log()", "expected"),
    (9, "first = caches[0][0].shape[-2] if", "first = 0 if", "Which position has it"),
    (9, "model.logits(new, caches)[:, -1]", "model.logits(text)[:, -1]", "expected 11. Does only the newest"),
    (9, "torch.cat([text, new], dim=1)", "torch.cat([text, new[:1].expand_as(new)], dim=1)", "expected"),
    (
        10,
        "torch.randn(shape) * 0.02 / math.sqrt(2 * n_layer)",
        "torch.randn(shape) * 0.02",
        "both c_proj of each block",
    ),
    (10, 'norm(x, self.weights, "ln_f") @', 'norm(x, self.weights, "ln_f").detach() @', "get no gradient"),
    (11, "first / (1 - BETAS[0] ** step), second / (1 - BETAS[1] ** step)", "first, second", "Both means begin at 0."),
    (11, "parameter.mul_(1 - rate * decay)", "pass", "Is there a weight decay?"),
    (11, "first.lerp_(gradient, 1", "first.lerp_(gradient + decay * parameter, 1", "expected"),
    (11, "(square.sqrt() + EPSILON)", "(square + EPSILON).sqrt()", "Where is epsilon added?"),
    (11, 'state["step"] = state.get("step", 0) + 1', 'state["step"] = 1', "expected"),
    (12, "if length > limit:", "if length > 0:", "below the limit stay as they are"),
    (12, "each.mul_(limit / length)", "each.mul_(1 / length)", "What is `limit` for?"),
    (12, "return length", "return min(length, limit)", "Return the norm before"),
    (13, "alpha / a.shape[1] * (x @ a @ b)", "alpha * (x @ a @ b)", "Is it alpha, or alpha/rank?"),
    (13, "(x @ a @ b)", "(x @ (a @ b))", "multiplications, expected at most"),
    (
        14,
        "codes[:, 0::2] | codes[:, 1::2] << 4, scales",
        "(codes[:, 0::2] | codes[:, 1::2] << 4).int(), scales",
        "bytes, expected",
    ),
    (
        14,
        "scales = (groups.abs().amax(1, keepdim=True)",
        "scales = (0 * groups[:, :1] + weight.abs().max()",
        "of its group",
    ),
    (14, "[packed.codes & 15, packed.codes >> 4]", "[packed.codes >> 4, packed.codes & 15]", "back in their order?"),
    (14, "(codes.float() - 8)", "(codes.float() - 7)", "of its group"),
    (14, ".half().clamp(min=2**-24)", ".clamp(min=2**-24)", "are scales float16?"),
]


@pytest.fixture
def folder(tmp_path):
    """A copy of the solution, to be changed."""
    shutil.copytree(SOLUTION, tmp_path / "capstone", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "capstone"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the solution"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("place", [SOLUTION, LIBRARIES], ids=["by hand", "by libraries"])
def test_a_right_answer_is_done_with_every_part(place):
    found = [(each.part.name, each.state, each.message) for each in stand(place)]
    assert found == [(part.name, DONE, "") for part in PARTS]


@pytest.mark.parametrize(("number", "old", "new", "words"), SABOTAGED)
def test_a_sabotaged_part_is_refused_by_its_own_checks(folder, number, old, new, words):
    change(folder / MINE, old, new)
    (standing,) = stand(folder, [number])
    assert standing.state == NOT_YET and words in standing.message, standing.message
    assert "xpected" in standing.message, "the message shows no expected value"


def test_every_part_has_a_sabotage():
    assert {number for number, *_ in SABOTAGED} == {part.number for part in PARTS} and len(SABOTAGED) >= 20


def test_an_empty_file_is_not_started_and_the_exit_code_says_so(capsys):
    assert main(["capstone"]) == 1
    said = capsys.readouterr().out
    assert said.count(NOT_STARTED) == len(PARTS) and "0 of 14 parts done" in said
    assert "Next: part 1, embedding" in said and "embed in adapter.py" in said


def test_the_command_exits_with_0_when_all_is_done():
    """In a process of its own, as a learner runs it."""
    command = [sys.executable, "-m", "tools", "capstone", str(SOLUTION)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0 and "14 of 14 parts done" in done.stdout, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 0, done.stderr


def test_the_learners_file_is_empty_and_the_adapter_asks_for_what_the_solution_has():
    learners = (HOME / MINE).read_text(encoding="utf-8").strip()
    assert learners.startswith('"""') and learners.endswith('"""') and "\n" not in learners
    stubs, solved = ((place / ADAPTER).read_text(encoding="utf-8") for place in (HOME, SOLUTION))
    assert all(f"def {name}(" in stubs and name in solved for name in FUNCTIONS)


def test_packs_hold_the_capstone_and_not_its_solution():
    names = [name for name in course_files() if "capstone" in name]
    assert f"exercises/capstone/{MINE}" in names and "exercises/capstone/tests/conftest.py" in names
    assert not any(name.startswith("exercises/solutions/") for name in names)


# What a learner's files may do


def test_a_part_can_be_done_before_others_are_connected(folder):
    change(folder / ADAPTER, "    embed,\n", "")
    standings = stand(folder, [1, 2])
    assert [each.state for each in standings] == [NOT_STARTED, DONE] and standings[0].waiting == ["embed"]


def test_an_error_of_the_learners_comes_with_file_line_and_input(folder):
    change(folder / MINE, "    return token_table[tokens] + ", "    return token_table[tokens.nothing] + ")
    (standing,) = stand(folder, [1])
    number = (folder / MINE).read_text(encoding="utf-8").partition("tokens.nothing")[0].count("\n") + 1
    for words in (f"in line {number} of {MINE}", "AttributeError", "Given tokens=[[3, 0, 3]]"):
        assert words in standing.message, standing.message


def test_a_function_that_never_ends_is_stopped(folder, monkeypatch):
    monkeypatch.setattr("tools.capstone.report.SECONDS", 0.5)
    change(folder / MINE, "    return 0.5 * x *", "    while True:\n        pass\n    return 0.5 * x *")
    (standing,) = stand(folder, [3])
    assert standing.state == NOT_YET and "did not come to an end" in standing.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def gelu(x: Tensor)", "def gelu(x: Tensor", ("my_gpt2.py", "line")),
        ("BETAS, EPSILON = (0.9, 0.95), 1e-8", "BETAS = nothing", ("my_gpt2.py", "NameError", "nothing")),
        ("def gelu(", "def gellu(", ("ImportError", "gelu")),
    ],
)
def test_files_that_python_can_not_import_are_told_in_a_sentence(folder, old, new, words, capsys):
    change(folder / MINE, old, new)
    assert main(["capstone", str(folder)]) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words) and "Traceback" not in said, said


def test_one_part_alone_and_a_part_that_there_is_not(capsys):
    assert main(["capstone", str(SOLUTION), "--part", "3"]) == 0
    assert "1 of 1 parts done" in capsys.readouterr().out
    assert main(["capstone", "--part", "15"]) == 1
    assert "no part 15, expected some of 1 to 14" in capsys.readouterr().err


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(CourseError, match=ADAPTER):
        stand(tmp_path)


# Training

TINY = Plan(
    n_layer=1, n_head=2, width=16, context=16, batch=8, steps=40, stories=60, held=5, rate=1e-2, warmup=4, aim=7.0
)


def test_training_reaches_a_loss_that_is_stated_before_and_repeats(capsys):
    first, second = train_own(SOLUTION, TINY), train_own(SOLUTION, TINY)
    assert first.reached and first.loss == second.loss < 6.5
    said = capsys.readouterr().out
    assert "40 steps of 8 × 16 tokens" in said and "at most 7 nats" in said and "It tells: Once upon a time" in said
    assert f"Held-out loss {first.loss:.3f}" in said and "reached" in said


def test_by_libraries_the_same_training_gives_about_the_same_loss():
    assert abs(train_own(LIBRARIES, TINY).loss - train_own(SOLUTION, TINY).loss) < 0.3


def test_an_optimizer_that_goes_uphill_does_not_reach_it(folder):
    change(folder / MINE, "parameter.sub_(rate", "parameter.add_(rate")
    assert not train_own(folder, TINY).reached


def test_training_says_what_it_still_needs_and_where_it_stopped(folder, capsys):
    change(folder / MINE, "    return length", "    return 1 / 0")
    with pytest.raises(CourseError, match=f"in line .* of {MINE}.* with ZeroDivisionError"):
        train_own(folder, TINY)
    change(folder / ADAPTER, "    clip_gradients,\n", "")
    assert main(["capstone", str(folder), "--train"]) == 1
    assert "Connect clip_gradients in adapter.py first" in capsys.readouterr().err


def test_the_learning_rate_warms_up_and_falls_to_a_tenth():
    plan = Plan(steps=1000, warmup=100, rate=0.01)
    rates = [plan.rate_at(step) for step in (1, 50, 100, 550, 1000)]
    assert rates == pytest.approx([0.0001, 0.005, 0.01, 0.0055, 0.001])
