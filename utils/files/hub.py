"""The weights of the hub and a small text: what each file must be, and where it lies once it is here.

Each file is pinned by revision and SHA-256. It is asked for once, continued after a cut and then used without
any request; a note beside it (size, time, hash) spares hashing gigabytes again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.transfer import Again, Pin, receive, say, size_of


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


@dataclass(frozen=True)
class Patience:
    """How long a download keeps trying; a try that brings new bytes starts the count anew."""

    tries: int = 5
    wait: float = 1.0  # seconds before the second try, doubled each time
    longest: float = 300.0  # a server that asks for a longer pause ends the download
    timeout: float = 30.0  # seconds without one byte


PATIENCE = Patience()


def _gpt2(name: str, revision: str, config: Pin, weights: Pin) -> HubModel:
    files = {"config.json": config, "model.safetensors": weights}
    return HubModel(f"openai-community/{name}", revision, files)


PINNED = {
    "small": _gpt2(
        "gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        Pin("0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4", 665),
        Pin("248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707", 548_105_171),
    ),
    "medium": _gpt2(
        "gpt2-medium",
        "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        Pin("ef1a44d889ad1a0acc7731c78134f1b87d2d222f110e97dd10fd4117331caf22", 718),
        Pin("fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd", 1_519_984_962),
    ),
    "large": _gpt2(
        "gpt2-large",
        "32b71b12589c2f8d625668d2335a01cac3249519",
        Pin("7fccdcfd6622055342a734c663ee0b61ff4fd697f42467595df0bf4448c8c170", 666),
        Pin("5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce"),  # the hub states its length
    ),
    "xl": _gpt2(
        "gpt2-xl",
        "15ea56dee5df4983c59b2538573817e1667135e2",
        Pin("be48115d52314bc27327e160bf10197760db02ea689d10adb24db4102edf7a8a", 689),
        Pin("0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a"),  # the hub states its length
    ),
}


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


def fetch(size: str, patience: Patience = PATIENCE) -> Path:
    """Return the folder with config.json and model.safetensors of a size, downloaded if need be."""
    model = _pinned(size)
    if is_offline() and not is_downloaded(size):
        raise CourseError(
            f"GPT-2 {size} was not found whole in {model.folder}, and HF_HUB_OFFLINE forbids a download. "
            f"Unset it where there is a network and run `python -m tools prefetch {size}` once; "
            "or use nano, which needs no download."
        )
    return fetch_model(model, patience)


def fetch_model(model: HubModel, patience: Patience = PATIENCE) -> Path:
    """Return the folder that holds every file of `model`, each one verified."""
    for name, pin in model.files.items():
        download(f"{model.repo}/resolve/{model.revision}/{name}", model.folder / name, pin, patience)
    return model.folder


def is_downloaded(size: str) -> bool:
    """Say whether every file of a size is here and is what its pin says; asks no network."""
    model = _pinned(size)
    return all(is_verified(model.folder / name, pin) for name, pin in model.files.items())


def prefetch(sizes: Iterable[str], patience: Patience = PATIENCE) -> list[Path]:
    """Download several sizes, so that everything afterwards works without a network."""
    known = [size for size in sizes if _pinned(size)]  # a wrong name shows before the first gigabyte
    return [fetch(size, patience) for size in known]


def fetch_text(name: str, patience: Patience = PATIENCE) -> Path:
    """Return a known text as a file, downloaded if it is not there yet."""
    if name not in TEXTS:
        raise CourseError(f"Found the text name {name!r}; expected one of {', '.join(TEXTS)}.")
    address, pin = TEXTS[name]
    return download(address, cache_folder() / "texts" / f"{name}.txt", pin, patience)


def download(address: str, target: Path, pin: Pin, patience: Patience = PATIENCE) -> Path:
    """Return `target` as `pin` wants it, from a full address or a path on the hub (HF_ENDPOINT)."""
    part = target.with_name(f"{target.name}.part")
    try:
        if is_verified(target, pin):
            return target
        if is_offline():
            raise CourseError(f"{target} is not there as {pin}. Unset HF_HUB_OFFLINE and run again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not is_verified(target, pin):  # another process may have finished it meanwhile
                if target.exists():
                    say(f"{target} was changed or damaged; fetching it anew.")
                _fill(_full(address), part, pin, patience)
                part.replace(target)
                _seal(target, pin)
    except KeyboardInterrupt:
        say(f"Stopped. {size_of(part):,} bytes of {target.name} are kept; the same command goes on there.")
        raise
    except OSError as error:  # the network's own became Again where they arose
        raise CourseError(
            f"Could not write {error.filename or part}: {error.strerror or error}. Expected room and leave "
            f"to write {pin}. Free some space, or set COURSE_CACHE to a folder on another disk; run again."
        ) from error
    return target


def is_offline() -> bool:
    """Say whether the environment forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def is_verified(path: Path, pin: Pin) -> bool:
    """Say whether a file is what its pin says; one hashed before and unchanged since is not hashed again."""
    if not path.is_file() or pin.bytes not in (None, size_of(path)):
        return False
    seal = path.with_name(f"{path.name}.verified")
    if seal.is_file() and seal.read_bytes() == _seal_text(path, pin):
        return True
    if _sha256(path) != pin.sha256:
        return False
    _seal(path, pin)
    return True


