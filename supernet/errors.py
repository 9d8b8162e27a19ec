"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["OvnasError", "nearest"]


class OvnasError(Exception):
    """Something the user can mend: one line that states the rule, what was got and what to do.

    The command line prints it without a traceback and exits with 2. Where a `command` mends it
    ("profiling.collect"), that stands at the end, with the study and the folder of the one that failed.
    """

    def __init__(self, message: str, *, command: str = "") -> None:
        super().__init__(message)
        self.message, self.command = message, command

    def __str__(self) -> str:
        return self.said(" (same --study and --runs-dir)")

    def said(self, options: str) -> str:
        """The text, with these options of the command."""
        return f"{self.message} python -m {self.command}{options}" if self.command else self.message


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known word closest to `word`, or the sorted list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names) or 'none'}"
