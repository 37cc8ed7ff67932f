"""Part 7: the whole network, with weights from files: a random GPT-2's, then nano's real ones."""

import pytest
import torch
from tokenizers import Tokenizer

from utils.checks import compare


def asker(peer):
    """Return the question for wrong logits: which step at the ends of the network is left out."""

    @torch.no_grad()
    def question(case, got, expected):
        body, (tokens,) = peer.transformer, case
        last = []
        handle = body.ln_f.register_forward_pre_hook(lambda module, inputs: last.append(inputs[0]))
        peer(tokens)
        handle.remove()
        x = body.wte(tokens)
        for block in body.h:
            x = block(x) if torch.is_tensor(block(x)) else block(x)[0]
        wrong = {
            "Is there a norm behind the last block?": last[0] @ peer.lm_head.weight.T,
            "Are the positions added?": body.ln_f(x) @ peer.lm_head.weight.T,
        }
        return next((asked for asked, each in wrong.items() if torch.allclose(got, each, rtol=1e-3, atol=1e-3)), "")

    return question


def logits_of(mine, folder):
    model = mine.load_model(folder)

    @torch.no_grad()
    def logits(tokens):
        return mine.logits(model, tokens)

    return logits


def judge(mine, folder, peer, *batches):
    @torch.no_grad()
    def expected(tokens):
        return peer(tokens).logits

    compare(logits_of(mine, folder), expected, *[(batch,) for batch in batches], question=asker(peer))


def test_a_random_gpt2(mine, peer_folder, peer):
    vocab = peer.config.vocab_size
    judge(mine, peer_folder, peer, torch.randint(vocab, (2, 5)), torch.randint(vocab, (3, 1)))


def test_the_whole_context(mine, peer_folder, peer):
    judge(mine, peer_folder, peer, torch.randint(peer.config.vocab_size, (1, peer.config.n_positions)))


@pytest.fixture(scope="module")
def story(nano_folder):
    """The beginning of a story in two versions, as tokens (2, time)."""
    codec = Tokenizer.from_file(str(nano_folder / "tokenizer.json"))
    texts = [f"Once upon a time there was a {kind} little rabbit who lived on a hill." for kind in ("kind", "brave")]
    return torch.tensor([codec.encode(text).ids for text in texts])


def test_nanos_real_weights(mine, nano_folder, nano, story):
    judge(mine, nano_folder, nano, story)


def test_numbers_are_float32(mine, nano_folder, story):
    found = logits_of(mine, nano_folder)(story[:1, :2]).dtype
    assert found == torch.float32, (
        f"Given nano's file your logits are {found}, expected torch.float32. Where is float16 left?"
    )
