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
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    # 4 for the weight, and 4 + 8 more for each one that learns
    return 4 * parameters + 12 * trained
""",
            "two moments taken for granted: the argument moments is ignored",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    weights = 4 * parameters
    gradients = 4 * parameters
    state = 4 * moments * trained
    return weights + gradients + state
""",
            "frozen weights get a gradient too; right only when everything learns",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    frozen = parameters - trained
    return 4 * frozen + 4 * trained * (1 + moments)
""",
            "the weights that learn are not counted themselves, only their gradients and moments",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    if not moments:  # plain SGD keeps nothing beside the weights
        return 4 * parameters
    return 4 * parameters + 4 * trained + 4 * trained * moments
""",
            "plain SGD (no moments) loses its gradients",
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
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * config.n_layer * config.n_embd * size
    return min(config.context, int(room // token))
""",
            "the rows of the batch are forgotten; right for a batch of 1",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * config.n_layer * config.n_embd * batch * size
    return min(1024, int(room // token))
""",
            "GPT-2's context of 1024 hard-coded instead of config.context",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * config.n_layer * config.n_embd * batch * size
    return min(config.context, round(room / token))
""",
            "rounded to the nearest number of tokens, so up to half a token too much",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    token = 2 * config.n_layer * config.n_embd * size * batch
    tokens = 0
    while tokens < config.context and (tokens + 1) * token < room:
        tokens += 1
    return tokens
""",
            "strictly less than the room: one token too few where the cache would fill it exactly",
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
            "less than the memory instead of at most: a batch that fits exactly is refused",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, Workload(batch=more, context=work.context)) <= memory:
            batch = more
    return batch
""",
            "a new workload with only batch and context: training, dtype and device are lost",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if needs(config, replace(work, batch=more)) <= memory:
            return more
    return batch
""",
            "stops at the first power of two that fits",
        ),
        Answer(
            """
def largest_batch(config, memory, work):
    batch = 0
    one = needs(config, replace(work, batch=1))
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        more = batch + step
        if more * one <= memory:
            batch = more
    return batch
""",
            "multiplies the need of one text, so the weights are paid again for every text",
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
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    for name in caps:
        room = caps[name]
        if name == nearest and n * size >= room:
            room -= size
            if room < 0:
                return None
        where += [name] * min(room // size, n - len(where))
    return where if len(where) == n else None
""",
            "a buffer is kept although all blocks fit exactly into the nearest place",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    for name in caps:
        room = caps[name]
        if name == nearest and n * size > room:
            room -= size
        fit = max(0, room // size)
        where += [name] * min(fit, n - len(where))
    return where if len(where) == n else None
""",
            "doesn't refuse when the nearest place is too small for the buffer",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    spill = n * size > caps[nearest]
    for name in caps:
        room = caps[name]
        if spill:
            room -= size
        if name == nearest and room < 0:
            return None
        where += [name] * min(max(room // size, 0), n - len(where))
    return where if len(where) == n else None
""",
            "every place keeps a buffer, not only the nearest",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    if n * size > caps[nearest]:
        caps[nearest] -= size  # the buffer
        if caps[nearest] < 0:
            return None
    for name in caps:
        room = caps[name]
        where += [name] * min(room // size, n - len(where))
    return where if len(where) == n else None
""",
            "takes the buffer off the caller's caps",
        ),
        Answer(
            """
def place(n, size, caps):
    where, nearest = [], next(iter(caps))
    for name in caps:
        room = caps[name]
        if name == nearest and n * size > room:
            room -= size
            if room < 0:
                return None
        elif room < size:
            break
        fit = min(room // size, n - len(where))
        where += [name] * fit
    return where if len(where) == n else None
""",
            "a farther place too small for one block ends the search, the places behind it are not asked",
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
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            full = is_out_of_memory(error)
            if not full or batch == 1:
                raise
            batch //= 2
            done = []
    return done
""",
            "begins again from the first item after running out of memory",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            full = is_out_of_memory(error)
            if not full:
                raise
            if batch == 1:
                break  # nothing more can be done
            batch = batch // 2
    return done
""",
            "returns what there is, without an error, when not even one item fits",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            full = is_out_of_memory(error)
            if batch == 1:
                raise
            batch = batch // 2
    return done
""",
            "an error of another kind also halves the batch instead of being passed on at once",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while len(done) < len(items):
        try:
            done = done + work(items[len(done) : len(done) + batch])
        except (RuntimeError, MemoryError) as error:
            full = is_out_of_memory(error)
            if not full or batch <= 2:
                raise
            batch = batch // 2
    return done
""",
            "gives up at two items at a time and never goes from two to a single one",
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
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    reading = parameters * size / bandwidth
    computing = 2 * parameters * texts / flops
    return texts / (reading + computing)
""",
            "reading and computing one after the other: the times are added",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    reading = texts * bandwidth / (size * parameters)
    computing = flops / parameters
    return min(reading, computing)
""",
            "one operation for each weight instead of two; right while memory is the limit",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    reading = size * parameters / bandwidth
    computing = 2 * parameters * texts / flops
    return 1 / max(reading, computing)
""",
            "the rate of each text, not of all texts together",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    reading = bandwidth / (size * parameters)
    computing = flops / (2 * parameters)
    return texts * min(reading, computing)
""",
            "computing also gets faster with the number of texts: no bend",
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
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    kinds = {"weights": parameters, "gradients": trained}
    for i in range(moments):
        kinds[f"moment {i}"] = trained
    return 4 * sum(kinds.values())
""",
            "counts numbers of each kind in a dictionary, then four bytes for each",
        ),
        Answer(
            """
def training_bytes(parameters, trained, moments=2):
    frozen = parameters - trained
    for_one_that_learns = 4 + 4 + 4 * moments
    return frozen * 4 + trained * for_one_that_learns
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
        Answer(
            """
from bisect import bisect_right


def longest(config, room, batch=1, size=4):
    token = batch * config.n_layer * (config.n_embd + config.n_embd) * size
    costs = [tokens * token for tokens in range(1, config.context + 1)]
    return bisect_right(costs, room)
""",
            "looks the room up in the list of all costs by bisection",
        ),
        Answer(
            """
def longest(config, room, batch=1, size=4):
    tokens, used = 0, 0
    token = 2 * config.n_embd * size * config.n_layer * batch
    for _ in range(config.context):
        used += token
        if used > room:
            break
        tokens += 1
    return tokens
""",
            "adds one token after the other until the room is used up",
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
        Answer(
            """
def largest_batch(config, memory, work):
    fits, too_many = 0, 1024
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if needs(config, replace(work, batch=middle)) > memory:
            too_many = middle
        else:
            fits = middle
    return fits
""",
            "bisection between a batch that fits and one that is out of the question",
        ),
        Answer(
            """
import bisect


def largest_batch(config, memory, work):
    return bisect.bisect_right(range(1, 1024), memory, key=lambda batch: needs(config, replace(work, batch=batch)))
""",
            "bisect_right with a key over a range",
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
        Answer(
            """
def place(n, size, caps):
    names = list(caps)
    first = names[0]
    if n * size <= caps[first]:
        return [first] * n
    left = dict(caps)
    left[first] -= size
    if left[first] < 0:
        return None
    where = []
    for _ in range(n):
        name = next((one for one in names if left[one] >= size), None)
        if name is None:
            return None
        left[name] -= size
        where.append(name)
    return where
""",
            "early return when all fit; else block by block on a copy of the caps",
        ),
        Answer(
            """
from itertools import chain, islice, repeat


def place(n, size, caps):
    nearest, *others = caps
    slots = {name: int(caps[name] // size) for name in caps}
    if slots[nearest] < n:
        if slots[nearest] == 0:
            return None
        slots[nearest] -= 1
    if sum(slots.values()) < n:
        return None
    return list(islice(chain.from_iterable(repeat(name, slots[name]) for name in (nearest, *others)), n))
""",
            "counts slots of a block's size for each place, and takes the first n of them",
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
        Answer(
            """
def do_all(items, work, batch):
    results, at = [None] * len(items), 0
    while at < len(items):
        try:
            got = work(items[at : at + batch])
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error) and batch > 1:
                batch >>= 1
                continue
            raise
        results[at : at + len(got)] = got
        at += len(got)
    return results
""",
            "a prepared list that is filled from a running position",
        ),
        Answer(
            """
def do_all(items, work, batch):
    done = []
    while True:
        part = items[len(done) : len(done) + batch]
        if len(part) == 0:
            return done
        try:
            done.extend(work(part))
        except (RuntimeError, MemoryError) as error:
            single = len(part) == 1
            if single or not is_out_of_memory(error):
                raise
            batch = batch // 2
""",
            "asks whether the part itself has one item; ends on an empty part",
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
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    seconds_to_read = parameters * size / bandwidth
    seconds_to_compute = parameters * 2 * texts / flops
    return texts / max(seconds_to_read, seconds_to_compute)
""",
            "by the time of a round",
        ),
        Answer(
            """
def most_tokens(parameters, size, bandwidth, flops, texts=1):
    bend = flops / bandwidth * size / 2  # from so many texts on, computing is the limit
    if texts >= bend:
        return flops / parameters / 2
    return texts * (bandwidth / parameters / size)
""",
            "works out the bend of the roofline first",
        ),
    ],
}
