"""Answers to exercise 00, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def fresh_run(steps):
    settings = {"print_every": 1, "sample_every": steps // 2, "save_every": steps}
    return {"steps": steps, "restore_from": "latest", "run_name": "poems", **settings}
""",
            "forgotten setting: goes on with an earlier run of that name",
        ),
        Answer(
            """
def fresh_run(steps):
    settings = {"print_every": 1, "sample_every": STEPS // 2, "save_every": STEPS}
    return {"steps": steps, "restore_from": "fresh", "run_name": "poems", **settings}
""",
            "reads a global instead of its argument",
        ),
        Answer(
            """
def fresh_run(steps):
    half = steps // 2
    settings = {"print_every": 1, "sample_every": half, "save_every": half}
    return {"steps": steps, "restore_from": "fresh", "run_name": "poems", **settings}
""",
            "saves at half time, before the end",
        ),
        Answer(
            """
def fresh_run(steps):
    settings = {"print_every": 1, "sample_every": 2, "save_every": steps}
    return {"steps": steps, "restore_from": "fresh", "run_name": "poems", **settings}
""",
            "a constant that fits four steps only: samples every second step",
        ),
        Answer(
            """
def fresh_run(steps):
    settings = {"print_every": 1, "sample_every": steps // 2, "save_every": 1000}
    return {"steps": steps, "restore_from": "fresh", "run_name": "poems", **settings}
""",
            "a constant that fits few steps only: saves every thousandth",
        ),
        Answer(
            """
def fresh_run(steps):
    settings = {"print_every": steps, "sample_every": steps // 2, "save_every": steps}
    return {"steps": steps, "restore_from": "fresh", "run_name": "poems", **settings}
""",
            "prints only the last loss",
        ),
    ],
    "q2": [
        Answer(
            r"""
def losses_in(said):
    return [float(found) for found in re.findall(r"avg=([\d.]+)", said)]
""",
            "takes the mean, not the loss of the step",
        ),
        Answer(
            r"""
def losses_in(said):
    return re.findall(r"^\[\d+ \| [\d.]+\] loss=([\d.]+)", said, re.MULTILINE)
""",
            "wrong type: strings",
        ),
        Answer(
            r"""
def losses_in(said):
    return [float(found) for found in re.findall(r"^\[\d+ \| [\d.]+\] loss=([\d.]+)", said)]
""",
            "forgotten flag: finds the first line at most",
        ),
        Answer(
            r"""
def losses_in(said):
    return [float(found) for found in re.findall(r"loss=(\d\.\d\d)", said)]
""",
            "fits the example only: one digit before the point",
        ),
        Answer(
            r"""
def losses_in(said):
    return [float(found) for found in re.findall(r"^\[.*\] loss=(\d+)", said, re.MULTILINE)]
""",
            "cut off: whole numbers only",
        ),
        Answer(
            r"""
def losses_in(said):
    return [float(found) for found in re.findall(r"loss=(\d+\.\d+)", said)]
""",
            "takes losses that a sample speaks of, too",
        ),
        Answer(
            r"""
def losses_in(said):
    return [float(found) for found in re.findall(r"^\[\d+ \| ([\d.]+)\]", said, re.MULTILINE)]
""",
            "wrong column: the seconds",
        ),
    ],
    "q3": [
        Answer(
            """
def keep_training(losses, target, go_on, most):
    if sum(losses[-2:]) / 2 >= target and len(losses) < most:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses
""",
            "goes on once at most",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while sum(losses[-2:]) / 2 > target and len(losses) < most:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses
""",
            "a mean of exactly the target is taken as good enough",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while sum(losses[-2:]) / 2 >= target and len(losses) < most:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems")
    return losses
""",
            "forgotten setting: keeps the old checkpoint",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while sum(losses[-2:]) / 2 >= target and len(losses) <= most:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses
""",
            "off by one: goes on although there are most losses",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while losses[-1] >= target and len(losses) < most:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses
""",
            "looks at the last loss only",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while sum(losses[-2:]) / 2 >= target:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses
""",
            "ignores an argument: never stops at most",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while sum(losses[-2:]) / 2 >= target and len(losses) < most:
        losses += go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses
""",
            "in-place damage: the losses that were given grow",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while sum(losses[-2:]) / 2 >= target and len(losses) < most:
        losses = losses + go_on(steps=2, restore_from="latest", overwrite=True)
    return losses
""",
            "forgotten setting: another run, the default one",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    added = []
    while sum((losses + added)[-2:]) / 2 >= target and len(losses + added) < most:
        added = added + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return added
""",
            "returns only what was added",
        ),
    ],
    "q4": [
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    from math import gcd

    batch_size = gcd(nsamples, most)
    choice = {"top_k": 1, "temperature": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "takes the greatest common divisor, which is not the largest batch",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    choice = {"top_k": 1, "temperature": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": min(nsamples, most), **choice}
""",
            "no divisor: the smaller of the two",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = max(size for size in (1, 2, 3, 4) if nsamples % size == 0)
    choice = {"top_k": 1, "temperature": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "ignores an argument: at most four whatever most says",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = max(size for size in range(1, max(most, 2)) if nsamples % size == 0)
    choice = {"top_k": 1, "temperature": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "off by one: never as large as most",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = max(size for size in range(1, most + 1) if nsamples % size == 0)
    choice = {"top_k": 1, "temperature": 0} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "the temperature stays 0",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = max(size for size in range(1, most + 1) if nsamples % size == 0)
    choice = {"top_k": 1, "temperature": temperature or 1}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "takes the likeliest token at every temperature",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = max(size for size in range(1, most + 1) if nsamples % size == 0)
    choice = {"top_p": 1, "temperature": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "a wrong parameter: top_p of 1 leaves all tokens to choose from",
        ),
    ],
    "q5": [
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, 1:], tokens[:, :-1]
    return [load_gpt2(folder)(inputs, targets).item() for folder in folders]
""",
            "swapped arguments",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    return [load_gpt2(folder)(inputs, targets) for folder in folders]
""",
            "wrong type: tensors",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens, tokens
    return [load_gpt2(folder)(inputs, targets).item() for folder in folders]
""",
            "forgotten step: each token is asked for itself",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    model = load_gpt2(folders[0])
    return [model(inputs, targets).item() for folder in folders]
""",
            "loads the first folder each time",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    return [load_gpt2(folder)(inputs, targets).item() for folder in sorted(folders)]
""",
            "changes the order of the folders",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, :-2], tokens[:, 2:]
    return [load_gpt2(folder)(inputs, targets).item() for folder in folders]
""",
            "off by one: the token after the next",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = held_out[:, :-1], held_out[:, 1:]
    return [load_gpt2(folder)(inputs, targets).item() for folder in folders]
""",
            "reads a global instead of its argument",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def fresh_run(steps):
    half = steps // 2
    every = dict(print_every=1, sample_every=half, save_every=2 * half + 1)
    return dict(steps=steps, restore_from="fresh", run_name="poems", **every)
""",
            "saves after more steps than there are: only the end saves",
        ),
    ],
    "q2": [
        Answer(
            r"""
def losses_in(said):
    losses = []
    for line in said.splitlines():
        found = re.match(r"\[\d+ \| \d+\.\d+\] loss=(\d+\.\d+|nan) avg=", line)
        if found:
            losses.append(float(found.group(1)))
    return losses
""",
            "line by line, without findall",
        ),
    ],
    "q3": [
        Answer(
            """
def keep_training(losses, target, go_on, most):
    if len(losses) >= most or (losses[-2] + losses[-1]) / 2 < target:
        return losses
    more = go_on(steps=2, run_name="poems", overwrite=True)  # restore_from is "latest" unless told otherwise
    return keep_training([*losses, *more], target, go_on, most)
""",
            "by recursion, and with the default that finetune has",
        ),
    ],
    "q4": [
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = most
    while nsamples % batch_size:
        batch_size -= 1
    settings = {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, "temperature": temperature}
    if not temperature:
        settings.update(temperature=1.0, top_k=1)
    return settings
""",
            "counts down until it divides",
        ),
    ],
    "q5": [
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    losses = []
    for folder in folders:
        logits = load_gpt2(folder)(tokens)[0, :-1]
        losses.append(float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:])))
    return losses
""",
            "the loss by PyTorch's own function",
        ),
    ],
}
