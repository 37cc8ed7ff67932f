"""Answers to exercise 16, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"]
    ran = line["sps"] * seconds
    credited = line["mfu"] / 100 * peak * seconds / (flops * context)
    return ran, credited
""",
            "milliseconds taken for seconds",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    return line["sps"] * seconds, line["mfu"] * peak * seconds / (flops * context)
""",
            "percent taken for a share",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    return line["sps"] * seconds, line["mfu"] / 100 * peak * seconds / flops
""",
            "tokens instead of sequences",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    return line["sps"] * seconds, line["mfu"] / 100 * peak / (flops * context)
""",
            "forgotten step: operations a second, not in this step",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    credited = line["mfu"] / 100 * peak * seconds / (flops * context)
    return credited, ran
""",
            "swapped results",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    return seconds / line["sps"], line["mfu"] / 100 * peak * seconds / (flops * context)
""",
            "divides by the speed",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    flops = flops_per_token(SIZES["xl"], 1024)
    return ran, line["mfu"] / 100 * 312e12 * seconds / (flops * 1024)
""",
            "reads a global instead of its arguments: XL on an A100",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    return line["sps"] * seconds, line["mfu"] / 100 * peak * seconds / (flops * 1024)
""",
            "ignores an argument: a context of 1024",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    credited = line["mfu"] / 100 * peak * seconds / (flops * context)
    return round(ran), round(credited)
""",
            "wrong type: whole sequences",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    credited = line["mfu"] * peak * seconds / (flops * context)
    return ran, credited
""",
            "percent taken for a share",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    credited = line["mfu"] / 100 * peak * seconds / flops / 1024
    return ran, credited
""",
            "1,024 tokens a sequence, whatever the context is",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    credited = line["mfu"] / 100 * peak / (flops * context * line["sps"])
    return ran, credited
""",
            "credited for each sequence that ran, not for a step: right only where one ran",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    ran = line["sps"] * seconds
    credited = line["mfu"] / 100 * peak * seconds / (flops * context)
    return float(round(ran)), float(round(credited))
""",
            "rounds to whole sequences",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    seconds = line["dt"] / 1000
    share = line["mfu"] / 100 if line["mfu"] > 1 else line["mfu"]
    ran = line["sps"] * seconds
    credited = share * peak * seconds / (flops * context)
    return ran, credited
""",
            "an MFU of at most one percent is taken for a share",
        ),
    ],
    "q2": [
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[(i + 1) % count][k] += parts[i][k]
    return after
""",
            "in-place damage: adds into the tensors that were given",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[(i - 1) % count][k] = parts[(i - 1) % count][k] + parts[i][k]
    return after
""",
            "sends to the left",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i + move) % count
        after[(i + 1) % count][k] = parts[(i + 1) % count][k] + parts[i][k]
    return after
""",
            "a wrong sign: part i + move",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[(i + 1) % count][k] = parts[i][k]
    return after
""",
            "replaces instead of adding",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[i + 1][k] = parts[i + 1][k] + parts[i][k]
    return after
""",
            "crashes at the last device",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        after[(i + 1) % count][i] = parts[(i + 1) % count][i] + parts[i][i]
    return after
""",
            "ignores an argument: always the first move",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[(i + 1) % count][k] = parts[(i + 1) % count][k] + parts[i][k]
        after[i][k] = torch.zeros_like(parts[i][k])
    return after
""",
            "gives away: the sender's part is empty afterwards",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[(i + 1) % count][k] = parts[(i + 1) % count][(k + 1) % count] + parts[i][k]
    return after
""",
            "the neighbor adds to its own part of another number",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count - 1):
        k = (i - move) % count
        after[i + 1][k] = parts[i + 1][k] + parts[i][k]
    return after
""",
            "everybody but the last device sends",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        for k in range(count):
            after[(i + 1) % count][k] = parts[(i + 1) % count][k] + parts[i][k]
    return after
""",
            "all parts are sent in one move",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i - move) % count
        after[(i + 1) % count][k] += parts[i][k]
    return after
""",
            "+= changes the tensors that were handed in",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k = (i + move) % count
        neighbour = (i + 1) % count
        after[neighbour][k] = parts[neighbour][k] + parts[i][k]
    return after
