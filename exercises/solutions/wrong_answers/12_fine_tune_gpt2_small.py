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
        (stop("len(losses) - 1 - losses.index(min(losses))"), "True or False"),
        (stop("len(losses) > patience"), "Why stop"),
        (stop("len(losses) - losses.index(min(losses)) >= patience"), "begin at 0"),
        (stop("len(losses) - 1 - losses.index(min(losses)) > patience"), "who stops"),
        (stop("sum(loss > min(losses[:i] or [loss]) for i, loss in enumerate(losses)) >= patience"), "begin anew"),
        (
            stop(
                "len(losses) > patience and "
                "all(a < b for a, b in zip(losses[-patience - 1 : -1], losses[-patience:], strict=True))"
            ),
            "With what do you compare",
        ),
        (
            stop("len(losses) - 1 - max(i for i, loss in enumerate(losses) if loss == min(losses)) >= patience"),
            "first of equal ones",
        ),
    ],
    "q2": [
        (keep("loss < best['loss']", COPY), "Is best['loss'] set"),
        (keep("loss < best['loss']", LOSS, "best['weights'] = model.state_dict()"), "Are they copies"),
        (keep("True", LOSS, COPY), "compared with the best one"),
        (keep("True", "best['loss'] = min(loss, best['loss'])", COPY), "weights are those of a worse"),
        (keep("best['weights'] is None", LOSS, COPY), "moved when a better one comes"),
        (keep("not loss >= best['loss']", LOSS, COPY), "no number"),
        (keep("loss <= best['loss']", LOSS, COPY), "The same loss again"),
    ],
    "q3": [
        (tune(LOOK + STOP).replace("step % every == 0", "True"), "that makes three"),
        (tune(LOOK), "Is stop_now asked"),
        (tune(LOOK + STOP, "pass"), "Who puts the best ones back"),
        (
            tune(
                "            before = copy.deepcopy(best)\n            losses.append(measure(model))\n"
                "            model(*next_batch()).backward(); optimizer.step()\n"
                "            keep_best(best, model, losses[-1])" + STOP
            ),
            "goes on with its steps",
        ),
        (
            tune(
                LOOK + "\n            if stop_now(losses, patience):\n"
                "                model.load_state_dict(best['weights'])\n                break",
                "pass",
            ),
            "then, too",
        ),
    ],
    "q4": [
        (mix("taken >= share * sum(own)"), "share of all tokens, or of the new"),
        (mix("number >= share * (len(own) + number)"), "half of the documents"),
        (mix("taken > share * (sum(own) + taken)"), "exactly enough"),
        (mix("number * other[0] >= share * (sum(own) + number * other[0])"), "tokens counted, and not"),
        (mix("number and taken >= share * (sum(own) + taken)"), "needs nothing"),
    ],
}
