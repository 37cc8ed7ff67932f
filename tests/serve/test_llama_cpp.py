"""llama.cpp as the engine of chat and serve: our weights, our settings, our tokens; only chance is its own."""

from __future__ import annotations

import threading
from collections import Counter

import httpx
import pytest
import torch
from shapes import tiny_model

from tools.__main__ import main
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.formats.gguf_writer import save_gguf
from utils.formats.open_file import open_model_file
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2, load_with_tokenizer, save_gpt2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import plan_of, quantize_model
from utils.sampling import Sampling, next_token_probabilities, stream
from utils.serve.chat import ChatSettings, Conversation
from utils.serve.llama_cpp import LlamaCpp, in_llama_cpp, open_in_llama_cpp, write_once
from utils.serve.scheduler import Limits
from utils.serve.server import Request, Server
from utils.tokenizer import CharTokenizer, Tokenizer

BEGINNING = "Once upon a time, there lived"
SMALL = GPT2Config(n_layer=1, n_head=2, n_embd=16, context=24)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        patch.setenv("COURSE_CACHE", str(place))
        yield place


@pytest.fixture(scope="module")
def nano(cache):
    return open_in_llama_cpp("nano", seats=3)


@pytest.fixture(scope="module")
def ours(cache):
    return load_with_tokenizer("nano")


@pytest.mark.parametrize("how", [{}, {"repetition_penalty": 1.3}, {"top_k": 1, "temperature": 0.9}])
def test_greedy_text_is_ours(nano, ours, how):
    settings = Sampling(**{"max_new": 40, "temperature": 0, **how})
    prompt = ours[1].encode(BEGINNING)
    assert list(nano[0].stream(prompt, settings)) == list(stream(ours[0], prompt, settings))


def test_tokens_come_as_often_as_our_odds_say(nano, ours):
    settings = Sampling(max_new=1, temperature=0.8, top_k=4, top_p=0.98, min_p=0.02)
    prompt, draws = ours[1].encode("The"), 200
    odds = next_token_probabilities(ours[0], prompt, settings)
    found = Counter(
        token for seed in range(draws) for token in nano[0].stream(prompt, Sampling(**{**vars(settings), "seed": seed}))
    )
    assert found.keys() <= set(odds.nonzero().flatten().tolist()) and len(found) > 1
    for token in odds.nonzero().flatten().tolist():
        expected, chance = draws * float(odds[token]), float(odds[token] * (1 - odds[token]) * draws) ** 0.5
        assert abs(found[token] - expected) <= 5 * chance + 1


def test_a_seed_is_a_seed(nano, ours):
    prompt = ours[1].encode(BEGINNING)
    first, again, other = (list(nano[0].stream(prompt, Sampling(30, 1.0, seed=seed))) for seed in (5, 5, 2**61))
    assert first == again != other


def test_a_text_may_be_longer_than_the_positions_if_a_window_slides(tmp_path):
    model = tiny_model(SMALL)
    path = save_gguf(model, tmp_path / "model.gguf", "F32")
    engine, prompt = LlamaCpp(path, threads=1, context=SMALL.context), [464, 2068, 7586]
    with pytest.raises(CourseError, match="has 24 positions"):
        list(engine.stream(prompt, Sampling(60, 0.0)))
    told = list(engine.stream(prompt, Sampling(60, 0.0, stop=(), window=True)))
    assert len(told) == 60
    first = SMALL.context - len(prompt)
    assert told[:first] == list(stream(model, prompt, Sampling(first, 0.0, stop=())))
    half = SMALL.context // 2  # from here on the second half of the text is read anew
    after = list(stream(model, [*prompt, *told[:first]][-half:], Sampling(half, 0.0, stop=())))
    assert told[first : first + half] == after


def test_it_stops_at_a_token_that_ends_a_text(nano, ours):
    prompt = ours[1].encode(BEGINNING)
    first, second = nano[0].stream(prompt, Sampling(2, 0.0))
    assert list(nano[0].stream(prompt, Sampling(40, 0.0, stop=(second,)))) == [first]
    whole = list(nano[0].stream(prompt, Sampling(800, 0.0)))
    assert whole == list(stream(ours[0], prompt, Sampling(800, 0.0))) and len(whole) < 800  # it ended its story


def test_it_answers_nobody_without_the_key(nano):
    with httpx.Client(trust_env=False) as http:
        answer = http.post(f"{nano[0].server.listening_address}/completion", json={"prompt": "x", "n_predict": 1})
    assert answer.status_code == 401


# Behind chat and serve


