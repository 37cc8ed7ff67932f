"""Commands of the labs: shakespeare, store-run, keep-last, xl-step."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("shakespeare", shakespeare, "download Tiny Shakespeare and write it as train.bin and validate.bin")
    command.add_argument("--out", default="data/prepared/shakespeare", help="folder for the result (%(default)s)")

    command = add("store-run", store, "store a finished run's figures as JSON, for a lab's tables and pictures")
    command.add_argument("settings", nargs="+", metavar="key=value", help="as the run was started, recipe=FILE first")
    command.add_argument("--to", default="labs/results/shakespeare.json", help="the file (%(default)s)")
    command.add_argument("--check-tokens", type=int, default=20_000, help="of the learned text, measured at the end")

    command = add("keep-last", keep, "save the last weights of a run, not the best on held-out text, to serve them")
    command.add_argument("settings", nargs="+", metavar="key=value", help="as the run was started, recipe=FILE first")
    command.add_argument("--to", required=True, help="folder for the weights")

    command = add("xl-step", step, "take one training step of a true shape with little memory, and measure its peak")
    command.add_argument("size", nargs="?", default="xl", help="nano, small, medium, large or xl (%(default)s)")
    command.add_argument("--context", type=int, default=128, help="tokens to learn from (%(default)s)")
    command.add_argument("--way", default="careful", help="careful, or usual to compare (%(default)s)")
    command.add_argument("--weights", default="", help="a size, folder or file; without, new ones are drawn")
    command.add_argument("--keep-free", type=float, default=2.0, help="GB to leave to others (%(default)s)")
    command.add_argument("--to", help="store the result as JSON, for instance labs/results/xl_step.json")


def shakespeare(options: argparse.Namespace) -> None:
    from tools.commands.prepare import write_bins
    from utils.files.hub import fetch_text
    from utils.texts.corpus import BinSettings

    write_bins(fetch_text("tinyshakespeare"), options.out, BinSettings())


def store(options: argparse.Namespace) -> None:
    from labs.true_size.lab_results import store_run

    print(store_run(options.settings, options.to, options.check_tokens))


def keep(options: argparse.Namespace) -> None:
    from labs.true_size.last_weights import keep_last

    print(f"{keep_last(options.settings, options.to)} is ready")


def step(options: argparse.Namespace) -> None:
    from labs.true_size.lab_results import write_result
    from labs.true_size.step_child import StepJob, measure_step

    job = StepJob(options.size, options.context, options.way, options.weights)
    report = measure_step(job, keep_free=int(options.keep_free * 1e9))
    print(report)
    if options.to:
        write_result(report, options.to)
