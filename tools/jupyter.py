"""Open JupyterLab at your own copy of lesson 00: `python course.py lab [--no-browser] [--port N]`."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path

from tools.learner.copies import WORK, refresh_copies, set_aside
from utils.errors import CourseError
from utils.files.places import ROOT

# JupyterLab would otherwise ask on its first start whether it may fetch news, look for updates, and cut long lines. It
# notes when a cell was run, so that `progress` can tell what a learner has run from what came with it.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {
        "recordTiming": True,
        "codeCellConfig": {"lineNumbers": False, "lineWrap": True},
    },
}
# Left of the notebook: its contents, one click away from the files. Names are those under which JupyterLab restores.
CONTENTS, FILES = "@jupyterlab/toc:plugin", "filebrowser"
LEFT = {"collapsed": False, "visible": True, "current": CONTENTS, "widgets": [FILES, "running-sessions", CONTENTS]}
LAYOUT = {"left": LEFT, "relativeSizes": [0.2, 0.8, 0]}


def main(arguments: list[str] | None = None) -> None:
    """Print the address, then become JupyterLab."""
    parser = argparse.ArgumentParser(prog="course.py lab", description="Open JupyterLab at your own copy of lesson 00.")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--port", type=int, help="default: the first free one from 8888 on")
    parser.add_argument("--fresh", action="store_true", help="put your copies of the notebooks aside, and begin anew")
    parser.add_argument("--originals", action="store_true", help="open the course's own notebooks, to change them")
    options, rest = parser.parse_known_args(arguments)
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error(f"--port is {options.port}, expected 1 to 65535")
    port = free_port(options.port or 8888, 1 if options.port else 50)
    if port is None:
        sys.exit(f"Port {options.port or 8888} is taken: stop what uses it, or choose another with --port.")
    token = os.environ.setdefault("JUPYTER_TOKEN", secrets.token_urlsafe(24))
    if not options.originals:
        make_copies(options.fresh)
    page = first_lesson("" if options.originals else WORK)
    print(f"JupyterLab opens lesson 00 at\n\n    http://localhost:{port}{page}?token={token}\n")
    print("Open that address in a browser on this machine. Stop the server with Ctrl-C.", flush=True)
    write_settings(Path(sys.prefix))
    write_layout(layouts())
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
    command += ["--LabApp.extension_manager=readonly", "--LabApp.news_url=None", f"--LabApp.workspaces_dir={layouts()}"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate"]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container there may be nobody else
    return command


def make_copies(fresh: bool) -> None:
    """Give the learner copies of all notebooks to write in, and say what has become of them."""
    try:
        if fresh and (aside := set_aside()):
            print(f"Your copies so far are in {aside.name}/.")
        for line in refresh_copies().lines():
            print(line)
    except (CourseError, OSError) as error:
        sys.exit(f"The copies of the notebooks can't be made: {error} `--originals` opens the course's own.")


def first_lesson(place: str = WORK) -> str:
    """Return the path part of the address that shows lesson 00, in a folder of the course."""
    lessons = sorted((ROOT / place / "lessons").glob("00_*.ipynb"))
    return f"/lab/tree/{lessons[0].relative_to(ROOT).as_posix()}" if lessons else "/lab"


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


def layouts() -> Path:
    """Return the folder in which JupyterLab keeps how this learner has arranged it."""
    return Path(os.environ.get("JUPYTERLAB_WORKSPACES_DIR") or ROOT / WORK / ".jupyterlab")


def write_layout(folder: Path) -> None:
    """Let the contents of a notebook stand open at the first start; how somebody arranges it later stays."""
    from jupyterlab_server.workspaces_handler import WORKSPACE_EXTENSION, WorkspacesManager

    if any(folder.glob(f"*{WORKSPACE_EXTENSION}")):
        return
    layout = {"data": {"layout-restorer:data": LAYOUT}, "metadata": {"id": "default"}}
    with suppress(OSError):  # then JupyterLab begins as it always does
        WorkspacesManager(str(folder)).save("default", json.dumps(layout))


def write_settings(prefix: Path) -> None:
    """Set in this environment what JupyterLab does by default, in a file of our own beside other people's."""
    ours = prefix / "share" / "jupyter" / "lab" / "settings" / "overrides.d" / "hands-on-gpt2.json"
    text = json.dumps(SETTINGS, indent=2)
    if os.access(prefix, os.W_OK) and not (ours.exists() and ours.read_text(encoding="utf-8") == text):
        ours.parent.mkdir(parents=True, exist_ok=True)
        ours.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
