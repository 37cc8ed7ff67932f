"""Answers to exercise 15, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        begun.append(start)
        waits.append(start - now)
    return waits
""",
            "ignores an argument: everybody may wait",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if start > now and sum(one + seconds > now for one in begun) >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "whoever is being served counts as waiting",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if sum(one > now for one in begun) > most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "off by one: one more may wait",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if sum(one > now for one in begun) >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "sends away from a free server where nobody may wait",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        begun.append(start)
        full = start > now and sum(one > now for one in begun[:-1]) >= most
        waits.append(None if full else start - now)
    return waits
""",
            "those who were sent away hold their place",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if start > now and sum(one > now for one in begun) >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start)
    return waits
""",
            "when the answer begins, not how long he waited",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if start == now or sum(one > now for one in begun) < most:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "those who were sent away are missing",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        waiting = sum(one > now for one in begun)
        if start > now and waiting >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append((waiting + 1) * seconds if start > now else 0)
    return waits
""",
            "waits for whole answers: as many as stand before him",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if start > now and sum(one >= now for one in begun) >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "at the very moment of an end the place isn't free yet",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    while arrivals:
        now = arrivals.pop(0)
        start = max(now, begun[-1] + seconds) if begun else now
        if start > now and sum(one > now for one in begun) >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "in-place damage: the arrivals that were given are used up",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    while arrivals:
        now = arrivals[len(waits) % len(arrivals)]
        start = max(now, begun[-1] + seconds) if begun else now
        if start > now and sum(one > now for one in begun) >= most:
            waits = waits[:-1]
        else:
            waits = [start - now]
    return waits
""",
            "never ends: nobody leaves the row of arrivals",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        if start > now and sum(one > now for one in begun) >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start + seconds - now)
    return waits
""",
            "a wait counts from the end of his own answer",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        waiting = sum(other >= now for other in begun)
        if start > now and waiting >= most:
            waits.append(None)
        else:
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "whose answer begins at this very moment is still counted among the waiting",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        waiting = sum(1 for other in begun if other > now)
        if waiting >= most:
            waits.append(None)
            continue
        start = now if not begun else max(now, begun[-1] + seconds)
        begun.append(start)
        waits.append(start - now)
    return waits
""",
            "with no waiting places nobody is served, though the server is free",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        start = max(now, begun[-1] + seconds) if begun else now
        waiting = sum(other > now for other in begun)
        begun.append(start)
        if start > now and waiting >= most:
            waits.append(None)
        else:
            waits.append(start - now)
    return waits
