"""Hints for exercise 11 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "There are two pieces, before and after the end of the warm-up. Which step is the first of each?",
        "Going up: (step + 1) of warmup parts. Going down: which share of the way from warmup to steps is done?",
        "low + (high - low) * (1 + cos(pi * done)) / 2, with done = (step - warmup) / (steps - warmup), at most 1.",
    ),
    "q2": (
        "Take out the places that don't count before anything else.",
        "targets != IGNORE is a mask: it picks rows of logits and numbers of targets alike.",
        "Index both by the mask; at the end the mean of logits.logsumexp(-1) - chosen.",
    ),
    "q3": (
        "One length for all gradients together: all their squares under one root.",
        "norm = sum of gradient.square().sum() over all gradients, and its root. Nothing is done below the limit.",
        "if norm > limit: each gradient.mul_(limit / norm), in place.",
    ),
    "q4": (
        "A part's mean times how many targets count in it is that part's sum.",
        "The sums of all parts, divided by all targets that count, are the mean over all.",
        "loss = model(inputs, targets) * count / sum(counted); then loss.backward() and total += loss.item().",
    ),
    "q5": (
        "Five things, in the order of the text. What would each do if it came later?",
        "Rates of all groups, zero_grad, add_gradients, clip, step.",
        "loss = add_gradients(model, parts); norm = clip(model.parameters(), limit); optimizer.step(); return both.",
    ),
    "q6": (
        "How many whole windows are there, if each needs one token more than its context, shared with the next?",
        "(tokens - 1) // context windows, times epochs; a step reads batch_size * accumulate of them.",
        "math.ceil(epochs * windows / (batch_size * accumulate)): rounded once, at the end.",
    ),
}

WHY = {
    "q1": "With step + 1 the first step does something and the last of the warm-up has the full rate, where the "
    "cosine begins. Without min, a step beyond the last would climb up the cosine again; without max, a "
    "schedule that is all warm-up would divide by zero.",
    "q2": "Places that don't count must be neither in the sum nor in the number that it is divided by. logsumexp "
    "takes the largest logit out before it raises e to anything, so it can't overflow.",
    "q3": "One factor for all keeps the direction in which all weights together would have moved. Clipped one by "
    "one, they would go another way. The length from before says whether training is calm, so it is worth a "
    "log.",
    "q4": "A mean over all targets is a sum of sums divided by one number, so a part counts by its targets and not "
    "as one of so many parts. Each part's backward frees its memory at once, and gradients add up by "
    "themselves.",
    "q5": "Old gradients must go before new ones come, since backward adds; clipping must come after all parts and "
    "before the step. The rate is set in every group, since an optimizer may have several, with and without "
    "weight decay.",
    "q6": "The last token of a window is only a target, and the first input of the next window, so windows are "
    "counted in tokens - 1. Epochs run into each other: only the very last step may be short, so it is "
    "rounded once.",
}
