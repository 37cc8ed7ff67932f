"""Downloads: pinned files over HTTP, verified by SHA-256, continued by Range requests after a cut, then offline.

The weights of the hub and a small text: what each file must be, and where it lies once it is here. A file is asked
for once; a note beside it (size, time, hash) spares hashing gigabytes again.

Why not huggingface_hub 2.4 itself: `hf_hub_download` throws an interrupted file away and checks its length only; its
`http_get` writes pieces of 10 MB, so of a line that broke every megabyte it kept nothing and gave up after six
requests (ours: 8 MB whole, in eight requests), and one 503 ends it. Its HTTP client, httpx2, is ours too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import responses
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import sha256_of

MAYBE_LATER = {408, 425, 429, 500, 502, 503, 504}  # answers that may be different next time


@dataclass(frozen=True)
class Pin:
    """What one file must be: its SHA-256 and, where it is known beforehand, its length in bytes."""

    sha256: str
    bytes: int | None = None

    def __str__(self) -> str:
        length = "" if self.bytes is None else f"{self.bytes:,} bytes with "
        return f"{length}SHA-256 {self.sha256[:12]}…"


@dataclass(frozen=True)
class Patience:
    """Retries of a download; a try that brings `floor` new bytes starts the count anew."""

    tries: int = 5
    wait: float = 1.0  # seconds before the second try, doubled each time
    longest: float = 300.0  # a server that asks for a longer pause ends the download
    timeout: float = 30.0  # seconds without one byte
    floor: int = 1_000  # bytes a second; a line that brings less for `window` seconds counts as one that brings none
    window: float = 60.0
    most: int = 10**10  # bytes of a file whose length neither its pin nor the server states
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Source:
    """Where a file is asked for; a name and a password are kept apart from the address, which messages show."""

    address: str
    login: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class HubModel:
    """One model of the hub at one revision, with the files we use, the small one first."""

    repo: str
    revision: str
    files: dict[str, Pin]

    @property
    def folder(self) -> Path:
        """Where its files live in the cache; the revision is part of the name."""
        return cache_folder() / f"{self.repo.split('/')[-1]}-{self.revision[:12]}"


# Size, repository and revision; then bytes and SHA-256 of each file. The hub states a length that is left open.
_PINS = """
small openai-community/gpt2 607a30d783dfa663caf39e06633721c8d4cfcd7e
config.json 665 0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4
model.safetensors 548105171 248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707

medium openai-community/gpt2-medium 6dcaa7a952f72f9298047fd5137cd6e4f05f41da
config.json 718 ef1a44d889ad1a0acc7731c78134f1b87d2d222f110e97dd10fd4117331caf22
model.safetensors 1519984962 fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd

large openai-community/gpt2-large 32b71b12589c2f8d625668d2335a01cac3249519
config.json 666 7fccdcfd6622055342a734c663ee0b61ff4fd697f42467595df0bf4448c8c170
model.safetensors - 5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce

