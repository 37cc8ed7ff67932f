"""Commands for fewer bits: quantize, quantize-table, quantize-readme; their work is in utils.quantization.commands."""

from __future__ import annotations

import argparse

from utils.commands import Add


def declare(add: Add) -> None:
    command = add("quantize", quantize, "write a model with fewer bits")
    command.add_argument("model", help="a size, a folder or a file")
    command.add_argument("--method", default="rtn", help="rtn, gptq, awq, mixed or nf4 (%(default)s)")
    command.add_argument("--bits", type=float, default=4, help="2 to 8; for mixed the average (%(default)s)")
    command.add_argument("--group", default="64", help="weights that share a scale, or row, or tensor (%(default)s)")
    command.add_argument("--asymmetric", action="store_true", help="give each group a zero of its own")
    command.add_argument("--act-order", action="store_true", help="gptq, mixed: largest inputs first")
    command.add_argument("--head", action="store_true", help="8 bits for head and token embedding, too")
    command.add_argument("--out", required=True, help="folder for the result")
    tables = add("quantize-table", quantize_table, "compare methods, bits and groups on one model")
    tables.add_argument("model", help="a size, a folder or a file")
    tables.add_argument("--out", required=True, help="folder for the table (CSV, Markdown) and the picture")
    tables.add_argument("--held-out", help="a text or .bin to measure on; stories for nano")
    tables.add_argument("--tokens", type=int, default=5_120, help="how much of it (%(default)s)")
    tables.add_argument("--stories", type=int, default=0, help="so many stories, for their coherence (%(default)s)")
    readme = add("quantize-readme", quantize_readme, "put nano's stored table into README.md")
    readme.add_argument("--check", action="store_true", help="change nothing, report whether it is there")
    for each in (command, tables):
        each.add_argument("--calibration", help="a text or .bin for gptq, awq and mixed; stories for nano")
        each.add_argument("--rows", type=int, default=64, help="rows of calibration text (%(default)s)")
        each.add_argument("--context", type=int, default=256, help="tokens of each row (%(default)s)")


def quantize(options: argparse.Namespace) -> None:
    from utils.quantization.commands import quantize

    quantize(options)


def quantize_table(options: argparse.Namespace) -> None:
    from utils.quantization.commands import quantize_table

    quantize_table(options)


def quantize_readme(options: argparse.Namespace) -> int:
    from utils.quantization.commands import quantize_readme

    return quantize_readme(options)