""",
            "part i + move instead of i - move: right at move 0 and for two devices",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count):
        k, neighbour = (i - move) % count, (i + 1) % count
        after[neighbour][k] = parts[neighbour][k] + parts[i][k]
        after[i][k] = torch.zeros_like(parts[i][k])
    return after
""",
            "the sender gives its part away and keeps zeros",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    for i in range(count - 1):
        k = (i - move) % count
        after[i + 1][k] = after[i + 1][k] + parts[i][k]
    return after
""",
            "a line and no ring: the last device sends nothing",
        ),
    ],
    "q3": [
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + sum(one[k] for one in cut) for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * momentum for part, momentum in zip(parts, new)]), new
""",
            "sums instead of averaging",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + cut[k][k] for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * momentum for part, momentum in zip(parts, new)]), new
""",
            "each device by its own gradient only",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + (1 - beta) * sum(one[k] for one in cut) / count for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * momentum for part, momentum in zip(parts, new)]), new
""",
            "weighs the gradient by 1 - beta",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + sum(one[k] for one in cut) / count for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part + rate * momentum for part, momentum in zip(parts, new)]), new
""",
            "wrong sign: climbs",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + sum(one[k] for one in cut) / count for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * momentum for part, momentum in zip(parts, momenta)]), new
""",
            "moves by the old momenta",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    means = [sum(one[k] for one in cut) / count for k in range(count)]
    new = [beta * momenta[k] + means[k] for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * mean for part, mean in zip(parts, means)]), new
""",
            "moves by the gradient, not by the momentum",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [0.9 * momenta[k] + sum(one[k] for one in cut) / count for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - 0.1 * momentum for part, momentum in zip(parts, new)]), new
""",
            "ignores arguments: the defaults",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + sum(one[k] for one in cut) / count for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * momentum for part, momentum in zip(parts, new)][::-1]), new
""",
            "the parts of the weights in reverse order",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    mean = torch.stack(list(gradients)).mean(0)
    momentum = beta * torch.cat(list(momenta)) + mean
    return weights - rate * momentum, [momentum] * len(gradients)
""",
            "wrong type: every device gets all momenta",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    new = [beta * momenta[k] + sum(one[k] for one in cut) / count for k in range(count)]
    parts = torch.chunk(weights, count)
    return torch.cat([part - rate * momentum for part, momentum in zip(parts, new)]), momenta
""",
            "forgotten step: the momenta stay as they were",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    means = [sum(one[k] for one in cut) / count for k in range(count)]
    new = [beta * momenta[k] + means[k] for k in range(count)]
    parts = torch.chunk(weights, count)
    moved = [part - rate * (mean + beta * momentum) for part, mean, momentum in zip(parts, means, new)]
    return torch.cat(moved), new
""",
            "looks ahead, as Nesterov does",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    moved, new = [], []
    for k, part in enumerate(torch.chunk(weights, count)):
        average = sum(own[k] for own in cut) / count
        new.append(0.9 * momenta[k] + average)
        moved.append(part - 0.1 * new[-1])
    return torch.cat(moved), new
""",
            "rate and beta are written as numbers, so other ones are ignored",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    own = torch.chunk(weights, count)
    new = [beta * momenta[k] + torch.stack([one[k] for one in cut]).mean(0) for k in range(len(own))]
    moved = [own[k] - rate * new[k] for k in range(len(own))]
    return torch.stack(moved).flatten(), new
""",
            "stacks the parts: an error where they are not equally long",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    moved, new = [], []
    for k, part in enumerate(torch.chunk(weights, count)):
        average = torch.stack([own[k] for own in cut]).mean(0)
        new.append(beta * momenta[k] + rate * average)
        moved.append(part - new[-1])
    return torch.cat(moved), new
""",
            "the rate goes into the momentum: weights right from momenta of zero only, momenta too small",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    cut = [torch.chunk(gradient, count) for gradient in gradients]
    moved, new = [], []
    for k, part in enumerate(torch.chunk(weights, count)):
        new.append(beta * momenta[k] + cut[k][k])
        moved.append(part - rate * new[-1])
    return torch.cat(moved), new
""",
            "each device takes its part of its own gradient only, without an average",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count = len(gradients)
    average = sum(gradients) / count
    momentum = beta * torch.cat(list(momenta)) + average
    return weights - rate * momentum, list(torch.tensor_split(momentum, count))