xl openai-community/gpt2-xl 15ea56dee5df4983c59b2538573817e1667135e2
config.json 689 be48115d52314bc27327e160bf10197760db02ea689d10adb24db4102edf7a8a
model.safetensors - 0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a
"""


def _read_pins(text: str) -> dict[str, HubModel]:
    """Parse pins; a file of other ones, named in COURSE_PINS, has the same form."""
    found = {}
    for part in text.strip().split("\n\n"):
        (size, repo, revision), *files = (line.split() for line in part.splitlines())
        pins = {name: Pin(sha256, None if length == "-" else int(length)) for name, length, sha256 in files}
        found[size] = HubModel(repo, revision, pins)
    return found


def _other_pins() -> dict[str, HubModel]:
    """Return the pins of COURSE_PINS, a file: other weights of the same sizes, as a stand-in or a fine-tuned model."""
    if not (name := os.environ.get("COURSE_PINS")):
        return {}
    try:
        return _read_pins(Path(name).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, IndexError) as error:
        raise CourseError(
            f"COURSE_PINS names {name}, which can't be read as pins: {error}. Expected, as in utils/files/hub.py, "
            "a line `size repository revision`, then a line `file bytes sha256` for each file; or unset COURSE_PINS."
        ) from error


PUBLISHED = _read_pins(_PINS)
PINNED = PUBLISHED | _other_pins()
TEXTS = {
    "tinyshakespeare": (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        Pin("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", 1_115_394),
    )
}
PACKED = ROOT / "cache"


def cache_folder() -> Path:
    """Where downloads are kept: COURSE_CACHE, the course's own cache/ if a class pack made it, or the user's cache."""
    if own := os.environ.get("COURSE_CACHE"):
        return Path(own).expanduser()
    if PACKED.is_dir():
        return PACKED
    shared = os.environ.get("HF_HOME") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "hands-on-gpt2"


def is_real(size: str) -> bool:
    """Say whether a size is ours or the real GPT-2, and no stand-in under other pins."""
    return PINNED.get(size) == PUBLISHED.get(size)


def fetch(size: str) -> Path:
    """Return the folder with config.json and model.safetensors of a size, verified, downloaded if need be."""
    model = _pinned(size)
    for name, pin in model.files.items():
        download(f"{model.repo}/resolve/{model.revision}/{name}", model.folder / name, pin)
    return model.folder


def is_downloaded(size: str) -> bool:
    """Say whether every file of a size is here and is what its pin says; asks no network."""
    model = _pinned(size)
    return all(is_verified(model.folder / name, pin) for name, pin in model.files.items())


def prefetch(sizes: Iterable[str]) -> list[Path]:
    """Download several sizes, so that everything afterwards works without a network."""
    known = [size for size in sizes if _pinned(size)]  # a wrong name shows before the first gigabyte
    return [fetch(size) for size in known]


def fetch_text(name: str) -> Path:
    """Return a known text as a file, downloaded if it is not there yet."""
    if name not in TEXTS:
        raise CourseError(f"Found the text name {name!r}; expected one of {', '.join(TEXTS)}.")
    address, pin = TEXTS[name]
    return download(address, cache_folder() / "texts" / f"{name}.txt", pin)


def _pinned(size: str) -> HubModel:
    if size not in PINNED:
        raise CourseError(f"Found the size {size!r}; the hub has {', '.join(PINNED)} (nano needs no hub).")
    return PINNED[size]


def download(address: str, target: Path, pin: Pin, patience: Patience = Patience()) -> Path:
    """Return `target` as `pin` wants it, from a full address or a path on the hub (HF_ENDPOINT)."""
    part = target.with_name(f"{target.name}.part")
    try:
        if is_verified(target, pin):
            return target
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise CourseError(
                f"{target} is not there as {pin}, and HF_HUB_OFFLINE forbids a download. Unset it where there is a "
                "network and run this once (all of a model: `python course.py prefetch SIZE`); nano needs none."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not is_verified(target, pin):  # another process may have finished it meanwhile
                _fill(_source(address), part, pin, patience)
                part.replace(target)
                _write_seal(target, pin)
    except KeyboardInterrupt:
        _say(f"Stopped. {_length(part):,} bytes of {target.name} are kept; the same command goes on there.")
        raise
    except OSError as error:  # the network's own became _Again where they arose
        raise CourseError(
            f"Could not write {error.filename or part}: {error.strerror or error}. Expected room and leave "
            f"to write {pin}. Free some space, or set COURSE_CACHE to a folder on another disk; run again."
        ) from error
    return target


def is_verified(path: Path, pin: Pin) -> bool:
    """Say whether a file is what its pin says; one hashed before and unchanged since is not hashed again."""
    if not path.is_file() or pin.bytes not in (None, _length(path)):
        return False
    note, text = _seal(path, pin)
    if note.is_file() and note.read_bytes() == text:
        return True
    if sha256_of(path) != pin.sha256:
        return False
    _write_seal(path, pin)
    return True


def _seal(path: Path, pin: Pin) -> tuple[Path, bytes]:
    """Return the note that says which bytes were hashed, and what it says while the file is unchanged."""
    stat = path.stat()
    text = json.dumps({"sha256": pin.sha256, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns})
    return path.with_name(f"{path.name}.verified"), text.encode()


def _write_seal(path: Path, pin: Pin) -> None:
    note, text = _seal(path, pin)
    with suppress(OSError):  # a shared folder may be read-only: then the file is hashed again next time
        note.write_bytes(text)


def _alone(target: Path):
    """Return a held file lock, so that one process at a time downloads `target`; it ends with the process."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{target}.lock")
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        _say(f"Another process is downloading {target.name}; waiting for it.")
        return lock.acquire()


