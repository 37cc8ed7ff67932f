"""Answers to exercise 06, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()
""",
            "swapped arguments: who believes p where q is true",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return (log_p.exp() * (log_q - log_p)).sum(-1).mean()
""",
            "wrong sign",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).mean()
""",
            "the mean over everything, the vocabulary too",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum()
""",
            "the sum over all prompts",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return -(log_p.exp() * log_q).sum(-1).mean()
""",
            "forgotten step: all that q costs, not what it costs more",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(0), true.log_softmax(0)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()
""",
            "wrong axis: a softmax over the prompts",
        ),
        Answer(
            """
def extra_nats(logits, true):
    return (true.softmax(-1) * (true - logits)).sum(-1).mean()
""",
            "forgotten step: differences of logits, not of log p",
        ),
        Answer(
            """
def extra_nats(logits, true):
    q, p = logits.softmax(-1), true.softmax(-1)
    return (p * (p.log() - q.log())).sum(-1).mean()
""",
            "numerically unstable: logs of probabilities that have become 0",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean() / torch.tensor(2.0).log()
""",
            "bits instead of nats",
        ),
        Answer(
            """
def extra_nats(logits, true):
    return torch.nn.functional.kl_div(logits.log_softmax(-1), true.softmax(-1))
""",
            "PyTorch's divergence with its default mean",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q = logits.log_softmax(-1)
    log_p = true.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum()
""",
            "adds up over prompts instead of taking their mean, right for one prompt only",
        ),
        Answer(
            """
def extra_nats(logits, true):
    logits -= logits.amax(-1, keepdim=True)  # so that exp does not overflow
    true -= true.amax(-1, keepdim=True)
    log_q = logits - logits.exp().sum(-1, keepdim=True).log()
    log_p = true - true.exp().sum(-1, keepdim=True).log()
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()
""",
            "changes both tensors of logits in place",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q = (logits.softmax(-1) + 1e-6).log()
    log_p = (true.softmax(-1) + 1e-6).log()
    return (true.softmax(-1) * (log_p - log_q)).sum(-1).mean()
""",
            "adds a small number before the logarithm, so a very unlikely token costs too little",
        ),
        Answer(
            """
def extra_nats(logits, true):
    log_q = logits.log_softmax(-1)
    log_p = true.log_softmax(-1)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()
""",
            "the two distributions exchanged: weighted by q where p is true",
        ),
    ],
    "q2": [
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "forgotten step: one block only",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2 * config.n_head
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "heads in the place of blocks",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = (config.vocab_size + config.context) * config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "the table of positions is packed, too",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * table_bits + table * block_bits + rest * 32) / 8
""",
            "swapped arguments",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "counts the table twice: it stays in the rest",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    config = course.config
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "reads a global instead of its argument",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * 12 * config.n_embd**2
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "a wrong constant: twelve blocks, as in small",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 16) / 8
""",
            "a wrong constant: the rest in 16 bits",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = config.n_layer * 12 * config.n_embd**2
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return ((blocks + table) * block_bits + rest * 32) / 8
""",
            "gives the token table the bits of the blocks and never uses table_bits",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = course.config.n_layer * 12 * course.config.n_embd**2
    table = course.config.vocab_size * course.config.n_embd
    rest = parameters - blocks - table
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "takes the notebook's own config in place of the one that it is given",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks
    return (blocks * block_bits + table * table_bits + rest * 32) / 8
""",
            "does not take the token table off the rest, so it counts twice",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    scale = 16 / 32  # a scale of 16 bits for 32 weights
    blocks = 12 * config.n_embd**2 * config.n_layer
    table = config.vocab_size * config.n_embd
    rest = parameters - blocks - table
    return (blocks * (block_bits + scale) + table * (table_bits + scale) + rest * 32) / 8
""",
            "adds half a bit for scales once more although they are included",
        ),
    ],
    "q3": [
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and (not parts or sum(part.nbytes for part in parts) > tensor.nbytes):
            names.append(name)
    return names
""",
            "what takes exactly as many bytes is taken for packed",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and sum(part.nbytes for part in parts) >= tensor.nbytes:
            names.append(name)
    return names
