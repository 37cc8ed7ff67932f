"""Answers to exercise 12, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience:
        return False
    return min(losses[-patience:]) >= losses[-patience - 1]
""",
            "compares with the loss `patience` ago, not with the best",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience:
        return False
    return min(losses[-patience:]) > min(losses[:-patience])
""",
            "off by one: an equal loss is taken for better",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience + 1:
        return False
    return min(losses[-patience - 1 :]) >= min(losses[: -patience - 1])
""",
            "off by one: one measurement more",
        ),
        Answer(
            """
def stop_now(losses, patience):
    best = min(losses[:-patience])
    return min(losses[-patience:]) >= best
""",
            "crashes with few measurements",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience:
        return False
    return losses[-1] >= min(losses[:-patience])
""",
            "looks at the newest loss only",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience:
        return False
    return all(losses[-i] >= losses[-i - 1] for i in range(1, patience + 1))
""",
            "each of the last losses must be worse than the one before",
        ),
        Answer(
            """
def stop_now(losses, patience):
    return len(losses) > 1 and losses[-1] >= min(losses[:-1])
""",
            "ignores an argument: one bad measurement is enough",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) < patience:
        return False
    return min(losses[-patience:]) >= min(losses)
""",
            "the last losses are beside themselves: never better than the best of all",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience:
        return False
    return min(losses[-patience:]) < min(losses[:-patience])
""",
            "swapped: stops when there was something better",
        ),
    ],
    "q2": [
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        best["loss"], best["weights"] = loss, model.state_dict()
    return best
""",
            "forgotten step: no copy",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        best["loss"], best["weights"] = loss, dict(model.state_dict())
    return best
""",
            "a copy of the dictionary, not of the tensors",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        weights = {name: weight.detach() for name, weight in model.state_dict().items()}
        best["loss"], best["weights"] = loss, weights
    return best
""",
            "detaches, which shares the numbers",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss <= best["loss"]:
        best["loss"], best["weights"] = loss, copy.deepcopy(model.state_dict())
    return best
""",
            "an equal loss replaces the first",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    best["loss"], best["weights"] = loss, copy.deepcopy(model.state_dict())
    return best
""",
            "forgotten step: keeps every loss",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        best = {"loss": loss, "weights": copy.deepcopy(model.state_dict())}
    return best
""",
            "a new dictionary: what was given stays as it was",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        best["weights"] = copy.deepcopy(model.state_dict())
    return best
""",
            "the weights without their loss",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if best["weights"] is None or loss > best["loss"]:
        best["loss"], best["weights"] = loss, copy.deepcopy(model.state_dict())
    return best
""",
            "keeps the worst",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        best["loss"], best["weights"] = loss, copy.deepcopy(model)
    return best
""",
            "keeps the whole model, which is no weights by name",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if not loss >= best["loss"]:
        best["loss"], best["weights"] = loss, copy.deepcopy(model.state_dict())
    return best
""",
            "takes a loss that is no number for a lower one",
        ),
    ],
    "q3": [
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            if stop_now(losses, patience):
                break
    return losses
""",
            "forgotten step: the best weights don't come back",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            if stop_now(losses, patience):
                model.load_state_dict(best["weights"])
                break
    return losses
""",
            "the best weights come back only after an early end",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        losses.append(measure(model))
        keep_best(best, model, losses[-1])
        if stop_now(losses, patience):
            break
    model.load_state_dict(best["weights"])
    return losses
""",
            "ignores an argument: measures after every step",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
    model.load_state_dict(best["weights"])
    return losses
""",
            "forgotten step: never stops early",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            keep_best(best, model, measure(model))
            if stop_now(losses, patience):
                break
    model.load_state_dict(best["weights"])
    return losses
""",
            "measures twice each time",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 1:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            if stop_now(losses, patience):
                break
    model.load_state_dict(best["weights"])
    return losses
""",
            "off by one: measures after the first step",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            model.load_state_dict(best["weights"])
            if stop_now(losses, patience):
                break
    return losses
""",
            "the best weights come back after each measurement",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            if stop_now(losses, patience) or step == most:
                break
            keep_best(best, model, losses[-1])
    model.load_state_dict(best["weights"])
    return losses
""",
            "keeps the best only before it goes on: the last measurement is lost",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        step += 1
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every == 0:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            if stop_now(losses, patience):
                break
    model.load_state_dict(best["weights"])
    return [best["loss"]]
""",
            "returns the lowest loss instead of all",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    step = 0
    while step < most:
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if (step + 1) % every == 0:
            step += 1
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            if stop_now(losses, patience):
                break
    model.load_state_dict(best["weights"])
    return losses
""",
            "never ends: counts steps only where it measures",
        ),
    ],
    "q4": [
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(other):
        if taken >= share * sum(own):
            return count
        taken += tokens
    return len(other)
""",
            "a share of the new kind, not of all",
        ),
        Answer(
            """
def how_many(own, other, share):
    for count in range(len(other) + 1):
        if count >= share * (len(own) + count):
            return count
    return len(other)
""",
            "a share of documents, not of tokens",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(other):
        if taken > share * (sum(own) + taken):
            return count
        taken += tokens
    return len(other)
""",
            "off by one: asks for more than the share",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(other):
        taken += tokens
        if taken >= share * (sum(own) + taken):
            return count
    return len(other)
""",
            "off by one: stays just below the share",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(other, 1):
        taken += tokens
        if taken >= share * (sum(own) + taken):
            return count
    return len(other)
""",
            "at least one, even for a share of 0",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for tokens in other:
        if taken >= share * (sum(own) + taken):
            return taken
        taken += tokens
    return taken
""",
            "tokens instead of documents",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(sorted(other, reverse=True)):
        if taken >= share * (sum(own) + taken):
            return count
        taken += tokens
    return len(other)
""",
            "the longest first, not from the beginning",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(other):
        if taken >= share * (sum(own) + sum(other)):
            return count
        taken += tokens
    return len(other)
""",
            "a share of all that there is, not of what is taken",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken = 0
    for count, tokens in enumerate(other):
        if taken >= share * (sum(own) + taken):
            return count
        taken += tokens
    return len(other) if taken >= share * (sum(own) + taken) else 0
""",
            "nothing where there are too few",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def stop_now(losses, patience):
    return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience
""",
            "how long ago the best one was",
        ),
        Answer(
            """
def stop_now(losses, patience):
    best, bad = math.inf, 0
    for loss in losses:
        bad = 0 if loss < best else bad + 1
        best = min(best, loss)
    return bad >= patience
""",
            "counts bad measurements one after another",
        ),
    ],
    "q2": [
        Answer(
            """
def keep_best(best, model, loss):
    if best["loss"] > loss:
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        best.update(loss=loss, weights=weights)
    return best
""",
            "a clone of each tensor",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    import io

    if loss < best["loss"]:
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        best["loss"], best["weights"] = loss, torch.load(file, weights_only=True)
    return best
""",
            "by way of a file in memory",
        ),
    ],
    "q3": [
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    for step in range(1, most + 1):
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every:
            continue
        loss = measure(model)
        losses = [*losses, loss]
        if stop_now(losses, patience):
            break
        best = keep_best(best, model, loss)
    if best["weights"] is not None:
        model.load_state_dict(best["weights"])
    return losses
""",
            "asks whether to stop before it keeps: the last one is no better then",
        ),
    ],
    "q4": [
        Answer(
            """
def how_many(own, other, share):
    enough = [k for k in range(len(other) + 1) if sum(other[:k]) >= share * (sum(own) + sum(other[:k]))]
    return enough[0] if enough else len(other)
""",
            "tries every number",
        ),
        Answer(
            """
def how_many(own, other, share):
    from itertools import accumulate

    sums = [0, *accumulate(other)]
    return next((k for k, s in enumerate(sums) if not s < share * (sum(own) + s)), len(other))
""",
            "running sums",
        ),
    ],
}
