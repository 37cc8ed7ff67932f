"""Text between two marks: the part of a page that a command writes."""

from __future__ import annotations

from utils.errors import CourseError


def put_between(text: str, start: str, end: str, body: str) -> str:
    """Return a text with `body` between two marks, in the place of what is there now.

    >>> put_between("a <!-- b --> old <!-- e --> c", "<!-- b -->", "<!-- e -->", "new").splitlines()
    ['a <!-- b -->', 'new', '<!-- e --> c']
    """
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise CourseError(
            f"The page lacks one of these two lines: put them where the written part goes.\n{start}\n{end}"
        )
    return f"{before}{start}\n{body}\n{end}{after}"
