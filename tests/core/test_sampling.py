"""From logits to text: by hand, against the processors of `transformers`, and against plain recomputation."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shapes import TINY, random_tokens, tiny_model
from torch.testing import assert_close

from utils.config import GPT2Config
from utils.errors import CourseError
from utils.loaders import load_gpt2
from utils.model import GPT2
from utils.sampling import (
    END_OF_TEXT_ID,
    Sampling,
    complete,
    generate,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    look_up,
    next_token_probabilities,
    penalize_repetition,
    shape_logits,
    stream,
    truncate,
)
from utils.stories.generator import corpus
from utils.texts.ngrams import NGrams
from utils.tokenizer import Tokenizer

GREEDY = Sampling(max_new=10, temperature=0, stop=())
SAMPLED = Sampling(max_new=10, temperature=1.3, top_k=40, top_p=0.95, seed=5, stop=())


@pytest.fixture(scope="module")
def model():
    return tiny_model(spread=0.3)


def prompts(*lengths: int) -> list[list[int]]:
    return [random_tokens(1, n, seed=n)[0].tolist() for n in lengths]


@torch.no_grad()
def always(token: int, config: GPT2Config) -> GPT2:
    """Return a model that finds one token much likelier than all others, whatever it reads."""
    model = tiny_model(config, spread=0.01)
    model.final_norm.weight.zero_()
    model.final_norm.bias.fill_(1.0)
    model.token_embedding.weight[token] = 1.0
    return model


def logits_of(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits[0]).nonzero().flatten().tolist()


# One step, by hand


def test_top_k_keeps_the_k_likeliest():
    logits = torch.tensor([[0.1, 3.0, -2.0, 2.0, 1.0]])
    assert [kept(keep_top_k(logits, k)) for k in (1, 2, 3, 5, 99)] == [[1], [1, 3], [1, 3, 4], [*range(5)], [*range(5)]]
    assert keep_top_k(logits, 2)[0, [1, 3]].tolist() == [3.0, 2.0]


def test_top_p_keeps_the_fewest_that_reach_p_together():
    logits = logits_of(0.1, 0.5, 0.05, 0.35)
    expected = {0.1: [1], 0.49: [1], 0.51: [1, 3], 0.84: [1, 3], 0.86: [0, 1, 3], 0.96: [0, 1, 2, 3], 1: [0, 1, 2, 3]}
    assert {p: kept(keep_top_p(logits, p)) for p in expected} == expected
    assert kept(keep_top_p(logits, 1e-9)) == [1], "the likeliest is never masked"


def test_top_p_of_one_keeps_everything():
    logits = torch.randn(3, 50257) * 5
    assert torch.equal(keep_top_p(logits, 1.0), logits)


def test_min_p_keeps_what_reaches_a_share_of_the_likeliest():
    logits = logits_of(0.1, 0.5, 0.05, 0.35)
    expected = {1: [1], 0.71: [1], 0.69: [1, 3], 0.19: [0, 1, 3], 0.09: [0, 1, 2, 3]}
    assert {p: kept(keep_min_p(logits, p)) for p in expected} == expected


def test_each_row_is_masked_by_itself():
    logits = torch.cat([logits_of(0.7, 0.2, 0.1), logits_of(0.1, 0.2, 0.7)])
    assert torch.isfinite(keep_min_p(logits, 0.25)).tolist() == [[True, True, False], [False, True, True]]
    assert torch.isfinite(keep_top_p(logits, 0.6)).tolist() == [[True, False, False], [False, False, True]]
    assert torch.isfinite(keep_top_k(logits, 2)).tolist() == [[True, True, False], [False, True, True]]


def test_penalty_divides_what_is_positive_and_multiplies_what_is_negative():
    logits = torch.tensor([[2.0, -1.0, 3.0, -4.0]])
    history = torch.tensor([[0, 1, 0, 0]])  # more than once counts once
    assert penalize_repetition(logits, history, 2.0).tolist() == [[1.0, -2.0, 3.0, -4.0]]


def test_settings_apply_in_the_order_penalty_temperature_top_k_top_p():
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    settings = Sampling(repetition_penalty=4.0, temperature=0.5, top_k=3, top_p=0.9)
    # penalty gives 1 3 2 1, temperature 2 6 4 2; top-k keeps the tie of the third; then 6 and 4 hold 0.97
    shaped = shape_logits(logits, settings, torch.tensor([[0]]))
    by_hand = torch.tensor([math.exp(6), math.exp(4)])
    assert kept(shaped) == [1, 2]
    assert_close(shaped.softmax(-1)[0, 1:3], by_hand / by_hand.sum())


@given(
    seed=st.integers(0, 999),
    temperature=st.floats(0.05, 5),
    top_k=st.none() | st.integers(1, 60),
    top_p=st.none() | st.floats(0.05, 0.999),
    min_p=st.none() | st.floats(0.01, 0.99),
    penalty=st.floats(0.5, 3),
)
def test_every_setting_does_what_it_does_in_transformers(seed, temperature, top_k, top_p, min_p, penalty):
    from transformers import generation

    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 50, generator=generator) * 4
    history = torch.randint(50, (2, 7), generator=generator)
    processors = [
        generation.RepetitionPenaltyLogitsProcessor(penalty),
        generation.TemperatureLogitsWarper(temperature),
        *([generation.TopKLogitsWarper(top_k)] if top_k else []),
        *([generation.TopPLogitsWarper(top_p)] if top_p else []),
        *([generation.MinPLogitsWarper(min_p)] if min_p else []),
    ]
    expected = logits
    for processor in processors:
        expected = processor(history, expected)
    cuts = {"top_k": top_k, "top_p": top_p, "min_p": min_p}
    settings = Sampling(temperature=temperature, **cuts, repetition_penalty=penalty)
    assert_close(shape_logits(logits, settings, history).softmax(-1), expected.softmax(-1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1e-3, 1e-10, 1e-40, 5e-324])
def test_a_tiny_temperature_is_nearly_greedy_and_no_crash(model, temperature):
    settings = Sampling(max_new=10, temperature=temperature, stop=())
    assert generate(model, prompts(5), settings) == generate(model, prompts(5), GREEDY)


def test_sampled_frequencies_are_the_probabilities(model):
    settings = Sampling(max_new=1, temperature=1.5, top_k=5, stop=())
    expected = next_token_probabilities(model, prompts(4)[0], settings)
    rows = generate(model, prompts(4) * 2000, settings)
    found = torch.bincount(torch.tensor(rows).flatten(), minlength=TINY.vocab_size) / 2000
    assert (found - expected).abs().max() < 0.05 and int((expected > 0).sum()) == 5


def test_next_token_probabilities_are_those_of_the_logits(model):
    tokens = prompts(6)[0]
    with torch.no_grad():
        logits = model(torch.tensor([tokens]))[0, -1]
    assert_close(next_token_probabilities(model, tokens), logits.softmax(-1))
    certain = next_token_probabilities(model, tokens, Sampling(temperature=0))
    assert certain.sum() == 1 and certain[logits.argmax()] == 1
    assert next_token_probabilities(model, []).shape == (97,)


# Many steps


def recomputed(model, prompt: list[int], new: int) -> list[int]:
    """Continue greedily without cache, one whole forward pass for each token."""
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(new):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    return tokens[len(prompt) :]


def test_temperature_zero_is_greedy_whatever_the_seed(model):
    for seed in (0, 1):
        settings = Sampling(max_new=10, temperature=0, seed=seed, top_p=0.9, top_k=3, stop=())
        assert generate(model, prompts(5), settings) == [recomputed(model, prompts(5)[0], 10)]


def test_a_seed_repeats_and_another_gives_other_text(model):
    texts = [generate(model, prompts(5), Sampling(max_new=15, seed=seed, stop=()))[0] for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1] and len({tuple(text) for text in texts}) == 3


def test_samples_of_one_prompt_differ_and_chance_elsewhere_is_left_alone(model):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    rows = generate(model, prompts(5) * 4, SAMPLED)
    assert len({tuple(row) for row in rows}) == 4 and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "settings",
    [
        GREEDY,
        SAMPLED,
        Sampling(max_new=12, temperature=0, repetition_penalty=1.8, stop=()),
        Sampling(max_new=12, seed=3, repetition_penalty=1.3, top_p=0.9),
    ],
)
def test_rows_of_a_batch_are_what_they_are_alone(model, settings):
    texts = prompts(7, 1, 4, 12)
    together = generate(model, texts, settings)
    for i, text in enumerate(texts):
        alone = Sampling(**{**settings.__dict__, "seed": settings.seed + i})
        assert generate(model, [text], alone) == [together[i]], f"row {i} depends on its companions"


def test_penalty_does_not_count_the_padding_of_shorter_rows():
    config = GPT2Config(1, 2, 16, vocab_size=30, context=24)
    model = always(29, config)  # the token with which an empty text begins
    settings = Sampling(max_new=1, temperature=0, repetition_penalty=100.0, stop=())
    for companion in ([7] * 10, [8]):
        assert generate(model, [[5, 6], companion], settings)[0] == generate(model, [[5, 6]], settings)[0] == [29]


def test_a_stop_token_ends_its_row_alone_and_is_not_part_of_it(model):
    free = generate(model, prompts(5, 3), GREEDY)
    stop = free[0][4]
    expected = [row[: row.index(stop)] if stop in row else row for row in free]
    stopped = generate(model, prompts(5, 3), Sampling(max_new=10, temperature=0, stop=(stop,)))
    assert stopped == expected and len(stopped[0]) <= 4
    assert list(stream(model, prompts(5)[0], Sampling(max_new=10, temperature=0, stop=(stop,)))) == expected[0]


def test_the_end_of_text_stops_by_default_and_only_one_step_is_spent():
    model = always(END_OF_TEXT_ID, GPT2Config(1, 1, 8, vocab_size=50257, context=8))
    steps = []
    handle = model.register_forward_hook(lambda *_: steps.append(1))
    assert generate(model, [[1, 2], [3]], Sampling(max_new=6, temperature=0)) == [[], []] and len(steps) == 1
    assert list(stream(model, [1, 2], Sampling(max_new=6, temperature=0))) == []
    handle.remove()


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED, Sampling(max_new=0), Sampling(max_new=1, stop=())])
def test_streamed_tokens_are_the_generated_ones(model, settings):
    prompt = prompts(6)[0]
    assert list(stream(model, prompt, settings)) == generate(model, [prompt], settings)[0]


def test_a_stream_gives_each_token_before_it_makes_the_next(model):
    steps = []
    handle = model.register_forward_hook(lambda *_: steps.append(1))
    tokens = stream(model, prompts(4)[0], GREEDY)
    for count in (1, 2, 3):
        next(tokens)
        assert len(steps) == count
    handle.remove()


def test_each_token_is_read_once(model):
    read = []
    handle = model.blocks[0].mlp.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].shape[1]))
    generate(model, prompts(6), GREEDY)
    handle.remove()
    assert read == [6] + [1] * 9


def test_padded_vocabularies_never_give_an_id_that_cannot_be_decoded():
    model = tiny_model(GPT2Config(1, 1, 8, vocab_size=50304, context=16), spread=0.01)
    with torch.no_grad():  # the padding's rows would win every draw
        model.final_norm.bias.fill_(1.0)
        model.token_embedding.weight[50257:] = 5.0
    assert int(model(torch.tensor([[1]]))[0, -1].argmax()) >= 50257
    for settings in (Sampling(max_new=12, temperature=0, stop=()), Sampling(max_new=12, temperature=5.0, stop=())):
        rows = generate(model, [[1, 2], [3]], settings)
        assert max(max(row) for row in rows) < 50257 and len(rows[0]) == 12
    assert next_token_probabilities(model, [1]).shape == (50257,)
    with pytest.raises(CourseError, match="50300 .*expected ids from 0 to 50256"):
        generate(model, [[1, 50300]], Sampling(max_new=1, repetition_penalty=1.5))


def test_an_empty_prompt_starts_a_new_text(model):
    start = TINY.vocab_size - 1  # a small vocabulary has no 50256: its last token begins a text
    assert generate(model, [[]], GREEDY) == generate(model, [[start]], GREEDY)
    big = tiny_model(GPT2Config(1, 1, 8, vocab_size=50257, context=8))
    few = Sampling(max_new=2, temperature=0, stop=())
    assert generate(big, [[], [5]], few)[0] == generate(big, [[END_OF_TEXT_ID]], few)[0]


def test_no_prompt_at_all_and_tokens_that_do_not_exist_are_refused(model):
    with pytest.raises(CourseError, match="There is no prompt"):
        generate(model, [])
    for wrong in (-1, 97):
        with pytest.raises(CourseError, match=f"Token {wrong} .*from 0 to 96"):
            generate(model, [[1, wrong]], GREEDY)


# Speculative decoding


def test_look_up_proposes_what_followed_the_longest_ending_at_its_newest_place():
    assert look_up([1, 2, 3, 9, 2, 3, 7, 1, 2, 3], most=2) == [9, 2], "three tokens before two"
    assert look_up([2, 3, 9, 5, 2, 3, 7, 2, 3], most=4) == [7, 2, 3, 7], "the newest place, and on in circles"
    assert look_up([5, 5, 5], most=3) == [5, 5, 5]
    assert look_up([5, 6, 5], most=3) == look_up([1, 2, 3], most=4) == look_up([], most=4) == []
    assert look_up([5, 5, 5], most=0) == []


@pytest.mark.parametrize("draft", [1, 6])
@pytest.mark.parametrize(
    "plain",
    [
        Sampling(max_new=18, temperature=0, stop=()),
        Sampling(max_new=18, temperature=0, repetition_penalty=1.5, stop=()),
        Sampling(max_new=18, temperature=0.2, seed=4, stop=()),
        Sampling(max_new=18, temperature=1.3, top_k=9, min_p=0.1, seed=5),
    ],
)
def test_a_draft_never_changes_the_text(model, plain, draft):
    for prompt in ([3, 4, 5, 3, 4, 5], [1, 2, 1, 2, 1], [9, 9, 9], *prompts(1, 6)):
        expected = generate(model, [prompt], plain)
        assert generate(model, [prompt], replace(plain, draft=draft)) == expected


@pytest.mark.parametrize(
    "drafter",
    [
        lambda text, most: [],
        lambda text, most: [96, -1, 10**9],  # no tokens but the first
        lambda text, most: [7] * (most + 50),
        NGrams([list(range(97)), [5, 5, 5]]),
    ],
)
def test_no_drafter_changes_the_text(model, drafter):
    for plain in (Sampling(max_new=18, temperature=0, stop=()), Sampling(max_new=18, seed=5)):
        for prompt in ([3, 4, 5, 3, 4, 5], *prompts(1, 6)):
            drafted = generate(model, [prompt], replace(plain, draft=4, drafter=drafter))
            assert drafted == generate(model, [prompt], plain)


def test_n_grams_of_other_stories_save_a_third_of_nanos_passes():
    nano, tokenizer, passes = load_gpt2("nano"), Tokenizer.gpt2(), []
    drafter = NGrams(map(tokenizer.encode, corpus(300, 77)))
    prompt, plain = tokenizer.encode("Once upon a time, there lived a"), Sampling(max_new=60, temperature=0, stop=())
    expected = generate(nano, [prompt], plain)
    handle = nano.final_norm.register_forward_hook(lambda *_: passes.append(1))
    assert generate(nano, [prompt], replace(plain, draft=8, drafter=drafter)) == expected
    handle.remove()
    assert len(passes) <= 40


def test_a_right_draft_saves_passes_and_a_text_may_still_fill_the_context():
    model = always(6, GPT2Config(2, 2, 16, vocab_size=30, context=24))
    passes = []
    handle = model.final_norm.register_forward_hook(lambda _, inputs, __: passes.append(inputs[0].shape[1]))
    rows = generate(model, [[6, 6]], Sampling(max_new=23, temperature=0, stop=(), draft=4))
    handle.remove()
    assert rows == [[6] * 23] and len(passes) < 10
    assert sum(passes) <= 2 + 22 + 4 * 2, "a token is read once, but for what was proposed too early"


def test_a_draft_is_for_one_text_without_a_window(model):
    with pytest.raises(CourseError, match=r"2 prompts.*draft=0"):
        generate(model, prompts(3, 4), Sampling(max_new=2, draft=3))
    with pytest.raises(CourseError, match="window=True"):
        Sampling(draft=3, window=True)


# The end of the context


def test_a_text_may_fill_the_context_and_one_more(model):
    full = prompts(24)
    assert len(generate(model, full, Sampling(max_new=1, stop=()))[0]) == 1
    assert len(generate(model, prompts(5), Sampling(max_new=20, stop=()))[0]) == 20
    for text, new in ((full, 2), (prompts(5), 21), (prompts(25), 1)):
        with pytest.raises(CourseError, match=rf"of {len(text[0])} tokens and {new} new .*24 positions.*window=True"):
            generate(model, text, Sampling(max_new=new))


@pytest.mark.parametrize("length", [1, 10, 24, 25, 60])
def test_a_window_goes_on_past_the_context_as_if_recomputed(model, length):
    prompt, new = prompts(length)[0], 60
    rows = generate(model, [prompt], Sampling(max_new=new, temperature=0, stop=(), window=True))
    text, shown = list(prompt), len(prompt) if len(prompt) <= 24 else 12
    with torch.no_grad():
        for _ in range(new):
            shown = 12 if shown > 24 else shown  # a full window goes on with its newer half
            text.append(int(model(torch.tensor([text[-shown:]]))[0, -1].argmax()))
            shown += 1
    assert rows[0] == text[length:]


def test_a_window_carries_prompts_of_different_lengths(model):
    sliding = Sampling(max_new=40, temperature=0, stop=(), window=True)
    rows = generate(model, prompts(20, 3), sliding)
    assert rows[0] == generate(model, prompts(20), sliding)[0], "the longest row is as alone"
    assert rows[1][:4] == generate(model, prompts(3), sliding)[0][:4] and len(rows[1]) == 40


def test_a_context_of_one_position_slides_too():
    model = tiny_model(GPT2Config(1, 1, 8, vocab_size=20, context=1), spread=0.5)
    with torch.no_grad():
        follow = [int(model(torch.tensor([[token]]))[0, -1].argmax()) for token in range(20)]
    text = [3]
    for _ in range(5):
        text.append(follow[text[-1]])
    assert generate(model, [[3]], Sampling(max_new=5, temperature=0, stop=(), window=True)) == [text[1:]]


# Text and settings


def test_complete_gives_as_many_texts_as_asked_for():
    model, tokenizer = tiny_model(GPT2Config(1, 1, 8, 50257, 24), spread=0.5), Tokenizer.gpt2()
    texts = complete(model, tokenizer, "Hello my name is", Sampling(max_new=5, stop=()), n_samples=3)
    rows = generate(model, [[15496, 616, 1438, 318]] * 3, Sampling(max_new=5, stop=()))
    assert texts == [tokenizer.decode(row) for row in rows] and len(set(texts)) == 3


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [("one. two. three", ". ", "one"), ("none", "x", "none"), ("abc", "", "abc"), ("stop", "stop", ""), ("", "x", "")],
)
def test_truncate_cuts_before_the_first_stop(text, stop, expected):
    assert truncate(text, stop) == expected


WRONG = {
    "max_new": [-1, 2.5, None, True, "5"],
    "temperature": [-0.1, math.nan, math.inf, "hot", None],
    "top_k": [0, -3, 2.5, "40"],
    "top_p": [0, -0.5, 1.01, math.nan, "0.9"],
    "min_p": [0, -0.5, 1.01, math.nan, "0.1"],
    "draft": [-1, 2.5, None, True],
    "repetition_penalty": [0, -1.0, math.inf, math.nan, None],
    "seed": [-1, 1.5, None],
    "stop": [50256, ".", None, [0.5]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_setting_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(CourseError) as error:
        Sampling(**{name: value})
    assert str(error.value).startswith(f"{name} is {value!r}, expected ")


@pytest.mark.parametrize(
    "fine", [{"max_new": 0}, {"temperature": 0}, {"top_p": 1}, {"top_k": 1}, {"stop": [1]}, {"stop": frozenset({1})}]
)
def test_a_setting_at_its_edge_is_fine(fine):
    assert Sampling(**fine)
