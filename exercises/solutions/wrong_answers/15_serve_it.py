"""Typical wrong answers to exercise 15, and a part of the message that each must get."""


def serve(
    full: str = "sum(begin > now for begin in begun) >= most and begun and begun[-1] + seconds > now",
    begin: str = "max(now, begun[-1] + seconds) if begun else now",
    wait: str = "begun[-1] - now",
    away: str = "waits.append(None)",
) -> str:
    """Return the code of an answer to q1."""
    return (
        "def serve(arrivals, seconds, most):\n    begun, waits = [], []\n    for now in arrivals:\n"
        f"        if {full}:\n            {away}\n            continue\n"
        f"        begun.append({begin})\n        waits.append({wait})\n    return waits"
    )


def first(body: str) -> str:
    """Return the code of an answer to q2."""
    return f"def first_tokens(log):\n    return {body}"


def p95(body: str) -> str:
    """Return the code of an answer to q3."""
    return f"def p95(waits):\n    ranked = sorted(waits)\n    return {body}"


def line_up(rows: str, padding: str = "[longest - len(p) for p in prompts]") -> str:
    """Return the code of an answer to q4."""
    return f"def line_up(prompts, filler):\n    longest = max(map(len, prompts))\n    return {rows}, {padding}"


LEFT = "[[filler] * (longest - len(p)) + list(p) for p in prompts]"
ALL = "sum(begin > now for begin in begun)"

WRONG = {
    "q1": [
        (serve(begin="begun[-1] + seconds if begun else now"), "although the server is free"),
        (serve(wait="begun[-1]"), "From when on does each wait"),
        (
            "def serve(arrivals, seconds, most):\n    pairs = zip([-seconds, *arrivals], arrivals)\n"
            "    return [max(0, before + seconds - now) for before, now in pairs]",
            "as if that one had not waited",
        ),
        (serve(full="False"), "Nobody is sent away"),
        (serve(away="pass"), "has a row, too"),
        (serve(full="sum(begin + seconds > now for begin in begun) >= most"), "counts as waiting in yours"),
        (
            serve(away="waits.append(None); begun.append(begun[-1] + seconds)").replace(
                f"{ALL} >=", "sum(begin > now for begin in begun[:2]) >="
            ),
            "takes the server's time",
        ),
        (serve(full="sum(begin >= now for begin in begun) >= most and begun and begun[-1] >= now"), "very moment"),
    ],
    "q2": [
        (first("[row['ended'] - row['asked'] for row in log if row['first'] is not None]"), "whole answers"),
        (first("[row['first'] for row in log if row['first'] is not None]"), "times of the clock"),
        (first("[(row['first'] or row['asked']) - row['asked'] for row in log]"), "no zero either"),
        (first("[row['first'] - row['asked'] for row in log if row['first']]"), "a time like any other"),
    ],
    "q3": [
        (p95("ranked[(len(ranked) - 1) // 2]"), "the middle"),
        (p95("ranked[-1]"), "the longest wait"),
        (p95("ranked[min(len(ranked) - 1, len(ranked) * 95 // 100)]"), "is enough already"),
        (p95("list(waits)[-(-95 * len(waits) // 100) - 1]"), "sorted first"),
        (p95("ranked[-(-90 * len(ranked) // 100) - 1 + (len(ranked) == 100) * 5]"), "the 90th"),
    ],
    "q4": [
        (line_up("[list(p) + [filler] * (longest - len(p)) for p in prompts]"), "go on from"),
        (line_up("[list(p)[: min(map(len, prompts))] for p in prompts]"), "don't cut off"),
        (line_up(LEFT, "[len(p) for p in prompts]"), "how many places were filled"),
        (line_up(LEFT.replace("filler", "0")), "whatever the filler is"),
        (line_up(LEFT)[: line_up(LEFT).rindex("return ")] + f"return {LEFT}", "you have a number, 50256"),
    ],
}
