"""Help with exercise 00: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "All five values stand in the table, or follow from the text by a word: which word takes the "
        "weights in models/?",
        'A run begins anew with "fresh". Half time of so many steps is a whole number of steps, and a run '
        "saves at its end without being told.",
        '`restore_from = "fresh"`, `run_name = "poems"`, `print_every = 1`, `sample_every = steps // 2`, '
        "`save_every = steps`.",
    ),
    "q2": (
        "What stands in every line of a step, and in no line of a sample? Describe the whole line, from "
        "its first character to its last.",
        "In a pattern `^` and `$` are the ends of a line with re.MULTILINE, `\\[` is a bracket, `\\d+` are "
        "digits, `[\\d.]+` digits with a point, and `(\\S+)` keeps what has no space in it.",
        '`re.findall(r"^\\[\\d+ \\| [\\d.]+\\] loss=(\\S+) avg=\\S+$", said, re.MULTILINE)` gives texts. What '
        "makes floats of them?",
    ),
    "q3": (
        "It is a loop: as long as which two things both hold?",
        "The mean of the last two is `sum(losses[-2:]) / 2`. The loop goes on while that is not below the "
        "target and `len(losses) < most`. `go_on` needs four settings.",
        "`while sum(losses[-2:]) / 2 >= target and len(losses) < most: losses = losses + go_on(steps=2, "
        'run_name="poems", restore_from="latest", overwrite=True)`.',
    ),
    "q4": (
        "Two decisions: the batch size, and what to say in the place of a temperature of 0.",
        "Of the sizes from 1 to `most`, those fit that divide `nsamples`. The largest of them is wanted. "
        "At 0 there are two settings, temperature and top_k.",
        '`max(size for size in range(1, most + 1) if nsamples % size == 0)`; and `{"temperature": '
        'temperature} if temperature > 0 else {"temperature": 1.0, "top_k": 1}`.',
    ),
    "q5": (
        "Each token but the first is guessed from all before it. What does the model read then, and what "
        "are its targets?",
        "`tokens[:, :-1]` is read, `tokens[:, 1:]` are the targets: the same row, one place on. The loss "
        "is a tensor of one number.",
        "`[load_gpt2(folder)(inputs, targets).item() for folder in folders]`.",
    ),
}

WHY = {
    "q1": '"latest" would go on with any run of that name that lies there from yesterday. // gives a whole '
    "number, as steps are counted. Saving before the end costs time and disk, and the last checkpoint "
    "replaces the others anyway.",
    "q2": "The pattern asks for the whole line, since a poem may speak of a loss as well. \\S+ takes whatever "
    'stands there, nan included: a run that breaks must show in the list, and float("nan") is a float.',
    "q3": "The question comes before the first training, so a run that is good enough trains no further. Two "
    "losses are less moved by a lucky window than one. losses + … makes a new list, where += would change "
    "the one that was given.",
    "q4": "1 divides everything, so there is always a size that fits. With top_k = 1 one token is left and the "
    "temperature doesn't matter any more, so 1 will do; a tiny temperature would only nearly do the same.",
    "q5": "The last token has no successor to be guessed, and the first has nothing before it: so one is left "
    "out on each side. Every model is asked about the same tokens, or the losses could not be compared.",
}
