"""`python -m search.report`: the search's results as files: front.csv, report.html and front.png.

A search writes them itself; the command draws a page again from search.json and candidates.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.table import print_summary
from supernet import cli
from supernet.replacing import replacing
from supernet.study import Study

if TYPE_CHECKING:
    from search.outcome import Outcome
    from search.problem import Candidate

__all__ = ["read_candidates", "write_page", "write_picture"]

PICTURE = "front.png"
DPI = 150


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("search.report", "Draw the report of a search again, from its files.")
    return cli.run(redraw, parser.parse_args(argv))


def redraw(arguments: argparse.Namespace) -> dict[str, Any]:
    """Writes report.html and front.png beside search.json; returns where they are."""
    from supernet.errors import OvnasError

    study = Study.load(arguments.study)
    folder: Path = arguments.runs_dir / study.name / "search"
    file = folder / "search.json"
    if not file.is_file():
        raise OvnasError(f"there is no search at {file}; make one with python -m search.run")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        candidates = read_candidates(folder / "candidates.csv")
        front = _front_among(candidates, folder / "front.csv")
        own = {one["architecture"] for one in value["finalists"]}
        chosen = [c for c in candidates if str(c.architecture) in own]
        write_page(value, candidates, front, chosen, folder / "report.html")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OvnasError(f"{folder} does not hold a whole search ({error!r}); search again") from error
    out = cli.console(arguments)
    print_summary(value, out)
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    return {"report": str(folder / "report.html"), "picture": str(folder / PICTURE)}


def read_candidates(path: Path) -> list[Candidate]:
    """The evaluated architectures of a candidates.csv. Raises OvnasError if there is none."""
    from search.problem import Candidate
    from supernet.architecture import Architecture
    from supernet.errors import OvnasError

    if not path.is_file():
        raise OvnasError(f"there are no evaluated architectures at {path}; search again")
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Candidate(
                Architecture.parse(row["architecture"]),
                float(row["quality"]),
                float(row["predicted_latency_us"]),
                *(int(row[name]) for name in ("macs", "n_parameters", "model_bytes", "round")),
            )
            for row in csv.DictReader(file)
        ]


def _front_among(candidates: Sequence[Candidate], path: Path) -> list[Candidate]:
    """Those that a front.csv names, in its order: which they are depends on the search's objectives and
    constraints."""
    from supernet.errors import OvnasError

    if not path.is_file():
        raise OvnasError(f"there is no front at {path}; search again")
    known = {str(c.architecture): c for c in candidates}
    with path.open(newline="", encoding="utf-8") as file:
        return [known[row["architecture"]] for row in csv.DictReader(file)]


def write_page(
    value: dict[str, Any],
    candidates: Sequence[Candidate],
    front: Sequence[Candidate],
    chosen: Sequence[Candidate],
    path: Path,
) -> None:
    """report.html of a search.json value, and front.png beside it. `chosen` are the
    finalists as they were predicted; those that `candidates` lack are added to them."""
    from search.outcome import Outcome
    from search.report_page import make_page

    outcome = Outcome.of(value)
    known = {c.architecture for c in candidates}
    every = [*candidates, *(c for c in chosen if c.architecture not in known)]
    make_page(outcome, every, front).write(path)
    write_picture(outcome, every, front, path.with_name(PICTURE))


def write_picture(
    outcome: Outcome, candidates: Sequence[Candidate], front: Sequence[Candidate], path: Path
) -> None:
    """The front as a PNG file, written whole or not at all."""
    from search.pictures import front_picture

    with replacing(path) as (partial,):
        front_picture(outcome, candidates, front).savefig(partial, format="png", dpi=DPI)


if __name__ == "__main__":
    sys.exit(main())