""",
            "forgotten step: a lost matrix isn't named",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if not parts or sum(part.nbytes for part in parts) >= tensor.nbytes:
            names.append(name)
    return names
""",
            "names what has one axis, too",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and (not parts or sum(part.numel() for part in parts) >= tensor.numel()):
            names.append(name)
    return names
""",
            "counts numbers, not bytes",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and (not parts or max(part.nbytes for part in parts) >= tensor.nbytes):
            names.append(name)
    return names
""",
            "looks at the largest part only",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and parts and sum(part.nbytes for part in parts) < tensor.nbytes:
            names.append(name)
    return names
""",
            "the complement: names the packed ones",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        if before[name].dim() == 2 and f"{name}.codes" not in after:
            names.append(name)
    return names
""",
            "looks for the name only: whoever has codes is packed",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and (parts[0].nbytes + sum(part.nbytes for part in parts[1:])) >= tensor.nbytes:
            names.append(name)
    return names
""",
            "crashes at a lost matrix",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and all(part.dtype == tensor.dtype for part in parts):
            names.append(name)
    return names
""",
            "looks at the number format, not at the bytes",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and sum(part.nbytes for part in parts) >= tensor.nbytes:
            names.append(name)
    return names
""",
            "a matrix of which nothing is left counts as packed, since 0 bytes are fewer",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and (not parts or parts[0].nbytes >= tensor.nbytes):
            names.append(name)
    return names
""",
            "looks at the first stored part only and forgets the bytes of the scales",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 1:
            continue
        if not parts or sum(part.nbytes for part in parts) >= tensor.nbytes:
            names.append(name)
    return names
""",
            "skips only what has one axis, so single numbers and tensors of three axes are taken for matrices",
        ),
        Answer(
            """
def not_packed(before, after):
    names = []
    for name in before:
        tensor, parts = before[name], stored(after, name)
        if tensor.dim() == 2 and all(part.is_floating_point() for part in parts):
            names.append(name)
    return names
""",
            "judges by the dtype and not by bytes: halves of a float32 matrix are named, large whole numbers are not",
        ),
    ],
    "q4": [
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        return one.weight_bytes <= other.weight_bytes and one.error <= other.error

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "as good in both is enough: equal rows beat themselves",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        return one.weight_bytes < other.weight_bytes and one.error < other.error

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "must be better in both",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        return one.weight_bytes < other.weight_bytes or one.error < other.error

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "better in one is enough",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        as_good = one.file_bytes <= other.file_bytes and one.error <= other.error
        return as_good and (one.file_bytes < other.file_bytes or one.error < other.error)

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "a wrong column: the file's bytes",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        as_good = one.weight_bytes <= other.weight_bytes and one.error <= other.error
        return as_good and (one.weight_bytes < other.weight_bytes or one.error < other.error)

    return [row for row in rows if not any(beats(row, one) for one in rows)]
""",
            "swapped arguments: keeps what beats nobody",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        return one.weight_bytes < other.weight_bytes and one.error <= other.error

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "better in bytes is asked for",
        ),
        Answer(
            """
def unbeaten(rows):
    left, best = [], float("inf")
    for row in sorted(rows, key=lambda row: (row.weight_bytes, row.error)):
        if row.error < best:
            left.append(row)
            best = row.error
    return left
""",
            "changes the order: by bytes",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        lighter, better = one.weight_bytes < other.weight_bytes, one.error < other.error
        return one.weight_bytes <= other.weight_bytes and one.error <= other.error and lighter or better

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "wrong precedence of and and or",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        return one.weight_bytes < other.weight_bytes and one.error < other.error

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "asks for better in both, so a row that is equal in one and worse in the other stays",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        if one is other:
            return False
        return one.weight_bytes <= other.weight_bytes and one.error <= other.error

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "never asks for better in one, so two equal rows beat each other",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        good = one.memory_bytes <= other.memory_bytes and one.error <= other.error
        better = one.memory_bytes < other.memory_bytes or one.error < other.error
        return good and better

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "compares the bytes of the process in place of the bytes of the weights",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        good = one.weight_bytes <= other.weight_bytes and one.error <= other.error
        return good and (one.weight_bytes, one.error) != (other.weight_bytes, other.error)

    ordered = sorted(rows, key=lambda row: (row.weight_bytes, row.error))
    return [row for row in ordered if not any(beats(one, row) for one in rows)]
""",
            "returns the right rows sorted by bytes and not in their order",
        ),
    ],
    "q5": [
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes <= memory and row.error <= worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "forgotten step: all of the free memory",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.weight_bytes <= 0.8 * memory and row.error <= worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "a wrong column: the weights' bytes",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes <= 0.8 * memory and row.error <= worst]
    return max(fitting, key=lambda row: row.tokens_per_second)
""",
            "crashes where none fits",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes <= 0.8 * memory and row.error < worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "off by one: an error of exactly worst is too much",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes < 0.8 * memory and row.error <= worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "off by one: exactly four fifths are too much",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes <= 0.8 * memory and row.error <= worst]
    return min(fitting, key=lambda row: row.error, default=None)
