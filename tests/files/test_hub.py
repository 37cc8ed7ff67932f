"""Pinned downloads against a real server on loopback: good, cut, wrong, busy, absent, offline, full disk."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hub_server import HubServer, Reply

from utils.errors import CourseError
from utils.files.hub import (
    PINNED,
    TEXTS,
    HubModel,
    Patience,
    Pin,
    cache_folder,
    download,
    fetch,
    fetch_text,
    is_downloaded,
    is_verified,
    prefetch,
)
from utils.files.places import ROOT

BODY = random.Random(2).randbytes(300_000)  # longer than a socket's buffer at one reading
PIN = Pin(hashlib.sha256(BODY).hexdigest(), len(BODY))
UNKNOWN = Pin(PIN.sha256)  # of a length that only the server states
FILE = "weights/model.safetensors"
QUICK = Patience(tries=3, wait=0.001, timeout=5)
PAGE = Reply(b"<!DOCTYPE html><html><body>Log in</body></html>", headers={"Content-Type": "text/html; charset=utf-8"})

# Fetches FILE as the tests do, in a process of its own: python -c CHILD target sha256 length
CHILD = """
import sys
from pathlib import Path
from utils.files.hub import Patience, Pin, download
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
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "TQDM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.getaddrinfo", partial(look_up, socket.getaddrinfo))


def look_up(real: Callable, host: str, *more, **named):
    """Look names up as a machine with a network does: nobody has one that ends in .invalid (RFC 6761)."""
    if host.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return real(host, *more, **named)


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


def child(target: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(target), PIN.sha256, str(PIN.bytes), *more]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, encoding="utf-8")


# Good ends: what the server replies, what lies there before, and the ranges that it must be asked for

CUT = Reply(BODY, cut_after=100_000)
GOOD = {
    "whole": (Reply(BODY), b"", PIN, [None]),
    "cut once": ([CUT, Reply(BODY)], b"", PIN, [None, "bytes=100000-"]),
    "cut ever again": (CUT, b"", PIN, [None, "bytes=100000-", "bytes=200000-"]),
    "range ignored": ([CUT, Reply(BODY, ranges=False)], b"", PIN, [None, "bytes=100000-"]),
    "left by an earlier run": (Reply(BODY), BODY[:120_000], PIN, ["bytes=120000-"]),
    "left whole": (Reply(BODY), BODY, PIN, []),
    "left whole, of unknown length": (Reply(BODY), BODY, UNKNOWN, ["bytes=300000-"]),  # the server answers 416
    "left damaged": (Reply(BODY), b"rubbish" * 1000, PIN, ["bytes=7000-", None]),
    "silent, then cut": ([Reply(BODY, stall_after=65_536), Reply(BODY)], b"", PIN, [None, "bytes=65536-"]),
    "busy": ([Reply(status=429), Reply(status=503), Reply(BODY)], b"", PIN, [None] * 3),
}


@pytest.mark.parametrize("replies, before, pin, asked", GOOD.values(), ids=GOOD)
def test_a_download_arrives_whole_and_asks_for_no_byte_twice(server, target, replies, before, pin, asked):
    server.serve(FILE, replies)
    if before:
        target.parent.mkdir(parents=True)
        part_of(target).write_bytes(before)
    download(FILE, target, pin, Patience(tries=3, wait=0.001, timeout=0.5))
    assert target.read_bytes() == BODY and not part_of(target).exists()
    assert ranges(server) == asked


def test_what_was_downloaded_works_offline_for_good(server, target, monkeypatch):
    server.serve(FILE, Reply(BODY))
    download(FILE, target, PIN, QUICK)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert download(FILE, target, PIN, QUICK).read_bytes() == BODY
    assert len(server.requests) == 1


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


@pytest.mark.parametrize("header", [{"Retry-After": "0"}, {"RateLimit": '"resolvers";r=0;t=0'}])
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
            _, progress = first.communicate(timeout=60)
            assert first.returncode == second.wait(60) == 0
    assert "Another process" in said and "model.safetensors: 100%" in progress
    assert target.read_bytes() == BODY and len(server.requests) == 1


