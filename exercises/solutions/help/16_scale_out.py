"""Hints for exercise 16 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "Give every number of the line its unit first: milliseconds, a second, percent.",
        "What ran is sps times the seconds of a step. What was credited is operations, divided by those of a sequence.",
        "mfu / 100 * peak * seconds operations; divided by flops they are tokens, by context sequences.",
    ),
    "q2": (
        "Each device sends one part to one neighbour: two indices, both modulo n.",
        "part = (device - move) % count, neighbour = (device + 1) % count. What is added to what?",
        "after[neighbour][part] = parts[neighbour][part] + parts[device][part]: from `parts`, into `after`.",
    ),
    "q3": (
        "Four lines: a mean for each part, a momentum for each part, weights for each part, and all together.",
        "zip(*cut) gives for each part everybody's gradient. weights.chunk(count) gives the parts of the weights.",
        "beta * old + mean, then part - rate * own, then torch.cat.",
    ),
}

WHY = {
    "q1": "Two figures of one line measure the same step, and disagree: one sequence ran and twelve were credited, "
    "so MFU is twelve times too high. A rate is worth nothing until you know what it counts.",
    "q2": "All send at once, so what is sent must be read from before the move; new tensors keep it. In each move "
    "every link carries one part of n, and after n − 1 moves each part has been everywhere: no device ever "
    "sends more than one gradient in all, however many devices there are.",
    "q3": "Averages, momentum and step are done number by number, so each part can be done elsewhere and nobody "
    "misses the rest. The optimizer's memory shrinks to a share of one by the number of devices, and the "
    "weights come out as on one device that knows everything.",
}
