"""ASGI middleware before the page: who listens, who is asked for, how much is sent; one line for what fails.

The door of the page. Gradio takes a request and streams its answer over a second connection: a request whose stream
nobody asks for, or has left, is one that nobody waits for.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.errors import CourseError, show

MOST_BODY = 1_000_000  # bytes of one request, a long conversation included
THIS_MACHINE = ("127.0.0.1", "::1")


class Listeners:
    """Who listens to the stream of which session, and who still waits to be listened to."""

    def __init__(self, patience: float = 10.0, absence: float = 1.0, most: int = 64) -> None:
        self.patience, self.absence, self.most = patience, absence, most  # seconds, seconds, requests
        self._streams: Counter[str] = Counter()
        self._unheard: OrderedDict[asyncio.Future[None], str] = OrderedDict()

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """Hold a session's stream open."""
        self._streams[session] += 1
        for waiting in [waiting for waiting, its in self._unheard.items() if its == session and not waiting.done()]:
            waiting.set_result(None)
        try:
            yield
        finally:
            self._streams[session] -= 1
            self._streams += Counter()  # drops zeros

    async def wait_for(self, session: str, patience: float | None = None) -> bool:
        """Return True as soon as somebody listens to a session; False when nobody comes, or too many others do."""
        if self._streams[session]:
            return True
        waiting = asyncio.get_running_loop().create_future()
        self._unheard[waiting] = session
        if len(self._unheard) > self.most:
            next(iter(self._unheard)).cancel()  # the one that has waited longest
        try:
            await asyncio.wait([waiting], timeout=self.patience if patience is None else patience)
            return waiting.done() and not waiting.cancelled()
        finally:
            self._unheard.pop(waiting)

    async def have_left(self, session: str) -> bool:
        """Say whether a stream that was open is closed, and not opened again in a moment."""
        return not await self.wait_for(session, self.absence)


class Door:
    """Refuses other hosts, files and heavy requests in a sentence, notes who listens, and keeps tracebacks inside."""

    def __init__(
        self, app: ASGIApp, listeners: Listeners, session_of: Callable[[str], str], hosts: Collection[str] = ()
    ) -> None:
        self.app, self.listeners, self.session_of, self.hosts = app, listeners, session_of, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if refused := self.refusal(scope):
            status, said = refused
            return await JSONResponse({"detail": said}, status)(scope, receive, send)
        session, started = self.session(scope), False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            with self.listeners.listening(session) if session else nullcontext():
                await self.app(scope, receive, note)
        except Exception as error:  # a malformed call; its traceback would be longer than what it says
            one_line(f"{scope['method']} {scope['path']}", error)
            if not started:
                await JSONResponse({"detail": "This request could not be read."}, 400)(scope, receive, send)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the sentence for a request that goes no further, else None."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").rpartition("@")[2]
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self.hosts and name.lower() not in self.hosts:
            return 403, f"This page serves its own machine and was asked for as {show(name)}; expected 127.0.0.1."
        if scope["path"].rstrip("/").endswith("/upload"):
            return 403, "This page takes no files."
        length = headers.get("content-length", "")
        if scope["method"] in ("POST", "PUT", "PATCH") and not (length.isascii() and length.isdecimal()):
            return 411, "A request must say how long it is (Content-Length)."
        if length.isdecimal() and int(length) > MOST_BODY:
            return 413, f"The request has {int(length):,} bytes, this page reads {MOST_BODY:,}."
        return None

    def session(self, scope: Scope) -> str:
        """Return the session whose stream is asked for, or nothing."""
        path = scope["path"].rstrip("/")
        if scope["method"] != "GET":
            return ""
        if path.endswith("/queue/data"):
            return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        return self.session_of(path.rpartition("/")[2]) if "/call/" in path else ""


def visitor_of(host: str, session: str) -> str:
    """Return who asks: an address, or on this machine (and behind its tunnels and proxies) a session.

    >>> visitor_of("192.168.0.7", "abc"), visitor_of("127.0.0.1", "abc")
    ('192.168.0.7', 'session abc')
    """
    return f"session {session}" if host in THIS_MACHINE else host


def one_line(where: str, error: BaseException) -> None:
    """Print what failed, without the traceback."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    what: Any = str(error) if isinstance(error, CourseError) else f"{type(error).__name__}: {error}"
    print(f"{show(where, 80)} failed: {show(what, 200)}", file=sys.stderr, flush=True)
