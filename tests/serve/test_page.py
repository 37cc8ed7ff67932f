"""The app: what it answers, what it refuses, 50 people at once, and the folder it is exported to."""

from __future__ import annotations

import csv
import gc
import html
import importlib.metadata
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import psutil
import pytest
import torch
from gradio_client import Client
from shapes import tiny_model

from utils.errors import CourseError
from utils.files.beginnings import read_beginnings, write_beginnings
from utils.files.places import ROOT
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2, load_tokenizer, save_gpt2
from utils.model import GPT2, KeyValueCache
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import quantize_model
from utils.sampling import Sampling, complete
from utils.serve.door import Listeners
from utils.serve.export import export_app, needed_modules
from utils.serve.page import EXAMPLES, NO_OTHER, Address, Site, as_message, build_page, read_together, start_app
from utils.serve.server import Limits, ModelCache, Request, Server, find_choices, name_choices
from utils.tokenizer import CharTokenizer

LETTERS = CharTokenizer.from_text("".join(map(chr, range(32, 127))) + "\n")  # 96 characters and an end: TINY's 97
MARKUP = '<img src="http://example.com/x.png" onerror="alert(1)"><b>bold</b> & **star** $x$'


def endless_model(seed: int) -> GPT2:
    """Return a tiny model that never ends its text by itself when it is greedy."""
    model = tiny_model(seed=seed)
    with torch.no_grad():
        model.token_embedding.weight[LETTERS.end_of_text] = 0
    return model


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Return the folders of three tiny models, one of them quantized."""
    folder = tmp_path_factory.mktemp("shelf")
    names = {name: folder / name for name in ("tiny", "other", "q4")}
    save_gpt2(endless_model(1), names["tiny"])
    save_gpt2(endless_model(2), names["other"])
    save_quantized(quantize_model(endless_model(1), Grid(4, 16)), names["q4"])
    for path in names.values():
        LETTERS.save(path)
    return names


@pytest.fixture(scope="module")
def running(shelf, tmp_path_factory):
    """Return a really started app, its address and the file of its chat."""
    log = tmp_path_factory.mktemp("log") / "chat_log.csv"
    app = start_app(shelf, Limits(prompt=200, new_tokens=200_000, at_once=2), chat_log=log)
    yield SimpleNamespace(url=app.url, log=log, page=app.page)
    app.close()


@pytest.fixture(scope="module")
def client(running):
    return Client(running.url, verbose=False, analytics_enabled=False)


def greedy(folder: Path, text: str, max_new: int) -> str:
    """Return what the same model says without any app."""
    settings = Sampling(max_new=max_new, temperature=0, stop=(LETTERS.end_of_text,), window=True)
    return complete(loaded(folder), LETTERS, text, settings)[0]


loaded = cache(load_gpt2)
DEFAULTS = (0, NO_OTHER)  # seed and second model, which plain requests must name as well


def ask(url: str, *words, name: str = "generate") -> tuple[str, list]:
    """Ask as a visitor of one's own does, by two plain requests; return how it ended, and with what."""
    data = [*words, *DEFAULTS] if name == "generate" else words
    with httpx.Client(base_url=url, timeout=120) as http:
        asked = http.post(f"gradio_api/call/{name}", json={"data": data})
        if asked.status_code != 200:
            return f"{asked.status_code}", [asked.json()["detail"]]
        text = http.get(f"gradio_api/call/{name}/{asked.json()['event_id']}").text
    event, data = re.findall(r"event: (\w+)\ndata: (.*)", text)[-1]
    return event, json.loads(data)


# What one wish gives, without a page


def test_an_answer_grows_to_what_the_model_says_by_itself(shelf):
    server = Server(shelf)
    steps = list(server.answer(Request("A fox", 30, 0, None, "tiny"), every=0))
    texts = [step.text for step in steps]
    assert texts[-1] == greedy(shelf["tiny"], "A fox", 30)
    assert len(steps) == 30 and all(b.startswith(a) and len(b) > len(a) for a, b in pairwise(texts))
    assert [step.ended for step in steps[:-1]] == [""] * 29 and steps[-1].ended == "as long as you allowed"
    assert steps[-1].line().startswith("30 tokens, ") and steps[-1].line().endswith("a second; as long as you allowed")


