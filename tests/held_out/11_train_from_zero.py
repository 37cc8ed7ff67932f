"""Answers to exercise 11, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * step / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "off by one: the first step takes nothing",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = (step - warmup) / (steps - warmup)
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "forgotten step: the rate rises again behind the end",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return high + (low - high) * done
""",
            "a line instead of a cosine",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, step / steps)
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "the cosine begins at step 0",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return high * (1 + math.cos(math.pi * done)) / 2
""",
            "ignores an argument: falls to 0",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return low + (high - low) * (1 + math.cos(2 * math.pi * done)) / 2
""",
            "a whole cosine: down and up again",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return low + high * (1 + math.cos(math.pi * done)) / 2
""",
            "adds low to the whole curve",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return low + (high - low) * math.cos(math.pi * done / 2)
""",
            "a quarter of a cosine",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - 1 - warmup))
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "off by one: low is reached a step too early",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return low + (high - low) * (step + 1) / warmup
    done = min(1.0, (step - warmup) / (steps - warmup))
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "the warm-up begins at low",
        ),
    ],
    "q2": [
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    chosen = logits.gather(-1, targets.clamp(min=0)[:, None])[:, 0]
    losses = torch.logsumexp(logits, -1) - chosen
    return (losses * counts).mean()
""",
            "counts all targets in the mean",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets > 0
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, -1) - chosen).mean()
""",
            "token 0 doesn't count",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, -1) - chosen).mean()
""",
            "forgotten step: crashes at -100",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    targets = targets.clamp(min=0)
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, -1) - chosen).mean()
""",
            "learns token 0 where nothing counts",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (logits.exp().sum(-1).log() - chosen).mean()
""",
            "numerically unstable: powers of e of large logits",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    chosen = logits[counts].softmax(-1).gather(-1, targets[counts][:, None])[:, 0]
    return -chosen.log().mean()
""",
            "numerically unstable: the log of a probability that has become 0",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, -1) - chosen).sum()
""",
            "the sum, not the mean",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (chosen - torch.logsumexp(logits, -1)).mean()
""",
            "wrong sign",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, 0).mean() - chosen).mean()
""",
            "wrong axis: sums over the places",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != IGNORE
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return torch.logsumexp(logits, -1) - chosen
""",
            "one number for each place",
        ),
    ],
    "q3": [
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    for gradient in gradients:
        if gradient.norm() > limit:
            gradient.mul_(limit / gradient.norm())
    return norm.item()
""",
            "each gradient for itself",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    for gradient in gradients:
        gradient.clamp_(-limit, limit)
    return norm.item()
""",
            "clamps each number",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    for gradient in gradients:
        gradient.mul_(limit / norm)
    return norm.item()
""",
            "stretches short gradients, too",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(norm / limit)
    return norm.item()
""",
            "the factor upside down",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return torch.stack([gradient.norm() for gradient in gradients]).norm().item()
""",
            "returns the length after clipping",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = sum(gradient.norm() for gradient in gradients)
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return norm.item()
""",
            "adds up the lengths",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if norm > limit:
        gradients = [gradient * limit / norm for gradient in gradients]
    return norm.item()
""",
            "makes new gradients and keeps them to itself",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = sum(gradient.square().sum() for gradient in gradients)
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return norm.item()
""",
            "forgets the root",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if norm > limit:
        for gradient in gradients:
            gradient.div_(norm)
    return norm.item()
""",
            "ignores an argument: clips to a length of 1",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    weights = list(weights)
    norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
    if norm > limit:
        for weight in weights:
            weight.grad.mul_(limit / norm)
    return norm.item()
""",
            "crashes at a weight without a gradient",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    weights = [weight for weight in weights if weight.grad is not None]
    norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
    if norm > limit:
        for weight in weights:
            weight.mul_(limit / norm)
    return norm.item()
""",
            "shortens the weights, not their gradients",
        ),
    ],
    "q4": [
        Answer(
            """
def add_gradients(model, parts):
    total = 0.0
    for inputs, targets in parts:
        loss = model(inputs, targets) / len(parts)
        loss.backward()
        total += loss.item()
    return total
""",
            "divides by the number of parts",
        ),
        Answer(
            """
def add_gradients(model, parts):
    total = 0.0
    for inputs, targets in parts:
        loss = model(inputs, targets)
        loss.backward()
        total += loss.item()
    return total
""",
            "forgotten step: adds means",
        ),
        Answer(
            """
def add_gradients(model, parts):
    places = sum(targets.numel() for _, targets in parts)
    total = 0.0
    for inputs, targets in parts:
        loss = model(inputs, targets) * targets.numel() / places
        loss.backward()
        total += loss.item()
    return total
""",
            "weighs by all targets, those that don't count too",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets)
        loss.backward()
        total += loss.item() * count / sum(counted)
    return total
""",
            "weighs the loss that is returned, not the gradients",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets)
        (loss * count / sum(counted)).backward()
        total += loss.item()
    return total