""",
            "whoever was sent away still takes a place in the queue",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    begun, waits = [], []
    for now in arrivals:
        inside = [other for other in begun if other + seconds > now]
        if inside and len(inside) >= most:
            waits.append(None)
        else:
            start = max(now, begun[-1] + seconds) if begun else now
            begun.append(start)
            waits.append(start - now)
    return waits
""",
            "counts the one who is being served among the waiting",
        ),
    ],
    "q2": [
        Answer(
            """
def first_tokens(log):
    return [row["ended"] - row["asked"] for row in log if row["first"] is not None]
""",
            "a wrong column: the whole answer",
        ),
        Answer(
            """
def first_tokens(log):
    return [row["first"] for row in log if row["first"] is not None]
""",
            "times of the clock",
        ),
        Answer(
            """
def first_tokens(log):
    return [row["first"] - row["asked"] for row in log]
""",
            "crashes at whoever was refused",
        ),
        Answer(
            """
def first_tokens(log):
    return [(row["first"] or row["asked"]) - row["asked"] for row in log]
""",
            "whoever was refused waits no time",
        ),
        Answer(
            """
def first_tokens(log):
    return [None if row["first"] is None else row["first"] - row["asked"] for row in log]
""",
            "whoever was refused stays as None",
        ),
        Answer(
            """
def first_tokens(log):
    return [row["first"] - row["asked"] for row in log if row["first"]]
""",
            "takes the time 0 for none",
        ),
        Answer(
            """
def first_tokens(log):
    return sorted(row["first"] - row["asked"] for row in log if row["first"] is not None)
""",
            "changes the order: sorts",
        ),
        Answer(
            """
def first_tokens(log):
    return [row["asked"] - row["first"] for row in log if row["first"] is not None]
""",
            "wrong sign",
        ),
        Answer(
            """
def first_tokens(log):
    waits = [row["first"] - row["asked"] for row in log if row["first"] is not None]
    return [wait for wait in waits if wait > 0]
""",
            "leaves out whoever didn't wait at all",
        ),
        Answer(
            """
def first_tokens(log):
    return [row["first"] - row["asked"] for row in log if row["first"]]
""",
            "a first token at time 0 is taken for none",
        ),
        Answer(
            """
def first_tokens(log):
    return [row["first"] - row["asked"] for row in log if row["ended"] is not None]
""",
            "looks at ended, so answers that are still being written are left out",
        ),
        Answer(
            """
def first_tokens(log):
    found = {}
    for row in log:
        if row["first"] is not None:
            found[row["asked"]] = row["first"] - row["asked"]
    return list(found.values())
""",
            "a dictionary by the time of asking: two who asked at the same moment become one",
        ),
        Answer(
            """
def first_tokens(log):
    return sorted(row["first"] - row["asked"] for row in log if row["first"] is not None)
""",
            "sorted by the wait instead of in the order of the log",
        ),
    ],
    "q3": [
        Answer(
            """
def p95(waits):
    return sorted(waits)[min(int(0.95 * len(waits)), len(waits) - 1)]
""",
            "off by one: one place too far",
        ),
        Answer(
            """
def p95(waits):
    return torch.tensor(waits, dtype=torch.float64).quantile(0.95).item()
""",
            "a value between two waits",
        ),
        Answer(
            """
def p95(waits):
    return waits[-(-95 * len(waits) // 100) - 1]
""",
            "forgotten step: sorting",
        ),
        Answer(
            """
def p95(waits):
    return max(waits)
""",
            "the largest",
        ),
        Answer(
            """
def p95(waits):
    return sorted(waits)[max(95 * len(waits) // 100 - 1, 0)]
""",
            "rounds down",
        ),
        Answer(
            """
def p95(waits):
    return sorted(waits)[max(round(0.95 * len(waits)) - 1, 0)]
""",
            "rounds to the nearest place",
        ),
        Answer(
            """
def p95(waits):
    return sorted(waits, reverse=True)[-(-95 * len(waits) // 100) - 1]
""",
            "from the other end: what 95 % exceed",
        ),
        Answer(
            """
def p95(waits):
    return min(wait for wait in waits if 100 * sum(one <= wait for one in waits) > 95 * len(waits))
""",
            "more than 95 %, not at least",
        ),
        Answer(
            """
def p95(waits):
    ranked = sorted(waits)
    return next((wait for wait in ranked if 100 * sum(one < wait for one in waits) >= 95 * len(waits)), ranked[-1])
""",
            "the wait that 95 % stay below, not at or below",
        ),
        Answer(
            """
def p95(waits):
    return 0.95 * max(waits)
""",
            "a share of the largest wait",
        ),
        Answer(
            """
def p95(waits):
    return sorted(waits)[:20][-2] if len(waits) > 1 else waits[0]
""",
            "fits twenty waits only",
        ),
        Answer(
            """
def p95(waits):
    ordered = sorted(waits)
    return ordered[int(0.95 * len(ordered))]
""",
            "counts the place from 0: one too far for 20, 40, 60 … waits",
        ),
        Answer(
            """
import math


def p95(waits):
    waits.sort()
    return waits[math.ceil(len(waits) * 95 / 100) - 1]
""",
            "sorts the list that was handed in",
        ),
        Answer(
            """
import math


def p95(waits):
    ordered = sorted(set(waits))
    return ordered[math.ceil(0.95 * len(ordered)) - 1]
""",
            "equal waits are counted once",
        ),
        Answer(
            """
import numpy


def p95(waits):
    return float(numpy.percentile(waits, 95))
""",
            "another definition: a value between two waits",
        ),
    ],
    "q4": [
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    missing = [longest - len(prompt) for prompt in prompts]
    return [prompt + [filler] * count for prompt, count in zip(prompts, missing)], missing
""",
            "filled up at the right",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    rows = [[filler] * (longest - len(prompt)) + prompt for prompt in prompts]
    return rows, [len(prompt) for prompt in prompts]
""",
            "lengths instead of fillers",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    rows = [[filler] * (longest - len(prompt)) + prompt for prompt in prompts]
    return rows, [row.count(filler) for row in rows]
""",
            "counts fillers that are tokens of the prompt, too",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    missing = [longest - len(prompt) for prompt in prompts]
    return [[0] * count + prompt for prompt, count in zip(prompts, missing)], missing
""",
            "ignores an argument: fills up with 0",
        ),
        Answer(
            """
def line_up(prompts, filler):
    shortest = min(len(prompt) for prompt in prompts)
    return [prompt[-shortest:] for prompt in prompts], [0] * len(prompts)
""",
            "cuts all to the shortest",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts) + 1
    missing = [longest - len(prompt) for prompt in prompts]
    return [[filler] * count + prompt for prompt, count in zip(prompts, missing)], missing
