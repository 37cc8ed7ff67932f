"""Answers to exercise 03, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def future(time):
    return torch.ones(time, time, dtype=torch.bool).triu()
""",
            "off by one: hides the token itself",
        ),
        Answer(
            """
def future(time):
    return torch.ones(time, time, dtype=torch.bool).tril()
""",
            "the complement: what it may look at",
        ),
        Answer(
            """
def future(time):
    return torch.ones(time, time, dtype=torch.bool).tril(-1)
""",
            "transposed: hides the past",
        ),
        Answer(
            """
def future(time):
    return torch.ones(time, time).triu(1)
""",
            "wrong type: numbers",
        ),
        Answer(
            """
def future(time):
    table = torch.zeros(time, time, dtype=torch.bool)
    for row in range(min(time, 8)):
        table[row, row + 1 :] = True
    return table
""",
            "fits a few tokens only",
        ),
        Answer(
            """
def future(time):
    return torch.diag(torch.ones(time - 1, dtype=torch.bool), 1)
""",
            "hides only the next token",
        ),
        Answer(
            '''
def future(time):
    """Return (time, time) of bool: True where the column comes after the row."""
    return torch.ones(time, time, dtype=torch.bool).triu()
''',
            "the diagonal is hidden, too: a token may not look at itself",
        ),
        Answer(
            '''
def future(time):
    """Return (time, time) of bool: True where the column comes after the row."""
    places = torch.arange(time).to(torch.uint8)  # small numbers need one byte
    return places[None, :] > places[:, None]
''',
            "places in 8 bits: they begin anew at 256, so the table is wrong for longer texts",
        ),
        Answer(
            '''
def future(time):
    """Return (time, time) of bool: True where the column comes after the row."""
    return torch.diag(torch.ones(time - 1), 1).bool()
''',
            "hides the next token only, not all later ones: right for one or two tokens",
        ),
        Answer(
            '''
def future(time):
    """Return (time, time) of bool: True where the column comes after the row."""
    return torch.ones(time, time).triu(1)
''',
            "wrong dtype: floats 0 and 1 instead of bool",
        ),
    ],
    "q2": [
        Answer(
            """
def shares(q, k):
    scores = q @ k.T
    scores = scores.masked_fill(future(len(q)), float("-inf"))
    return scores.softmax(-1)
""",
            "forgotten step: doesn't divide",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / q.shape[-1]
    scores = scores.masked_fill(future(len(q)), float("-inf"))
    return scores.softmax(-1)
""",
            "divides by the width, not by its root",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / len(q) ** 0.5
    scores = scores.masked_fill(future(len(q)), float("-inf"))
    return scores.softmax(-1)
""",
            "divides by the root of the number of tokens",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / config.head_width**0.5
    scores = scores.masked_fill(future(len(q)), float("-inf"))
    return scores.softmax(-1)
""",
            "reads a global instead of its argument: the model's head width",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    scores = scores.masked_fill(future(len(q)), float("-inf"))
    return scores.softmax(0)
""",
            "wrong axis: columns sum to 1",
        ),
        Answer(
            """
def shares(q, k):
    scores = k @ q.T / q.shape[-1] ** 0.5
    scores = scores.masked_fill(future(len(q)), float("-inf"))
    return scores.softmax(-1)
""",
            "swapped arguments: keys look at queries",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    scores = scores * ~future(len(q))
    return scores.softmax(-1)
""",
            "a wrong constant: hides with 0",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    scores = scores.masked_fill(future(len(q)), -20.0)
    return scores.softmax(-1)
""",
            "a wrong constant that fits small scores: hides with -20",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    return scores.softmax(-1).masked_fill(future(len(q)), 0.0)
""",
            "hides after the softmax: rows don't sum to 1",
        ),
        Answer(
            """
def shares(q, k):
    scores = (q @ k.T / q.shape[-1] ** 0.5).exp()
    scores = scores.masked_fill(future(len(q)), 0.0)
    return scores / scores.sum(-1, keepdim=True)
""",
            "numerically unstable: powers of e without the largest taken away",
        ),
        Answer(
            """
def shares(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    scores = scores + future(len(q)) * float("-inf")
    return scores.softmax(-1)
""",
            "multiplies infinity by 0",
        ),
        Answer(
            '''
def shares(q, k):
    """Return how much each token takes from each other: (time, time), rows that sum to 1."""
    scores = q @ k.T / config.head_width**0.5
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1)
''',
            "divides by the root of the model's head width, whatever width the queries have",
        ),
        Answer(
            '''
def shares(q, k):
    """Return how much each token takes from each other: (time, time), rows that sum to 1."""
    scores = (q @ k.T / q.shape[-1] ** 0.5).tril()
    scores = scores.masked_fill(scores == 0, -torch.inf)
    return scores.softmax(-1)
''',
            "hides every score that is 0, also a real one of the past",
        ),
        Answer(
            '''
def shares(q, k):
    """Return how much each token takes from each other: (time, time), rows that sum to 1."""
    q /= q.shape[-1] ** 0.5
    scores = q @ k.T
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1)
''',
            "in-place: divides the queries that were handed in",
        ),
        Answer(
            '''
def shares(q, k):
    """Return how much each token takes from each other: (time, time), rows that sum to 1."""
    scores = q @ k.T / q.shape[-1] ** 0.5
    scores = scores.softmax(-1)
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), 0)
''',
            "masks after the softmax, so that rows sum to less than 1",
        ),
    ],
    "q3": [
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice(head, head + config.head_width)
    return shares(q[:, own], k[:, own]) @ v[:, own]
""",
            "a wrong slice: begins at the head's number",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    return shares(q, k) @ v[:, own]
""",
            "cuts only the values",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    return shares(q[:, own], k[:, own]) @ v[:, : config.head_width]
""",
            "ignores an argument for the values: always those of head 0",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    return shares(k[:, own], q[:, own]) @ v[:, own]
""",
            "swapped: keys ask, queries answer",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    return shares(q[:, own], k[:, own]).T @ v[:, own]
""",
            "transposed shares",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = (part[:, head :: config.n_head] for part in attention.qkv(x).chunk(3, dim=-1))
    return shares(q, k) @ v
""",
            "every so-many-th column instead of neighbors",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = block.attention.qkv(x).chunk(3, dim=-1)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    return shares(q[:, own], k[:, own]) @ v[:, own]
""",
            "reads a global instead of its argument: the first block's attention",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice((head - 1) * config.head_width, head * config.head_width)
    return shares(q[:, own], k[:, own]) @ v[:, own]
""",
            "counts heads from 1",
        ),
        Answer(
            '''
def one_head(x, attention, head):
    """Return what one head takes for each token of x (time, width): (time, head width)."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)  # each (time, width)
    own = slice(head, head + config.head_width)
    scores = q[:, own] @ k[:, own].T / config.head_width**0.5
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1) @ v[:, own]
''',
            "the columns begin at the head's number instead of head times width: right for head 0 only",
        ),
        Answer(
            '''
def one_head(x, attention, head):
    """Return what one head takes for each token of x (time, width): (time, head width)."""
    q, k, v = block.attention.qkv(x).chunk(3, dim=-1)  # each (time, width)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    scores = q[:, own] @ k[:, own].T / config.head_width**0.5
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1) @ v[:, own]
''',
            "uses the notebook's block 0 instead of the attention that it is given",
        ),
        Answer(
            '''
def one_head(x, attention, head):
    """Return what one head takes for each token of x (time, width): (time, head width)."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)  # each (time, width)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    scores = q[:, own] @ k[:, own].T / q.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1) @ v[:, own]
''',
            "divides by the root of the model's width instead of the head's",
        ),
        Answer(
            '''
def one_head(x, attention, head):
    """Return what one head takes for each token of x (time, width): (time, head width)."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)  # each (time, width)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    scores = q[:, own] @ k[:, own].T / config.head_width**0.5
    return scores.softmax(-1) @ v[:, own]
''',
            "no causal mask: right for the last token only",
        ),
        Answer(
            """
def looked(q, k, v):
    later = torch.ones(len(q), len(q), device=q.device).triu(1).bool()
    scores = q @ k.T / q.shape[-1] ** 0.5
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v


def one_head(x, attention, head):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    own = slice(head * config.head_width, (head + 1) * config.head_width)
    return looked(q[:, own], k[:, own], v[:, own]).squeeze()
""",
            "squeezed: one token loses its dimension of time",
        ),
    ],
    "q4": [
        Answer(
            """
def attend(x, attention):
    return torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)
""",
            "forgotten step: doesn't mix",
        ),
        Answer(
            """
def attend(x, attention):
    brought = torch.cat([one_head(x, attention, head) for head in reversed(range(config.n_head))], dim=-1)
    return attention.out(brought)
""",
            "the heads in reverse order",
        ),
        Answer(
            """
def attend(x, attention):
    brought = torch.cat([one_head(x, attention, 0) for head in range(config.n_head)], dim=-1)
    return attention.out(brought)
""",
            "head 0 as often as there are heads",
        ),
        Answer(
            """
def attend(x, attention):
    heads = torch.stack([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)
    return attention.out(heads.flatten(1))
""",
            "interleaves the columns of the heads",
        ),
        Answer(
            """
def attend(x, attention):
    heads = torch.stack([one_head(x, attention, head) for head in range(config.n_head)])
    return attention.out(heads.reshape(len(x), -1))
""",
            "reshapes heads under each other as if they stood side by side",
        ),
        Answer(
            """
def attend(x, attention):
    brought = torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)
    return brought @ attention.out.weight.T
""",
            "forgets the bias of the mix",
        ),
        Answer(
            """
def attend(x, attention):
    brought = torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)
    return x + attention.out(brought)
""",
            "adds the stream, which belongs to the block",
        ),
        Answer(
            """
def attend(x, attention):
    brought = torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)
    return block.attention.out(brought)
""",
            "reads a global instead of its argument for the mix",
        ),
        Answer(
            '''
def attend(x, attention):
    """Return what attention adds to x (time, width): (time, width)."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    result = 0
    for head in range(config.n_head):
        own = slice(head * config.head_width, (head + 1) * config.head_width)
        scores = q[:, own] @ k[:, own].T / config.head_width**0.5
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        brought = torch.zeros_like(x)
        brought[:, own] = scores.softmax(-1) @ v[:, own]
        result = result + attention.out(brought)
    return result
''',
            "mixes each head by itself and adds up, so that the bias of `out` comes once for every head",
        ),
        Answer(
            '''
def attend(x, attention):
    """Return what attention adds to x (time, width): (time, width)."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    parts = []
    for head in range(config.n_head):
        own = slice(head * config.head_width, (head + 1) * config.head_width)
        scores = q[:, own] @ k[:, own].T / config.head_width**0.5
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        parts.append(scores.softmax(-1) @ v[:, own])
    brought = torch.cat(parts, dim=-1)
    return block.attention.out(brought)
''',
            "mixes by the notebook's block 0 instead of the attention that it is given",
        ),
        Answer(
            '''
def attend(x, attention):
    """Return what attention adds to x (time, width): (time, width)."""
    time = len(x)
    q, k, v = (
        part.view(time, config.n_head, config.head_width).transpose(0, 1)
        for part in attention.qkv(x).chunk(3, dim=-1)
    )
    scores = q @ k.transpose(-2, -1) / config.head_width**0.5
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    brought = (scores.softmax(-1) @ v).reshape(time, -1)
    return attention.out(brought)
''',
            "reshapes without bringing tokens to the front again: tokens and heads are mixed, right for one token",
        ),
        Answer(
            '''
def attend(x, attention):
    """Return what attention adds to x (time, width): (time, width)."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    parts = []
    for head in range(config.n_head):
        own = slice(head * config.head_width, (head + 1) * config.head_width)
        scores = q[:, own] @ k[:, own].T / config.head_width**0.5
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        parts.append(scores.softmax(-1) @ v[:, own])
    brought = torch.stack(parts, dim=-1).flatten(1)
    return attention.out(brought)
''',
            "stacks the heads in the last dimension, so that their columns alternate instead of standing side by side",
        ),
        Answer(
            """
def all_heads(x, attention):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    later = torch.ones(len(x), len(x), device=x.device).triu(1).bool()
    brought = []
    for start in range(0, x.shape[-1], config.head_width):
        own = slice(start, start + config.head_width)
        scores = q[:, own] @ k[:, own].T / config.head_width**0.5
        brought.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ v[:, own])
    return attention.out(torch.cat(brought, dim=-1))


