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
    "q6": [
        (
            "def norm(x, layer):\n    return x / (x.var(-1, correction=0, keepdim=True) + layer.eps).sqrt() "
            "* layer.weight + layer.bias",
            "mean is taken away below the root only",
        ),
        (
            "def norm(x, layer):\n    centered = x - x.mean(-1, keepdim=True)\n"
            "    return centered / (x.var(-1, keepdim=True) + layer.eps).sqrt() * layer.weight + layer.bias",
            "one less",
        ),
        (
            "def norm(x, layer):\n    centered = x - x.mean(0)\n"
            "    return centered / (centered.square().mean(0) + layer.eps).sqrt() * layer.weight + layer.bias",
            "Over which axis",
        ),
        (
            "def norm(x, layer):\n    centered = x - x.mean(-1, keepdim=True)\n"
            "    return centered / (centered.square().mean(-1, keepdim=True) + layer.eps).sqrt()",
            "weight and bias",
        ),
    ],
    "q7": [
        (
            "def network(tokens, model):\n    x = model.token_embedding.weight[tokens]\n"
            "    for block in model.blocks:\n        x = whole_block(x, block)\n"
            "    return norm(x, model.final_norm) @ model.token_embedding.weight.T",
            "in which order tokens stand",
        ),
        (
            "def network(tokens, model):\n"
            "    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]\n"
            "    for block in model.blocks:\n        x = whole_block(x, block)\n"
            "    return x @ model.token_embedding.weight.T",
            "final_norm",
        ),
        (
            "def network(tokens, model):\n"
            "    x = model.token_embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]\n"
            "    x = whole_block(x, model.blocks[0])\n"
            "    return norm(x, model.final_norm) @ model.token_embedding.weight.T",
            "first block",
        ),
    ],
}