""",
            "cuts the momenta anew and otherwise than chunk: with a remainder some devices get other parts",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def sequences(line, flops, peak, context):
    ran = line["dt"] * line["sps"] / 1e3
    done = line["mfu"] * line["dt"] * peak / 1e5
    return ran, done / context / flops
""",
            "operations a sequence, and all constants at the end",
        ),
        Answer(
            """
def sequences(line, flops, peak, context):
    ran = line["sps"] * line["dt"] * 1e-3
    credited = (line["mfu"] * line["dt"] / 1e5) * (peak / flops) / context
    return ran, credited
""",
            "both units in one constant, tokens at the peak first",
        ),
        Answer(
            """
from fractions import Fraction


def sequences(line, flops, peak, context):
    dt, sps, mfu = (Fraction(line[name]) for name in ("dt", "sps", "mfu"))
    a_second = mfu * Fraction(peak) / 100 / Fraction(flops) / context
    return float(sps * dt / 1000), float(a_second * dt / 1000)
""",
            "exact fractions, credited sequences a second first",
        ),
    ],
    "q2": [
        Answer(
            """
def ring_move(parts, move):
    n = len(parts)
    return [
        [own + parts[i - 1][k] if k == (i - 1 - move) % n else own for k, own in enumerate(parts[i])] for i in range(n)
    ]
""",
            "what each receives from its left",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    after = [list(own) for own in parts]
    parcels = [((i + 1) % count, (i - move) % count, parts[i][(i - move) % count].clone()) for i in range(count)]
    for receiver, k, parcel in parcels:
        after[receiver][k] = torch.add(after[receiver][k], parcel)
    return after
""",
            "first all parcels, then all additions",
        ),
        Answer(
            """
def ring_move(parts, move):
    count = len(parts)
    return [
        [part + parts[device - 1][k] if k == (device - 1 - move) % count else part for k, part in enumerate(own)]
        for device, own in enumerate(parts)
    ]
""",
            "seen from the receiver, without any assignment; index -1 closes the ring",
        ),
        Answer(
            """
from collections import deque


def ring_move(parts, move):
    count = len(parts)
    mail = deque((k, parts[i][k]) for i, k in ((i, (i - move) % count) for i in range(count)))
    mail.rotate(1)  # device i finds what i - 1 sent
    after = []
    for own, (k, message) in zip(parts, mail):
        row = list(own)
        after.append([*row[:k], row[k] + message, *row[k + 1 :]])
    return after
""",
            "all messages are collected first and rotated by one place",
        ),
    ],
    "q3": [
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    momentum = torch.cat(list(momenta)) * beta + torch.stack(list(gradients)).mean(dim=0)
    sizes = [len(part) for part in momenta]
    return weights - rate * momentum, list(momentum.split(sizes))
""",
            "one step of the whole, cut afterwards",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    count, moved, new = len(gradients), [], []
    columns = zip(torch.chunk(weights, count), zip(*(torch.chunk(gradient, count) for gradient in gradients)))
    for (part, shares), momentum in zip(columns, momenta):
        weight = torch.nn.Parameter(part.detach().clone())
        optimizer = torch.optim.SGD([weight], lr=rate, momentum=beta)
        optimizer.state[weight]["momentum_buffer"] = momentum.detach().clone()
        weight.grad = sum(shares) / count
        optimizer.step()
        moved.append(weight.detach())
        new.append(optimizer.state[weight]["momentum_buffer"])
    return torch.cat(moved), new
""",
            "PyTorch's own optimizer, part by part",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    average = torch.stack(list(gradients)).mean(0)
    whole = beta * torch.cat(list(momenta)) + average
    parts = [part.clone() for part in whole.split([len(part) for part in momenta])]
    return weights - rate * whole, parts
""",
            "the whole vector at once, cut again by the lengths of the old momenta",
        ),
        Answer(
            """
def zero_step(weights, gradients, momenta, rate=0.1, beta=0.9):
    result, new, begin = weights.clone(), [], 0
    for old in momenta:
        end = begin + len(old)
        momentum = old * beta
        for gradient in gradients:
            momentum = momentum + gradient[begin:end] / len(gradients)
        result[begin:end] = weights[begin:end] - momentum * rate
        new.append(momentum)
        begin = end
    return result, new
""",
            "slices from offsets; each device's gradient is added by its share",
        ),
    ],
}
