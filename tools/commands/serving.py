"""Commands to offer models to others: serve."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("serve", serve, "open a web page that continues texts and chats, on this machine only")
    command.add_argument("models", nargs="*", help="sizes, folders or files; default: nano and what is at hand")
    command.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets your network in (%(default)s)")
    command.add_argument("--share", action="store_true", help="ask Gradio for a public link, through its servers")
    command.add_argument("--log", default="chat_log.csv", help="where the chat is kept; empty: nowhere (%(default)s)")
    command.add_argument("--most-tokens", type=int, default=500, help="of one answer (%(default)s)")
    command.add_argument("--most-waiting", type=int, default=64, help="people in the queue (%(default)s)")
    command.add_argument("--export", metavar="FOLDER", help="serve nothing; write a folder that serves the first model")


def serve(options: argparse.Namespace) -> None:
    from utils.serve.server import Limits, find_choices, name_choices

    if options.export:
        from utils.serve.export import export_app

        print(export_app((options.models or ["nano"])[0], options.export))
        return
    from utils.serve.page import Address, serve

    limits = Limits(new_tokens=options.most_tokens, waiting=options.most_waiting)
    choices = name_choices(options.models) if options.models else find_choices()
    serve(choices, limits, Address(options.host, options.port, options.share), options.log)
