"""Open JupyterLab at lesson 00: `python course.py lab [--no-browser] [--port N]`."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import sys
from pathlib import Path

from utils.files.places import ROOT

# JupyterLab would otherwise ask on its first start whether it may fetch news, and look for updates. It notes in a
# notebook when each cell was run, so that `progress` can tell what its learner has run from what came with it.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"recordTiming": True},
}


def main(arguments: list[str] | None = None) -> None:
    """Print the address, then become JupyterLab."""
    parser = argparse.ArgumentParser(prog="course.py lab", description="Open JupyterLab at lesson 00.")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--port", type=int, help="default: the first free one from 8888 on")
    options, rest = parser.parse_known_args(arguments)
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error(f"--port is {options.port}, expected 1 to 65535")
    port = free_port(options.port or 8888, 1 if options.port else 50)
    if port is None:
        sys.exit(f"Port {options.port or 8888} is taken: stop what uses it, or choose another with --port.")
    token = os.environ.setdefault("JUPYTER_TOKEN", secrets.token_urlsafe(24))
    page = first_lesson()
    print(f"JupyterLab opens lesson 00 at\n\n    http://localhost:{port}{page}?token={token}\n")
    print("Open that address in a browser on this machine. Stop the server with Ctrl-C.", flush=True)
    write_settings(Path(sys.prefix))
    command = jupyter_command(port, page, browser=not options.no_browser) + rest
    os.chdir(ROOT)
    if os.name != "nt":
        os.execv(command[0], command)
    from jupyterlab.labapp import main as jupyterlab

    sys.argv = command[2:]
    jupyterlab()


def jupyter_command(port: int, page: str, browser: bool) -> list[str]:
    """Return the command line that starts the server on this machine only, quietly."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url={page}"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--log-level=ERROR"]
    command += ["--LabApp.extension_manager=readonly", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate"]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container there may be nobody else
    return command


def first_lesson() -> str:
    """Return the path part of the address that shows lesson 00."""
    lessons = sorted((ROOT / "lessons").glob("00_*.ipynb"))
    return f"/lab/tree/lessons/{lessons[0].name}" if lessons else "/lab"


def free_port(first: int, tries: int) -> int | None:
    """Return the first port from `first` on that nothing listens at, or None after `tries` of them.

    >>> free_port(8888, 0) is None
    True
    """
    for port in range(first, first + tries):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None


def write_settings(prefix: Path) -> None:
    """Set in this environment what JupyterLab does by default, in a file of our own beside other people's."""
    ours = prefix / "share" / "jupyter" / "lab" / "settings" / "overrides.d" / "hands-on-gpt2.json"
    text = json.dumps(SETTINGS, indent=2)
    if os.access(prefix, os.W_OK) and not (ours.exists() and ours.read_text(encoding="utf-8") == text):
        ours.parent.mkdir(parents=True, exist_ok=True)
        ours.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
