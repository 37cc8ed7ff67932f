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
        Answer(
            '''
def fresh_run(steps):
    """Return the settings of a first run of so many steps (an even number), by the names of finetune's parameters."""
    restore_from = "latest"
    run_name = "poems"
    print_every = 1
    sample_every = steps // 2
    save_every = steps
    settings = {"print_every": print_every, "sample_every": sample_every, "save_every": save_every}
    return {"steps": steps, "restore_from": restore_from, "run_name": run_name, **settings}
''',
            "goes on from an earlier run of that name instead of beginning with the base model",
        ),
        Answer(
            '''
def fresh_run(steps):
    """Return the settings of a first run of so many steps (an even number), by the names of finetune's parameters."""
    restore_from = "fresh"
    run_name = "poems"
    print_every = 1
    sample_every = STEPS // 2
    save_every = STEPS
    settings = {"print_every": print_every, "sample_every": sample_every, "save_every": save_every}
    return {"steps": steps, "restore_from": restore_from, "run_name": run_name, **settings}
''',
            "uses the notebook's own STEPS instead of the parameter: right only for that number of steps",
        ),
        Answer(
            '''
def fresh_run(steps):
    """Return the settings of a first run of so many steps (an even number), by the names of finetune's parameters."""
    restore_from = "fresh"
    run_name = "poems"
    print_every = 1
    sample_every = steps // 2
    save_every = 1000  # it saves at the end anyway
    settings = {"print_every": print_every, "sample_every": sample_every, "save_every": save_every}
    return {"steps": steps, "restore_from": restore_from, "run_name": run_name, **settings}
''',
            "leaves the saving at every 1000 steps: a run of more than 1000 steps saves before its end",
        ),
        Answer(
            '''
def fresh_run(steps):
    """Return the settings of a first run of so many steps (an even number), by the names of finetune's parameters."""
    restore_from = "fresh"
    run_name = "poems"
    print_every = 1
    sample_every = steps
    save_every = steps
    settings = {"print_every": print_every, "sample_every": sample_every, "save_every": save_every}
    return {"steps": steps, "restore_from": restore_from, "run_name": run_name, **settings}
''',
            "samples after all steps instead of at half time",
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
        Answer(
            r'''
def losses_in(said):
    """Return the loss of every step, as a list of floats."""
    found = re.findall(r"^\[\d+ \| [\d.]+\] loss=([\d.]+)", said, re.MULTILINE)
    return [float(loss) for loss in found]
''',
            "a loss that is nan is left out, since the pattern knows digits only",
        ),
        Answer(
            r'''
def losses_in(said):
    """Return the loss of every step, as a list of floats."""
    found = re.findall(r"loss=(nan|\d+\.\d+)", said, re.MULTILINE)
    return [float(loss) for loss in found]
''',
            "looks for loss= anywhere, so that what a sample says about a loss is counted as a step",
        ),
        Answer(
            r'''
def losses_in(said):
    """Return the loss of every step, as a list of floats."""
    found = re.findall(r"^\[\d+ \| [\d.]+\] loss=(\d\.\d\d|nan)", said, re.MULTILINE)
    return [float(loss) for loss in found]
''',
            "only one digit before the point: losses of 10 and more are left out",
        ),
        Answer(
            r'''
def losses_in(said):
    """Return the loss of every step, as a list of floats."""
    found = re.findall(r"^\[\d+ \| [\d.]+\] loss=\S+ avg=(\S+)", said, re.MULTILINE)
    return [float(loss) for loss in found]
''',
            "takes the running mean instead of the loss of the step",
        ),
        Answer(
            r"""
def losses_in(said):
    found = re.findall(r"^\[\d+ \| [\d.]+\] loss=(\S+) avg=", said, re.MULTILINE)
    return [float(loss) for loss in dict.fromkeys(found)]
""",
            "equal losses of different steps are kept once only",
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
        Answer(
            '''
def keep_training(losses, target, go_on, most):
    """Return all losses: those given and those of every time that it went on."""
    while len(losses) < most and not sum(losses[-2:]) / 2 < target:
        losses += go_on(run_name="poems", restore_from="latest", overwrite=True, steps=2)
    return losses
''',
            "in-place: the list that was handed in grows",
        ),
        Answer(
            '''
def keep_training(losses, target, go_on, most):
    """Return all losses: those given and those of every time that it went on."""
    while len(losses) < most and not sum(losses[-2:]) / 2 < target:
        losses = losses + go_on(run_name="poems", restore_from="latest", steps=2)
    return losses
''',
            "forgets to let the new checkpoint replace the old one",
        ),
        Answer(
            '''
def keep_training(losses, target, go_on, most):
    """Return all losses: those given and those of every time that it went on."""
    while len(losses) <= most and not sum(losses[-2:]) / 2 < target:
        losses = losses + go_on(run_name="poems", restore_from="latest", overwrite=True, steps=2)
    return losses
''',
            "off by one: goes on once more when there are already exactly `most` losses",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    for _ in range((most - len(losses)) // 2):
        if sum(losses[-2:]) / 2 < target:
            break
        losses = [*losses, *go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)]
    return losses
""",
            "rounds down the number of times, so it stops one loss short of most where an odd number is left",
        ),
        Answer(
            """
def keep_training(losses, target, go_on, most):
    while len(losses) < most and not sum(losses[-2:]) / 2 < target:
        losses = losses + go_on(steps=2, restore_from="latest", run_name="poems", overwrite=True)
    return losses[:most]
""",
            "cuts the list off at most, so a loss that was trained for (or given) is missing",
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
        Answer(
            '''
import math


def request(prefix, temperature, nsamples, most=4):
    """Return settings that generate accepts, by the names of its parameters."""
    batch_size = math.gcd(nsamples, most)
    choice = {"temperature": 1, "top_k": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
''',
            "greatest common divisor of nsamples and most, which is not always the largest batch up to most",
        ),
        Answer(
            '''
def request(prefix, temperature, nsamples, most=4):
    """Return settings that generate accepts, by the names of its parameters."""
    batch_size = max(size for size in (1, 2, 3, 4) if nsamples % size == 0)
    choice = {"temperature": 1, "top_k": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
''',
            "ignores `most`: always looks up to 4, which is only its default",
        ),
        Answer(
            '''
def request(prefix, temperature, nsamples, most=4):
    """Return settings that generate accepts, by the names of its parameters."""
    batch_size = max(size for size in range(1, most + 1) if nsamples % size == 0)
    choice = {"temperature": temperature}
    if temperature == 0:
        choice["top_k"] = 1
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
''',
            "leaves the temperature at 0 beside top_k=1, so it still divides by zero",
        ),
        Answer(
            '''
def request(prefix, temperature, nsamples, most=4):
    """Return settings that generate accepts, by the names of its parameters."""
    batch_size = 1
    for size in range(1, most):
        if nsamples % size == 0:
            batch_size = size
    choice = {"temperature": 1, "top_k": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, **choice}
''',
            "off by one: never tries `most` itself as the size of a batch",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = max(batch for batch in range(1, most + 1) if nsamples % batch == 0)
    choice = {"temperature": 1, "top_k": 1} if temperature == 0 else {"temperature": temperature}
    return {"prefix": prefix.strip(), "nsamples": nsamples, "batch_size": batch_size, **choice}
""",
            "strips white space from the prefix, which is then another one",
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
        Answer(
            '''
@torch.no_grad()
def losses_of(folders, tokens):
    """Return the loss of the model in each folder, in order, on tokens (1, time), as a list of floats."""
    inputs, targets = tokens[:, :-2], tokens[:, 1:-1]
    return [float(load_gpt2(folder)(inputs, targets)) for folder in folders]
''',
            "off by one: the last token is never guessed",
        ),
        Answer(
            '''
@torch.no_grad()
def losses_of(folders, tokens):
    """Return the loss of the model in each folder, in order, on tokens (1, time), as a list of floats."""
    inputs, targets = tokens, tokens.roll(-1, dims=1)
    return [float(load_gpt2(folder)(inputs, targets)) for folder in folders]
''',
            "rolls the tokens around, so that the last one has to guess the first",
        ),
        Answer(
            '''
@torch.no_grad()
def losses_of(folders, tokens):
    """Return the loss of the model in each folder, in order, on tokens (1, time), as a list of floats."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    losses = []
    for folder in sorted(folders):
        model = load_gpt2(folder)
        losses.append(model(inputs, targets).item())
    return losses
''',
            "sorts the folders by name instead of keeping their order",
        ),
        Answer(
            '''
@torch.no_grad()
def losses_of(folders, tokens):
    """Return the loss of the model in each folder, in order, on tokens (1, time), as a list of floats."""
    inputs, targets = tokens[:, 1:], tokens[:, :-1]
    return [float(load_gpt2(folder)(inputs, targets)) for folder in folders]
''',
            "shifted the wrong way: each token has to guess the one before it",
        ),
        Answer(
            """
known = {}


@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    for folder in folders:
        if folder not in known:
            known[folder] = float(load_gpt2(folder)(inputs, targets))
    return [known[folder] for folder in folders]
""",
            "state: remembers a folder's loss and returns it for other tokens as well",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    losses = {}
    for folder in folders:
        losses[pathlib.Path(folder).name] = float(load_gpt2(folder)(inputs, targets))
    return list(losses.values())
""",
            "keyed by the folder's last name: folders of equal names, or one given twice, collapse",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    tokens = tokens[:, :400]
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    return [float(load_gpt2(folder)(inputs, targets)) for folder in folders]
""",
            "reads the notebook's 400 tokens and no more of a longer row",
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
        Answer(
            """
def fresh_run(steps):
    half = len(range(0, steps, 2))
    return dict(
        save_every=2 * steps,  # never reached: it saves when its steps are done
        sample_every=half,
        print_every=1,
        run_name="poems",
        restore_from="fresh",
        steps=steps,
    )
""",
            "an interval of saving beyond the end, since the run saves when it ends anyway; other order of keys",
        ),
        Answer(
            """
def fresh_run(steps):
    names = ("steps", "restore_from", "run_name", "print_every", "sample_every", "save_every")
    half, nothing = divmod(steps, 2)
    return {name: value for name, value in zip(names, (steps, "fresh", "poems", 1, half, half + half))}
""",
            "names and values zipped, halves by divmod",
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
        Answer(
            r"""
def losses_in(said):
    found = []
    for line in said.split("\n"):
        head, mark, rest = line.partition("] loss=")
        step, bar, seconds = head[1:].partition(" | ")
        loss, mean, _ = rest.partition(" avg=")
        is_step = line[:1] == "[" and mark and bar and mean and step.isdigit() and seconds.replace(".", "").isdigit()
        if is_step:
            found.append(float(loss))
    return found
""",
            "line by line with partition, no regular expression",
        ),
        Answer(
            r"""
STEP = re.compile(r"(?m)^\[(?P<step>[0-9]+) \| (?P<seconds>[0-9.]+)\] loss=(?P<loss>nan|-?inf|-?[0-9.]+) avg=")


def losses_in(said):
    def one(match):
        return float(match["loss"])

    return list(map(one, STEP.finditer(said)))
""",
            "a compiled pattern with named groups, finditer and map",
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
        Answer(
            """
def keep_training(losses, target, go_on, most):
    everything = list(losses)
    settings = dict(steps=2, run_name="poems", restore_from="latest", overwrite=True)
    while True:
        if len(everything) >= most:
            break
        if sum(everything[-2:]) < 2 * target:
            break
        everything.extend(go_on(**settings))
    return everything
""",
            "an endless loop with two ways out, on a copy; the sum of two against twice the target",
        ),
        Answer(
            """
import statistics


def keep_training(losses, target, go_on, most):
    def good():
        return statistics.fmean(together[-2:]) < target

    together = losses[:]
    while not (len(together) >= most or good()):
        together += go_on(overwrite=True, run_name="poems", steps=2)  # "latest" is finetune's default
    return together
""",
            "mean from the statistics module, a sliced copy, restore_from left at its default",
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
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    batch_size = min(most, nsamples)
    while nsamples % batch_size:
        batch_size -= 1
    settings = {"prefix": prefix, "nsamples": nsamples, "batch_size": batch_size, "temperature": temperature}
    if not temperature:
        settings.update(temperature=1.0, top_k=1)
    return settings
""",
            "counts down to the first size that divides; one dictionary that is updated for zero",
        ),
        Answer(
            """
def request(prefix, temperature, nsamples, most=4):
    divisors, small = set(), 1
    while small * small <= nsamples:
        if nsamples % small == 0:
            divisors |= {small, nsamples // small}
        small += 1
    fitting = sorted(size for size in divisors if size <= most)
    greedy = temperature == 0
    choice = {"top_k": 1, "temperature": 1} if greedy else {"temperature": temperature}
    return {**choice, "batch_size": fitting[-1], "nsamples": nsamples, "prefix": prefix}
""",
            "all divisors in pairs up to the root, then the last that fits",
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
        Answer(
            """
def losses_of(folders, tokens):
    many = tokens.shape[1] - 1
    with torch.no_grad():
        inputs, targets = tokens.narrow(1, 0, many), tokens.narrow(1, 1, many)
        return list(map(lambda folder: load_gpt2(folder)(inputs, targets).item(), folders))
""",
            "narrow instead of slices, map and a lambda, no_grad inside",
        ),
        Answer(
            """
@torch.no_grad()
def losses_of(folders, tokens):
    row = tokens[0].tolist()
    guessed = torch.tensor([row[1:]], device=tokens.device)
    read = torch.tensor([row[: len(row) - 1]], device=tokens.device)
    losses = []
    for folder in folders:
        network = load_gpt2(folder)
        loss = network(read, guessed)
        losses.append(float(loss.detach().cpu()))
        del network
    return losses
""",
            "through Python lists, one model at a time in a loop",
        ),
    ],
}