""",
            "takes the most accurate",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes <= 0.8 * memory]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "ignores an argument: any error will do",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes <= 0.8 * memory and row.error <= worst]
    best = max(fitting, key=lambda row: row.tokens_per_second, default=None)
    return best.loader if best else None
""",
            "wrong type: the name of the row",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    return next((row for row in rows if row.memory_bytes <= 0.8 * memory and row.error <= worst), None)
""",
            "the first that fits",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes < 0.8 * memory and row.error < worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "less than instead of at most: a row exactly at a limit is left out",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fastest = max(rows, key=lambda row: row.tokens_per_second, default=None)
    if fastest is None or fastest.memory_bytes > memory * 4 / 5 or fastest.error > worst:
        return None
    return fastest
""",
            "takes the fastest of all first and gives up if that one does not fit",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.memory_bytes * 4 / 5 <= memory and row.error <= worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "four fifths on the wrong side: allows five fourths of the free memory",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    fitting = [row for row in rows if row.weight_bytes * 5 <= memory * 4 and row.error <= worst]
    return max(fitting, key=lambda row: row.tokens_per_second, default=None)
""",
            "asks whether the weights fit and not the whole process",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def extra_nats(logits, true):
    log_q, log_p = logits.log_softmax(-1), true.log_softmax(-1)
    return torch.nn.functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
""",
            "PyTorch's divergence",
        ),
        Answer(
            """
def extra_nats(logits, true):
    costs = []
    for row, truth in zip(logits, true):
        p = truth.softmax(-1)
        costs.append(p @ truth.log_softmax(-1) - p @ row.log_softmax(-1))
    return torch.stack(costs).mean()
""",
            "prompt by prompt",
        ),
        Answer(
            """
import torch.nn.functional as F


def extra_nats(logits, true):
    p = true.double().softmax(-1)
    believed = F.cross_entropy(logits.double(), p)
    known = F.cross_entropy(true.double(), p)
    return (believed - known).to(true.dtype)
""",
            "cross-entropy minus entropy, in double precision",
        ),
        Answer(
            """
def extra_nats(logits, true):
    costs = []
    for given, real in zip(logits, true):
        surprise_q = given.logsumexp(0) - given
        surprise_p = real.logsumexp(0) - real
        costs.append(torch.dot((-surprise_p).exp(), surprise_q - surprise_p))
    return sum(costs) / len(costs)
""",
            "prompt by prompt, with logsumexp and a scalar product",
        ),
    ],
    "q2": [
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    d, saved = config.n_embd, 0
    for shape in [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)] * config.n_layer:
        saved += shape[0] * shape[1] * (32 - block_bits)
    saved += config.vocab_size * d * (32 - table_bits)
    return parameters * 4 - saved / 8
