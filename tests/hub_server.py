"""A small HTTP server on loopback that behaves as the hub does, or as badly as a network can.

Every path has a list of replies, used one after the other, the last one again and again; requests are noted.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """How one request is answered; a plain `Reply(body)` serves the body and honours Range."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True  # False: the server ignores Range and sends everything
    cut_after: int | None = None  # close the connection after so many bytes of the body
    stall_after: int | None = None  # go silent after so many bytes, until the server is closed
    length: int | None = None  # a Content-Length that is not the body's
    gate: threading.Event | None = None  # wait for this before the body
    framing: str = "length"  # how the body's end is told: "length", "chunked", or "close", which says nothing
    raw: bytes | None = None  # sent in place of status, headers and body
    piece: int | None = None  # send the body in pieces of so many bytes, with a breath after each


@dataclass(frozen=True)
class Request:
    """One request as the server saw it."""

    path: str
    range: str | None
    address: str  # the request line's own address: a full one when a proxy is asked
    authorization: str | None = None


class HubServer:
    """Serve `replies` on 127.0.0.1 while the `with` block lasts; `requests` is the log."""

    def __init__(self, replies: dict[str, Reply | list[Reply]] | None = None) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.stalled = threading.Event()  # set once a reply has gone silent
        self._lock = threading.Lock()
        for path, reply in (replies or {}).items():
            self.serve(path, reply)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"

    def serve(self, path: str, reply: Reply | list[Reply]) -> None:
        """Set what `path` answers from now on."""
        self.replies["/" + path.lstrip("/")] = list(reply) if isinstance(reply, list) else [reply]

    def take(self, request: Request) -> Reply:
        """Note a request and hand out its reply."""
        with self._lock:
            self.requests.append(request)
            queue = self.replies.get(request.path, [Reply(b"Entry not found", status=404)])
            return queue.pop(0) if len(queue) > 1 else queue[0]

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # chunks are known from there on

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            reply = server.take(Request(urlsplit(self.path).path, wanted, self.path, self.headers["Authorization"]))
            if reply.raw is not None:
                self.wfile.write(reply.raw)
                self.close_connection = True
                return
            start = _start_of(wanted) if reply.ranges and reply.status == 200 else 0
            if start and start >= len(reply.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(reply.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._answer(reply, start)

        def _answer(self, reply: Reply, start: int) -> None:
            body = reply.body[start:]
            headers = {"Connection": "close"} | {
                "length": {"Content-Length": str(len(body) if reply.length is None else reply.length)},
                "chunked": {"Transfer-Encoding": "chunked"},
                "close": {},
            }[reply.framing]
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}"
            self.send_response(206 if start else reply.status)
            for name, value in (headers | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if reply.gate is not None:
                reply.gate.wait(30)
            self._send(body, reply)

        def _send(self, body: bytes, reply: Reply) -> None:
            stop = reply.cut_after if reply.stall_after is None else reply.stall_after
            size = reply.piece or len(body) or 1
            with suppress(ConnectionError):  # whoever asks may have had enough
                for start in range(0, len(body[:stop]), size):
                    piece = body[:stop][start : start + size]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.framing == "chunked" else piece)
                    self.wfile.flush()
                    server.closing.wait(0.005 if reply.piece else 0)
                if reply.framing == "chunked" and stop is None:
                    self.wfile.write(b"0\r\n\r\n")
            if reply.stall_after is not None:
                server.stalled.set()
                server.closing.wait(30)

        def log_message(self, *_: object) -> None:
            """Stay quiet: `requests` is the log."""

    return Handler


def _start_of(header: str | None) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", header or "")
    return int(found[1]) if found else 0