# Bad ends: what the server replies, what the sentence must name, how often it was asked, what is kept

SHORT, WRONG = BODY[:-1], bytes(len(BODY))
BAD = {
    "too short": (Reply(SHORT), PIN, ("299,999", "300,000"), 1, 0),
    "too short, of unknown length": (Reply(SHORT), UNKNOWN, ("299,999", PIN.sha256[:12]), 1, 0),
    "wrong bytes": (Reply(WRONG), PIN, (hashlib.sha256(WRONG).hexdigest()[:12], PIN.sha256[:12]), 1, 0),
    "never delivered": (Reply(BODY[:200_000], length=300_000, ranges=False), PIN, ("200,000",), 3, 200_000),
    "a page": (PAGE, PIN, ("web page",), 1, 0),
    "a page, unknown length": (PAGE, UNKNOWN, ("web page",), 1, 0),
    "a page in the middle": ([CUT, replace(PAGE, ranges=False)], PIN, ("web page",), 2, 100_000),
    "absent": (Reply(b"no", status=404), PIN, ("404 Not Found", "HF_ENDPOINT"), 1, 0),
    "forbidden": (Reply(b"no", status=403), PIN, ("403 Forbidden",), 1, 0),
    "busy for good": (Reply(status=503), PIN, ("503",), 3, 0),
    "a pause that is too long": (Reply(status=429, headers={"Retry-After": "3600"}), PIN, ("429", "3,600 s"), 1, 0),
    "no room": (Reply(BODY, length=10**16), UNKNOWN, ("10,000,000,000,000,000", "COURSE_CACHE"), 1, 0),
}


@pytest.mark.parametrize("replies, pin, named, requests, kept", BAD.values(), ids=BAD)
def test_a_download_that_fails_says_why_and_leaves_nothing_false(server, target, replies, pin, named, requests, kept):
    server.serve(FILE, replies)
    with pytest.raises(CourseError) as caught:
        download(FILE, target, pin, QUICK)
    assert all(word in str(caught.value) for word in named)
    assert not target.exists() and len(server.requests) == requests
    assert (part_of(target).read_bytes() if kept else b"") == BODY[:kept] and (kept or not part_of(target).exists())


def test_no_network_a_wrong_endpoint_and_a_cache_in_the_way_are_named(target, monkeypatch, tmp_path):
    with socket.socket() as taken:  # bound but not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(CourseError, match=f"{taken.getsockname()[1]}.*no answer.*HTTPS_PROXY"):
            download(FILE, target, PIN, QUICK)
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    with pytest.raises(CourseError, match="HF_ENDPOINT=huggingface.co"):
        download(FILE, target, PIN, QUICK)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CourseError, match="COURSE_CACHE"):
        download(FILE, tmp_path / "file" / "model.safetensors", PIN, QUICK)


