"""The capstone: a learner's own GPT-2 from an empty file, judged part by part through an adapter, then trained."""

from __future__ import annotations


class NotConnected(NotImplementedError):
    """Raised by a function of the adapter that the learner has not connected yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not connected yet: call your own code in adapter.py instead of raising this.")