def attend(x, attention):
    return torch.cat([all_heads(part, attention) for part in x.split(64)])
""",
            "works on 64 tokens at a time, so later ones don't see the parts before",
        ),
    ],
    "q5": [
        Answer(
            """
def whole_block(x, block):
    x = x + attend(block.norm1(x), block.attention)
    return block.mlp(block.norm2(x))
""",
            "forgotten step: the MLP doesn't add",
        ),
        Answer(
            """
def whole_block(x, block):
    x = x + attend(block.norm2(x), block.attention)
    x = x + block.mlp(block.norm1(x))
    return x
""",
            "swapped norms",
        ),
        Answer(
            """
def whole_block(x, block):
    return x + attend(block.norm1(x), block.attention) + block.mlp(block.norm2(x))
""",
            "both parts read the same stream",
        ),
        Answer(
            """
def whole_block(x, block):
    x = block.norm1(x + attend(x, block.attention))
    x = block.norm2(x + block.mlp(x))
    return x
""",
            "norms behind the parts",
        ),
        Answer(
            """
def whole_block(x, block):
    x = block.norm1(x)
    x = x + attend(x, block.attention)
    x = block.norm2(x)
    return x + block.mlp(x)
""",
            "adds to the normed copy",
        ),
        Answer(
            """
def whole_block(x, block):
    x = x + attend(block.norm1(x), block.attention)
    return x + block.mlp(x)
