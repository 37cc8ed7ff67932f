"""Typical wrong answers to exercise 00, and a part of the message that each must get."""


def run(**changed) -> str:
    """Return the code of an answer to q1 with some settings changed."""
    settings = {"restore_from": "'fresh'", "run_name": "'poems'", "print_every": "1"}
    settings |= {"sample_every": "steps // 2", "save_every": "steps", "steps": "steps"} | changed
    return f"def fresh_run(steps):\n    return dict({', '.join(f'{name}={value}' for name, value in settings.items())})"


def parse(pattern: str, end: str = "[float(loss) for loss in found]") -> str:
    """Return the code of an answer to q2 with this pattern."""
    return f"def losses_in(said):\n    found = re.findall(r'{pattern}', said, re.MULTILINE)\n    return {end}"


def keep(condition: str, settings: str, add: str = "losses = losses +") -> str:
    """Return the code of an answer to q3 with this loop."""
    head = "def keep_training(losses, target, go_on, most):\n"
    return f"{head}    while {condition}:\n        {add} go_on({settings})\n    return losses"


def ask(batch_size: str, choice: str) -> str:
    """Return the code of an answer to q4."""
    return (
        f"def request(prefix, temperature, nsamples, most=4):\n    choice = {choice}\n"
        f"    return {{'prefix': prefix, 'nsamples': nsamples, 'batch_size': {batch_size}, **choice}}"
    )


def losses(body: str) -> str:
    """Return the code of an answer to q5."""
    return f"@torch.no_grad()\ndef losses_of(folders, tokens):\n    {body}"


STEP = r"^\[\d+ \| [\d.]+\] "
BELOW = "sum(losses[-2:]) / 2 >= target and len(losses) < most"
AGAIN = "steps=2, run_name='poems', restore_from='latest', overwrite=True"
FITS = "max(size for size in range(1, most + 1) if nsamples % size == 0)"
CHOICE = "{'temperature': temperature} if temperature > 0 else {'temperature': 1.0, 'top_k': 1}"

WRONG = {
    "q1": [
        (run(restore_from="'latest'"), "What begins anew"),
        (run(restore_from="'models'"), "expected"),
        (run(run_name="'run1'"), "called poems"),
        (run(print_every="10"), "loss of every step"),
        (run(sample_every="steps"), "after how many steps is that"),
        (run(save_every="1"), "Does yours save before"),
        (run(sample_every="5"), "Does half time move"),
        (run(sample_every="steps / 2"), "// and not /"),
    ],
    "q2": [
        (parse(STEP + r"loss=(\S+)", "found"), "text still"),
        (parse(r"avg=(\S+)"), "running mean"),
        (parse(r"\| ([\d.]+)\]"), "seconds"),
        (parse(r"^\[\d \| \d\.\d+\] loss=(\S+) avg"), "several digits"),
        (parse(r"loss=(\S+)"), "the whole line"),
        (parse(STEP + r"loss=([\d.]+) avg"), "loss=nan"),
    ],
    "q3": [
        (
            f"def keep_training(losses, target, go_on, most):\n    return losses + go_on({AGAIN})",
            "asked before it goes on",
        ),
        (keep(BELOW, AGAIN, "losses ="), "Return all losses"),
        (keep(BELOW, AGAIN.replace("latest", "fresh")), "begins anew"),
        (keep(BELOW, AGAIN.replace(", overwrite=True", "")), "replace the old one"),
        (keep(BELOW, AGAIN.replace("run_name='poems', ", "")), "Which run"),
        (keep("losses[-1] >= target and len(losses) < most", AGAIN), "One lucky window"),
        (keep("sum(losses[-2:]) / 2 >= target", AGAIN), "Who stops it"),
        (keep(BELOW, AGAIN, "losses +="), "work on a copy"),
    ],
    "q4": [
        (ask("min(most, nsamples)", CHOICE), "left over"),
        (ask("nsamples", CHOICE), "Is yours larger"),
        (ask("1", CHOICE), "largest batch that fits"),
        (ask(FITS, "{'temperature': temperature}"), "in the place of 0"),
        (ask(FITS, "{'temperature': temperature, 'top_k': 1}"), "only there at 0"),
        (ask(FITS, "{'temperature': temperature or 0.01}"), "leaves none"),
        (ask(FITS.replace("most + 1", "5"), CHOICE), "or is it 4"),
    ],
    "q5": [
        (losses("return load_gpt2(folders[0])(tokens[:, :-1], tokens[:, 1:]).item()"), "a loss for each"),
        (losses("return [load_gpt2(f)(tokens[:, :-1], tokens[:, 1:]) for f in folders]"), "plain float"),
        (losses("return [load_gpt2(f)(tokens, tokens).item() for f in folders]"), "one place on"),
        (losses("return [load_gpt2(f)(tokens[:, :3], tokens[:, 1:4]).item() for f in folders]"), "expected"),
        (
            losses("return [load_gpt2(f)(tokens[:, :-1], tokens[:, 1:]).item() for f in sorted(folders)]"),
            "in the order given",
        ),
    ],
}