def test_an_answer_ends_where_the_model_ends_its_text(tmp_path):
    model = tiny_model()
    with torch.no_grad():  # the head now sees the same state everywhere, and it is the end's own row
        model.final_norm.weight.zero_()
        model.token_embedding.weight[LETTERS.end_of_text] *= 5
        model.final_norm.bias.copy_(model.token_embedding.weight[LETTERS.end_of_text])
    save_gpt2(model, tmp_path)
    LETTERS.save(tmp_path)
    (answer,) = Server({"m": tmp_path}).answer(Request("A fox", 30, 0))
    assert (answer.text, answer.tokens, answer.line()) == ("", 0, "0 tokens; the model ended its text")


def test_a_model_that_is_loaded_already_can_be_served_as_it_is(shelf):
    server = Server({"mine": (loaded(shelf["other"]), LETTERS)})
    assert server.models.get("mine")[0] is loaded(shelf["other"])
    *_, answer = server.answer(Request("A fox", 20, 0))
    assert answer.text == greedy(shelf["other"], "A fox", 20)


def test_an_answer_ends_when_its_time_is_up(shelf):
    *_, answer = Server(shelf, Limits(seconds=1e-9)).answer(Request("A fox", 30, 0))
    assert answer.tokens == 1 and "stopped after 1e-09 seconds" in answer.line()


def test_an_empty_top_n_means_all_tokens(shelf):
    server = Server(shelf)
    assert {server.check(Request("A", 10, 0.7, empty)) for empty in (None, 0, 0.0)} == {(10, None)}
    assert server.check(Request("A", 10.0, 0.7, 40.0)) == (10, 40)


