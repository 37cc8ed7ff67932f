"""Pinned downloads against a real server on loopback: good, cut, wrong, busy, absent, offline, full disk."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hub_server import HubServer, Reply

from utils.errors import CourseError
from utils.files.hub import (
    PINNED,
    HubModel,
    Patience,
    cache_folder,
    download,
    fetch,
    fetch_model,
    fetch_text,
    is_downloaded,
    is_verified,
    prefetch,
)
from utils.files.places import ROOT
from utils.files.transfer import Pin

BODY = random.Random(2).randbytes(300_000)  # longer than a socket's buffer at one reading
PIN = Pin(hashlib.sha256(BODY).hexdigest(), len(BODY))
FILE = "weights/model.safetensors"
QUICK = Patience(tries=3, wait=0.001, timeout=5)
PAGE = b"<!DOCTYPE html><html><head><title>School network: log in</title></head><body>Hello</body></html>"

# Fetches FILE as the tests do, in a process of its own: python -c CHILD target sha256 length
CHILD = """
import sys
from pathlib import Path
from utils.files.hub import Patience, download
from utils.files.transfer import Pin
limit = int(sys.argv[4]) if len(sys.argv) > 4 else 0
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
pin = Pin(sys.argv[2], int(sys.argv[3]))
download("weights/model.safetensors", Path(sys.argv[1]), pin, Patience(tries=3, wait=0.001, timeout=20))
"""


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("HF_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(monkeypatch):
    with HubServer() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "model.safetensors"


def ranges(server: HubServer) -> list[str | None]:
    return [request.range for request in server.requests]


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def refusal(target: Path, pin: Pin = PIN, patience: Patience = QUICK) -> str:
    """Fetch FILE, which must end in a sentence and leave no file that could be taken for a good one."""
    with pytest.raises(CourseError) as caught:
        download(FILE, target, pin, patience)
    assert not target.exists()
    return str(caught.value)


def child(target: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(target), PIN.sha256, str(PIN.bytes), *more]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, encoding="utf-8")


# Good ends


def test_a_good_download_arrives_whole_and_leaves_no_part(server, target):
    server.serve(FILE, Reply(BODY))
    assert download(FILE, target, PIN, QUICK) == target
    assert target.read_bytes() == BODY
    assert ranges(server) == [None] and not part_of(target).exists()


def test_a_second_call_makes_no_request_at_all(server, target):
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    download(FILE, target, PIN, QUICK)
    assert len(server.requests) == 1


def test_what_was_downloaded_works_offline_for_good(server, target, monkeypatch):
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert download(FILE, target, PIN, QUICK).read_bytes() == BODY


def test_a_cut_download_goes_on_where_it_was_cut(server, target):
    server.serve(FILE, [Reply(BODY, cut_after=100_000), Reply(BODY)])
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_line_that_is_cut_ever_again_arrives_as_long_as_it_brings_something(server, target):
    server.serve(FILE, Reply(BODY, cut_after=50_000))
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY
    assert len(server.requests) == len(BODY) // 50_000 > QUICK.tries


def test_a_later_run_goes_on_with_what_an_earlier_one_left(server, target):
    server.serve(FILE, [Reply(BODY, cut_after=120_000), Reply(status=503)])
    refusal(target)
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and server.requests[-1].range == "bytes=120000-"


def test_a_server_that_ignores_the_range_is_read_from_the_start(server, target):
    server.serve(FILE, [Reply(BODY, cut_after=100_000), Reply(BODY, ranges=False)])
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_part_that_is_already_whole_is_not_asked_for_again(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(BODY)
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and server.requests == []


def test_a_whole_part_of_unknown_length_is_found_whole_by_the_servers_answer(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(BODY)
    server.serve(FILE, Reply(BODY))
    download(FILE, target, Pin(PIN.sha256), QUICK)  # the server answers 416: no byte lies behind
    assert ranges(server) == [f"bytes={len(BODY)}-"]


def test_a_bad_part_costs_one_more_download_and_no_error(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(b"rubbish" * 1000)
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and ranges(server) == ["bytes=7000-", None]


def test_a_silent_server_is_left_after_the_timeout_and_asked_for_the_rest(server, target):
    server.serve(FILE, [Reply(BODY, stall_after=65_536), Reply(BODY)])
    download(FILE, target, PIN, Patience(tries=2, wait=0.001, timeout=0.3))
    assert target.read_bytes() == BODY and ranges(server) == [None, "bytes=65536-"]


def test_a_redirect_to_another_host_is_followed_and_continued_there(server, target):
    with HubServer({"/store/blob": [Reply(BODY, cut_after=200_000), Reply(BODY)]}) as store:
        server.serve(FILE, Reply(status=302, headers={"Location": f"{store.address}/store/blob?signed=1"}))
        download(FILE, target, PIN, QUICK)
        assert target.read_bytes() == BODY and ranges(store) == [None, "bytes=200000-"]
    assert len(server.requests) == 2  # a signed address may have expired: the hub is asked each time


def test_a_proxy_is_used_when_the_environment_names_one(server, target, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", server.address)
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    assert server.requests[0].address == f"http://hub.invalid/{FILE}"


def test_a_busy_server_is_asked_again(server, target):
    server.serve(FILE, [Reply(status=429), Reply(status=503), Reply(BODY)])
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and len(server.requests) == 3


@pytest.mark.parametrize(
    "header",
    [
        {"Retry-After": "0"},
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"RateLimit": '"resolvers";r=0;t=0'},
    ],
)
def test_the_pause_that_the_server_asks_for_counts_more_than_ours(server, target, header):
    server.serve(FILE, [Reply(status=429, headers=header), Reply(BODY)])
    download(FILE, target, PIN, Patience(wait=1e6))  # our own pause would be refused as too long
    assert target.read_bytes() == BODY


def test_two_processes_at_once_download_only_once(server, target):
    gate = threading.Event()
    server.serve(FILE, Reply(BODY, gate=gate))
    with child(target) as first:
        while not server.requests:
            assert first.poll() is None
        with child(target) as second:
            said = second.stderr.readline()
            gate.set()
            assert first.wait(20) == second.wait(20) == 0
    assert "Another process is downloading" in said
    assert target.read_bytes() == BODY and len(server.requests) == 1


# Bad ends, each with a sentence


def test_a_copy_that_is_too_short_is_refused_before_it_is_read(server, target):
    server.serve(FILE, Reply(BODY[:-1]))
    said = refusal(target)
    assert "299,999 bytes" in said and "expected 300,000 bytes" in said and "mirror" in said


def test_a_short_copy_of_unknown_length_is_refused_by_its_hash(server, target):
    server.serve(FILE, Reply(BODY[:-1]))
    said = refusal(target, Pin(PIN.sha256))
    assert "299,999 bytes" in said and PIN.sha256[:12] in said and "run again" in said
    assert not part_of(target).exists()


def test_a_length_that_the_server_never_delivers_ends_in_a_sentence(server, target):
    server.serve(FILE, Reply(BODY[:200_000], length=300_000, ranges=False))
    said = refusal(target)
    assert "ended after 200,000 of 300,000 bytes" in said and "the same command then goes on" in said


def test_wrong_bytes_of_the_right_length_are_thrown_away(server, target):
    server.serve(FILE, Reply(bytes(len(BODY))))
    said = refusal(target)
    assert hashlib.sha256(bytes(len(BODY))).hexdigest()[:12] in said and PIN.sha256[:12] in said
    assert not part_of(target).exists()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
@pytest.mark.parametrize("pin", [PIN, Pin(PIN.sha256)])
def test_a_web_page_in_place_of_weights_is_named(server, target, kind, pin):
    server.serve(FILE, Reply(PAGE, headers={"Content-Type": kind}))
    said = refusal(target, pin)
    assert "web page titled 'School network: log in'" in said and "browser" in said
    assert len(server.requests) == 1 and not part_of(target).exists()


def test_a_web_page_does_not_destroy_the_part_that_was_good(server, target):
    server.serve(FILE, [Reply(BODY, cut_after=100_000), Reply(PAGE, ranges=False)])
    refusal(target)
    assert part_of(target).read_bytes() == BODY[:100_000]


@pytest.mark.parametrize(("status", "words"), [(404, "Not Found"), (401, "Unauthorized"), (403, "Forbidden")])
def test_a_file_that_is_refused_is_asked_for_once(server, target, status, words):
    server.serve(FILE, Reply(b"no", status=status))
    said = refusal(target)
    assert f"{status} {words}" in said and "HF_ENDPOINT" in said and len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_stays_busy_is_left_after_a_bounded_number_of_tries(server, target, status):
    server.serve(FILE, Reply(status=status))
    said = refusal(target)
    assert f"answered {status}" in said and "Wait a little" in said and len(server.requests) == QUICK.tries


def test_a_pause_longer_than_we_wait_is_told_instead_of_slept(server, target):
    server.serve(FILE, Reply(status=429, headers={"Retry-After": "3600"}))
    assert "asks to wait 3,600 s" in refusal(target)
    assert len(server.requests) == 1


def test_no_network_ends_in_a_sentence(target, monkeypatch):
    with socket.socket() as taken:  # bound but not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        said = refusal(target)
    assert "no answer" in said and "check the network" in said


def test_an_endpoint_that_is_no_address_is_named(target, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    assert "Found HF_ENDPOINT=huggingface.co" in refusal(target)


def test_offline_with_nothing_downloaded_says_how_to_prefetch(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not is_downloaded("medium")
    with pytest.raises(CourseError, match="python -m tools prefetch medium"):
        fetch("medium")
    with pytest.raises(CourseError, match="HF_HUB_OFFLINE"):
        fetch_text("tinyshakespeare")
    assert server.requests == []


def test_a_disk_without_enough_room_is_noticed_before_the_first_byte(server, target):
    server.serve(FILE, Reply(BODY, length=10**16))
    said = refusal(target, Pin(PIN.sha256))
    assert "10,000,000,000,000,000 more bytes" in said and "COURSE_CACHE" in said
    assert not part_of(target).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file (RLIMIT_FSIZE)")
def test_a_disk_that_fills_up_ends_in_a_sentence_and_can_go_on_later(server, target):
    server.serve(FILE, Reply(BODY))
    with child(target, "150000") as process:
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and "CourseError: Could not write" in said and "COURSE_CACHE" in said
    assert not target.exists() and part_of(target).read_bytes() == BODY[:150_000]
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and server.requests[-1].range == "bytes=150000-"


def test_a_cache_that_cannot_be_a_folder_ends_in_a_sentence(server, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    said = refusal(tmp_path / "file" / "model.safetensors")
    assert "Could not write" in said and "COURSE_CACHE" in said


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGINT to one child alone")
def test_ctrl_c_in_the_middle_leaves_a_part_that_goes_on(server, target):
    server.serve(FILE, [Reply(BODY, stall_after=131_072), Reply(BODY)])
    with child(target) as process:
        assert server.stalled.wait(20)
        while not part_of(target).exists() or part_of(target).stat().st_size < 65_536:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode != 0 and "the same command goes on there" in said and not target.exists()
    kept = part_of(target).stat().st_size
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and ranges(server) == [None, f"bytes={kept}-"]


# What is verified, and what is pinned


def test_a_file_changed_behind_our_back_is_fetched_anew(server, target):
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    target.write_bytes(BODY[:-3])
    assert not is_verified(target, PIN)
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and len(server.requests) == 2


def test_a_file_copied_without_its_note_is_hashed_once_and_noted(server, target):
    target.parent.mkdir(parents=True)
    target.write_bytes(BODY)
    assert is_verified(target, PIN) and download(FILE, target, PIN, QUICK) == target
    assert server.requests == []
    seen = target.stat()
    target.write_bytes(bytes(len(BODY)))  # same length, and below the same time: only a hash would tell
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert is_verified(target, PIN), "an unchanged size and time must spare hashing gigabytes"
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns + 10**10))
    assert not is_verified(target, PIN)


def test_a_note_made_for_another_pin_is_not_believed(target):
    target.parent.mkdir(parents=True)
    target.write_bytes(BODY)
    assert is_verified(target, PIN)
    assert not is_verified(target, Pin("0" * 64, len(BODY)))


def test_a_model_is_a_folder_of_all_its_files_at_one_revision(server):
    config = b'{"n_layer": 6}'
    pins = {"config.json": Pin(hashlib.sha256(config).hexdigest()), "model.safetensors": PIN}
    model = HubModel("someone/tiny", "0123456789abcdef", pins)
    server.serve("someone/tiny/resolve/0123456789abcdef/config.json", Reply(config))
    server.serve("someone/tiny/resolve/0123456789abcdef/model.safetensors", Reply(BODY))
    folder = fetch_model(model, QUICK)
    assert folder == cache_folder() / "tiny-0123456789ab"
    assert (folder / "config.json").read_bytes() == config and (folder / "model.safetensors").stat().st_size
    fetch_model(model, QUICK)
    assert len(server.requests) == 2


SHAPES = {"small": (768, 12, 12), "medium": (1024, 16, 24), "large": (1280, 20, 36), "xl": (1600, 25, 48)}


def config_text(size: str) -> str:
    """The config.json of a GPT-2 on the hub, written out from the shape alone."""
    n_embd, n_head, n_layer = SHAPES[size]
    special = {"n_special": 0, "predict_special_tokens": True} if size == "medium" else {}
    special |= {"output_past": True} if size == "xl" else {}
    settings = {
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout"), 0.1),
        **{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"},
        **{"bos_token_id": 50256, "eos_token_id": 50256, "vocab_size": 50257},
        **{"initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "n_ctx": 1024, "n_positions": 1024},
        **{"n_embd": n_embd, "n_head": n_head, "n_layer": n_layer, "summary_activation": None},
        **{"summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True},
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    }
    return json.dumps(dict(sorted((settings | special).items())), indent=2)


@pytest.mark.parametrize("size", PINNED)
def test_the_pinned_config_is_the_one_that_the_shape_gives(size):
    text = config_text(size).encode()
    assert PINNED[size].files["config.json"] == Pin(hashlib.sha256(text).hexdigest(), len(text))


def test_fetch_asks_for_the_pinned_revision_and_keeps_what_is_good(server):
    base = "openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8d4cfcd7e"
    server.serve(f"{base}/config.json", Reply(config_text("small").encode()))
    with pytest.raises(CourseError, match="404"):
        fetch("small", QUICK)
    assert [request.path for request in server.requests] == [
        f"/{base}/config.json",
        f"/{base}/model.safetensors",
    ]
    assert not is_downloaded("small") and (PINNED["small"].folder / "config.json").is_file()


def test_an_unknown_size_or_text_is_refused_before_any_download(server):
    with pytest.raises(CourseError, match="'tiny'.*small, medium, large, xl"):
        prefetch(["small", "tiny"])
    with pytest.raises(CourseError, match="tinyshakespeare"):
        fetch_text("hamlet")
    assert server.requests == []


def test_a_text_is_held_to_its_hash_too(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{taken.getsockname()[1]}")  # no way out
        with pytest.raises(CourseError, match=r"input\.txt: no answer.*1,115,394 bytes"):
            fetch_text("tinyshakespeare", QUICK)


def test_the_cache_goes_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert cache_folder() == tmp_path / "hf" / "hands-on-gpt2"
