"""Commands to train a model and to talk to it: train, chat."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("train", train, "train from zero or from weights; settings are key=value, recipe=FILE first")
    command.add_argument(
        "settings", nargs="*", metavar="key=value", help="for instance data=data/prepared max_steps=100"
    )

    command = add("chat", chat, "talk to a model in the terminal, or to several side by side; exit or quit ends it")
    command.add_argument(
        "words",
        nargs="*",
        metavar="MODEL|key=value",
        help="sizes, folders, files or recipes (nano), and settings such as temperature=0.8",
    )
    command.add_argument("--log", default="chat_log.csv", help="where the conversation is kept (%(default)s)")


def train(options: argparse.Namespace) -> None:
    from utils.training.recipes import run_recipe

    run_recipe(options.settings)


def chat(options: argparse.Namespace) -> None:
    from utils.serve.chat import Conversation, RoundTable, part_words

    models, settings = part_words(options.words)
    opened = (
        RoundTable.open(models, settings, options.log)
        if len(models) > 1
        else Conversation.open(models[0], settings, options.log)
    )
    opened.run()
