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
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    done = (step - warmup) / (steps - warmup)
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "beyond the last step the cosine goes up again",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    last = steps - 1
    done = min(1.0, (step - warmup) / max(1, last - warmup))
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2
""",
            "low is reached one step too early, in the last step instead of step number steps",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    if step >= steps:
        return float(low)
    done = (step - warmup) / (steps - warmup)
    return max(low, high * (1 + math.cos(math.pi * done)) / 2)
""",
            "falls to 0 and is cut off at low instead of falling from high to low",
        ),
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    rising = high * (step + 1) / warmup
    done = min(max((step - warmup) / (steps - warmup), 0), 1)
    falling = low + (high - low) * (1 + math.cos(math.pi * done)) / 2
    return min(rising, falling)
""",
            "a warmup of 0 is a division by zero",
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
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets > 0
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, -1) - chosen).mean()
""",
            "token number 0 isn't counted either",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != -100
    targets[~counts] = 0  # any number, so that gather works
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    losses = torch.logsumexp(logits, -1) - chosen
    return losses[counts].mean()
""",
            "writes into the targets that were handed in",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    counts = targets != -100
    logits, targets = logits[counts], targets[counts]
    chosen = logits.softmax(-1).gather(-1, targets[:, None])[:, 0]
    return -(chosen + 1e-9).log().mean()
""",
            "a small number added to p: the loss of very unlikely tokens can't exceed 20.7",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    places = len(targets)
    counts = targets != -100
    logits, targets = logits[counts], targets[counts]
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (torch.logsumexp(logits, -1) - chosen).sum() / places
""",
            "divides by all places, also those that don't count",
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
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    norm = torch.stack([weight.grad.norm() for weight in weights if weight.grad is not None]).norm()
    if norm > limit:
        for weight in weights:
            if weight.grad is not None:
                weight.grad.mul_(limit / norm)
    return norm.item()
""",
            "goes through weights twice: an iterator is empty the second time, and nothing is shortened",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = sum(gradient.square().sum() for gradient in gradients).sqrt()
    for gradient in gradients:
        gradient.mul_(limit / norm)
    return norm.item()
""",
            "gradients that are short enough are made longer",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = sum(gradient.norm() for gradient in gradients)
    if norm > limit:
        for gradient in gradients:
            gradient *= limit / norm
    return norm.item()
""",
            "adds up the lengths of the gradients; right for a single one",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    return norm.item()
""",
            "returns the length after clipping",
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
            "divides by the number of parts, as if all had as many targets",
        ),
        Answer(
            """
def add_gradients(model, parts):
    everything = sum(targets.numel() for _, targets in parts)
    total = 0.0
    for inputs, targets in parts:
        loss = model(inputs, targets) * targets.numel() / everything
        loss.backward()
        total += loss.item()
    return total
""",
            "weighs parts by all of their targets, also those that don't count",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets)
        (loss * count / sum(counted)).backward()
        total += loss.item() / len(parts)
    return total
""",
            "right gradients, but the loss that is returned is the plain mean over parts",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    model.zero_grad()
    for (inputs, targets), count in zip(parts, counted):
        loss = model(inputs, targets) * count / sum(counted)
        loss.backward()
        total += loss.item()
    return total
""",
            "clears the gradients that were there before instead of adding to them",
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
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    length = clip(model.parameters(), limit)
    optimizer.step()
    return loss, length
""",
            "only the first group of weights gets the rate",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    length = clip(model.parameters(), 1.0)
    optimizer.step()
    return loss, length
""",
            "clips at 1.0, whatever the limit",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = add_gradients(model, parts)
    length = clip(model.parameters(), limit)
    optimizer.step()
    optimizer.zero_grad()
    return loss, length
""",
            "old gradients go away only after the step: those that were there before are counted in",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    optimizer.zero_grad()
    loss = add_gradients(model, parts)
    length = clip(model.parameters(), limit)
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] = rate
    return loss, length
""",
            "the rate is set after the step, so it holds only for the next one",
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
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = tokens // context
    return math.ceil(windows * epochs / (batch_size * accumulate))
""",
            "the last token counts as an input: a window too many where context divides tokens",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return int(windows * epochs / (batch_size * accumulate))
""",
            "a last iteration that isn't full is left out",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return math.ceil(windows * epochs / batch_size)
""",
            "counts micro-batches: accumulate is forgotten",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    return windows * epochs // (batch_size * accumulate) + 1