def _seal(path: Path, pin: Pin) -> None:
    with suppress(OSError):  # a shared folder may be read-only: then the file is hashed again next time
        path.with_name(f"{path.name}.verified").write_bytes(_seal_text(path, pin))


def _seal_text(path: Path, pin: Pin) -> bytes:
    stat = path.stat()
    return json.dumps({"sha256": pin.sha256, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}).encode()


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let one process at a time download `target`; the lock ends with the process that holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Another process is downloading {target.name}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(address: str, part: Path, pin: Pin, patience: Patience) -> None:
    """Try until `part` is what the pin says, or until `tries` tries in a row brought nothing new."""
    failures, best = 0, size_of(part)
    while True:
        try:
            return _attempt(address, part, pin, patience.timeout)
        except Again as fault:
            have = size_of(part)
            failures, best = (1, have) if have > best else (failures + 1, best)
            pause = patience.wait * 2 ** (failures - 1) if fault.pause is None else fault.pause
            if failures >= patience.tries or pause > patience.longest:
                raise CourseError(
                    f"{address}: {fault}. Expected {pin}. Wait a little, check the network (behind a proxy, "
                    f"HTTPS_PROXY too); the same command then goes on from the {have:,} bytes it has."
                ) from fault
            say(f"{part.stem}: {fault}; next try in {pause:.0f} s.")
            time.sleep(pause)


def _attempt(address: str, part: Path, pin: Pin, timeout: float) -> None:
    """Bring `part` to its full length, from where it stands, and hold it to its hash."""
    before = size_of(part)
    if not before or before != pin.bytes:
        receive(address, part, pin, timeout)
    found, length = _sha256(part), size_of(part)
    if found == pin.sha256:
        return
    part.unlink()
    if before:  # the piece we had may be the bad one: once more, from nothing
        raise Again("the continued file had a wrong SHA-256")
    raise CourseError(
        f"{address} gave {length:,} bytes with SHA-256 {found[:12]}…; expected {pin}. They were thrown away: "
        "run again, and if it repeats, avoid the proxy or mirror (HF_ENDPOINT) that changes the file."
    )


def _pinned(size: str) -> HubModel:
    if size not in PINNED:
        raise CourseError(f"Found the size {size!r}; the hub has {', '.join(PINNED)} (nano needs no hub).")
    return PINNED[size]


def _full(address: str) -> str:
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise CourseError(f"Found HF_ENDPOINT={endpoint}; expected https://… Unset or correct it, run again.")
    return address if "://" in address else f"{endpoint}/{address}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
