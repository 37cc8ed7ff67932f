"""Part 9: the likeliest tokens, and a KV cache, which is proved by what comes out and by what is computed."""

import torch

from tools.capstone.meter import Meter
from utils.checks import compare


def without_cache(model):
    """Return a function that reads the whole text again for every token, by transformers."""

    @torch.no_grad()
    def greedy(tokens, count):
        for _ in range(count):
            best = model(tokens).logits[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, best], dim=1)
        return tokens

    return greedy


def answer(mine, folder):
    model = mine.load_model(folder)
    return lambda tokens, count: mine.generate(model, tokens, count)


def question(case, got, expected):
    tokens, count = case
    if torch.equal(got, expected[:, tokens.shape[1] :]):
        return "Return the tokens that were given, too."
    if got.shape == expected.shape and torch.equal(got[:, : tokens.shape[1] + 1], expected[:, : tokens.shape[1] + 1]):
        return "The first new token is right, a later one isn't. Which position has it, and which keys does it see?"
    return ""


def test_one_token_more(mine, peer_folder, peer):
    tokens = torch.randint(peer.config.vocab_size, (1, 4))
    compare(answer(mine, peer_folder), without_cache(peer), (tokens, 1), (tokens, 2), question=question)


def test_a_batch_of_texts(mine, peer_folder, peer):
    cases = [
        (torch.randint(peer.config.vocab_size, (batch, time)), count) for batch, time, count in ((3, 4, 6), (2, 1, 5))
    ]
    compare(answer(mine, peer_folder), without_cache(peer), *cases, question=question)


def test_up_to_the_end_of_the_context(mine, peer_folder, peer):
    time, context = 7, peer.config.n_positions
    case = (torch.randint(peer.config.vocab_size, (2, time)), context - time)
    compare(answer(mine, peer_folder), without_cache(peer), case, question=question)


def test_no_position_is_computed_twice(mine, peer_folder, peer):
    batch, time, count, width = 1, 5, 7, peer.config.n_embd
    model = mine.load_model(peer_folder)
    tokens = torch.randint(peer.config.vocab_size, (batch, time))
    with Meter() as meter:
        mine.generate(model, tokens, count)
    computed = meter.rows_through(width, 4 * width) / peer.config.n_layer
    least, most = time + count - 1, time + count
    given = f"Given a prompt of {time} tokens and {count} more to find, your blocks computed {computed:g} positions"
    assert computed <= most, (
        f"{given}, expected {least}. Does only the newest token go through the blocks, with keys and values kept "
        "of those before it?"
    )
    assert computed >= least, (
        f"{given}, expected {least}. They are counted as rows that meet the MLP's first matrix: is it multiplied "
        "by PyTorch, with @ or a linear layer?"
    )


def test_a_story_by_nano(mine, nano_folder, nano):
    tokens = torch.tensor([[7454, 2402, 257, 640], [3198, 1110, 11, 257]])
    compare(answer(mine, nano_folder), without_cache(nano), (tokens, 12), question=question)
