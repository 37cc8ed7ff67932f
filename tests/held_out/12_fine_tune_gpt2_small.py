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
        Answer(
            """
def stop_now(losses, patience):
    best = min(losses[:-patience], default=math.inf)
    return min(losses[-patience:], default=0.0) > best
""",
            "goes on when the best loss was only reached again: equal is taken for better",
        ),
        Answer(
            """
def stop_now(losses, patience):
    recent = losses[-patience - 1 :]
    if len(recent) <= patience:
        return False
    return all(later >= earlier for earlier, later in zip(recent, recent[1:]))
""",
            "stops only when the loss has risen so many times in a row",
        ),
        Answer(
            """
def stop_now(losses, patience):
    best = min(losses[:-patience], default=math.inf)
    return len(losses) > patience and losses[-1] >= best
""",
            "looks only at the newest measurement, not at the last few",
        ),
        Answer(
            """
def stop_now(losses, patience):
    best = min(losses[:-patience] or losses, default=math.inf)
    return bool(losses) and min(losses[-patience:]) >= best
""",
            "stops at once while there are no more measurements than patience",
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
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        best["loss"] = loss
        best["weights"] = {name: weight.detach() for name, weight in model.state_dict().items()}
    return best
""",
            "detached, but not copied: the next step changes the kept weights",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss <= best["loss"]:
        best["loss"] = loss
        best["weights"] = copy.deepcopy(model.state_dict())
    return best
""",
            "the same loss again overwrites the weights",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss >= best["loss"]:
        return best
    best["loss"] = loss
    best["weights"] = copy.deepcopy(model.state_dict())
    return best
""",
            "a loss that is no number passes as lower",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    if loss < best["loss"]:
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        best = {"loss": loss, "weights": weights}
    return best
""",
            "returns a new dictionary and writes nothing into the one that was handed in",
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
                return losses
    if best["weights"] is not None:
        model.load_state_dict(best["weights"])
    return losses
""",
            "leaves by return when it is time to stop, and the best weights don't come back",
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
        if step % every == 0 or step == most:
            losses.append(measure(model))
            keep_best(best, model, losses[-1])
            if stop_now(losses, patience):
                break
    if best["weights"] is not None:
        model.load_state_dict(best["weights"])
    return losses
""",
            "measures once more after the last step, also when it isn't an every-th one",
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
            loss = measure(model)
            keep_best(best, model, loss)
            enough = stop_now(losses, patience) if losses else False
            losses.append(loss)
            if enough:
                break
    if best["weights"] is not None:
        model.load_state_dict(best["weights"])
    return losses
""",
            "asks whether to stop before the newest loss is in the list: one measurement too late",
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
            best = keep_best(best, model, losses[-1])
            if best["weights"] is not None:
                model.load_state_dict(best["weights"])
            if stop_now(losses, patience):
                break
    if best["weights"] is not None:
        model.load_state_dict(best["weights"])
    return losses
""",
            "goes back to the best weights after each measurement, not only at the end",
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
        Answer(
            """
def how_many(own, other, share):
    taken, mine = 0, sum(own)
    for count, length in enumerate(other):
        if taken > share * (taken + mine):
            return count
        taken += length
    return len(other)
""",
            "more than the share instead of at least: one too many where it is met exactly",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken, mine = 0, sum(own)
    for count, length in enumerate(other, 1):
        taken += length
        if taken / (taken + mine) >= share:
            return count
    return len(other)
""",
            "never answers 0: a share of 0 still gets a document",
        ),
        Answer(
            """
def how_many(own, other, share):
    taken, mine = 0, sum(own)
    for count, length in enumerate(sorted(other, reverse=True)):
        if taken / (taken + mine) >= share:
            return count
        taken += length
    return len(other)
""",
            "takes the longest documents first, not those at the beginning",
        ),
        Answer(
            """
def how_many(own, other, share):
    if share >= 1 or not other:
        return len(other)
    wanted = share * sum(own) / (1 - share)
    mean = sum(other) / len(other)
    return min(len(other), math.ceil(wanted / mean))
""",
            "reckons with the mean length of a document instead of adding up their lengths",
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
        Answer(
            """
def stop_now(losses, patience):
    lowest, waited = math.inf, 0
    for loss in losses:
        if loss < lowest:
            lowest, waited = loss, 0
        else:
            waited += 1
    return len(losses) > patience and waited >= patience
""",
            "walks through all losses and counts how long ago the lowest was found",
        ),
        Answer(
            """
def stop_now(losses, patience):
    if len(losses) <= patience:
        return False
    best_at = min(range(len(losses)), key=lambda i: (math.isnan(losses[i]), losses[i]))  # the first of equals
    return best_at < len(losses) - patience
""",
            "where the first lowest loss stands",
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
        Answer(
            """
def keep_best(best, model, loss):
    if math.isnan(loss) or loss >= best["loss"]:
        return best
    best.update(loss=loss, weights={name: weight.detach().clone() for name, weight in model.state_dict().items()})
    return best
""",
            "early return, update with keywords, a clone of each tensor",
        ),
        Answer(
            """
def keep_best(best, model, loss):
    lower = loss < best["loss"]
    if lower:
        kept = {}
        for name, weight in model.state_dict().items():
            room = torch.empty_like(weight)
            room.copy_(weight)
            kept[name] = room
        best["loss"], best["weights"] = loss, kept
    return best
""",
            "new empty tensors into which the weights are copied",
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
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    lowest, kept, waited, losses = math.inf, None, 0, []
    for step in range(1, most + 1):
        optimizer.zero_grad()
        model(*next_batch()).backward()
        optimizer.step()
        if step % every:
            continue
        loss = measure(model)
        losses.append(loss)
        if loss < lowest:
            lowest, waited = loss, 0
            kept = {name: weight.clone() for name, weight in model.state_dict().items()}
        else:
            waited += 1
        if len(losses) > patience and waited >= patience:
            break
    if kept is not None:
        model.load_state_dict(kept)
    return losses
""",
            "all by itself: a for loop that counts measurements without progress",
        ),
        Answer(
            """
def fine_tune(model, next_batch, measure, most, every, patience):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    best, losses = {"loss": math.inf, "weights": None}, []
    left, going = most, True
    while left > 0 and going:
        stretch = min(every, left)
        for _ in range(stretch):
            optimizer.zero_grad()
            model(*next_batch()).backward()
            optimizer.step()
        left -= stretch
        if stretch == every:
            losses = [*losses, measure(model)]
            best = keep_best(best, model, losses[-1])
            going = not stop_now(losses, patience)
    if best["weights"]:
        model.load_state_dict(best["weights"])
    return losses
""",
            "stretches of every steps, measured only when whole",
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
        Answer(
            """
def how_many(own, other, share):
    mine, taken, count = sum(own), 0, 0
    while count < len(other):
        together = mine + taken
        if together == 0 or taken / together >= share:
            break
        taken += other[count]
        count += 1
    return count
""",
            "a while loop that compares the quotient",
        ),
        Answer(
            """
from fractions import Fraction
from itertools import accumulate


def how_many(own, other, share):
    wanted, mine = Fraction(str(share)), sum(own)
    sums = accumulate(other, initial=0)
    return next((count for count, taken in enumerate(sums) if taken >= wanted * (taken + mine)), len(other))
""",
            "exact fractions over running sums",
        ),
    ],
}
