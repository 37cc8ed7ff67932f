"""Hints for exercise 15 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "If you know when each answer begins, you know all: who waits now, when the server is free, how long each "
        "waits.",
        "Waiting are those in `begun` that begin after now. The server is free when the last one begun has ended by"
        " now.",
        "Away goes who finds the server busy and `most` waiting; else he begins at max(now, begun[-1] + seconds).",
    ),
    "q2": (
        "A wait lies between two times. Which two? And for whom is there none?",
        "first - asked, for each row that has a first token.",
        "Ask whether row['first'] is not None, since 0.0 is a time.",
    ),
    "q3": (
        "Go through the waits from the smallest on, and ask of each how many it covers.",
        "The first of sorted(waits) that at least 95 % of all waits don't exceed is the answer.",
        "100 * sum(other <= wait for other in waits) >= 95 * len(waits): whole numbers, no rounding.",
    ),
    "q4": (
        "How long is the longest prompt, and how much does each lack?",
        "padding = [longest - len(prompt) for prompt in prompts]; fillers come first in a row.",
        "[filler] * more + list(prompt), for each more and prompt in zip(padding, prompts).",
    ),
}

WHY = {
    "q1": "A first-come queue with one server needs only the times at which answers begin. Whoever begins later "
    "than now is waiting; who begins now is not. An end to the queue keeps the waits of those who stay within"
    " bounds.",
    "q2": "The time to the first token is what a visitor feels: it holds the wait in the queue and the reading of "
    "the prompt. Refused visitors have none; counted as 0 they would make a bad service look good.",
    "q3": "A mean hides the unlucky, a maximum shows only one. By the definition you need no formula for a place, "
    "and nothing to round: the smallest wait that enough of them don't exceed.",
    "q4": "Every row goes on at its right end, so that is where the prompts must stand. The model needs the number "
    "of fillers, to leave them out of attention and to count positions from the first real token.",
}