BAD = {
    "a long text": (Request("x" * 201), "201 characters, this server reads 200"),
    "no tokens": (Request("x", 0), "max tokens is 0, expected 1 to 500"),
    "an emptied field": (Request("x", None), "max tokens is 0, expected 1 to 500"),
    "too many tokens": (Request("x", 501), "max tokens is 501, expected 1 to 500"),
    "half a token": (Request("x", 2.5), "max tokens is 2.5, expected a whole number"),
    "no number": (Request("x", float("nan")), "max tokens is nan, expected a whole number"),
    "words": (Request("x", "many"), "max tokens is 'many', expected a whole number"),
    "a negative top N": (Request("x", top_n=-1), "top N is -1"),
    "half a seed": (Request("x", seed=0.5), "seed is 0.5, expected a whole number"),
    "a negative seed": (Request("x", seed=-1), "seed is -1, expected a whole number"),
    "much that is written": (Request("x", begun=(5,) * 501), "501 tokens are written already"),
    "what is no token": (Request("x", begun=(97,)), "Token 97 is outside"),
    "a negative temperature": (Request("x", temperature=-0.1), "temperature is -0.1"),
    "half a character": (Request("\ud800"), "half"),
    "another model": (Request("x", model="xl"), "'xl' is no model of this server. Take one of tiny, other, q4"),
    "a path": (Request("x", model=str(ROOT / "data" / "nano")), "is no model of this server"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_over_a_limit_is_refused_in_words(shelf, what):
    wish, words = BAD[what]
    with pytest.raises(CourseError, match=re.escape(words)):
        list(Server(shelf, Limits(prompt=200)).answer(wish))


def test_a_limit_of_nothing_is_refused():
    for name in vars(Limits()):
        with pytest.raises(CourseError, match=f"{name} is 0"):
            Limits(**{name: 0})


def test_a_model_is_loaded_once_and_the_cache_keeps_as_many_as_it_may(shelf):
    models = ModelCache(shelf, keep=2)
    with ThreadPoolExecutor(8) as people:
        taken = list(people.map(lambda _: models.get("tiny")[0], range(8)))
    assert all(model is taken[0] for model in taken)
    first = weakref.ref(taken.pop())
    taken.clear()
    models.get("other")
    assert models.get("tiny")[0] is first()  # used again: now the other one is older
    models.get("q4")
    assert models.get("tiny")[0] is first()
    models.get("other")
    models.get("q4")
    gc.collect()
    assert first() is None


def test_a_model_that_has_no_room_is_refused_before_it_is_loaded(shelf, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=100_000))
    with pytest.raises(CourseError, match=r"takes about 117 kB of memory, 100 kB are available here. Take a smaller"):
        ModelCache(shelf).get("tiny")


def test_what_can_be_served_is_found_by_its_weights(shelf, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    for name, source in {"runs/mine": "tiny", "runs/second": "other", "packed": "q4"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(shelf[source])
    (tmp_path / "runs" / "begun").mkdir()
    assert list(find_choices(tmp_path)) == ["nano", "packed", "runs/mine", "runs/second"]
    assert list(find_choices(tmp_path / "runs" / "begun")) == ["nano"]
    assert name_choices(["nano", str(shelf["q4"])]) == {"nano": "nano", shelf["q4"].name: str(shelf["q4"])}
    with pytest.raises(CourseError, match="nowhere"):
        name_choices(["nano", "nowhere"])


# The page, through its own interface


def test_the_form_streams_the_models_own_text(client, shelf):
    for name, top_n in (("other", None), ("q4", 0)):
        text, line, _ = client.predict("A fox", 40, 0, top_n, name, api_name="/generate")
        assert text == greedy(shelf[name], "A fox", 40) and line.startswith("40 tokens")
    job = client.submit("A fox", 600, 0, None, "tiny", api_name="/generate")
    job.result(timeout=300)
    texts = [text for text, *_ in job.outputs()]
    assert len(texts) > 2 and all(b.startswith(a) for a, b in pairwise(texts))


# What the model thought


def shares_by_hand(folder: Path, ids: list[int]) -> torch.Tensor:
    """Return the model's own probabilities (vocab,) of what follows some tokens."""
    with torch.inference_mode():
        return loaded(folder)(torch.tensor([ids]))[0, -1].softmax(-1)


def test_each_token_comes_with_its_probability_and_the_five_likeliest(client, shelf):
    text, _, view = client.predict("A fox", 12, 1, None, "tiny", 7, api_name="/generate")
    (answer,) = view["answers"]
    assert (view["prompt"], answer["model"], answer["seed"]) == ("A fox", "tiny", 7)
    assert "".join(row[0] for row in answer["tokens"]) == text and len(answer["tokens"]) == 12
    ids = LETTERS.encode("A fox")
    for piece, token, share, likeliest in answer["tokens"]:
        shares = shares_by_hand(shelf["tiny"], ids)
        assert piece == LETTERS.decode([token]) and share == pytest.approx(float(shares[token]), abs=1e-4)
        assert [one[2] for one in likeliest] == pytest.approx(shares.topk(5).values.tolist(), abs=1e-4)
        assert all(float(shares[one[1]]) == pytest.approx(one[2], abs=1e-4) for one in likeliest if one[1] is not None)
        ids.append(token)


def test_the_seed_is_told_and_gives_the_same_text_again(client):
    def write(seed: int | None) -> tuple[str, int]:
        text, _, view = client.predict("A fox", 40, 1, None, "tiny", seed, api_name="/generate")
        return text, view["answers"][0]["seed"]

    first, drawn = write(0)
    assert drawn > 0 and write(drawn) == (first, drawn)
    assert write(drawn + 1)[0] != first and write(None)[1] != drawn
    with pytest.raises(Exception, match="seed is -3, expected a whole number"):
        write(-3)


def test_two_models_stand_side_by_side_on_the_same_prompt_and_seed(client, shelf):
    text, _, view = client.predict("A fox", 20, 0, None, "tiny", 5, "other", api_name="/generate")
    texts = ["".join(row[0] for row in answer["tokens"]) for answer in view["answers"]]
    assert texts == [greedy(shelf[name], "A fox", 20) for name in ("tiny", "other")] and texts[0] == text
    assert [(answer["model"], answer["seed"]) for answer in view["answers"]] == [("tiny", 5), ("other", 5)]
    assert all(answer["line"].startswith("20 tokens") for answer in view["answers"])


def press(running, view: dict, event: dict, settings: tuple = (10, 1, 0)) -> dict:
    """Press a token on the page as a browser does; return the last message of the stream."""
    session, listeners = "a-visitor-who-presses", running.page.config["dependencies"]
    (take,) = [one["id"] for one in listeners if one["outputs"] and one["targets"][0][1] == "take"]
    asked = {"data": [view, *settings], "event_data": event, "fn_index": take, "session_hash": session}
    with httpx.Client(base_url=running.url, timeout=60) as http:
        http.post("gradio_api/queue/join", json=asked).raise_for_status()
        text = http.get("gradio_api/queue/data", params={"session_hash": session}).text
    messages = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    return next(one for one in messages if one["msg"] == "process_completed")


def test_a_token_that_is_taken_stands_and_the_text_goes_on_behind_it(running, client, shelf):
    *_, view = client.predict("A fox", 10, 1, None, "tiny", 3, "other", api_name="/generate")
    (_, token, _, likeliest), other = view["answers"][0]["tokens"][4], view["answers"][1]
    chosen = next(one for one in likeliest if one[1] not in (token, None))
    done = press(running, view, {"answer": 0, "place": 4, "token": chosen[1]})
    text, line, shown = done["output"]["data"]
    begin = "".join(row[0] for row in view["answers"][0]["tokens"][:4]) + LETTERS.decode([chosen[1]])
    assert text.startswith(begin) and line.startswith("10 tokens") and len(shown["answers"][0]["tokens"]) == 15
    assert shown["answers"][0]["tokens"][:4] == view["answers"][0]["tokens"][:4] and shown["answers"][1] == other
    assert shown["answers"][0]["tokens"][4][1:3] == chosen[1:3]
    assert "".join(row[0] for row in shown["answers"][0]["tokens"]) == text


def test_whoever_takes_what_was_written_gets_the_same_text(running, client):
    text, _, view = client.predict("A fox", 10, 1, 5, "tiny", 11, api_name="/generate")
    token = view["answers"][0]["tokens"][3][1]  # among the five likeliest, as top N is 5
    done = press(running, view, {"answer": 0, "place": 3, "token": token}, (6, 1, 5))
    assert done["output"]["data"][0] == text


FORGED = {
    "no such place": {"answer": 0, "place": 99, "token": 5},
    "no such answer": {"answer": 7, "place": 0, "token": 5},
    "a token that did not stand there": {"answer": 0, "place": 0, "token": 10**9},
    "no number": {"answer": 0, "place": "first", "token": None},
    "nothing": {},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_token_that_never_stood_there_can_not_be_taken(running, client, what, capfd):
    *_, view = client.predict("A fox", 3, 0, None, "tiny", api_name="/generate")
    done = press(running, view, FORGED[what])
    assert not done["success"] and "Continue a text, then take one" in done["output"]["error"]
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_shown_but_is_no_token_goes_nowhere(running, client):
    *_, view = client.predict("A fox", 3, 0, None, "tiny", api_name="/generate")
    rows = view["answers"][0]["tokens"]
    forged = {**view, "answers": [{**view["answers"][0], "tokens": [["x", "y", 0, []], *rows]}]}
    done = press(running, forged, {"answer": 0, "place": 3, "token": rows[-1][1]})
    assert not done["success"] and "are no tokens" in done["output"]["error"]


def test_the_form_starts_with_the_promised_settings(running):
    labels = {"Max tokens": 100, "Temperature": 0.7, "Top N": 0, "Model": "tiny"}
    parts = {part["props"].get("label"): part["props"] for part in running.page.config["components"]}
    assert {label: parts[label].get("value") for label in labels} == labels
    assert (parts["Temperature"]["minimum"], parts["Temperature"]["maximum"]) == (0, 1)
    assert parts["Model"]["choices"] == [(name, name) for name in ("tiny", "other", "q4")]


def test_a_refusal_reaches_the_visitor_and_the_next_one_is_served(running, client):
    for words, said in {
        ("x" * 201, 5, 0, None, "tiny"): "The text has 201 characters, this server reads 200. Shorten it.",
        ("x", 200_001, 0, None, "tiny"): "max tokens is 200,001, expected 1 to 200,000.",
        ("x", 5, 0, -4, "tiny"): "top N is -4, expected 1 or more",
        ("x", 5, 7, None, "tiny"): "greater than maximum value 1",
        ("x", 5, 0, None, str(ROOT / "data" / "nano")): "not in the list of choices",
    }.items():
        with pytest.raises(Exception, match=re.escape(said)):
            client.predict(*words, api_name="/generate")
    assert client.predict("x", 5, 0, None, "tiny", api_name="/generate")[1].startswith("5 tokens")


def test_fifty_people_at_once_each_get_their_own_answer_and_memory_stays_flat(running, shelf):
    prompts = [f"{number} foxes" for number in range(50)]

    def everybody() -> list:
        with ThreadPoolExecutor(50) as people:
            return list(people.map(lambda prompt: ask(running.url, prompt, 12, 0, None, "tiny"), prompts))

    everybody()
    before = psutil.Process().memory_info().rss
    found = everybody()
    assert [event for event, _ in found] == ["complete"] * 50
    assert [data[0] for _, data in found] == [greedy(shelf["tiny"], prompt, 12) for prompt in prompts]
    assert psutil.Process().memory_info().rss - before < 60e6
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, KeyValueCache)]


def test_when_too_many_wait_the_others_are_told_and_nothing_breaks(shelf):
    app = start_app(shelf, Limits(at_once=1, waiting=3, new_tokens=1000, per_visitor=50))
    client = Client(app.url, verbose=False, analytics_enabled=False)
    jobs = [client.submit("A fox", 400, 0, 0, "tiny", api_name="/generate") for _ in range(50)]
    failures = [str(error) for job in jobs if (error := job.exception(timeout=120))]
    texts = [job.result()[0] for job in jobs if not job.exception()]
    assert texts == [greedy(shelf["tiny"], "A fox", 400)] * len(texts) and len(texts) >= 4
    assert len(failures) == 50 - len(texts) > 0 and all("queue is full" in failure for failure in failures)
    app.close()


def test_every_setting_has_a_default(client):
    assert re.match(r"\d+ tokens?, ", client.predict("A fox", api_name="/generate")[1])


@pytest.fixture
def counted():
    """Return a page of one model with one seat, and a list of that model's passes."""
    model, passes = endless_model(1), []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    app = start_app({"counted": (model, LETTERS)}, Limits(at_once=1, waiting=3, new_tokens=1_000_000))
    yield SimpleNamespace(url=app.url, passes=passes)
    app.close()


def test_requests_that_nobody_listens_to_cost_nothing_and_keep_nobody_waiting(counted):
    with httpx.Client(base_url=counted.url) as http:
        for _ in range(100):
            http.post(
                "gradio_api/call/generate", json={"data": ["A fox", 500, 0, 0, "counted", *DEFAULTS]}
            ).raise_for_status()
    assert ask(counted.url, "A fox", 5, 0, 0, "counted")[1][1].startswith("5 tokens")
    assert len(counted.passes) == 5


def test_an_answer_ends_when_its_listener_has_gone(counted):
    with httpx.Client(base_url=counted.url, timeout=60) as http:
        asked = http.post("gradio_api/call/generate", json={"data": ["A fox", 1_000_000, 0, 0, "counted", *DEFAULTS]})
        with http.stream("GET", f"gradio_api/call/generate/{asked.json()['event_id']}") as answer:
            next(answer.iter_lines())
    assert ask(counted.url, "A fox", 5, 0, 0, "counted")[1][1].startswith("5 tokens")  # on the only seat
    assert len(counted.passes) < 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only there does a machine have more addresses of its own")
def test_an_address_has_two_requests_under_way_and_others_are_served_meanwhile(shelf):
    app = start_app(shelf, Limits(at_once=3, new_tokens=200_000))
    with ExitStack() as stack:

        def visitor(address: str) -> httpx.Client:
            return stack.enter_context(
                httpx.Client(base_url=app.url, timeout=60, transport=httpx.HTTPTransport(local_address=address))
            )

        greedy_one = visitor("127.0.0.2")
        long = [stack.enter_context(listen(greedy_one, "A fox", 200_000)).iter_lines() for _ in range(2)]
        assert [next(lines) for lines in long] == ["event: generating"] * 2
        with listen(greedy_one, "A fox", 5) as answer:
            assert "event: error" in list(answer.iter_lines())
        with listen(visitor("127.0.0.3"), "A fox", 5) as answer:
            assert "event: complete" in list(answer.iter_lines())
    app.close()


def listen(http: httpx.Client, text: str, most: int):
    """Ask for an answer and open its stream."""
    asked = http.post("gradio_api/call/generate", json={"data": [text, most, 0, 0, "tiny", *DEFAULTS]})
    return http.stream("GET", f"gradio_api/call/generate/{asked.json()['event_id']}")


DOOR = {
    "another host's name": ("GET", "", {"headers": {"Host": "evil.example"}}, 403, "evil.example"),
    "another host's name and port": ("GET", "config", {"headers": {"Host": "evil.example:7860"}}, 403, "evil.example"),
    "a file": ("POST", "gradio_api/upload", {"files": {"files": b"x"}}, 403, "no files"),
    "a heavy request": ("POST", "gradio_api/call/generate", {"content": b" " * 1_000_001}, 413, "1,000,001"),
    "one of unknown length": ("POST", "gradio_api/call/generate", {"content": iter([b"{}"])}, 411, "Content-Length"),
}


@pytest.mark.parametrize("what", DOOR)
def test_the_door_refuses_in_a_sentence(running, what):
    method, path, extra, status, named = DOOR[what]
    answer = httpx.request(method, running.url + path, **extra)
    assert answer.status_code == status and named in answer.json()["detail"]


def test_the_door_knows_the_names_of_its_own_machine(running):
    port = running.url.rstrip("/").rpartition(":")[2]
    for name in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
        assert httpx.get(running.url + "config", headers={"Host": name}).status_code == 200


MALFORMED = {
    "too few values": ("generate", {"data": ["A fox"]}),
    "too many values": ("generate", {"data": ["A fox"] * 20}),
    "values of other kinds": ("generate", {"data": [["A"], {}, "hot", [], 7, "x", []]}),
    "too hot": ("generate", {"data": ["A fox", 5, 7, 0, "tiny", *DEFAULTS]}),
    "no model of ours": ("generate", {"data": ["A fox", 5, 0, 0, "xl", *DEFAULTS]}),
    "a history that is none": ("chat", {"data": ["A", [{"role": 7, "content": None}], True, 5, 0, 0, "tiny"]}),
    "no data": ("generate", {"rows": []}),
    "no such name": ("shell", {"data": ["A fox"]}),
    "data that is no list": ("generate", {"data": "A fox"}),
    "a number": ("generate", 7),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_leaves_at_most_one_line_and_no_traceback(running, capfd, what):
    name, body = MALFORMED[what]
    capfd.readouterr()
    with httpx.Client(base_url=running.url, timeout=60) as http:
        asked = http.post(f"gradio_api/call/{name}", json=body)
        if asked.status_code == 200:
            assert "event: error" in http.get(f"gradio_api/call/{name}/{asked.json()['event_id']}").text
    said = capfd.readouterr().err
    assert "Traceback" not in said and said.count("\n") <= 1, said


def test_a_stopped_answer_frees_its_place_and_is_kept(shelf, tmp_path):
    log = tmp_path / "chat_log.csv"
    app = start_app(shelf, Limits(at_once=1, new_tokens=200_000, seconds=100), chat_log=log)
    client = Client(app.url, verbose=False, analytics_enabled=False)
    job = client.submit("A fox", [], False, 200_000, 0, None, "tiny", api_name="/chat")
    while not job.outputs():
        time.sleep(0.01)
    job.cancel()
    assert client.predict("A fox", 5, 0, None, "tiny", api_name="/generate")[1].startswith("5 tokens")
    app.close()
    gc.collect()
    (row,) = read_log(log)
    assert row[1] == "A fox" and 0 < len(row[2]) < 200_000 and greedy(shelf["tiny"], "A fox", 20)[:5] == row[2][:5]


def read_log(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["Date and Time", "User Query", "GPT Response", "Model"]
    return rows


# The chat


def test_the_chat_reads_on_from_what_was_said(client, shelf):
    _, once = client.predict("A fox", [], True, 10, 0, None, "tiny", api_name="/chat")
    first = greedy(shelf["tiny"], "A fox", 10)
    assert spoken(once) == ["A fox", first]
    empty, twice = client.predict("and he", once, True, 10, 0, None, "tiny", api_name="/chat")
    assert empty == "" and spoken(twice) == [
        "A fox",
        first,
        "and he",
        greedy(shelf["tiny"], f"A fox{first} and he", 10),
    ]
    _, alone = client.predict("and he", once, False, 10, 0, None, "tiny", api_name="/chat")
    assert spoken(alone)[-1] == greedy(shelf["tiny"], "and he", 10)


def test_one_seed_gives_one_answer_in_the_chat(client):
    def answer_of(seed: int) -> str:
        return spoken(client.predict("A fox", [], True, 20, 1, None, "tiny", seed, api_name="/chat")[1])[-1]

    assert answer_of(7) == answer_of(7) != answer_of(8)


def spoken(conversation: list) -> list[str]:
    return [html.unescape(part["text"]) for turn in conversation for part in turn["content"]]


def test_a_long_conversation_is_read_from_its_end(client, shelf):
    turns = {"user": "x" * 5000, "assistant": "y" * 5000}
    history = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns.items()]
    _, talk = client.predict("A fox", history, True, 10, 0, None, "tiny", api_name="/chat")
    assert spoken(talk)[-1] == greedy(shelf["tiny"], "y" * 194 + " A fox", 10)  # 200 in all
    with pytest.raises(Exception, match="The text has 201 characters"):
        client.predict("x" * 201, history, True, 10, 0, None, "tiny", api_name="/chat")


def test_markup_is_shown_as_text_and_kept_as_it_was_said(running, client, shelf):
    _, talk = client.predict(MARKUP, [], True, 10, 0, None, "tiny", api_name="/chat")
    shown = talk[0]["content"][0]["text"]
    assert "<" not in shown and ">" not in shown and spoken(talk)[0] == MARKUP
    assert read_log(running.log)[-1][1:] == [MARKUP, greedy(shelf["tiny"], MARKUP, 10), "tiny"]
    _, more = client.predict("b", talk, True, 10, 0, None, "tiny", api_name="/chat")  # and it is read as it was said
    before = f"{MARKUP}{greedy(shelf['tiny'], MARKUP, 10)} b"
    assert read_log(running.log)[-1][2] == greedy(shelf["tiny"], before, 10)
    assert len(spoken(more)) == 4


@pytest.mark.parametrize("text", [" spaces", "\n\n  line\n    deeper\n", "a\tb", "", " ", "a & b &lt; c &#32;"])
def test_a_message_keeps_every_character_on_its_way_through_the_page(running, text):
    talk = next(part for part in running.page.blocks.values() if isinstance(part, gr.Chatbot))
    seen = talk.preprocess(talk.postprocess([as_message("user", text)]))
    assert read_together(seen, "next", 999) == (f"{text} next" if text else "next")


def test_many_people_chat_into_one_log_row_by_row(running):
    before = len(read_log(running.log)) if running.log.exists() else 0
    queries = [f'{number}, "quoted"\nand two lines' for number in range(20)]
    with ThreadPoolExecutor(20) as people:
        list(people.map(lambda q: ask(running.url, q, [], False, 5, 0, None, "tiny", 0, name="chat"), queries))
    rows = read_log(running.log)[before:]
    assert sorted(row[1] for row in rows) == sorted(queries) and {len(row) for row in rows} == {4}


# Nothing leaves this machine


def test_the_page_is_served_to_this_machine_only_and_asks_nothing_of_others(running):
    port = int(running.url.rstrip("/").rpartition(":")[2])
    listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening if address.port == port} == {"127.0.0.1"}
    loaded = httpx.get(running.url).text + httpx.get(f"{running.url}theme.css").text
    assert "googleapis" not in loaded and "gstatic" not in loaded
    assert running.page.analytics_enabled is False and running.page.share_url is None


def test_a_taken_port_is_named(shelf, running):
    port = int(running.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(CourseError, match=f"{port}.*Choose another port"):
        start_app(shelf, address=Address(port=port))


WATCHED = """
import sys
sys.addaudithook(lambda event, args: event == "socket.connect" and print("CONNECT", args[1], flush=True))
from tools.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def in_a_process():
    """Start Python code that serves; the return value has its address and what it has printed so far."""
    started = []

    def start(*command: str, cwd: Path) -> SimpleNamespace:
        process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True)
        reader.start()
        return SimpleNamespace(process=process, lines=lines, reader=reader, url=wait_for_address(process, lines))

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for_address(process: subprocess.Popen, lines: list[str]) -> str:
    """Wait until a server has printed where it is."""
    for _ in range(3000):  # five minutes, on a busy machine
        if found := re.search(r"The page is at (\S+)", "".join(lines)):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError("".join(lines))


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C can't be sent to one process there")
def test_the_command_serves_until_ctrl_c_and_connects_to_nobody_else(in_a_process, shelf, tmp_path):
    command = ["serve", str(shelf["tiny"]), "--log", str(tmp_path / "log.csv")]
    server = in_a_process(sys.executable, "-c", WATCHED, *command, cwd=ROOT)
    event, (text, *_) = ask(server.url, "A fox", 10, 0, None, shelf["tiny"].name)
    assert (event, text) == ("complete", greedy(shelf["tiny"], "A fox", 10))
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 130
    server.reader.join(10)
    printed = "".join(server.lines)
    reached = set(re.findall(r"CONNECT \('([^']+)'", printed))
    assert reached <= {"127.0.0.1", "::1"}, printed
    assert "CONNECT" in printed and "Traceback" not in printed  # Gradio looks whether its own page is up


# The export

ALONE = """
import importlib, pathlib, runpy, sys
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
for module in sorted((folder / "utils").rglob("*.py")):
    name = ".".join(module.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    found = importlib.import_module(name)
    assert pathlib.Path(found.__file__).is_relative_to(folder), found
runpy.run_path(str(folder / "app.py"))
"""


@pytest.fixture(scope="module")
def exported(shelf, tmp_path_factory) -> dict[str, Path]:
    """Export nano, a model that needs 32 bits and a packed one, each into a folder."""
    folder = tmp_path_factory.mktemp("spaces")
    return {name: export_app(model, folder / name) for name, model in {**shelf, "nano": "nano"}.items()}


def test_an_exported_folder_serves_by_itself(in_a_process, exported, shelf, tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(probe.getsockname()[1]))
    server = in_a_process(sys.executable, "-I", "-u", "-c", ALONE, str(exported["q4"]), cwd=tmp_path)
    event, (text, *_) = ask(server.url, "A fox", 30, 0, None, "q4")
    assert (event, text) == ("complete", greedy(shelf["q4"], "A fox", 30))


def test_a_page_offers_beginnings_that_suit_its_first_model_and_an_export_takes_them_along(shelf, tmp_path):
    first = shutil.copytree(shelf["tiny"], tmp_path / "first")
    write_beginnings(first, ["ROMEO:", "What news"])
    for choices, expected in (({"a": first, "b": shelf["q4"]}, ["ROMEO:", "What news"]), (shelf, list(EXAMPLES))):
        page = build_page(Site(Server(choices), Listeners(), None))
        (offered,) = [block.samples for block in page.blocks.values() if hasattr(block, "samples")]
        assert [text for (text,) in offered] == expected
    assert read_beginnings(export_app(first, tmp_path / "app") / "model") == ["ROMEO:", "What news"]


def test_an_exported_folder_holds_weights_code_pins_and_nothing_else(exported, shelf):
    folder = exported["nano"]
    names = {entry.name for entry in folder.iterdir()}
    assert names == {"README.md", "app.py", "data", "model", "requirements.txt", "utils"}
    kept = {"config.json", "meta.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {entry.name for entry in (folder / "model").iterdir()} == kept
    sizes = [(place / "model.safetensors").stat().st_size for place in (ROOT / "data" / "nano", folder / "model")]
    assert abs(sizes[0] - sizes[1]) < 10_000  # still 16 bits
    for original, name in (("nano", "nano"), (shelf["tiny"], "tiny")):  # and 32 where a weight needs them
        model = load_gpt2(exported[name] / "model")
        assert all(torch.equal(weight, model.get_parameter(key)) for key, weight in loaded(original).named_parameters())
    assert load_tokenizer(folder / "model").encode("Hello world") == [15496, 995]
    assert {path.suffix for path in (folder / "utils").rglob("*") if path.is_file()} == {".py", ".css", ".js"}


def test_the_pins_are_what_runs_here_and_cover_every_import(exported):
    pins = dict(line.split("==") for line in (exported["tiny"] / "requirements.txt").read_text("utf-8").splitlines())
    assert {"torch", "gradio", "tokenizers", "numpy", "psutil"} <= pins.keys()
    assert not {"transformers", "tensorflow", "jupyterlab"} & pins.keys()
    assert all(importlib.metadata.version(name).partition("+")[0] == version for name, version in pins.items())
    modules = set(needed_modules("utils.serve.page")[0])
    assert {"utils", "utils.serve.page", "utils.model", "utils.formats", "utils.formats.quantized_files"} <= modules
    assert not {"utils.training.loop", "utils.plots.widgets", "utils.serve.export"} & modules


def test_an_export_never_writes_into_a_folder_that_holds_something(shelf, tmp_path):
    (tmp_path / "app.py").write_text("mine", encoding="utf-8")
    with pytest.raises(CourseError, match=re.escape(str(tmp_path))):
        export_app(shelf["tiny"], tmp_path)
    assert [entry.read_text("utf-8") for entry in tmp_path.iterdir()] == ["mine"]