""",
            "forgotten step: the MLP reads without a norm",
        ),
        Answer(
            """
def whole_block(x, block):
    block = course.model.blocks[0]
    x = x + attend(block.norm1(x), block.attention)
    return x + block.mlp(block.norm2(x))
""",
            "reads a global instead of its argument",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def whole_block(x, block):
    """Return the stream after one block, for x (time, width)."""
    x += look_around(block.norm1(x), block.attention)
    x += block.mlp(block.norm2(x))
    return x
''',
            "in-place: adds to the very stream that was handed in",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def whole_block(x, block):
    """Return the stream after one block, for x (time, width)."""
    x = x + look_around(block.norm1(x), block.attention)
    x = x[None]  # a batch of one
    x = x + block.mlp(block.norm2(x))
    return x.squeeze()
''',
            "squeeze takes away more than the batch where there is one token: (width,) instead of (1, width)",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def whole_block(x, block):
    """Return the stream after one block, for x (time, width)."""
    x = x + look_around(block.norm1(x), block.attention)
    x = x + block.mlp(block.norm1(x))
    return x
''',
            "the first norm is used twice, from a copied line",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def whole_block(x, block):
    """Return the stream after one block, for x (time, width)."""
    looked = look_around(block.norm1(x), block.attention)
    worked = block.mlp(block.norm2(x))
    return x + looked + worked
''',
            "the MLP reads the stream from before attention, instead of what attention has left",
        ),
        Answer(
            """
