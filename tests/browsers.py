"""A real Chromium for tests: the fixtures `browser` and `visit` of conftest.py, and what a visited page did."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 300_000  # milliseconds; a busy machine with two cores is slow
IN_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here: apt-get install chromium"),
]


@dataclass
class Visit:
    """A page of the browser, what it asked of other machines and what went wrong in it."""

    page: object
    outside: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def hear(self, said) -> None:
        """Note an error of the page, with the address that it is about."""
        if said.type == "error":
            self.errors.append(f"{said.text} {said.location.get('url', '')}")

    def watch(self) -> Visit:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self.hear)
        self.page.on("websocket", lambda socket: self.note(socket.url))
        self.page.route("**/*", self.keep_inside)
        return self

    def keep_inside(self, route) -> None:
        """Let requests to this machine pass; note all others, and answer them with an empty picture."""
        if self.note(route.request.url):
            route.fulfill(content_type="image/svg+xml", body='<svg xmlns="http://www.w3.org/2000/svg"/>')
        else:
            route.continue_()

    def note(self, url: str) -> bool:
        """Tell whether an address is another machine's, and remember it."""
        parts = urlsplit(url)
        is_outside = parts.scheme not in ("data", "blob") and parts.hostname not in ("127.0.0.1", "localhost")
        if is_outside:
            self.outside.add(url)
        return is_outside


@contextmanager
def open_browser() -> Iterator:
    """Open a Chromium without a window."""
    from playwright.sync_api import sync_playwright

    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, timeout=PATIENCE, args=["--no-sandbox"] if as_root else []
        )
        yield browser
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as any static server would; yield its address."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def serious(visit: Visit, url: str, width: int, scheme: str, reload: bool = True) -> list[str]:
    """Return what seriously hinders readers on a page, as axe sees it, and what the page did wrong."""
    from axe_playwright_python.sync_playwright import Axe

    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.emulate_media(color_scheme=scheme)
    if reload:
        visit.page.goto(url)
        visit.page.wait_for_load_state("load")
    found = [
        f"{url} {scheme}: {rule['id']}, {rule['help']}: {rule['nodes'][0]['html'][:120]}"
        for rule in Axe().run(visit.page, options={"preload": False}).response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    if visit.page.evaluate("document.documentElement.scrollWidth") > width:
        found.append(f"{url}: wider than its window of {width}")
    return found + sorted(visit.outside) + visit.errors