def test_offline_with_nothing_downloaded_says_how_to_prefetch(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not is_downloaded("medium")
    with pytest.raises(CourseError, match="gpt2-medium.*HF_HUB_OFFLINE.*python course.py prefetch"):
        fetch("medium")
    with pytest.raises(CourseError, match="HF_HUB_OFFLINE"):
        fetch_text("tinyshakespeare")
    assert server.requests == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file (RLIMIT_FSIZE)")
def test_a_disk_that_fills_up_ends_in_a_sentence_and_can_go_on_later(server, target):
    server.serve(FILE, Reply(BODY))
    with child(target, "150000") as process:
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and "CourseError" in said and "COURSE_CACHE" in said
    assert not target.exists() and part_of(target).read_bytes() == BODY[:150_000]
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and server.requests[-1].range == "bytes=150000-"


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGINT to one child alone")
def test_ctrl_c_in_the_middle_leaves_a_part_that_goes_on(server, target):
    server.serve(FILE, [Reply(BODY, stall_after=131_072), Reply(BODY)])
    with child(target) as process:
        assert server.stalled.wait(60)
        while not part_of(target).exists() or part_of(target).stat().st_size < 65_536:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    kept = part_of(target).stat().st_size
    assert process.returncode != 0 and f"{kept:,} bytes" in said and not target.exists()
    download(FILE, target, PIN, QUICK)
    assert target.read_bytes() == BODY and ranges(server) == [None, f"bytes={kept}-"]


# Every fault of a network, a mirror or an address ends in the whole file or in a sentence


def head(status: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def away(location: str) -> Reply:
    return Reply(status=302, headers={"Location": location})


def asks_to_wait(pause: str) -> list[Reply]:
    return [Reply(status=429, headers={"Retry-After": pause}), Reply(BODY)]


def clock_of(step: float) -> Callable[[], float]:
    """Return a clock that is `step` seconds later whenever somebody looks."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


LONG = BODY + bytes(3_000_000)
SHORTLY = replace(QUICK, most=1_000_000)  # bytes of a file whose length nobody states
DRIP = Reply(BODY[:20_000] * 3, piece=1_000, length=300_000, ranges=False)
SLOW = replace(QUICK, clock=clock_of(40.0))  # a second look is 40 s after the first
WHOLE = ()  # the file arrives
FAULTS = {  # what the server replies; what the sentence names, or WHOLE; how often it is asked at most; pin, patience
    # the body is longer or shorter than it should be
    "longer than its pin, no length": (Reply(LONG, framing="close"), ("300,000",), 1),
    "longer than its pin, chunked": (Reply(LONG, framing="chunked"), ("300,000",), 1),
    "longer than its pin, and it says so": (Reply(LONG), ("3,300,000", "300,000"), 1),
    "longer than it says": (Reply(LONG, length=300_000), WHOLE, 1),
    "longer than its pin, continued": ([CUT, Reply(LONG, framing="chunked")], ("300,000",), 2),
    "endless, no pinned length, no length": (Reply(LONG, framing="close"), ("1,000,000",), 1, UNKNOWN, SHORTLY),
    "endless, no pinned length, chunked": (Reply(LONG, framing="chunked"), ("1,000,000",), 1, UNKNOWN, SHORTLY),
    "longer than it says, no pinned length": (Reply(LONG, length=300_000), WHOLE, 1, UNKNOWN),
    "whole, no length": (Reply(BODY, framing="close"), WHOLE, 1),
    "whole, chunked": (Reply(BODY, framing="chunked"), WHOLE, 1),
    "whole, chunked, no pinned length": (Reply(BODY, framing="chunked"), WHOLE, 1, UNKNOWN),
    "cut, no length": ([Reply(BODY, framing="close", cut_after=90_000), Reply(BODY)], WHOLE, 2),
    "cut, chunked": ([Reply(BODY, framing="chunked", cut_after=90_000), Reply(BODY)], WHOLE, 2),
    "cut every 40,000 bytes": (Reply(BODY, cut_after=40_000), WHOLE, 8),
    "cut every 40,000 bytes, chunked": (Reply(BODY, framing="chunked", cut_after=40_000), WHOLE, 8),
    "cut at once, for ever": (Reply(BODY, cut_after=0), ("half of one",), 3),
    "one byte short": (Reply(BODY[:-1], framing="close"), ("299,999",), 4),
    "empty": (Reply(b""), ("0 bytes",), 1),
    "empty, no length": (Reply(b"", framing="close"), ("0 bytes",), 3),
    "a length of zero before a body": (Reply(BODY, length=0), ("0 bytes",), 1),
    "a length below zero": (Reply(raw=head("200 OK", "Content-Length: -5")), ("no answer",), 3),
    "a length that is no number": (Reply(raw=head("200 OK", "Content-Length: many")), ("no answer",), 3),
    "two lengths": (Reply(raw=head("200 OK", "Content-Length: 5", "Content-Length: 6")), ("no answer",), 3),
    "a huge length": (Reply(BODY, length=10**30), ("300,000",), 3),
    "chunks of no size": (Reply(raw=head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\n"), ("half of one",), 3),
    # the line
    "a drip": (DRIP, ("bytes came within",), 3, PIN, SLOW),
    "a drip, then a line": ([DRIP, Reply(BODY)], WHOLE, 2, PIN, SLOW),
    "silence": (Reply(BODY, stall_after=10), ("half of one",), 4, PIN, replace(QUICK, timeout=0.2)),
    "closed before a word": (Reply(raw=b""), ("no answer",), 3),
    "not HTTP": (Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), ("no answer",), 3),
    "half a head": (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"), ("no answer",), 3),
    "an endless head": (Reply(raw=head("200 OK", *["X: " + "x" * 1000] * 500)), ("no answer",), 3),
    # what it answers
    "unknown status": (Reply(status=599), ("599",), 1),
    "log in": (Reply(status=401), ("401 Unauthorized",), 1),
    "gone": (Reply(status=410), ("410 Gone",), 1),
    "no content": (Reply(status=204), ("204",), 1),
    "server error, then the file": ([Reply(status=500), Reply(BODY)], WHOLE, 2),
    "a page": (PAGE, ("web page",), 1),
    "JSON": (Reply(b'{"error": "quota"}', headers={"Content-Type": "application/json"}), ("18", "300,000"), 1),
    "compressed all the same": (Reply(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}), ("300,000",), 1),
    "another part": ([CUT, Reply(raw=head("206 OK", "Content-Length: 200000") + LONG[-200_000:])], ("SHA-256",), 9),
    # pauses
    "wait ²": (asks_to_wait("²"), WHOLE, 2),
    "wait ٣": (asks_to_wait("٣"), WHOLE, 2),
    "wait -5": (asks_to_wait("-5"), WHOLE, 2),
    "wait a number without end": (asks_to_wait("9" * 5000), ("429", "1,000,000,000 s"), 1),
    "wait until a date": (asks_to_wait("Fri, 31 Dec 1999 23:59:59 GMT"), WHOLE, 2),
    "wait for words": (asks_to_wait("a moment"), WHOLE, 2),
    # where it sends us
    "to half an address": (away("http://[::1"), ("leads to no file",), 1),
    "to a name that nobody has": (away("http://nobody.invalid/x"), ("leads to no file",), 1),
    "to a port that is none": (away("http://127.0.0.1:many/x"), ("leads to no file",), 1),
    "to a name with an empty part": (away("http://a..b/x"), ("leads to no file",), 1),
    "to a file of this machine": (away("file:///etc/passwd"), ("leads to no file",), 1),
    "in circles": (away(f"/{FILE}"), ("leads to no file",), 25),
    "nowhere": (Reply(status=302), ("302",), 1),
}
ENDPOINTS = {  # what HF_ENDPOINT is, and what the sentence names, or WHOLE; HOST is the server's address
    "http://[": "HF_ENDPOINT=http://[",
    "http://[::1": "HF_ENDPOINT=http://[::1",
    "http://": "HF_ENDPOINT=http:",
    "http://hugging face.co": "HF_ENDPOINT=http://hugging face.co",
    "htps://huggingface.co": "HF_ENDPOINT=htps",
    "http://127.0.0.1:99999": "HF_ENDPOINT=http://127.0.0.1:99999",
    "http://127.0.0.1:port": "HF_ENDPOINT=http://127.0.0.1:port",
    "http://hub..invalid": "HF_ENDPOINT=http://hub..invalid",
    "http://nobody.invalid": "leads to no file",
    "  http://HOST/  ": WHOLE,
    "http://ada:s3cret@HOST": WHOLE,
    "http://ada:s3/cret@HOST": "HF_ENDPOINT=http://…@",
    "http://ada:12/s3cret@HOST": "HF_ENDPOINT=http://…@",
    "http://ada:s3cret@nobody.invalid": "http://nobody.invalid/",
}


def test_the_faults_are_those_that_were_counted():
    assert len(FAULTS) + len(ENDPOINTS) == 68


@pytest.mark.parametrize("what", FAULTS)
def test_every_fault_ends_in_the_file_or_in_a_sentence(server, target, what):
    replies, named, asked, *given = FAULTS[what]
    pin, patience = [*given, *(PIN, QUICK)[len(given) :]]
    server.serve(FILE, replies)
    ends(target, pin, patience, named)
    assert len(server.requests) <= asked


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_address_ends_in_the_file_or_in_a_sentence_at_once(server, target, monkeypatch, endpoint, capfd):
    monkeypatch.setenv("HF_ENDPOINT", endpoint.replace("HOST", server.address.removeprefix("http://")))
    server.serve(FILE, Reply(BODY))
    said = ends(target, PIN, Patience(wait=1e6, longest=1e9), ENDPOINTS[endpoint] and (ENDPOINTS[endpoint],))
    assert "s3" not in said + "".join(capfd.readouterr())
    if "s3cret@HOST" in endpoint and server.requests:
        assert server.requests[0].authorization == "Basic " + base64.b64encode(b"ada:s3cret").decode()


def ends(target: Path, pin: Pin, patience: Patience, named: tuple[str, ...]) -> str:
    """Download, and hold it to how it must end; return the sentence."""
    try:
        download(FILE, target, pin, patience)
    except CourseError as error:
        said = f"{error} {error.__cause__}"
        assert named and all(word in str(error) for word in named) and not target.exists(), said
        return said
    assert not named and target.read_bytes() == BODY
    return ""


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


def test_a_model_is_a_folder_of_all_its_files_at_one_revision(server, monkeypatch):
    config = b'{"n_layer": 6}'
    pins = {"config.json": Pin(hashlib.sha256(config).hexdigest()), "model.safetensors": PIN}
    monkeypatch.setitem(PINNED, "small", HubModel("someone/tiny", "0123456789abcdef", pins))
    base = "someone/tiny/resolve/0123456789abcdef"
    server.serve(f"{base}/config.json", Reply(config))
    with pytest.raises(CourseError, match="404"):
        fetch("small")
    assert not is_downloaded("small") and (PINNED["small"].folder / "config.json").is_file(), "what is good stays"
    server.serve(f"{base}/model.safetensors", Reply(BODY))
    folder = fetch("small")
    assert folder == cache_folder() / "tiny-0123456789ab" and is_downloaded("small")
    assert (folder / "config.json").read_bytes() == config and (folder / "model.safetensors").read_bytes() == BODY
    fetch("small")
    paths = [request.path for request in server.requests]
    assert paths == [f"/{base}/{name}" for name in ("config.json", "model.safetensors", "model.safetensors")]


def test_the_revisions_are_whole_commits_of_openai_community():
    assert list(PINNED) == ["small", "medium", "large", "xl"]
    for model in PINNED.values():
        assert model.repo.startswith("openai-community/gpt2") and re.fullmatch("[0-9a-f]{40}", model.revision)
        assert all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in model.files.values())


def test_an_unknown_size_or_text_is_refused_before_any_download(server):
    with pytest.raises(CourseError, match="'tiny'.*small, medium, large, xl"):
        prefetch(["small", "tiny"])
    with pytest.raises(CourseError, match="tinyshakespeare"):
        fetch_text("hamlet")
    assert server.requests == []


def test_a_text_is_held_to_its_hash_too(server, monkeypatch):
    monkeypatch.setitem(TEXTS, "tinyshakespeare", (f"{server.address}/input.txt", TEXTS["tinyshakespeare"][1]))
    server.serve("input.txt", Reply(bytes(1_115_394)))
    with pytest.raises(CourseError, match=r"input\.txt gave 1,115,394 bytes.*86c4e6aa9db7"):
        fetch_text("tinyshakespeare")


def test_the_cache_goes_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert cache_folder() == tmp_path / "hf" / "hands-on-gpt2"
