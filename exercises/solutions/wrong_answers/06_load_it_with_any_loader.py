"""Typical wrong answers to exercise 06, and a part of the message that each must get."""

NATS = (
    "def extra_nats(logits, true):\n    log_q = logits.log_softmax(-1)\n    log_p = true.log_softmax(-1)\n"
    "    parts = log_p.exp() * (log_p - log_q)\n    return "
)
BYTES = (
    "def packed_bytes(config, parameters, block_bits, table_bits):\n"
    "    blocks = config.n_layer * 12 * config.n_embd**2\n    table = config.vocab_size * config.n_embd\n"
    "    rest = parameters - blocks - table\n"
    "    return (blocks * block_bits + table * table_bits + rest * 32) / 8"
)
PACKED = (
    "def not_packed(before, after):\n    names = []\n    for name, tensor in before.items():\n"
    "        left = sum(part.nbytes for part in stored(after, name))\n"
    "        if tensor.dim() == 2 and not 0 < left < tensor.nbytes:\n            names.append(name)\n    return names"
)
UNBEATEN = (
    "def unbeaten(rows):\n    def beats(one, other):\n        return BEATS\n"
    "    return [row for row in rows if not any(beats(one, row) for one in rows)]"
)
SMALLER = "one.weight_bytes < other.weight_bytes"
CLOSER = "one.error < other.error"
AS_GOOD = "one.weight_bytes <= other.weight_bytes and one.error <= other.error"
CHOOSE = (
    "def choose(rows, memory, worst):\n"
    "    fitting = [row for row in rows if row.memory_bytes <= 0.8 * memory and row.error <= worst]\n"
    "    return max(fitting, key=lambda row: row.tokens_per_second, default=None)"
)

WRONG = {
    "q1": [
        (NATS + "(log_q.exp() * (log_q - log_p)).sum(-1).mean()", "Whose shares count"),
        (NATS + "-parts.sum(-1).mean()", "Believing something wrong always costs"),
        (NATS + "(log_p.exp() * (true - logits)).sum(-1).mean()", "both come from a softmax"),
        (NATS + "parts.mean()", "then averaged"),
        (NATS + "parts.sum()", "Over what is the mean"),
        (NATS + "parts.sum(-1)", "One number"),
    ],
    "q2": [
        (BYTES.replace(" * config.n_embd\n", "\n"), "one number for each token"),
        (BYTES.replace("config.n_layer * ", ""), "How many blocks"),
        (BYTES.replace("rest = parameters - blocks - table", "rest = parameters"), "counted twice"),
        (BYTES.replace("rest * 32", "rest * 16"), "and not in 16"),
        (BYTES.replace(" / 8", ""), "Eight of them"),
    ],
    "q3": [
        (PACKED.replace("nbytes", "numel()"), "or their bytes"),
        (
            PACKED.replace("stored(after, name)", "[after.get(name, after.get(name + '.codes', tensor))]"),
            "Are they counted",
        ),
        (PACKED.replace("tensor.dim() == 2 and ", ""), "Which tensors have two axes"),
        (PACKED.replace("not 0 < left < tensor.nbytes", "left >= tensor.nbytes"), "of which nothing is left"),
        (PACKED.replace("not 0 <", "0 <"), "Which were not"),
    ],
    "q4": [
        (UNBEATEN.replace("BEATS", AS_GOOD), "Can a row beat itself"),
        (UNBEATEN.replace("BEATS", f"{AS_GOOD} and one is not other"), "equal in both"),
        (UNBEATEN.replace("BEATS", f"{SMALLER} and {CLOSER}"), "Must both be better"),
        (UNBEATEN.replace("BEATS", f"{SMALLER} or {CLOSER}"), "however bad"),
        (UNBEATEN.replace("BEATS", f"{SMALLER} and {CLOSER}").replace("<", ">"), "small error good"),
    ],
    "q5": [
        (CHOOSE.replace("row.memory_bytes", "row.weight_bytes"), "expected"),
        (CHOOSE.replace("0.8 * ", ""), "leave a fifth"),
        (CHOOSE.replace("max(", "min("), "slowest"),
        (CHOOSE.replace("error <= worst", "error < worst"), "< or <="),
        (CHOOSE.replace(" and row.error <= worst", ""), "ask for the error"),
        (CHOOSE.replace(", default=None", ""), "with ValueError"),
    ],
}