""",
            "begins with all in 32 bits, and takes away what packing saves",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    blocks = config.n_layer * 3 * (2 * config.n_embd) ** 2
    table = config.n_embd * config.vocab_size
    saved = blocks * (32 - block_bits) + table * (32 - table_bits)
    return (32 * parameters - saved) / 8
""",
            "all in 32 bits, minus what packing saves",
        ),
        Answer(
            """
def packed_bytes(config, parameters, block_bits, table_bits):
    width, bits, left = config.n_embd, 0, parameters
    for _ in range(config.n_layer):
        for outputs in (3 * width, width, 4 * width, 4 * width):  # qkv, out, up, down turned round
            bits += outputs * width * block_bits
            left -= outputs * width
    bits += config.vocab_size * width * table_bits
    left -= config.vocab_size * width
    return (bits + 32 * left) / 8
""",
            "a loop over blocks and their four matrices",
        ),
    ],
    "q3": [
        Answer(
            """
def not_packed(before, after):
    matrices = {name: tensor.nbytes for name, tensor in before.items() if len(tensor.shape) == 2}
    now = {name: sum(part.numel() * part.element_size() for part in stored(after, name)) for name in matrices}
    return [name for name, took in matrices.items() if not 0 < now[name] < took]
""",
            "first what each matrix takes now, then the comparison",
        ),
        Answer(
            """
def not_packed(before, after):
    held = {}
    for key, tensor in after.items():
        while key:
            held[key] = held.get(key, 0) + tensor.nbytes
            key = key.rpartition(".")[0]
    matrices = {name: tensor.nbytes for name, tensor in before.items() if tensor.dim() == 2}
    return [name for name, size in matrices.items() if held.get(name, size) >= size]
""",
            "adds each stored tensor to all beginnings of its name, then looks up",
        ),
        Answer(
            """
def not_packed(before, after):
    names = list(before)
    for name, tensor in before.items():
        parts = stored(after, name)
        shrunk = False
        if parts:
            now = sum(part.numel() * part.element_size() for part in parts)
            shrunk = now < tensor.numel() * tensor.element_size()
        if shrunk or len(tensor.shape) != 2:
            names.remove(name)
    return names
""",
            "begins with all names and strikes out those that shrank or are no matrices",
        ),
    ],
    "q4": [
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        mine, theirs = (one.weight_bytes, one.error), (other.weight_bytes, other.error)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs))

    return [row for row in rows if not any(beats(one, row) for one in rows)]
""",
            "pairs of numbers, compared as such",
        ),
        Answer(
            """
def unbeaten(rows):
    left = []
    for row in rows:
        least = min(one.error for one in rows if one.weight_bytes <= row.weight_bytes)
        smallest = min(one.weight_bytes for one in rows if one.error <= row.error)
        if least == row.error and smallest == row.weight_bytes:
            left.append(row)
    return left
""",
            "for each row, the least error of those as small",
        ),
        Answer(
            """
def unbeaten(rows):
    kept = []
    for row in rows:
        same = [one.error for one in rows if one.weight_bytes == row.weight_bytes]
        smaller = [one.error for one in rows if one.weight_bytes < row.weight_bytes]
        if row.error > min(same):
            continue
        if smaller and min(smaller) <= row.error:
            continue
        kept.append(row)
    return kept
""",
            "compares with the best of the same size and with the best of the smaller ones",
        ),
        Answer(
            """
def unbeaten(rows):
    def beats(one, other):
        mine = (one.weight_bytes, one.error)
        yours = (other.weight_bytes, other.error)
        return mine != yours and tuple(map(min, mine, yours)) == mine

    return list(filter(lambda row: not any(beats(one, row) for one in rows), rows))
""",
            "one beats another if the minimum of both pairs is its own pair, and the pairs differ",
        ),
    ],
    "q5": [
        Answer(
            """
def choose(rows, memory, worst):
    best = None
    for row in rows:
        fits = 5 * row.memory_bytes <= 4 * memory and row.error <= worst
        if fits and (best is None or row.tokens_per_second > best.tokens_per_second):
            best = row
    return best
""",
            "in a loop, with whole numbers",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    for row in sorted(rows, key=lambda row: row.tokens_per_second, reverse=True):
        if row.memory_bytes <= memory * 4 / 5 and not row.error > worst:
            return row
""",
            "from the fastest downwards",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    best = None
    for row in rows:
        if 5 * row.memory_bytes > 4 * memory or row.error > worst:
            continue
        if best is None or row.tokens_per_second > best.tokens_per_second:
            best = row
    return best
""",
            "one pass that remembers the best so far, in whole numbers",
        ),
        Answer(
            """
def choose(rows, memory, worst):
    by_speed = sorted(rows, key=lambda row: -row.tokens_per_second)
    return next((row for row in by_speed if row.memory_bytes <= memory * 4 / 5 and row.error <= worst), None)
""",
            "sorted by speed, the first that fits",
        ),
    ],
}
