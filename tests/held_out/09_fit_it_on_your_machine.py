"""Answers to exercise 09, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return 4 * parameters * (2 + moments)
""",
            "everything learns",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return 4 * parameters + 12 * trained
""",
            "ignores an argument: two moments",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return 4 * parameters + 4 * trained * moments
""",
            "forgotten step: gradients",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return 4 * parameters + 4 * trained * (2 + moments)
""",
            "weights that learn are counted twice",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return 4 * trained * (2 + moments)
""",
            "frozen weights aren't counted",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return 4 * parameters + 4 * trained + 4 * moments * parameters
""",
            "moments of all weights",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    return parameters + trained * (1 + moments)
""",
            "numbers instead of bytes",
        ),
    ],
    "q2": [
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = batch * config.n_layer * config.n_embd * size
    return min(room // token, config.context)
""",
            "forgotten step: keys and values are two",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * config.n_layer * config.n_embd * size
    return min(room // token, config.context)
""",
            "ignores an argument: one row",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * config.n_layer * config.n_embd * size
    return room // token
""",
            "forgotten step: the model's context",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * config.n_layer * config.n_embd * size
    return min(-(-room // token), config.context)
""",
            "rounds up",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * config.n_layer * config.n_embd * size
    return min(room / token, config.context)
""",
            "wrong type: parts of tokens",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * config.n_layer * config.head_width * size
    return min(room // token, config.context)
""",
            "as wide as a head, not as the model",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * config.n_layer * config.n_embd * size
    return min(room // token, config.context) // batch
""",
            "the context is shared by the rows",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * small.n_layer * small.n_embd * size
    return min(room // token, small.context)
""",
            "reads a global instead of its argument",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * config.n_layer * config.n_embd * 4
    return min(room // token, config.context)
""",
            "ignores an argument: four bytes a number",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * batch * config.n_layer * config.n_embd * size
    return min((room - 1) // token, config.context)
""",
            "off by one: the room must not be filled",
        ),
    ],
    "q3": [
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=more)) < memory:
            batch = more
    return batch
""",
            "off by one: exactly the memory is too much",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=step)) <= memory:
            batch = more
    return batch
""",
            "asks for the step, not for all",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=more)) <= memory:
            batch = more
            break
    return batch
""",
            "stops at the first that fits",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=more)) > memory:
            break
        batch = more
    return batch
""",
            "stops at the first that doesn't fit",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=more)) <= memory:
            batch = step
    return batch
""",
            "keeps the last step only",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, work) <= memory:
            batch = more
    return batch
""",
            "asks for the work as it was given",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 1
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=more)) <= memory:
            batch = more
    return batch
""",
            "one batch is taken for granted",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    return min(1023, int(memory // needs(config, replace(work, batch=1))))
""",
            "memory divided by what one text needs",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(small, replace(work, batch=more)) <= memory:
            batch = more
    return batch
""",
            "reads a global instead of its argument",
        ),
    ],
    "q4": [
        Answer(
            """
