"""Typical wrong answers to exercise 03, and a part of the message that each must get."""

WRONG = {
    "q1": [
        ("def future(time):\n    return torch.ones(time, time).triu().bool()", "look at itself"),
        ("def future(time):\n    return torch.ones(time, time).tril(-1).bool()", "swapped"),
        ("def future(time):\n    return torch.ones(time, time).triu(1)", "True and False"),
        ("def future(time):\n    return torch.ones(4, 4).triu(1).bool()", "every length"),
    ],
    "q2": [
        ("def shares(q, k):\n    return (q @ k.T / q.shape[-1] ** 0.5).softmax(-1)", "sees the future"),
        (
            "def shares(q, k):\n    scores = q @ k.T / q.shape[-1] ** 0.5\n"
            "    return scores.softmax(-1).masked_fill(future(len(q)), 0)",
            "sum to 1",
        ),
        ("def shares(q, k):\n    return (q @ k.T).masked_fill(future(len(q)), -torch.inf).softmax(-1)", "square root"),
        (
            "def shares(q, k):\n    scores = k @ q.T / q.shape[-1] ** 0.5\n"
            "    return scores.masked_fill(future(len(q)), -torch.inf).softmax(-1)",
            "Who asks",
        ),
    ],
    "q3": [
        (
            "def one_head(x, attention, head):\n    q, k, v = attention.qkv(x).chunk(3, dim=-1)\n"
            "    return shares(q, k) @ v",
            "cut q, k and v",
        ),
        (
            "def one_head(x, attention, head):\n    q, k, v = attention.qkv(x).chunk(3, dim=-1)\n"
            "    return shares(q[:, : config.head_width], k[:, : config.head_width]) @ v[:, : config.head_width]",
            "depend on head",
        ),
        (
            "def one_head(x, attention, head):\n    q, k, v = attention.qkv(x).chunk(3, dim=-1)\n"
            "    own = slice(head * config.head_width, (head + 1) * config.head_width)\n"
            "    return shares(q[:, own], k[:, own]) @ k[:, own]",
            "own value",
        ),
    ],
    "q4": [
        (
            "def attend(x, attention):\n"
            "    return torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=0)",
            "side by side",
        ),
        (
            "def attend(x, attention):\n"
            "    return torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)",
            "Who mixes",
        ),
        (
            "def attend(x, attention):\n    heads = reversed(range(config.n_head))\n"
            "    return attention.out(torch.cat([one_head(x, attention, head) for head in heads], dim=-1))",
            "which order",
        ),
    ],
    "q5": [
        (
            "def whole_block(x, block):\n    x = attend(block.norm1(x), block.attention)\n"
            "    return block.mlp(block.norm2(x))",
            "add to x",
        ),
        (
            "def whole_block(x, block):\n    x = x + block.mlp(block.norm2(x))\n"
            "    return x + attend(block.norm1(x), block.attention)",
            "first, attention",
        ),
        (
            "def whole_block(x, block):\n    x = x + attend(x, block.attention)\n    return x + block.mlp(x)",
            "through its own norm",
        ),
    ],
}