""",
            "always adds one for the rest, also where there is no rest",
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
        Answer(
            """
def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return (step + 1) / warmup * high
    if step >= steps:
        return float(low)
    fallen = math.sin(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2  # from 0 to 1
    return high - (high - low) * fallen
""",
            "early returns on both sides, and the square of a sine in between",
        ),
        Answer(
            """
import numpy as np


def rate_at(step, steps, warmup, high, low):
    if step < warmup:
        return float(np.linspace(0, high, warmup + 1)[step + 1])
    done = 1.0 if steps <= warmup else float(np.clip((step - warmup) / (steps - warmup), 0, 1))
    share = (1 + np.exp(1j * np.pi * done).real) / 2  # of high; the rest is of low
    return float(share * high + (1 - share) * low)
""",
            "linspace for the warmup, and a mixture of high and low by a complex exponential",
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
        Answer(
            """
def mean_loss(logits, targets):
    losses = []
    for row, target in zip(logits, targets.tolist(), strict=True):
        if target == -100:
            continue
        losses.append(torch.logsumexp(row, 0) - row[target])
    return torch.stack(losses).mean()
""",
            "a loop over the places",
        ),
        Answer(
            """
def mean_loss(logits, targets):
    shifted = logits - logits.max(dim=-1, keepdim=True).values  # no exponential above 1
    log_p = shifted - shifted.exp().sum(-1, keepdim=True).log()
    came = torch.arange(logits.shape[-1], device=targets.device) == targets[:, None]  # no token is number -100
    return -torch.where(came, log_p, torch.zeros_like(log_p)).sum() / came.sum()
""",
            "the maximum taken off by hand, and a table of which token came",
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
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    length = math.hypot(*(gradient.norm().item() for gradient in gradients))
    if length > limit:
        for gradient in gradients:
            gradient.mul_(limit / length)
    return length
""",
            "the hypotenuse of all single lengths",
        ),
        Answer(
            """
@torch.no_grad()
def clip(weights, limit):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if not gradients:
        return 0.0
    arrow = torch.cat([gradient.reshape(-1) for gradient in gradients])
    norm = torch.einsum("i,i->", arrow, arrow).sqrt()
    if norm <= limit:
        return norm.item()
    arrow = arrow * (limit / norm)
    for gradient, piece in zip(gradients, arrow.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(piece.view(gradient.shape))
    return norm.item()
""",
            "one real long arrow, shortened and copied back in pieces",
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
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    everything = sum(counted)
    if everything == 0:
        return 0.0
    pieces = [model(*part) * (count / everything) for part, count in zip(parts, counted, strict=True) if count]
    loss = torch.stack(pieces).sum()
    loss.backward()
    return loss.item()
""",
            "one backward pass through the weighted sum of all parts",
        ),
        Answer(
            """
def add_gradients(model, parts):
    counted = [int((targets != IGNORE).sum()) for _, targets in parts]
    total = 0.0
    for i, (inputs, targets) in enumerate(parts):
        if counted[i] == 0:
            continue
        share = counted[i] / sum(counted)
        loss = model(inputs, targets)
        loss.backward(torch.full_like(loss, share))
        total += share * loss.item()
    return total
""",
            "the share is handed to backward instead of multiplied into the loss",
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
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    for group in optimizer.param_groups:
        group.update(lr=rate)
    for weight in model.parameters():
        weight.grad = None
    loss, length = add_gradients(model, parts), clip(model.parameters(), limit)
    optimizer.step()
    return loss, length
""",
            "gradients taken away one by one, both results in one line",
        ),
        Answer(
            """
def take_step(model, optimizer, parts, rate, limit=1.0):
    groups = optimizer.param_groups
    for i in range(len(groups)):
        groups[i]["lr"] = rate
    model.zero_grad()
    results = [add_gradients(model, parts)]
    results.append(clip(list(model.parameters()), limit))
    optimizer.step()
    return tuple(results)
""",
            "the model clears its gradients; weights as a list, results collected",
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
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = (tokens - 1) // context
    full, rest = divmod(windows * epochs, batch_size * accumulate)
    return int(full) + (1 if rest else 0)
""",
            "full iterations and a rest by divmod",
        ),
        Answer(
            """
def iterations(tokens, context, batch_size, accumulate, epochs):
    windows = len(range(0, tokens - context, context))  # where windows begin that have a target at each place
    return len(range(0, math.ceil(windows * epochs), batch_size * accumulate))
""",
            "the lengths of two ranges",
        ),
    ],
}
