"""Hints for exercise 12 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "How long ago was the best measurement?",
        "losses.index(min(losses)) is the place of the best one, the first of equal ones.",
        "The number of measurements after it is len(losses) - 1 - best. Is it at least patience?",
    ),
    "q2": (
        "When may `best` be touched at all? And what happens to the model's own tensors in the next step?",
        "Only if loss < best['loss']; and each weight must be copied.",
        "best['weights'] = {name: weight.clone() for name, weight in model.state_dict().items()}, and the loss "
        "beside it.",
    ),
    "q3": (
        "Three things happen at a measurement, and one at the very end.",
        "if step % every == 0: measure and note it, keep the best, and break if it is time.",
        "keep_best(best, model, losses[-1]); after the loop, not in it: model.load_state_dict(best['weights']).",
    ),
    "q4": (
        "Go through the other documents and ask before each one whether there is enough already.",
        "Enough is: taken >= share * (all of own + taken).",
        "for number, length in enumerate(other): if enough, return number; taken += length. At the end len(other).",
    ),
}

WHY = {
    "q1": "What counts is how long the best has been the best, not whether the curve rises: losses that fall slowly"
    " from a bad peak are no progress. index gives the first of equal losses, so that the same number again "
    "is not better.",
    "q2": "A state dict holds the model's own tensors, and the next step changes them in place: without copies the "
    "best weights would be the last ones. loss < best['loss'] is false for nan, so a broken measurement never"
    " wins.",
    "q3": "The best weights come back whatever ended the loop: a stop, or the last step. To stop at once saves the "
    "steps that would have brought nothing.",
    "q4": "The share is one of all tokens, and what is mixed in makes that whole larger as well: for a half you "
    "need as much again, not half as much. Asking before each document stops at the first number that is "
    "enough.",
}
