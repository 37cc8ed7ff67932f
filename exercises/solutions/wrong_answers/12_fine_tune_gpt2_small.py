"""Typical wrong answers to exercise 12, and a part of the message that each must get."""


def stop(body: str) -> str:
    """Return the code of an answer to q1."""
    return f"def stop_now(losses, patience):\n    return {body}"


def keep(condition: str, *lines: str) -> str:
    """Return the code of an answer to q2."""
    body = "\n        ".join(lines)
    return f"def keep_best(best, model, loss):\n    if {condition}:\n        {body}\n    return best"


def tune(inside: str, after: str = "model.load_state_dict(best['weights'])") -> str:
    """Return the code of an answer to q3."""
    return (
        "def fine_tune(model, next_batch, measure, most, every, patience):\n"
        "    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)\n"
        "    best, losses = {'loss': math.inf, 'weights': None}, []\n"
        "    for step in range(1, most + 1):\n"
        "        optimizer.zero_grad()\n        model(*next_batch()).backward()\n        optimizer.step()\n"
        f"        if step % every == 0:\n{inside}\n    {after}\n    return losses"
    )


def mix(condition: str, add: str = "length") -> str:
    """Return the code of an answer to q4."""
    return (
        "def how_many(own, other, share):\n    taken = 0\n    for number, length in enumerate(other):\n"
        f"        if {condition}:\n            return number\n        taken += {add}\n    return len(other)"
    )


LOSS = "best['loss'] = loss"
COPY = "best['weights'] = {name: weight.clone() for name, weight in model.state_dict().items()}"
LOOK = "            losses.append(measure(model))\n            keep_best(best, model, losses[-1])"
STOP = "\n            if stop_now(losses, patience):\n                break"

WRONG = {
    "q1": [
        (stop("len(losses) - 1 - losses.index(min(losses))"), "expected a truth value"),
        (stop("len(losses) > patience"), "as soon as there are more"),
        (stop("len(losses) - losses.index(min(losses)) >= patience"), "begin at 0"),
        (stop("len(losses) - 1 - losses.index(min(losses)) > patience"), "too late"),
        (stop("sum(loss > min(losses[:i] or [loss]) for i, loss in enumerate(losses)) >= patience"), "begin anew"),
        (
            stop(
                "len(losses) > patience and "
                "all(a < b for a, b in zip(losses[-patience - 1 : -1], losses[-patience:], strict=True))"
            ),
            "each with the one before",
        ),
        (
            stop("len(losses) - 1 - max(i for i, loss in enumerate(losses) if loss == min(losses)) >= patience"),
            "the best, the first",
        ),
    ],
    "q2": [
        (keep("loss < best['loss']", COPY), "Is best['loss'] set"),
        (keep("loss < best['loss']", LOSS, "best['weights'] = model.state_dict()"), "Are they copies"),
        (keep("True", LOSS, COPY), "compared with the best one"),
        (keep("True", "best['loss'] = min(loss, best['loss'])", COPY), "those of the last measurement"),
        (keep("best['weights'] is None", LOSS, COPY), "When does a better one come"),
        (keep("not loss >= best['loss']", LOSS, COPY), "no number"),
        (keep("loss <= best['loss']", LOSS, COPY), "The same loss again"),
    ],
    "q3": [
        (tune(LOOK + STOP).replace("step % every == 0", "True"), "measured after each step"),
        (tune(LOOK), "Is stop_now asked"),
        (tune(LOOK + STOP, "pass"), "Who puts the best ones back"),
        (
            tune(
                "            before = copy.deepcopy(best)\n            losses.append(measure(model))\n"
                "            model(*next_batch()).backward(); optimizer.step()\n"
                "            keep_best(best, model, losses[-1])" + STOP
            ),
            "steps are allowed",
        ),
        (
            tune(
                LOOK + "\n            if stop_now(losses, patience):\n"
                "                model.load_state_dict(best['weights'])\n                break",
                "pass",
            ),
            "were not measured",
        ),
    ],
    "q4": [
        (mix("taken >= share * sum(own)"), "share of all tokens then, or of the new"),
        (mix("number >= share * (len(own) + number)"), "share of the documents"),
        (mix("taken > share * (sum(own) + taken)"), "exactly enough"),
        (mix("number * other[0] >= share * (sum(own) + number * other[0])"), "own length counted"),
        (mix("number and taken >= share * (sum(own) + taken)"), "needs no document"),
    ],
}
