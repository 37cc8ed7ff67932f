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
    ],
}