class _Again(Exception):
    """A fault that the next try may not meet, with the pause in seconds that the server asked for."""

    def __init__(self, found: str, pause: float | None = None, counts: bool = True) -> None:
        super().__init__(found)
        self.pause, self.counts = pause, counts  # whether the bytes that came before it are progress


class _Pace:
    """Tells a line that drips from one that is slow."""

    def __init__(self, patience: Patience) -> None:
        self.patience, self.since, self.bytes = patience, patience.clock(), 0

    def count(self, received: int) -> None:
        self.bytes += received
        seconds = self.patience.clock() - self.since
        if seconds >= self.patience.window:
            if self.bytes < self.patience.floor * seconds:
                raise _Again(f"only {self.bytes:,} bytes came within {seconds:,.0f} s", counts=False)
            self.since, self.bytes = self.patience.clock(), 0


def _fill(source: Source, part: Path, pin: Pin, patience: Patience) -> None:
    """Retry until `part` is what the pin says, or until `tries` tries in a row brought next to nothing."""
    failures, best = 0, _length(part)
    while True:
        try:
            return _attempt(source, part, pin, patience)
        except _Again as fault:
            have = _length(part)
            failures, best = (1, have) if have - best >= patience.floor and fault.counts else (failures + 1, best)
            pause = patience.wait * 2 ** (failures - 1) if fault.pause is None else fault.pause
            if failures >= patience.tries or pause > patience.longest:
                raise CourseError(
                    f"{source}: {fault}. Expected {pin}. Wait a little, check the network (behind a school's proxy, "
                    f"HTTPS_PROXY and SSL_CERT_FILE); the same command then goes on from the {have:,} bytes it has."
                ) from fault
            _say(f"{part.stem}: {fault}; next try in {pause:.0f} s.")
            time.sleep(pause)


def _attempt(source: Source, part: Path, pin: Pin, patience: Patience) -> None:
    """Bring `part` to its full length, from where it stands, and hold it to its hash."""
    before = _length(part)
    if not before or before != pin.bytes:
        _receive(source, part, pin, patience)
    length = _length(part)
    if before < length < (pin.bytes or 0):  # a body without a stated length ends where the line breaks
        raise _Again(f"the line ended after {length:,} bytes")
    found = sha256_of(part)
    if found == pin.sha256:
        return
    part.unlink()
    if before:  # the piece we had may be the bad one: once more, from nothing
        raise _Again("the continued file had a wrong SHA-256")
    raise CourseError(
        f"{source} gave {length:,} bytes with SHA-256 {found[:12]}…; expected {pin}. They were thrown away: "
        "run again, and if it repeats, avoid the proxy or mirror (HF_ENDPOINT) that changes the file."
    )


