"""Commands to train a model and to talk to it: train, chat."""

from __future__ import annotations

import argparse

from utils.commands import Add


def declare(add: Add) -> None:
    command = add("train", train, "train from zero or from weights; settings are key=value, recipe=FILE first")
    command.add_argument(
        "settings", nargs="*", metavar="key=value", help="for instance data=data/prepared max_steps=100"
    )

    command = add("chat", chat, "talk to a model in the terminal; exit or quit ends it")
    command.add_argument("model", nargs="?", default="nano", help="a size, a folder, a file or a recipe (%(default)s)")
    command.add_argument("settings", nargs="*", metavar="key=value", help="for instance temperature=0.8 recipe=FILE")
    command.add_argument("--log", default="chat_log.csv", help="where the conversation is kept (%(default)s)")


def train(options: argparse.Namespace) -> None:
    from utils.recipes import run_recipe

    run_recipe(options.settings)


def chat(options: argparse.Namespace) -> None:
    from utils.chat import Conversation

    Conversation.open(options.model, options.settings, options.log).run()