def test_chat_takes_the_engine(tmp_path, cache, ours, capsys):
    words = ["max_new=20", "temperature=0", "repetition_penalty=1"]
    log = str(tmp_path / "log.csv")
    told = [
        Conversation.open("nano", [*words, f"engine={name}"], log).answer(BEGINNING) for name in ("ours", "llama.cpp")
    ]
    assert told[0] == told[1] != ""
    with pytest.raises(CourseError, match=r"engine is 'fast', expected one of ours, llama\.cpp, llama\.cpp:8"):
        ChatSettings(engine="fast")
    assert main(["chat", "nano", "engine=fast"]) == 1


@pytest.mark.parametrize(("engine", "bits"), [("llama.cpp:8", 8.5), ("llama.cpp:4", 4.5)])
def test_fewer_bits_are_a_word(tmp_path, cache, ours, engine, bits):
    talk = Conversation.open("nano", ["max_new=5", "temperature=0", f"engine={engine}"], str(tmp_path / "log.csv"))
    assert isinstance(talk.model, LlamaCpp) and talk.answer(BEGINNING)
    named = ours[0].named_parameters()
    packed = sum(weight.numel() for name, weight in named if weight.dim() == 2 and not name.startswith("position"))
    whole, _ = write_once(open_model_file("nano"), "F16")
    assert (whole.stat().st_size - talk.model.path.stat().st_size) * 8 / packed == pytest.approx(16 - bits, rel=0.01)


def test_visitors_are_answered_at_the_same_time_and_as_by_us(cache, ours):
    server = Server(in_llama_cpp({"nano": "nano"}, seats=3), Limits(at_once=3))
    prompts = ("Once upon", "The old bear", "One morning the duck", "A fox")
    said: dict[str, list] = {}

    def visit(prompt: str) -> None:
        said[prompt] = list(server.answer(Request(prompt, 25, 0.0), every=0))

    visitors = [threading.Thread(target=visit, args=[prompt]) for prompt in prompts]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    for prompt in prompts:
        expected = list(stream(ours[0], ours[1].encode(prompt), Sampling(25, 0.0)))
        assert said[prompt][-1].text == ours[1].decode(expected)
        assert said[prompt][-1].tokens == 25 and said[prompt][-1].ended == "as long as you allowed"


def test_who_leaves_frees_the_seat(cache):
    server = Server(in_llama_cpp({"nano": "nano"}, seats=1), Limits(at_once=1))
    leaving = server.answer(Request("Once upon a time", 500, 1.0), every=0)
    next(leaving)
    leaving.close()
    *_, last = server.answer(Request("The fox", 3, 0.0), every=0)
    assert last.tokens == 3


# The file


def test_the_file_is_written_once_until_the_model_changes(tmp_path, cache, capsys):
    model = save_gpt2(tiny_model(SMALL), tmp_path / "mine")
    first, _ = write_once(open_model_file(model), "F16")
    assert "as GGUF F16" in capsys.readouterr().err
    written = first.stat().st_mtime_ns
    assert write_once(open_model_file(model), "F16")[0] == first and first.stat().st_mtime_ns == written
    assert capsys.readouterr().err == ""
    exact, _ = write_once(open_model_file(model), "F32")
    assert exact != first and first.exists() and exact.stat().st_size > first.stat().st_size
    save_gpt2(tiny_model(GPT2Config(n_layer=2, n_head=2, n_embd=16, context=24)), model)
    second, _ = write_once(open_model_file(model), "F16")
    assert second != first and not first.exists() and not exact.exists()
    assert load_gpt2(second).config.n_layer == 2


def test_a_gguf_file_is_taken_as_it_is(tmp_path, cache):
    path = save_gguf(tiny_model(SMALL), tmp_path / "model.gguf", "BF16")
    engine, tokenizer = open_in_llama_cpp(path)
    assert engine.path == path and engine.context == 24
    assert isinstance(tokenizer, Tokenizer)


def test_what_llama_cpp_can_not_read_is_said(tmp_path, cache):
    packed = tiny_model(GPT2Config(n_layer=1, n_head=2, n_embd=64, context=24))
    names = [name for name, part in packed.named_modules() if isinstance(part, torch.nn.Linear) and "blocks" in name]
    quantize_model(packed, {name: Grid(8, "row") for name in names})
    assert plan_of(packed)
    with pytest.raises(CourseError, match=r"packed layers.*Leave engine=llama\.cpp out"):
        open_in_llama_cpp(save_quantized(packed, tmp_path / "packed"))
    letters = CharTokenizer("abc ")
    folder = save_gpt2(tiny_model(GPT2Config(1, 2, 16, letters.vocab_size, 24)), tmp_path / "letters")
    letters.save(folder)
    with pytest.raises(CourseError, match="no byte-level BPE"):
        open_in_llama_cpp(folder)