def place(n, size, caps):
    where = []
    for name in caps:
        where += [name] * min(caps[name] // size, n - len(where))
    return where if len(where) == n else None
""",
            "forgotten step: no buffer",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    for name in caps:
        room = caps[name] - (size if name == nearest else 0)
        if room < 0:
            return None
        where += [name] * min(room // size, n - len(where))
    return where if len(where) == n else None
""",
            "a buffer even where all blocks fit",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size > caps[nearest]
    for name in caps:
        room = caps[name] - (size if outside else 0)
        if room < 0:
            return None
        where += [name] * min(room // size, n - len(where))
    return where if len(where) == n else None
""",
            "a buffer in every place",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size > caps[nearest]
    for name in caps:
        room = caps[name] - (size if outside and name == nearest else 0)
        where += [name] * min(max(room, 0) // size, n - len(where))
    return where if len(where) == n else None
""",
            "forgotten step: the buffer may have no room",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size > caps[nearest]
    for name in caps:
        room = caps[name] - (size if outside and name == nearest else 0)
        where += [name] * max(0, min(room // size, n - len(where)))
    return where
""",
            "refuses nothing: returns what it could place",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size >= caps[nearest]
    for name in caps:
        room = caps[name] - (size if outside and name == nearest else 0)
        if room < 0:
            return None
        where += [name] * min(room // size, n - len(where))
    return where if len(where) == n else None
""",
            "off by one: a place that is exactly full doesn't count",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size > caps[nearest]
    for name in caps:
        room = caps[name] - (size if outside and name == nearest else 0)
        if room < 0:
            return None
        where += [name] * min(room // size, n - len(where))
    return where + [name] * (n - len(where))
""",
            "the last place takes whatever is left",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size > caps[nearest]
    for name in reversed(caps):
        room = caps[name] - (size if outside and name == nearest else 0)
        if room < 0:
            return None
        where += [name] * min(room // size, n - len(where))
    return where if len(where) == n else None
""",
            "the farthest places first",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    if n * size > caps[nearest]:
        caps[nearest] -= size
    if caps[nearest] < 0:
        return None
    for name in caps:
        where += [name] * min(caps[name] // size, n - len(where))
    return where if len(where) == n else None
""",
            "in-place damage: the caps that were given shrink",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    outside = n * size > caps[nearest]
    for name in caps:
        room = caps[name] - (size if outside and name == nearest else 0)
        if room < 0:
            return None
        where += [name] * min(-(-room // size), n - len(where))
    return where if len(where) == n else None
""",
            "rounds the room of a place up",
        ),
    ],
    "q5": [
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or batch == 1:
                raise
            done, batch = [], batch // 2
    return done
""",
            "begins anew: what is done is lost",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            batch = batch // 2
    return done
""",
            "never ends: a part of no items always fits",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            batch = max(1, batch // 2)
    return done
""",
            "never ends: tries a single item again and again",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError):
            if batch == 1:
                raise
            batch = batch // 2
    return done
""",
            "takes every error for a lack of memory",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError):
            batch = batch // 2
            raise
    return done
""",
            "passes every error on",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or batch == 1:
                raise
            batch = batch - 1
    return done
""",
            "one item less, not half as many",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or batch == 1:
                raise
            batch = 1
    return done
""",
            "one at a time from the first failure on",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if batch == 1:
                break
            batch = batch // 2
    return done
""",
            "swallows the error: returns what is done so far",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or batch <= 2:
                raise
            batch = batch // 2
    return done
""",
            "gives up at two items",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or batch == 1:
                raise ValueError("it does not fit") from None
            batch = batch // 2
    return done
""",
            "an error of its own in the place of the one that came",
        ),
    ],
    "q6": [
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return texts / (parameters * size / bandwidth + 2 * parameters * texts / flops)
""",
            "adds the times instead of taking the longer",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return min(bandwidth / (parameters * size), flops / (2 * parameters))
""",
            "ignores an argument: one text",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return 1 / max(parameters * size / bandwidth, 2 * parameters * texts / flops)
""",
            "of each text, not of all together",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return texts / max(parameters * size * texts / bandwidth, 2 * parameters * texts / flops)
""",
            "weights are read anew for each text",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return texts / max(parameters * size / bandwidth, parameters * texts / flops)
""",
            "one operation a weight",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return texts / min(parameters * size / bandwidth, 2 * parameters * texts / flops)
""",
            "the faster of the two is the limit",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return texts / max(parameters * size / bandwidth, 2 * parameters / flops)
""",
            "computing takes no longer for more texts",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return max(parameters * size / bandwidth, 2 * parameters * texts / flops) / texts
""",
            "a time instead of a speed",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    return texts * bandwidth / (parameters * size)
""",
            "forgotten step: computing",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    frozen = parameters - trained
    return frozen * 4 + sum(trained * 4 for _ in range(2 + moments))
""",
            "frozen and learning weights apart",
        ),
    ],
    "q2": [
        Answer(
            """
def longest(config, room, batch=1, size=4):
    for divisor in (size, batch, 2, config.n_embd, config.n_layer):
        room = room // divisor
    return min(config.context, room)
""",
            "divides step by step",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    fits = [t for t in range(config.context + 1) if t * batch * 2 * config.n_layer * config.n_embd * size <= room]
    return fits[-1]
""",
            "tries all lengths",
        ),
    ],
    "q3": [
        Answer(
            """
def largest_batch(config, memory, work):
    fits, too_many = 0, 1024
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if needs(config, replace(work, batch=middle)) <= memory:
            fits = middle
        else:
            too_many = middle
    return fits
""",
            "halves an interval",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    from bisect import bisect_right

    return bisect_right(range(1, 1024), memory, key=lambda batch: needs(config, replace(work, batch=batch)))
""",
            "the standard library's bisection",
        ),
    ],
    "q4": [
        Answer(
            """
def place(n, size, caps):
    nearest = next(iter(caps))
    free = dict(caps)
    if n * size > free[nearest]:
        free[nearest] -= size
        if free[nearest] < 0:
            return None
    where = []
    for _ in range(n):
        name = next((name for name in free if free[name] >= size), None)
        if name is None:
            return None
        free[name] -= size
        where.append(name)
    return where
""",
            "block by block",
        ),
        Answer(
            """
def place(n, size, caps):
    names, seats = list(caps), [caps[name] // size for name in caps]
    if seats[0] >= n:
        return names[:1] * n
    seats[0] -= 1
    row = [name for name, count in zip(names, seats) for _ in range(count)]
    return row[:n] if seats[0] >= 0 and len(row) >= n else None
""",
            "tries without a buffer, then with one",
        ),
    ],
    "q5": [
        Answer(
            """
def do_all(items, work, batch):
    done, rest = [], list(items)
    while rest:
        try:
            results = work(rest[:batch])
        except (RuntimeError, MemoryError) as error:
            if batch > 1 and is_out_of_memory(error):
                batch //= 2
                continue
            raise
        done.extend(results)
        rest = rest[batch:]
    return done
""",
            "a list of parts to do",
        ),
        Answer(
            """
def do_all(items, work, batch):
    if not items:
        return []
    try:
        first = work(items[:batch])
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or batch < 2:
            raise
    else:
        return list(first) + do_all(items[batch:], work, batch)
    return do_all(items, work, batch // 2)
""",
            "goes on by recursion",
        ),
    ],
    "q6": [
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    reading = texts * bandwidth / size / parameters
    computing = flops / parameters / 2
    return reading if reading < computing else computing
""",
            "two speeds, the lower one",
        ),
    ],
}
