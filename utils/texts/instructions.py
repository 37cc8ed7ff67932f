"""Instruction data: questions with answers, as a prompt that is given and a completion that is learned (lesson 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from utils.texts.records import NAMED, Document, ReadReport, Record, labelled

LEARNED = ("answer", "output", "response", "completion", "assistant")  # what answers are called in known formats


def as_instruction(record: Record, columns: Sequence[str], report: ReadReport) -> Document | None:
    """Return a record's prompt and answer, or report what it lacks; of the columns, the last is the answer."""
    fields = record.fields
    names = columns or known_columns(fields)
    if len(names) < 2:
        report.skip(record.name, f"no question and answer among {', '.join(fields)}; name the two with columns")
        return None
    *asked, answer = names
    missing = [name for name in names if not fields.get(name, "").strip()]
    if answer in missing or len(missing) == len(names) - 1:
        report.skip(record.name, f"nothing in {', '.join(missing)}")
        return None
    given = [name for name in asked if name not in missing]  # an empty `input` is usual
    return Document(record.name, " " + fields[answer].strip(), prompt_of(fields, given, answer), file=record.file)


def prompt_of(fields: Mapping[str, str], asked: Sequence[str], answer: str = "answer") -> str:
    """Return what stands before the answer, in training as in use.

    >>> prompt_of({"question": "Who?"}, ["question"])
    'Question: Who?\\nAnswer:'
    """
    return labelled(fields, asked) + "\n" + labelled({answer: ""}, [answer]).rstrip()


def known_columns(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return the fields of a known format, the answer last, or nothing.

    >>> known_columns({"id": "1", "question": "Who?", "answer": "Me.", "source": "a.txt"})
    ('question', 'answer')
    """
    for names in NAMED:
        answer = next(name for name in names if name in LEARNED)
        if names[0] in fields and answer in fields:
            asked = [name for name in names[: names.index(answer)] if name in fields]
            return (*asked, answer)
    return ()
