"""Typical wrong answers to exercise 11, and a part of the message that each must get."""


def rate(first: str, then: str, done: str = "min(1.0, (step - warmup) / max(1, steps - warmup))") -> str:
    """Return the code of an answer to q1."""
    return (
        "def rate_at(step, steps, warmup, high, low):\n"
        f"    if step < warmup:\n        return {first}\n    done = {done}\n    return {then}"
    )


def loss(body: str) -> str:
    """Return the code of an answer to q2."""
    return f"def mean_loss(logits, targets):\n    {body}"


def clip(norm: str, then: str) -> str:
    """Return the code of an answer to q3."""
    return (
        "@torch.no_grad()\ndef clip(weights, limit):\n"
        "    gradients = [weight.grad for weight in weights if weight.grad is not None]\n"
        f"    norm = {norm}\n    {then}\n    return norm.item()"
    )


def add(factor: str, after: str = "part.backward(); total += part.item()", end: str = "total") -> str:
    """Return the code of an answer to q4."""
    return (
        "def add_gradients(model, parts):\n    total = 0.0\n"
        "    counted = [int((targets != IGNORE).sum()) for _, targets in parts]\n"
        "    for count, (inputs, targets) in zip(counted, parts):\n"
        f"        part = model(inputs, targets) {factor}\n        {after}\n    return {end}"
    )


def step(*lines: str) -> str:
    """Return the code of an answer to q5."""
    body = "\n    ".join(lines)
    return f"def take_step(model, optimizer, parts, rate, limit=1.0):\n    {body}\n    return loss, norm"


def count(body: str) -> str:
    """Return the code of an answer to q6."""
    return f"def iterations(tokens, context, batch_size, accumulate, epochs):\n    return {body}"


UP, DOWN = "high * (step + 1) / warmup", "low + (high - low) * (1 + math.cos(math.pi * done)) / 2"
ROOT = "sum(gradient.square().sum() for gradient in gradients).sqrt()"
SHRINK = "[gradient.mul_(limit / norm) for gradient in gradients if norm > limit]"
SET = "for group in optimizer.param_groups: group['lr'] = rate"
ZERO, ADD, CLIP, STEP = (
    "optimizer.zero_grad()",
    "loss = add_gradients(model, parts)",
    "norm = clip(model.parameters(), limit)",
    "optimizer.step()",
)

WRONG = {
    "q1": [
        (rate("high * step / warmup", DOWN), "so it does nothing"),
        (rate("high", DOWN), "warm-up is missing"),
        (rate(UP, DOWN, "step / steps"), "counted from the end"),
        (rate(UP, "high * (1 + math.cos(math.pi * done)) / 2"), "ends at 0"),
        (rate(UP, "high - (high - low) * done"), "straight line"),
        (rate(UP, DOWN, "(step - warmup) / max(1, steps - warmup)"), "rise again"),
    ],
    "q2": [
        (loss("return torch.nn.functional.cross_entropy(logits, targets, reduction='none')"), "is the mean taken"),
        (loss("return -torch.nn.functional.cross_entropy(logits, targets)"), "minus log p"),
        (
            loss(
                "counts = targets != IGNORE; targets = targets.clamp(min=0)\n"
                "    each = logits.logsumexp(-1) - logits.gather(-1, targets[:, None])[:, 0]\n"
                "    return (each * counts).mean()"
            ),
            "By how many do you divide",
        ),
        (
            loss(
                "targets = targets.clamp(min=0)\n"
                "    return (logits.logsumexp(-1) - logits.gather(-1, targets[:, None])[:, 0]).mean()"
            ),
            "asked for token 0",
        ),
        (
            loss(
                "counts = targets != IGNORE; logits, targets = logits[counts], targets[counts]\n"
                "    p = logits.exp() / logits.exp().sum(-1, keepdim=True)\n"
                "    return -p.gather(-1, targets[:, None]).log().mean()"
            ),
            "logsumexp",
        ),
    ],
    "q3": [
        (clip("sum(gradient.square().sum() for gradient in gradients)", SHRINK), "sum of squares"),
        (clip("sum(gradient.norm() for gradient in gradients)", SHRINK), "one root"),
        (clip(ROOT, "[gradient.mul_(limit / norm) for gradient in gradients]"), "is made longer"),
        (clip(ROOT, "gradients = [gradient * limit / norm for gradient in gradients if norm > limit]"), "in place"),
        (
            clip(ROOT, "[gradient.mul_(limit / gradient.norm()) for gradient in gradients if gradient.norm() > limit]"),
            "one and the same factor",
        ),
        (clip(ROOT, "[gradient.mul_(1 / norm) for gradient in gradients if norm > limit]"), "a length of 1 now"),
    ],
    "q4": [
        (add("* count / sum(counted)", "total += part.item()"), "Who calls backward"),
        (add("* count / sum(counted)", "part.backward(); total = total + part", "total"), "you have a tensor"),
        (add(""), "A sum of means"),
        (add("/ len(parts)"), "weigh the same"),
        (
            add("* count / sum(counted)", "total += part.item()", "(part.backward(), total)[1]"),
            "What becomes of those before it",
        ),
        (
            add("* count / sum(counted)").replace("    total = 0.0\n", "    total = 0.0\n    model.zero_grad()\n"),
            "Does it add",
        ),
    ],
    "q5": [
        (step(SET, ZERO, ADD, CLIP), "Who steps"),
        (step(ZERO, ADD, CLIP, STEP), "old rate"),
        (step(SET, ADD, CLIP, STEP), "before are in it"),
        (step(SET, ADD, ZERO, CLIP, STEP), "or after"),
        (step(SET, ZERO, ADD, STEP, CLIP), "clipped before the step"),
    ],
    "q6": [
        (count("epochs * 1.0 * (tokens - 1) // context / batch_size / accumulate"), "17.5"),
        (count("epochs"), "no iteration"),
        (count("epochs * tokens // batch_size"), "What does a batch hold"),
        (count("(tokens - 1) // context // batch_size // accumulate"), "one epoch, and without"),
        (count("epochs * ((tokens - 1) // context) // batch_size"), "added up before one step"),
        (count("math.ceil(epochs * (tokens // context) / (batch_size * accumulate))"), "is no window"),
        (count("epochs * ((tokens - 1) // context) // (batch_size * accumulate)"), "isn't full"),
        (count("epochs * math.ceil((tokens - 1) // context / (batch_size * accumulate))"), "When is it rounded"),
    ],
}
