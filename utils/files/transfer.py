"""One transfer over HTTP: continue a file where it was cut, and refuse what is not the file.

huggingface_hub 2.x discards an interrupted file and reads its settings once at import, so this asks the same
addresses through urllib, which continues a cut file and obeys the system's own proxies and certificates.
"""

from __future__ import annotations

import re
import shutil
import ssl
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from utils.errors import CourseError

CHUNK = 1 << 16  # small: a slow line shows progress, and a cut loses little


MAYBE_LATER = {408, 425, 429, 500, 502, 503, 504}  # answers that may be different next time


@dataclass(frozen=True)
class Pin:
    """What one file must be: its SHA-256 and, where it is known beforehand, its length in bytes."""

    sha256: str
    bytes: int | None = None

    def __str__(self) -> str:
        length = "" if self.bytes is None else f"{self.bytes:,} bytes with "
        return f"{length}SHA-256 {self.sha256[:12]}…"


class Again(Exception):
    """A fault that the next try may not meet, with the pause in seconds that the server asked for."""

    def __init__(self, found: str, pause: float | None = None) -> None:
        super().__init__(found)
        self.pause = pause


def receive(address: str, part: Path, pin: Pin, timeout: float) -> None:
    """Append to `part` what it lacks, or write it anew when the server sends everything."""
    have = size_of(part)
    answer = _open(address, have, timeout)
    if answer is None:  # nothing lies behind the bytes we have: the hash will tell
        return
    with answer:
        if answer.status != 206:
            have = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise Again("the server continued at the wrong byte")
        total = None if answer.length is None else have + answer.length
        chunk = _read(answer)
        _refuse_page(address, answer, chunk)
        _refuse_lengths(address, part, pin, total)
        progress = _Progress(part.stem, have, total)
        with part.open("ab" if have else "wb") as file:
            while chunk:
                file.write(chunk)
                have += len(chunk)
                progress.show(have)
                chunk = _read(answer)
    if total not in (None, have):
        raise Again(f"the connection ended after {have:,} of {total:,} bytes")


def _open(address: str, have: int, timeout: float) -> HTTPResponse | None:
    """Ask for the bytes from `have` on; None says that the server has no more than those."""
    import certifi

    headers = {"User-Agent": "hands-on-gpt2", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    trusted = ssl.create_default_context()  # what the system trusts, a school's own certificate included,
    trusted.load_verify_locations(certifi.where())  # and the public ones, which some Pythons come without
    try:
        return urlopen(Request(address, headers=headers), timeout=timeout, context=trusted)
    except HTTPError as error:
        with error:
            return _judge(address, error, have)
    except (HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise CourseError(
                f"{address} shows a certificate that this computer does not trust ({reason.verify_message}). "
                "Behind a proxy that opens connections, set SSL_CERT_FILE to its certificate and run again."
            ) from error
        raise Again(f"no answer ({reason})") from error


def _judge(address: str, error: HTTPError, have: int) -> None:
    """Tell an answer that is worth another try from one that stays."""
    if error.code == 416 and have:
        return
    if error.code in MAYBE_LATER:
        pause = _asked_pause(error.headers)
        asked = f" and asks to wait {pause:,.0f} s" if pause else ""
        raise Again(f"the server answered {error.code} {error.reason}{asked}", pause)
    raise CourseError(
        f"{address} answered {error.code} {error.reason}; expected the file. Check that HF_ENDPOINT is unset "
        "or names a full mirror of the hub and that no proxy forbids the address, then run again."
    )


def _asked_pause(headers: Message) -> float | None:
    """Seconds that the server asks to wait, from Retry-After (seconds or a date) or the hub's RateLimit."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    if limit := re.search(r"\br=0\s*;\s*t=(\d+)", headers.get("RateLimit", "")):
        return float(limit[1])
    with suppress(TypeError, ValueError):  # not a date either
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read(CHUNK)
    except (HTTPException, OSError) as error:
        raise Again(f"the connection broke ({error})") from error


def _refuse_page(address: str, answer: HTTPResponse, start: bytes) -> None:
    """Refuse a web page that came in place of the file."""
    page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    if page or answer.headers.get_content_type() == "text/html":
        title = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
        named = f" titled {title[1].decode('utf-8', 'replace').strip()[:60]!r}" if title else ""
        raise CourseError(
            f"{address} gave a web page{named}; expected the file itself. The network may want a log-in or "
            "block the hub: open the address in a browser, follow what it says, then run again."
        )


def _refuse_lengths(address: str, part: Path, pin: Pin, total: int | None) -> None:
    """Refuse a file of another length than its pin's, and one that the disk cannot hold."""
    if None not in (pin.bytes, total) and pin.bytes != total:
        raise CourseError(
            f"{address} offers {total:,} bytes; expected {pin}. That copy is not the whole file: unset "
            "HF_ENDPOINT or choose another mirror, then run again."
        )
    free, missing = shutil.disk_usage(part.parent).free, (total or 0) - size_of(part)
    if missing > free:
        raise CourseError(
            f"{part.stem} needs {missing:,} more bytes, but the disk of {part.parent} has {free:,} free. "
            "Free some space, or set COURSE_CACHE to a folder on a larger disk, then run again."
        )


class _Progress:
    """A line that renews itself on a terminal; elsewhere, as in a notebook, one line every 30 seconds."""

    def __init__(self, name: str, have: int, total: int | None) -> None:
        self.name, self.start, self.total = name, have, total
        self.live = sys.stderr.isatty()
        self.begun = self.last = time.monotonic()

    def show(self, have: int) -> None:
        now, done = time.monotonic(), have == self.total
        if now - self.last >= (0.2 if self.live else 30) or (self.live and done):
            self.last = now
            of = f" of {self.total / 1e6:,.0f}" if self.total else ""
            rate = (have - self.start) / 1e6 / max(now - self.begun, 1e-6)
            text = f"{self.name}: {have / 1e6:,.0f}{of} MB, {rate:.1f} MB/s"
            say(f"\r{text}" if self.live else text, "" if self.live and not done else "\n")


def say(text: str, end: str = "\n") -> None:
    """Print beside the output proper, on stderr."""
    print(text, end=end, file=sys.stderr, flush=True)


def size_of(path: Path) -> int:
    """Bytes of a file, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0