""",
            "off by one: a filler in front of the longest, too",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    missing = [longest - len(prompt) for prompt in prompts]
    for prompt, count in zip(prompts, missing):
        prompt[:0] = [filler] * count
    return prompts, missing
""",
            "in-place damage: the prompts that were given grow",
        ),
        Answer(
            """
def line_up(prompts, filler):
    prompts = sorted(prompts, key=len, reverse=True)
    missing = [len(prompts[0]) - len(prompt) for prompt in prompts]
    return [[filler] * count + prompt for prompt, count in zip(prompts, missing)], missing
""",
            "changes the order: the longest first",
        ),
        Answer(
            """
def line_up(prompts, filler):
    first, second = prompts[0], prompts[-1]
    missing = [max(len(second) - len(first), 0), max(len(first) - len(second), 0)]
    return [[filler] * missing[0] + first, [filler] * missing[1] + second], missing
""",
            "two prompts only",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    missing = [longest - len(prompt) for prompt in prompts]
    return missing, [[filler] * count + prompt for prompt, count in zip(prompts, missing)]
""",
            "swapped results",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    filled = [longest - len(prompt) for prompt in prompts]
    rows = [prompt + [filler] * count for prompt, count in zip(prompts, filled)]
    return rows, filled
""",
            "fills up at the right",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    rows = [[filler] * (longest - len(prompt)) + prompt for prompt in prompts]
    return rows, [row.count(filler) for row in rows]
""",
            "counts the filler wherever it stands, also as a token of the prompt",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = len(max(prompts))
    filled = [longest - len(prompt) for prompt in prompts]
    return [[filler] * count + prompt for prompt, count in zip(prompts, filled)], filled
""",
            "max without a key: the greatest prompt by its tokens, not the longest",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(map(len, prompts))
    filled = []
    for prompt in prompts:
        count = 0
        while len(prompt) < longest:
            prompt.insert(0, filler)
            count += 1
        filled.append(count)
    return [list(prompt) for prompt in prompts], filled
""",
            "puts the fillers into the prompts themselves",
        ),
        Answer(
            """
def line_up(prompts, filler):
    longest = max(len(prompt) for prompt in prompts)
    missing = {tuple(prompt): longest - len(prompt) for prompt in prompts}
    rows = [[filler] * count + list(prompt) for prompt, count in missing.items()]
    return rows, list(missing.values())
""",
            "a dictionary by prompt: two equal prompts get one row",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def serve(arrivals, seconds, most):
    from collections import deque

    free, queue, waits = float("-inf"), deque(), []
    for now in arrivals:
        while queue and queue[0] <= now:
            queue.popleft()
        if free <= now:
            free = now + seconds
            waits.append(0.0)
        elif len(queue) < most:
            queue.append(free)
            waits.append(free - now)
            free += seconds
        else:
            waits.append(None)
    return waits
""",
            "a queue that moves",
        ),
        Answer(
            """
from collections import deque


def serve(arrivals, seconds, most):
    queue, free, waits = deque(), float("-inf"), []  # queue: when the waiting begin
    for now in arrivals:
        while queue and queue[0] <= now:
            queue.popleft()
        if free <= now:
            free = now + seconds
            waits.append(0.0)
        elif len(queue) >= most:
            waits.append(None)
        else:
            queue.append(free)
            waits.append(free - now)
            free = free + seconds
    return waits
""",
            "a real queue that whoever begins leaves, and the time when the server is free",
        ),
        Answer(
            """
def serve(arrivals, seconds, most):
    ends, waits = [], []
    for now in arrivals:
        inside = len([end for end in ends if end > now])  # one is served, the others wait
        if inside > most:
            waits.append(None)
            continue
        begin = ends[-1] if inside else now
        ends.append(begin + seconds)
        waits.append(begin - now)
    return waits
""",
            "remembers when answers end and counts all who are inside, the served one too",
        ),
    ],
    "q2": [
        Answer(
            """
def first_tokens(log):
    waits = []
    for row in log:
        asked, first = row["asked"], row["first"]
        if first is None:
            continue
        waits.append(first - asked)
    return waits
""",
            "in a loop",
        ),
        Answer(
            """
def first_tokens(log):
    found = []
    for row in log:
        try:
            found.append(row["first"] - row["asked"])
        except TypeError:  # None: refused
            pass
    return found
""",
            "tries to subtract and passes over None",
        ),
        Answer(
            """
from itertools import compress


def first_tokens(log):
    rows = list(log)
    answered = [row["first"] is not None for row in rows]
    return list(map(lambda row: -(row["asked"] - row["first"]), compress(rows, answered)))
""",
            "a mask and itertools.compress",
        ),
    ],
    "q3": [
        Answer(
            """
def p95(waits):
    return min(wait for wait in waits if 100 * sum(one <= wait for one in waits) >= 95 * len(waits))
""",
            "word for word",
        ),
        Answer(
            """
def p95(waits):
    ranked = sorted(waits)
    while 20 * (len(ranked) - 1) >= 19 * len(waits):
        ranked.pop()
    return ranked[-1]
""",
            "goes down from the largest while enough are left",
        ),
        Answer(
            """
import heapq


def p95(waits):
    n = len(waits)
    above = n - (95 * n + 99) // 100  # so many may lie above it
    return heapq.nlargest(above + 1, waits)[-1]
""",
            "from above: the largest waits by a heap, whole numbers only",
        ),
        Answer(
            """
from collections import Counter


def p95(waits):
    seen = 0
    for wait, times in sorted(Counter(waits).items()):
        seen += times
        if 20 * seen >= 19 * len(waits):
            return wait
""",
            "counts equal waits and adds up until 19 of 20 are reached",
        ),
    ],
    "q4": [
        Answer(
            """
def line_up(prompts, filler):
    from itertools import zip_longest

    columns = zip_longest(*(reversed(prompt) for prompt in prompts), fillvalue=filler)
    rows = [list(reversed(row)) for row in zip(*columns)]
    return rows, [len(row) - len(prompt) for row, prompt in zip(rows, prompts)]
""",
            "columns from the right",
        ),
        Answer(
            """
def line_up(prompts, filler):
    rows, padding = [list(prompt) for prompt in prompts], [0] * len(prompts)
    for i, row in enumerate(rows):
        while len(row) < max(map(len, prompts)):
            row.insert(0, filler)
            padding[i] += 1
    return rows, padding
""",
            "one filler after another",
        ),
        Answer(
            """
from itertools import zip_longest


def line_up(prompts, filler):
    columns = zip_longest(*(prompt[::-1] for prompt in prompts), fillvalue=filler)  # the last tokens first
    rows = [list(row)[::-1] for row in zip(*columns)] or [[] for _ in prompts]
    return rows, [len(row) - len(prompt) for row, prompt in zip(rows, prompts)]
""",
            "zip_longest over reversed prompts, turned back",
        ),
        Answer(
            """
from collections import deque


def line_up(prompts, filler):
    width = max(map(len, prompts), default=0)
    rows, filled = [], []
    for prompt in prompts:
        row = deque(prompt)
        while len(row) < width:
            row.appendleft(filler)
        rows.append(list(row))
        filled.append(len(row) - len(prompt))
    return rows, filled
""",
            "a copy as a deque that is filled from the left",
        ),
    ],
}
