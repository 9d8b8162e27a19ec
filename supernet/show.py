"""`python -m supernet.show`: what a model's super-network is, as terminal tables and an HTML page."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.errors import OvnasError
from supernet.study import ModelSection, SpaceSection, Study

if TYPE_CHECKING:
    from supernet.outline import Outline
    from supernet.page import Page

# Of a model without a study: what could be chosen, elastic kernels too.
SPACE = SpaceSection(kernel=(3, 5, 7))
IMAGE = (3, 224, 224)


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "supernet.show", "Show what a model's super-network is: what can be chosen, and why not."
    )
    parser.set_defaults(study=None)
    parser.add_argument("--model", metavar="PACKAGE.MODULE:FACTORY", help="a model without a study")
    parser.add_argument("--weights", default="", metavar="FILE", help="its weights (default: random ones)")
    parser.add_argument(
        "--input-shape", metavar="C,H,W", help=f"its input (default: {','.join(map(str, IMAGE))})"
    )
    parser.add_argument("--to", type=Path, metavar="FILE", help="where the page is written")
    return cli.run(show, parser.parse_args(argv))


def show(arguments: argparse.Namespace) -> dict[str, Any]:
    """Traces the model, prints its space and writes the page; returns the figures."""
    study = _study(arguments)
    from supernet.outline import outline, print_outline
    from supernet.study_model import example_input, make_network

    found = outline(make_network(study), example_input(study))
    out = cli.console(arguments)
    print_outline(found, study.name, out)
    path = arguments.to or arguments.runs_dir / study.name / "supernet" / "space.html"
    make_page(found, study).write(path)
    out.print(f"page: {path}")
    return {
        "study": study.name,
        "log10_size": found.log10_size,
        "macs": [found.least_macs, found.most_macs],
        "uncounted_macs": found.uncounted_macs,
        "slots": [{"name": s.name, "kind": s.kind, "choices": list(s.choices)} for s in found.slots],
        "fixed": [{"name": f.name, "what": f.what, "reason": f.reason} for f in found.fixed],
        "page": str(path),
    }


def _study(arguments: argparse.Namespace) -> Study:
    if arguments.model is None:
        for option in ("weights", "input_shape"):
            if getattr(arguments, option):
                raise OvnasError(f"--{option.replace('_', '-')} belongs to --model; a study names its own")
        return Study.load(arguments.study or "digits")
    if arguments.study is not None:
        raise OvnasError("--study and --model exclude each other: a study names its own model")
    if not re.fullmatch(r"[\w.]+:[\w.]+", arguments.model):
        raise OvnasError(f"--model must read 'package.module:factory', but got {arguments.model!r}")
    name = re.sub(r"\W+", "_", arguments.model)
    model = ModelSection(arguments.model, _shape(arguments.input_shape), arguments.weights)
    return Study(name, model, space=SPACE)


def _shape(text: str | None) -> tuple[int, ...]:
    if text is None:
        return IMAGE
    parts = text.split(",")
    if len(parts) != 3 or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise OvnasError(f"--input-shape must be channels, height, width such as 3,224,224, but got {text!r}")
    return tuple(map(int, parts))


def make_page(found: Outline, study: Study) -> Page:
    """The page of a super-network."""
    from supernet.outline import facts_of
    from supernet.page import Page
    from supernet.pictures import network_picture

    weights = study.model.weights or "random weights"
    shape = " x ".join(map(str, study.model.input_shape))
    page = Page(f"The super-network of {study.name}", f"{study.model.factory}, {weights}, input {shape}")
    page.facts(facts_of(found))
    page.heading("Network")
    page.text(
        "Every operation that makes, joins or takes apart channels, from the input downwards. Bars are as "
        "long as the square root of the channels; channels of one colour shrink together. Lines on the left "
        "lead to what an operation reads besides the one above it."
    )
    page.figures(
        (network_picture(found), "Hover over a bar for its channel groups, over a bracket for its run.")
    )
    page.heading("What stays as it is, and why")
    if found.fixed:
        page.table(("what", "of", "reason"), [[f.name, f.what, f.reason] for f in found.fixed])
    else:
        page.text("Nothing.")
    page.heading("What can be chosen")
    page.table(("choice", "of", "values"), [slot.texts for slot in found.slots])
    return page


if __name__ == "__main__":
    sys.exit(main())
