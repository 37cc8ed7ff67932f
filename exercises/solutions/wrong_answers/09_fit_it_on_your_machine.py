"""Typical wrong answers to exercise 09, and a part of the message that each must get."""

TRAINING = "def training_bytes(parameters, trained, moments=2):\n    return "
LONGEST = (
    "def longest(config, room, batch=1, size=4):\n    token = 2 * config.n_layer * config.n_embd * size\n    return "
)
BATCH = (
    "def largest_batch(config, memory, work):\n    batch = 0\n"
    "    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):\n"
)
PLACE = "def place(n, size, caps):\n    where = []\n    for number, (name, cap) in enumerate(caps.items()):\n"
BUFFER = "        if number == 0 and n * size > cap:\n            cap = cap - size\n"
ROOM = "            if cap < 0:\n                return None\n"
FILL = "        where = where + [name] * min(cap // size, n - len(where))\n"
REFUSE = "    return where if len(where) == n else None"
LADDER = (
    "def do_all(items, work, batch):\n    done = []\n    while len(done) < len(items):\n        try:\n"
    "            done = done + work(items[len(done) : len(done) + batch])\n"
    "        except (RuntimeError, MemoryError) as error:\n"
)
MOST = "def most_tokens(parameters, size, bandwidth, flops, texts=1):\n    return "
PASS_ON = "            if not is_out_of_memory(error) or batch == 1:\n                raise\n"

WRONG = {
    "q1": [
        (TRAINING + "4 * (2 + moments) * trained", "Has it no weights"),
        (TRAINING + "4 * (2 + moments) * parameters", "What do frozen ones have"),
        (TRAINING + "4 * parameters + 8 * trained", "with one moment"),
        (TRAINING + "4 * parameters + 12 * trained", "ask for `moments`"),
        (TRAINING + "4 * parameters + 4 * trained + moments * trained", "How many has a float32"),
    ],
    "q2": [
        (LONGEST + "min(config.context, room / (batch * token))", "// belongs"),
        (LONGEST + "min(config.context, 2 * room // (batch * token))", "only a key"),
        (LONGEST + "min(config.context, room * config.n_layer // (batch * token))", "how many blocks"),
        (LONGEST + "min(config.context, room // token)", "Who shares the room"),
        (LONGEST + "room // (batch * token)", "How many positions"),
        (LONGEST + "min(config.context, room * size // (4 * batch * token))", "Is size in your formula"),
    ],
    "q3": [
        (BATCH + "        batch = batch + step\n    return batch", "Nothing was asked"),
        (
            BATCH
            + "        if needs(config, replace(work, batch=step)) <= memory:\n            return step\n    return 0",
            "Do you go on after it",
        ),
        (
            BATCH + "        if needs(config, replace(work, batch=step)) <= memory:\n            batch = batch + step\n"
            "    return batch",
            "Do they fit together",
        ),
        (
            BATCH + "        if needs(config, replace(work, batch=batch + step)) < memory:\n"
            "            batch = batch + step\n    return batch",
            "< or <=",
        ),
        (
            BATCH + "        wish = Workload(batch + step, work.context, work.dtype)\n"
            "        if needs(config, wish) <= memory:\n            batch = batch + step\n    return batch",
            "still part of the work",
        ),
        (
            BATCH + "        wish = Workload(batch + step, work.context, training=work.training)\n"
            "        if needs(config, wish) <= memory:\n            batch = batch + step\n    return batch",
            "dtype and all else",
        ),
    ],
    "q4": [
        (PLACE + FILL + REFUSE, "Where is room for the buffer"),
        (PLACE + BUFFER.replace(" and n * size > cap", "") + ROOM + FILL + REFUSE, "nothing is copied"),
        (PLACE + BUFFER + ROOM + FILL + "    return where", "Some block finds no place"),
        (PLACE + BUFFER + FILL + REFUSE, "GPU of 9 bytes"),
        (
            PLACE + BUFFER.replace("number == 0 and ", "").replace("n *", "(n - len(where)) *") + ROOM + FILL + REFUSE,
            "Every place keeps room",
        ),
        (
            PLACE + BUFFER + ROOM + "        where = where + [name] * min(cap // size, n)\n    return where",
            "The length is 7",
        ),
    ],
    "q5": [
        (LADDER + "            batch = batch // 2\n    return done", "called more than 30 times"),
        (
            LADDER
            + "            if batch == 1:\n                raise\n            batch = batch // 2\n    return done",
            "Which errors do you pass on",
        ),
        (
            LADDER
            + "            if not is_out_of_memory(error):\n                raise\n            batch = batch // 2\n"
            "    return done",
            "When do you give up",
        ),
        (LADDER + PASS_ON + "            batch = batch - 1\n    return done", "Is it half"),
        (LADDER + PASS_ON + "            done, batch = [], batch // 2\n    return done", "stay done"),
        (LADDER + PASS_ON + "    return done", "again and again. Does batch get smaller"),
        (
            LADDER + "            if not is_out_of_memory(error):\n                raise\n            if batch == 1:\n"
            "                break\n            batch = batch // 2\n    return done",
            "Is the error passed on",
        ),
    ],
    "q6": [
        (MOST + "texts * bandwidth / parameters", "Is `size` in your formula"),
        (MOST + "flops / (2 * parameters)", "how fast do weights arrive"),
        (MOST + "min(bandwidth / (size * parameters), flops / (2 * parameters))", "used that was read once"),
        (MOST + "texts * bandwidth / (size * parameters)", "who does them"),
        (MOST + "min(texts * bandwidth / (size * parameters), flops / parameters)", "How many operations is that"),
    ],
}
