"""Typical wrong answers to exercise 16, and a part of the message that each must get."""


def line(ran: str, credited: str) -> str:
    """Return the code of an answer to q1."""
    return f"def sequences(line, flops, peak, context):\n    return {ran}, {credited}"


def ring(part: str, neighbour: str, then: str, source: str = "parts") -> str:
    """Return the code of an answer to q2."""
    return (
        "def ring_move(parts, move):\n    count = len(parts)\n    after = [list(own) for own in parts]\n"
        f"    for device in range(count):\n        part, neighbour = {part}, {neighbour}\n"
        f"        {then.replace('parts', source)}\n    return after"
    )


def zero(means: str, momentum: str, moved: str, end: str = "torch.cat(moved), momenta") -> str:
    """Return the code of an answer to q3."""
    return (
        "def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):\n    count = len(gradients)\n"
        "    cut = [gradient.chunk(count) for gradient in gradients]\n"
        f"    means = [{means} for own in zip(*cut)]\n"
        f"    momenta = [{momentum} for old, mean in zip(momenta, means)]\n"
        f"    moved = [{moved} for part, own in zip(weights.chunk(count), momenta)]\n    return {end}"
    )


RAN, CREDITED = "line['sps'] * line['dt'] / 1000", "line['mfu'] / 100 * peak * line['dt'] / 1000 / flops / context"
PART, NEXT = "(device - move) % count", "(device + 1) % count"
ADD = "after[neighbour][part] = parts[neighbour][part] + parts[device][part]"
MEAN, FOLLOW, MOVE = "sum(own) / count", "beta * old + mean", "part - rate * own"

WRONG = {
    "q1": [
        (line(f"int({RAN})", CREDITED), "you give (1, 0.5)"),
        (line("line['sps'] * line['dt']", CREDITED), "which unit is dt"),
        (line("line['sps'] / line['dt'] * 1000", CREDITED), "Is that a product"),
        (line(RAN, CREDITED.replace("/ 100 *", "*")), "which unit is mfu"),
        (line(RAN, CREDITED.replace(" / context", "")), "are tokens"),
        (line(RAN, CREDITED.replace("peak", "2 * peak")), "you give (1.5, 1.0)"),
    ],
    "q2": [
        (ring(PART, NEXT, "pass"), "Nothing has changed"),
        (
            ring(
                PART,
                NEXT,
                f"[{'after[neighbour].__setitem__(k, parts[neighbour][k] + parts[device][k])'} for k in range(count)]",
            ),
            "All parts are sent",
        ),
        (ring(PART, NEXT, "after[neighbour][part] = parts[device][part]"), "added, and not replaced"),
        (ring(PART, "(device - 1) % count", ADD), "Device i sends to device i - 1"),
        (ring("device", NEXT, ADD), "part i in every move"),
        (ring(PART, NEXT, "after[neighbour][part] += parts[device][part]"), "leaves parts as"),
    ],
    "q3": [
        (zero(MEAN, FOLLOW, MOVE, "torch.cat(moved)"), "Where are the momenta"),
        (zero(MEAN, FOLLOW, MOVE, "moved[0], momenta"), "put together"),
        (zero(MEAN, FOLLOW, MOVE, "torch.cat(moved), [torch.cat(momenta)] * count"), "own part only"),
        (zero(MEAN, FOLLOW, "part + rate * own"), "Which way"),
        (zero("sum(own)", FOLLOW, MOVE), "or their sum"),
        (zero(MEAN, "mean", MOVE), "old momentum is lost"),
        (zero(MEAN, FOLLOW, "part - rate * momenta[0]"), "first one's momentum"),
    ],
}
