"""Part 6: a whole block, beside the blocks of a GPT-2 of transformers."""

import torch

from utils.checks import compare

HEADS = 3


def asker(block, heard, layer):
    """Return the question for a wrong block: which step of it is left out or stands elsewhere."""
    attn, mlp = heard[f"h.{layer}.attn"][1], heard[f"h.{layer}.mlp"][1]

    @torch.no_grad()
    def question(case, got, expected):
        x = case[0]
        wrong = {
            "What becomes of the stream when attention has read it?": attn + mlp,
            "What becomes of the stream when the MLP has read it?": mlp,
            "Does the MLP read the stream after attention has been added to it?": x + attn + block.mlp(block.ln_2(x)),
            "Is the MLP's result added?": x + attn,
            "Does the MLP read a normed copy?": x + attn + block.mlp(x + attn),
            "Does each part read through its own norm?": x + attn + block.mlp(block.ln_1(x + attn)),
            "GPT-2 norms what a part reads, not what it has added.": block.ln_2(
                block.ln_1(x + block.attn(x)[0]) + block.mlp(block.ln_1(x + block.attn(x)[0]))
            ),
        }
        return next((asked for asked, each in wrong.items() if torch.allclose(got, each, rtol=1e-4, atol=1e-4)), "")

    return question


def cases(peer, heard):
    for layer, block in enumerate(peer.transformer.h):
        x, expected = heard[f"h.{layer}"]
        weights = {name: value.detach() for name, value in block.named_parameters()}
        yield (x, weights, HEADS), expected, asker(block, heard, layer)


def test_each_block_as_transformers(mine, peer, heard):
    for case, expected, question in cases(peer, heard):
        compare(mine.block, lambda *case, same=expected: same, case, question=question)


def test_a_batch_is_its_texts(mine, peer, heard):
    """Each text of a batch gives what it gives alone."""
    for (x, weights, heads), expected, _ in cases(peer, heard):
        for row in range(len(x)):
            alone = expected[row : row + 1]
            case = (x[row : row + 1], weights, heads)
            compare(mine.block, lambda *case, same=alone: same, case)