def all_heads(x, attention):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    later = torch.ones(len(x), len(x), device=x.device).triu(1).bool()
    brought = []
    for start in range(0, x.shape[-1], config.head_width):
        own = slice(start, start + config.head_width)
        scores = q[:, own] @ k[:, own].T / config.head_width**0.5
        brought.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ v[:, own])
    return attention.out(torch.cat(brought, dim=-1))


def whole_block(x, block):
    x = (x + all_heads(block.norm1(x), block.attention)).clamp(-100, 100)
    x = (x + block.mlp(block.norm2(x))).clamp(-100, 100)
    return x
""",
            "holds the stream between -100 and 100: wrong where its numbers are larger",
        ),
    ],
    "q6": [
        Answer(
            """
def norm(x, layer):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) * layer.weight + layer.bias
""",
            "standard deviation with one less, no eps",
        ),
        Answer(
            """
def norm(x, layer):
    centered = x - x.mean()
    return centered / (centered.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias
""",
            "one mean and variance for all tokens",
        ),
        Answer(
            """
def norm(x, layer):
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.square().sum(-1, keepdim=True)
    return centered / (variance + layer.eps).sqrt() * layer.weight + layer.bias
""",
            "sum instead of mean of squares",
        ),
        Answer(
            """
def norm(x, layer):
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.abs().mean(-1, keepdim=True)
    return centered / (variance + layer.eps) * layer.weight + layer.bias
""",
            "mean distance instead of variance",
        ),
        Answer(
            """
def norm(x, layer):
    centered = x - x.mean(-1)
    variance = centered.square().mean(-1)
    return centered / (variance + layer.eps).sqrt() * layer.weight + layer.bias
""",
            "the axis is not kept",
        ),
        Answer(
            """
def norm(x, layer):
    centered = x - x.mean(-1, keepdim=True)
    variance = x.square().mean(-1, keepdim=True)
    return centered / (variance + layer.eps).sqrt() * layer.weight + layer.bias
""",
            "variance of what is not centered",
        ),
        Answer(
            """
def norm(x, layer):
    x -= x.mean(-1, keepdim=True)
    x /= (x.square().mean(-1, keepdim=True) + layer.eps).sqrt()
    return x * layer.weight + layer.bias
""",
            "changes what it was handed",
        ),
        Answer(
            """
def norm(x, layer):
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.square().mean(-1, keepdim=True)
    return centered / (variance + 1e-5).sqrt() * layer.weight + layer.bias
""",
            "an eps of its own",
        ),
        Answer(
            '''
def norm(x, layer):
    """Return what the layer norm `layer` makes of x (time, width): (time, width)."""
    centered = x - x.mean(-1, keepdim=True)
    variance = x.var(-1, keepdim=True)
    return centered / (variance + layer.eps).sqrt() * layer.weight + layer.bias
''',
            "unbiased variance: divided by the width minus one",
        ),
        Answer(
            '''
def norm(x, layer):
    """Return what the layer norm `layer` makes of x (time, width): (time, width)."""
    x -= x.mean(-1, keepdim=True)
    variance = x.square().mean(-1, keepdim=True)
    return x / (variance + layer.eps).sqrt() * layer.weight + layer.bias
''',
            "in-place: takes the mean away from the x that was handed in",
        ),
        Answer(
            '''
def norm(x, layer):
    """Return what the layer norm `layer` makes of x (time, width): (time, width)."""
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.square().mean(-1, keepdim=True)
    return centered / (variance + 1e-5).sqrt() * layer.weight + layer.bias
''',
            "hard-coded 0.00001 instead of layer.eps",
        ),
        Answer(
            '''
def norm(x, layer):
    """Return what the layer norm `layer` makes of x (time, width): (time, width)."""
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.square().mean(-1, keepdim=True)
    return centered / (variance.sqrt() + layer.eps) * layer.weight + layer.bias
''',
            "adds eps outside of the root: shows only where the variance is small",
        ),
        Answer(
            """
def norm(x, layer):
    mean = x.mean(-1, keepdim=True)
    centered = x - mean
    variance = x.square().mean(-1, keepdim=True) - mean.square()
    return centered / (variance + layer.eps).sqrt() * layer.weight + layer.bias
""",
            "the variance as a difference of two large numbers, which is lost for a large mean",
        ),
    ],
    "q7": [
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[len(tokens) - 1]
    for block in model.blocks:
        x = whole_block(x, block)
    return norm(x, model.final_norm) @ model.token_embedding.weight.T
""",
            "the position of the last token for all",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[tokens]
    for block in model.blocks:
        x = whole_block(x, block)
    return norm(x, model.final_norm) @ model.token_embedding.weight.T
""",
            "positions looked up by token",
        ),
        Answer(
            """
def network(tokens, model):
    start = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        x = whole_block(start, block)
    return norm(x, model.final_norm) @ model.token_embedding.weight.T
""",
            "every block reads the beginning",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        x = x + whole_block(x, block)
    return norm(x, model.final_norm) @ model.token_embedding.weight.T
""",
            "adds the stream once more at each block",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        x = norm(whole_block(x, block), model.final_norm)
    return x @ model.token_embedding.weight.T
""",
            "the final norm after every block",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        x = whole_block(x, block)
    return norm(x, model.final_norm)[-1] @ model.token_embedding.weight.T
""",
            "logits of the last token only",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        x = whole_block(x, block)
    return norm(x, model.final_norm)
""",
            "the stream, without the table",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        x = whole_block(x, block)
    return (norm(x, model.final_norm) @ model.token_embedding.weight.T).log_softmax(-1)
""",
            "logarithms of probabilities",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for number in range(1, len(model.blocks)):
        x = whole_block(x, model.blocks[number])
    return norm(x, model.final_norm) @ model.token_embedding.weight.T
""",
            "counts blocks from 1",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def network(tokens, model):
    """Return the logits of `model` for tokens (time,): (time, vocab)."""
    x = model.position_embedding.weight.data[: len(tokens)]
    x += model.token_embedding.weight.data[tokens]
    for one in model.blocks:
        x = x + look_around(one.norm1(x), one.attention)
        x = x + one.mlp(one.norm2(x))
    return model.final_norm(x) @ model.token_embedding.weight.T
''',
            "in-place on a slice of the position table: right the first time, and the model is spoiled from then on",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def network(tokens, model):
    """Return the logits of `model` for tokens (time,): (time, vocab)."""
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for one in course.model.blocks:
        x = x + look_around(one.norm1(x), one.attention)
        x = x + one.mlp(one.norm2(x))
    return model.final_norm(x) @ model.token_embedding.weight.T
''',
            "takes the blocks of the notebook's model instead of those of the model that it is given",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def network(tokens, model):
    """Return the logits of `model` for tokens (time,): (time, vocab)."""
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for one in model.blocks:
        y = x + look_around(one.norm1(x), one.attention)
        y = y + one.mlp(one.norm2(y))
    return model.final_norm(y) @ model.token_embedding.weight.T
''',
            "every block reads the embeddings, not what the one before it made: right for a model of one block",
        ),
        Answer(
            '''
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def network(tokens, model):
    """Return the logits of `model` for tokens (time,): (time, vocab)."""
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[1 : len(tokens) + 1]
    for one in model.blocks:
        x = x + look_around(one.norm1(x), one.attention)
        x = x + one.mlp(one.norm2(x))
    return model.final_norm(x) @ model.token_embedding.weight.T
''',
            "off by one: places are counted from 1",
        ),
        Answer(
            """
def all_heads(x, attention):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    later = torch.ones(len(x), len(x), device=x.device).triu(1).bool()
    brought = []
    for start in range(0, x.shape[-1], config.head_width):
        own = slice(start, start + config.head_width)
        scores = q[:, own] @ k[:, own].T / config.head_width**0.5
        brought.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ v[:, own])
    return attention.out(torch.cat(brought, dim=-1))


