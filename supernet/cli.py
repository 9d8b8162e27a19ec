"""What every command shares: the common options, one-line errors, exit codes."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from supernet.errors import OvnasError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["Command", "console", "parser", "print_table", "progress", "run"]

Command = Callable[[argparse.Namespace], dict[str, Any]]

STUDY, RUNS_DIR = "digits", Path("runs")
# Libraries that would report home or draw their own progress bars.
_QUIET = {"NNCF_CI": "1", "TQDM_DISABLE": "1"}


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """A parser for `python -m <command>` with the options that all commands share."""
    result = _Parser(prog=f"python -m {command}", description=description)
    result.add_argument(
        "--study", default=STUDY, metavar="NAME|FILE", help="a shipped study, or a .toml file"
    )
    result.add_argument(
        "--runs-dir", type=Path, default=RUNS_DIR, metavar="DIR", help="where results are kept"
    )
    result.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    result.add_argument("--json", action="store_true", help="print the result as JSON only")
    result.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return result


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def console(arguments: argparse.Namespace) -> Console:
    """Where to speak to a person: the standard output, or the standard error with --json."""
    from rich.console import Console

    result = Console(stderr=arguments.json, highlight=False, markup=False, emoji=False)
    if not result.is_terminal:
        result.width = 120  # a file or a pipe has no width of its own
    return result


def print_table(to: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose first column is text and whose others are numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    to.print(table)


def progress(to: Console) -> Progress:
    """A progress bar with the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=to)


def run(command: Command, arguments: argparse.Namespace) -> int:
    """Runs `command`; its returned value is printed with --json. Returns the exit code.

    0: done. 2: anything that the user can mend (an OvnasError, a full disk, an interrupt), said in one
    line on the standard error.
    """
    os.environ.update(_QUIET)
    try:
        if arguments.seed < 0:
            raise OvnasError(f"--seed must be >= 0, but got {arguments.seed}")
        result = command(arguments)
        if arguments.json:
            print(json.dumps(result, indent=2))
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OvnasError as error:
        if arguments.debug:
            raise
        return _fail(error.said(_options(arguments)))
    except OSError as error:
        if arguments.debug:
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _drop_unwritten_output()
            return _fail(f"the disk is full: free some space at {arguments.runs_dir} and run again")
        return _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))


def _options(arguments: argparse.Namespace) -> str:
    """The study and the folder of results, where they are not the defaults."""
    given = {"--study": arguments.study, "--runs-dir": arguments.runs_dir}
    usual = {"--study": STUDY, "--runs-dir": RUNS_DIR}
    return "".join(f" {k} {shlex.quote(str(v))}" for k, v in given.items() if v != usual[k])


def _drop_unwritten_output() -> None:
    """Where the standard output itself is full, so that the interpreter does not fail on it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