def _receive(source: Source, part: Path, pin: Pin, patience: Patience) -> None:
    """Append to `part` what it lacks, or write it anew where the server sends everything."""
    import httpx2

    have = _length(part)
    headers = {"User-Agent": "hands-on-gpt2", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    how: dict[str, Any] = dict(headers=headers, auth=source.login, timeout=patience.timeout, follow_redirects=True)
    try:
        with httpx2.stream("GET", source.address, **how) as answer:
            if answer.status_code == 416 and have:  # no byte lies behind those we have: the hash will tell
                return
            _check_answer(source, answer.status_code, answer.headers)
            have = have if answer.status_code == 206 else 0
            stated = answer.headers.get("Content-Length")
            total = None if stated is None else have + int(stated)
            _check_length(source, part, pin, total)
            _keep(answer.iter_raw(), part, have, (total, pin.bytes or total or patience.most), _Pace(patience))
    except (httpx2.RequestError, httpx2.InvalidURL, UnicodeError) as error:
        if wrong := _wrong_address(error):
            raise CourseError(
                f"{source} leads to no file: {wrong}. Expected a host that answers. Check HF_ENDPOINT, the proxy "
                "(HTTPS_PROXY) and whether this machine has a network at all; then run again."
            ) from error
        raise _Again(f"no answer, or half of one ({str(error) or type(error).__name__})") from error


def _keep(pieces: Iterable[bytes], part: Path, have: int, lengths: tuple[int | None, int], pace: _Pace) -> None:
    """Write each piece as it comes, so that a cut loses none, and none beyond the last of `lengths` (said, most)."""
    from tqdm import tqdm

    total, most = lengths
    bar = tqdm(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, mininterval=1)
    with bar, part.open("ab" if have else "wb", buffering=0) as file:
        for piece in pieces:
            have += len(piece)
            if have > most:
                break
            file.write(piece)
            bar.update(len(piece))
            pace.count(len(piece))
    if have > most:
        part.unlink()
        raise CourseError(
            f"The server sends more than the {most:,} bytes of {part.stem}; the rest was not read and nothing kept. "
            "Unset HF_ENDPOINT or choose another mirror, then run again."
        )


def _wrong_address(error: BaseException | None) -> str:
    """Return what makes an address wrong for good, else nothing: it can't be read, or nobody has its name."""
    import httpx2

    while error:
        if isinstance(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, UnicodeError)):
            return str(error)
        if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
            return error.strerror or "its name is unknown"
        error = error.__cause__ or error.__context__
    return ""


def _check_answer(source: Source, status: int, headers: Mapping[str, str]) -> None:
    """Tell an answer that is worth another try from one that stays."""
    if status in MAYBE_LATER:
        asked = headers.get("Retry-After", "") or headers.get("RateLimit", "")  # the hub's own: "resolvers";r=0;t=55
        seconds = re.fullmatch(r"(?:.*\bt=)?([0-9]+)", asked)
        pause = min(float(seconds[1]), 1e9) if seconds else None
        raise _Again(f"the server answered {status}" + (f" and asks to wait {pause:,.0f} s" if pause else ""), pause)
    if status not in (200, 206):
        raise CourseError(
            f"{source} answered {status} {responses.get(status, '')}; expected the file. Check that HF_ENDPOINT is "
            "unset or names a full mirror of the hub and that no proxy forbids the address, then run again."
        )
    if headers.get("Content-Type", "").startswith("text/html"):
        raise CourseError(
            f"{source} gave a web page; expected the file itself. The network may want a log-in or "
            "block the hub: open the address in a browser, follow what it says, then run again."
        )


def _check_length(source: Source, part: Path, pin: Pin, total: int | None) -> None:
    """Refuse a file of another length than its pin's, and one that the disk cannot hold."""
    if None not in (pin.bytes, total) and pin.bytes != total:
        raise CourseError(
            f"{source} offers {total:,} bytes; expected {pin}. That copy is not the whole file: unset "
            "HF_ENDPOINT or choose another mirror, then run again."
        )
    free, missing = shutil.disk_usage(part.parent).free, (total or 0) - _length(part)
    if missing > free:
        raise CourseError(
            f"{part.stem} needs {missing:,} more bytes, but the disk of {part.parent} has {free:,} free. "
            "Free some space, or set COURSE_CACHE to a folder on a larger disk, then run again."
        )


def _source(address: str) -> Source:
    """Return where to ask for a full address, or for a path on the hub or its mirror (HF_ENDPOINT)."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").strip().rstrip("/")
    full = address if "://" in address else f"{endpoint}/{address}"
    try:
        return _part_login(full)
    except ValueError as error:  # brackets without end, a port that is none, a name with an empty part
        shown = re.sub(r"//.*@", "//…@", endpoint)  # a password is nobody's business
        raise CourseError(
            f"Found HF_ENDPOINT={shown} ({error}); expected https://HOST, with https://NAME:PASSWORD@HOST where a "
            "mirror wants that, odd characters as %40. Unset or correct it, run again."
        ) from None  # the cause may hold the password


def _part_login(address: str) -> Source:
    """Part an address from the name and password in it; one that can't be right is a ValueError."""
    parts = urlsplit(address)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("no number is its port") from None
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", host):
        raise ValueError("no host")
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("a character of the password that stands for something else")
    host.encode("idna")
    place = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return Source(urlunsplit(parts._replace(netloc=place)), login)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _length(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