""",
            "weighs the gradients, not the loss that is returned",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        model.zero_grad()
        loss = model(inputs, targets) * count / sum(counted)
        loss.backward()
        total += loss.item()
    return total
""",
            "forgets the gradients of the parts before",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets) * count / sum(counted)
        total += loss.item()
    loss.backward()
    return total
""",
            "the last part's gradients only",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets) * count
        loss.backward()
        total += loss.item()
    return total
""",
            "multiplies by the count and doesn't divide",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets) / count
        loss.backward()
        total += loss.item()
    return total
""",
            "divides by the count: small parts weigh most",
        ),
    ],
    "q5": [
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    return loss, norm
""",
            "forgotten step: old gradients stay",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.zero_grad()
    optimizer.step()
    return loss, norm
""",
            "wrong order: gradients go away before the step",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    optimizer.step()
    return loss, clip(model.parameters(), limit)
""",
            "wrong order: clips after the step",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] = rate
    return loss, norm
""",
            "the rate comes after the step",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    return loss, norm
""",
            "ignores an argument: the optimizer keeps its rate",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    return norm, loss
""",
            "swapped results",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), 1.0)
    optimizer.step()
    return loss, norm
""",
            "ignores an argument: clips to 1",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    clip(model.parameters(), limit)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    return loss, norm
""",
            "the length after clipping",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    return loss, norm
""",
            "sets the rate of the first group only",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    return loss, clip(model.parameters(), limit)
""",
            "forgotten step: nothing is learned",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.defaults["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    norm = clip(model.parameters(), limit)
    optimizer.step()
    return loss, norm
""",
            "sets a default that no step reads",
        ),
    ],
    "q6": [
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = tokens // context
    return -(-windows * epochs // (batch_size * accumulate))
""",
            "off by one: the last token is taken for an input",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return windows * epochs // (batch_size * accumulate)
""",
            "the last one, which isn't full, doesn't count",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return -(-windows * epochs // batch_size)
""",
            "ignores an argument: accumulation",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return -(-windows // (batch_size * accumulate))
""",
            "ignores an argument: one epoch",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return windows * epochs / (batch_size * accumulate)
""",
            "wrong type: parts of iterations",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    return -(-(tokens - 1) * epochs // (batch_size * accumulate))
""",
            "forgotten step: windows",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return windows * epochs // (batch_size * accumulate) + 1
""",
            "adds one instead of rounding up",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return -(-windows * epochs * accumulate // batch_size)
""",
            "accumulation asks for more steps, not for fewer",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step + 1 <= warmup:
        return (step + 1) / warmup * high
    if step >= steps:
        return float(low)
    share = math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2
    return share * high + (1 - share) * low
""",
            "the square of a quarter of a cosine",
        ),
    ],
    "q2": [
        Answer(
            """
def mean_loss(logits, targets):
    return torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100)
""",
            "PyTorch's own loss",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = (targets >= 0).to(logits.dtype)
    log_p = logits.log_softmax(-1)[torch.arange(len(targets)), targets.clamp(min=0)]
    return -(log_p * counts).sum() / counts.sum()
""",
            "sets what doesn't count to 0, and divides by what does",
        ),
    ],
    "q3": [
        Answer(
            """
def clip(weights, limit):
    return float(torch.nn.utils.clip_grad_norm_(weights, limit))
""",
            "PyTorch's own clipping",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    arrow = torch.cat([gradient.flatten() for gradient in gradients])
    norm = math.sqrt(float(arrow @ arrow))
    for gradient in gradients:
        gradient *= limit / max(norm, limit)
    return norm
""",
            "one long arrow, laid end to end",
        ),
    ],
    "q4": [
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    whole = sum(model(*part) * count for part, count in zip(parts, counted)) / sum(counted)
    whole.backward()
    return whole.item()
""",
            "one graph for all parts",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for i, (inputs, targets) in enumerate(parts):
        weight = counted[i] / sum(counted)
        loss = model(inputs, targets)
        loss.backward(torch.tensor(weight))
        total += weight * float(loss.detach())
    return total
""",
            "scales the gradient that goes in",
        ),
    ],
    "q5": [
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.zero_grad(set_to_none=False)
    loss = add_gradients(model, parts)
    norm = clip(list(model.parameters()), limit)
    for group in optimizer.param_groups:
        group.update(lr=rate)
    optimizer.step()
    return loss, norm
""",
            "zeros in the place of nothing",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for weight in model.parameters():
        weight.grad = None
    loss, norm = add_gradients(model, parts), clip([*model.parameters()], limit)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss, norm
""",
            "the model's own way to forget, after the step as well",
        ),
    ],
    "q6": [
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return math.ceil(windows * epochs / (batch_size * accumulate))
""",
            "rounds up by the math module",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = len(range(0, tokens - context, context))
    full, left = divmod(windows * epochs, batch_size * accumulate)
    return full + (left > 0)
""",
            "counts full ones, and whether something is left",
        ),
    ],
}