def one_block(x, block):
    x = x + all_heads(block.norm1(x), block.attention)
    return x + block.mlp(block.norm2(x))


def network(tokens, model):
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for part in list(model.blocks)[: config.n_layer]:
        x = one_block(x, part)
    x = model.final_norm(x)
    return x @ model.token_embedding.weight.T
""",
            "as many blocks as the notebook's model has, so a deeper model is cut short",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def future(time):
    place = torch.arange(time)
    return place[None, :] > place[:, None]
""",
            "by comparing places",
        ),
        Answer(
            """
def future(time):
    return torch.tensor([[column > row for column in range(time)] for row in range(time)])
""",
            "as a list of lists",
        ),
        Answer(
            """
def future(time):
    return torch.eye(time).cumsum(1).bool() & ~torch.eye(time).bool()
""",
            "a running sum of the diagonal",
        ),
        Answer(
            """
def future(time):
    same = torch.eye(time)
    return (same.cumsum(1) - same).bool()
""",
            "running sums along the rows of the identity, less the diagonal",
        ),
        Answer(
            """
def future(time):
    hidden = torch.zeros(time, time, dtype=torch.bool)
    for row in range(time):
        hidden[row, row + 1 :] = True
    return hidden
""",
            "row by row in a loop",
        ),
    ],
    "q2": [
        Answer(
            """
def shares(q, k):
    one_hot = torch.eye(len(q), dtype=q.dtype)
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], one_hot[None], is_causal=True)[0]
""",
            "PyTorch's own attention, with values that name the tokens",
        ),
        Answer(
            """
def shares(q, k):
    scores = (q / q.shape[1] ** 0.5) @ k.transpose(0, 1)
    rows = []
    for i, row in enumerate(scores):
        weights = (row[: i + 1] - row[: i + 1].max()).exp()
        rows.append(torch.cat([weights / weights.sum(), torch.zeros(len(row) - i - 1, dtype=row.dtype)]))
    return torch.stack(rows)
""",
            "scales the queries, adds the least number, row by row",
        ),
        Answer(
            """
def shares(q, k):
    time, width = q.shape
    scores = torch.einsum("iw,jw->ij", q, k) * width**-0.5
    scores = scores + torch.full_like(scores, -torch.inf).triu(1)
    powers = (scores - scores.amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)
""",
            "einsum, an added mask of minus infinity, softmax by hand with the row's largest taken away",
        ),
        Answer(
            """
def shares(q, k):
    rows = []
    for i in range(len(q)):
        past = (k[: i + 1] @ q[i]) / q.shape[1] ** 0.5
        rows.append(torch.cat([past.softmax(0), past.new_zeros(len(q) - i - 1)]))
    return torch.stack(rows)
""",
            "each row sees only the keys up to itself, zeros are put behind: no mask at all",
        ),
    ],
    "q3": [
        Answer(
            """
def one_head(x, attention, head):
    parts = attention.qkv(x).view(len(x), 3, -1, config.head_width)
    q, k, v = parts[:, 0, head], parts[:, 1, head], parts[:, 2, head]
    return shares(q, k) @ v
""",
            "a table of all heads, one row taken",
        ),
        Answer(
            """
def one_head(x, attention, head):
    q, k, v = (part.split(config.head_width, dim=-1)[head] for part in attention.qkv(x).chunk(3, dim=-1))
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
""",
            "PyTorch's own attention on the columns of the head",
        ),
        Answer(
            """
def one_head(x, attention, head):
    cut = attention.qkv(x).unflatten(-1, (3, -1, config.head_width))  # (time, 3, heads, head width)
    q, k, v = cut[:, :, head].unbind(1)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
""",
            "unflatten into parts and heads, then PyTorch's own attention",
        ),
        Answer(
            """
def one_head(x, attention, head):
    wide = config.head_width
    q, k, v = (part.split(wide, dim=-1)[head] for part in attention.qkv(x).chunk(3, dim=-1))
    taken = []
    for i in range(len(x)):
        past = torch.mv(k[: i + 1], q[i]) / wide**0.5
        share = past.softmax(0)
        taken.append((share[:, None] * v[: i + 1]).sum(0))
    return torch.stack(taken)
""",
            "token by token over its past only; columns by split",
        ),
    ],
    "q4": [
        Answer(
            """
def attend(x, attention):
    q, k, v = attention.qkv(x).view(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    heads = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(heads.transpose(0, 1).flatten(1))
""",
            "all heads in one product",
        ),
        Answer(
            """
def attend(x, attention):
    total = attention.out.bias
    for head, columns in enumerate(attention.out.weight.split(config.head_width, dim=1)):
        total = total + one_head(x, attention, head) @ columns.T
    return total
""",
            "each head mixed by its own columns, then added up",
        ),
        Answer(
            """
def attend(x, attention):
    q, k, v = attention.qkv(x).unflatten(-1, (3, config.n_head, -1)).unbind(1)  # each (time, heads, head width)
    scores = torch.einsum("ihw,jhw->hij", q, k) / config.head_width**0.5
    hidden = torch.ones_like(scores[0]).tril() == 0
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return attention.out(torch.einsum("hij,jhw->ihw", weights, v).flatten(1))
""",
            "all heads by two einsums that leave tokens in front",
        ),
        Answer(
            """
def attend(x, attention):
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    result = attention.out.bias
    for start in range(0, x.shape[-1], config.head_width):
        own = slice(start, start + config.head_width)
        taken = torch.nn.functional.scaled_dot_product_attention(q[:, own], k[:, own], v[:, own], is_causal=True)
        result = result + taken @ attention.out.weight[:, own].T
    return result
""",
            "each head through its own columns of out.weight, added up; the bias once",
        ),
    ],
    "q5": [
        Answer(
            """
def whole_block(x, block):
    found = attend(block.norm1(x), block.attention)
    thought = block.mlp(block.norm2(x + found))
    return torch.stack([x, found, thought]).sum(0)
""",
            "what is added, collected first",
        ),
        Answer(
            """
def whole_block(x, block):
    def normed(x, norm):
        centered = x - x.mean(-1, keepdim=True)
        spread = (centered.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        return centered / spread * norm.weight + norm.bias

    x = x + attend(normed(x, block.norm1), block.attention)
    return x + block.mlp(normed(x, block.norm2))
""",
            "norms worked out by hand",
        ),
        Answer(
            """
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def whole_block(x, block):
    parts = ((block.norm1, lambda y: look_around(y, block.attention)), (block.norm2, block.mlp))
    for reads, part in parts:
        x = x + part(reads(x))
    return x
""",
            "a loop over pairs of a norm and a part",
        ),
        Answer(
            """
def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def whole_block(x, block):
    found = look_around(block.norm1(x), block.attention)
    worked = torch.cat([block.mlp(block.norm2(row)) for row in (x + found).split(1)])
    return torch.stack([found, worked, x]).sum(0)
""",
            "the MLP token by token, the stream and both additions summed at the end",
        ),
    ],
    "q6": [
        Answer(
            """
def norm(x, layer):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)
""",
            "PyTorch's own",
        ),
        Answer(
            """
def norm(x, layer):
    rows = []
    for row in x:
        mean = row.sum() / len(row)
        variance = ((row - mean) ** 2).sum() / len(row)
        rows.append((row - mean) * torch.rsqrt(variance + layer.eps) * layer.weight + layer.bias)
    return torch.stack(rows)
""",
            "row by row, with sums",
        ),
        Answer(
            """
def norm(x, layer):
    variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
    return torch.addcmul(layer.bias, (x - mean) / torch.sqrt(variance + layer.eps), layer.weight)
""",
            "var_mean without the correction",
        ),
        Answer(
            """
def norm(x, layer):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(layer.bias, (x - mean) * torch.rsqrt(variance + layer.eps), layer.weight)
""",
            "var_mean without a correction, rsqrt and addcmul",
        ),
        Answer(
            """
def norm(x, layer):
    rows = []
    for row in x:
        off = row - row.sum() / len(row)
        spread = torch.dot(off, off) / len(row)
        rows.append(off * (spread + layer.eps) ** -0.5 * layer.weight + layer.bias)
    return torch.stack(rows)
""",
            "token by token with dot products",
        ),
    ],
    "q7": [
        Answer(
            """
def network(tokens, model):
    places = torch.arange(len(tokens))
    x = model.token_embedding(tokens) + model.position_embedding(places)
    for number in range(len(model.blocks)):
        x = whole_block(x, model.blocks[number])
    return model.head(norm(x, model.final_norm))
""",
            "the modules called, the tied head",
        ),
        Answer(
            """
def network(tokens, model):
    x = model.token_embedding.weight[tokens]
    x = x + model.position_embedding.weight.narrow(0, 0, len(x))
    for block in model.blocks:
        x = block(x[None])[0]
    return torch.einsum("tw,vw->tv", model.final_norm(x), model.token_embedding.weight)
""",
            "the course's own blocks, an einsum",
        ),
        Answer(
            """
from functools import reduce


def look_around(x, attention):
    q, k, v = attention.qkv(x).reshape(len(x), 3, config.n_head, config.head_width).permute(1, 2, 0, 3)
    brought = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.out(brought.transpose(0, 1).reshape(len(x), -1))


def network(tokens, model):
    def step(stream, one):
        stream = stream + look_around(one.norm1(stream), one.attention)
        return stream + one.mlp(one.norm2(stream))

    table, places = model.token_embedding.weight, model.position_embedding.weight
    begin = torch.nn.functional.embedding(tokens, table) + places.narrow(0, 0, tokens.shape[0])
    end = reduce(step, model.blocks, begin)
    return torch.einsum("tw,vw->tv", model.final_norm(end), table)
""",
            "reduce over the blocks, einsum for the logits",
        ),
        Answer(
            """
def network(tokens, model):
    memory = [([], []) for _ in model.blocks]
    rows = []
    for place, token in enumerate(tokens.tolist()):
        x = model.token_embedding.weight[token] + model.position_embedding.weight[place]
        for one, (keys, values) in zip(model.blocks, memory):
            q, k, v = one.attention.qkv(one.norm1(x)).reshape(3, config.n_head, config.head_width)
            keys.append(k)
            values.append(v)
            scores = torch.einsum("hw,thw->ht", q, torch.stack(keys)) / config.head_width**0.5
            home = torch.einsum("ht,thw->hw", scores.softmax(-1), torch.stack(values))
            x = x + one.attention.out(home.flatten())
            x = x + one.mlp(one.norm2(x))
        rows.append(model.token_embedding.weight @ model.final_norm(x))
    return torch.stack(rows)
""",
            "token after token with a key/value cache, as in lesson 04",
        ),
    ],
}
