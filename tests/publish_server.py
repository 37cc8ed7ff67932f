"""The part of the hub that takes uploads, on loopback: repositories, and commits that hold their files.

The real hub takes large files through a store of their own (Xet); here each file comes inside the commit.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PublishServer:
    """Serve on 127.0.0.1 while the `with` block lasts; `files` holds what was committed, by repository and path."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.created: list[dict] = []
        self.tokens: set[str | None] = set()
        self.unknown: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> PublishServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str, body: bytes) -> dict | list | None:
        """Return what the hub would say to a request, None where it would not know it."""
        if path == "/api/repos/create":
            self.created.append(found := json.loads(body))
            kind, name = found.get("type", "model"), f"{found.get('organization') or 'ada'}/{found['name']}"
            where = name if kind == "model" else f"{kind}s/{name}"
            self.files.setdefault(f"{kind}s/{name}", {})
            return {"url": f"{self.address}/{where}", "name": name, "id": name}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if path == "/api/whoami-v2":
            return {"name": "ada", "type": "user", "orgs": [], "auth": {"type": "access_token"}}
        if found := re.fullmatch(r"/api/(\w+s/[\w-]+/[\w-]+)/(preupload|commit)/main", path):
            return self._preupload(body) if found[2] == "preupload" else self._commit(found[1], body)
        if found := re.fullmatch(r"/api/(\w+s)/([\w-]+/[\w-]+)(/revision/main)?", path):
            return {"id": found[2], "sha": "0" * 40, "siblings": [], "private": False, "tags": []}
        return None

    def _preupload(self, body: bytes) -> dict:
        paths = [each["path"] for each in json.loads(body)["files"]]
        return {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}

    def _commit(self, repo: str, body: bytes) -> dict:
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return {"commitUrl": f"{self.address}/{repo}/commit/1", "commitOid": "1" * 40, "pullRequestUrl": None}


def _handler(server: PublishServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _read(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _serve(self) -> None:
            path, body = self.path.partition("?")[0], self._read()
            server.tokens.add(self.headers["Authorization"])
            said = server.answer(path, body)
            if said is None:
                server.unknown.append(f"{self.command} {path}")
            text = json.dumps({"error": "not found"} if said is None else said).encode()
            self.send_response(404 if said is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _serve

        def log_message(self, *_: object) -> None:
            """Stay quiet: `files` is the log."""

    return Handler
