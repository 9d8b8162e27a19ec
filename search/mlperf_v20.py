"""`python -m search.mlperf_v20`: the published ResNet-50s of MLPerf Inference v2.0, measured here."""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.quantities import parse_latency

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from search.published import Published

# 1: first.
SCHEMA_VERSION = 1
STUDY = "resnet50"
PARTS = ("offline", "server", "search")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "search.mlperf_v20",
        "INT8 ResNet-50 and the three sub-networks of Intel's submission to MLPerf Inference v2.0 (open), "
        "run here by LoadGen, beside the published figures.",
    )
    parser.set_defaults(study=STUDY)
    parser.add_argument(
        "--quick", action="store_true", help="runs of seconds in place of the rules' 10 minutes"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="of ResNet-50 (default: random; only speed is compared)"
    )
    parser.add_argument(
        "--parts", metavar="LIST", help="some of offline, server and search, which is what a search "
        "finds with the MACs of A, B and C (default: all, search where there is a predictor)",
    )  # fmt: skip
    parser.add_argument(
        "--predictor", type=Path, metavar="FOLDER", help="of latency, for the search "
        "(default: RUNS_DIR/resnet50_fine16/predictor/xgb)",
    )  # fmt: skip
    parser.add_argument(
        "--latency-bound", metavar="TIME",
        help="of the Server scenario (default: 15ms, or what this machine needs; it is printed)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUNS_DIR/mlperf_v20")
    return cli.run(compare, parser.parse_args(argv))


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures the parts asked for, prints the table, writes mlperf_v20.json; returns its value."""
    import numpy as np

    from profiling.lock import measuring
    from profiling.machine import read_machine
    from search.beyond import FINE
    from search.loadgen import require_loadgen
    from search.mlperf_v20_offline import measure_offline
    from search.mlperf_v20_server import measure_server
    from search.mlperf_v20_table import print_table
    from search.published import load_published
    from supernet.errors import OvnasError
    from supernet.whole_files import write_json

    if arguments.study != STUDY:
        raise OvnasError(f"the published networks are sub-networks of {STUDY}; leave --study out")
    start = time.monotonic()
    out = cli.console(arguments)
    predictor = arguments.predictor or arguments.runs_dir / FINE / "predictor" / "xgb"
    parts = _parts(arguments, predictor, out)
    bound_ms = (
        None
        if arguments.latency_bound is None
        else parse_latency(arguments.latency_bound, "--latency-bound") / 1e3
    )
    if bound_ms and "server" not in parts:
        raise OvnasError("--latency-bound is of the part server; leave it out, or add that to --parts")
    if set(parts) & {"offline", "server"}:
        require_loadgen()
    if "search" in parts:  # noticed now, not after what takes hours
        from search.beyond import beyond_published, load_predictor

        load_predictor(predictor)
    home: Path = arguments.out or arguments.runs_dir / "mlperf_v20"
    published = load_published()
    rng = np.random.default_rng(arguments.seed)
    weights = "random" if arguments.weights is None else str(arguments.weights)
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "machine": read_machine(),
        "is_quick": arguments.quick,
        "weights": weights,
        "seed": arguments.seed,
    }
    path = home / "mlperf_v20.json"
    value |= _earlier(path, value, out)  # parts measured before stay
    command = shlex.join(["python", "-m", "search.mlperf_v20", *sys.argv[1:]])
    halves: dict[str, Any] = value.setdefault("halves", {})
    asked = {"parts": sorted(parts), "bound_ms": bound_ms, "predictor": str(predictor)}
    left = _left(value.get("unfinished"), asked, parts, out)
    value["unfinished"] = {"asked": asked, "left": left}

    def write() -> None:
        value["seconds"] = round(time.monotonic() - start, 1)
        home.mkdir(parents=True, exist_ok=True)
        gone = [name for name in ("halves", "unfinished") if not value[name]]
        write_json({name: one for name, one in value.items() if name not in gone}, path)

    def keep(part: str, found: dict[str, Any]) -> None:
        """On disk at once, and again with each network that is added, for each takes minutes; beside an
        earlier measurement of the part, until this one is whole."""
        halves[part] = {"command": command, **found}
        write()

    def finish(part: str) -> None:
        value[part] = halves.pop(part)
        left.remove(part)
        if not left:
            value["unfinished"] = None
        write()

    with measuring(), cli.progress(out) as bar:
        if set(left) & {"offline", "server"}:
            models = _build(published, arguments.weights, home / "networks", bar)
        if "offline" in left:
            own = partial(keep, "offline"), halves.get("offline")
            measure_offline(models, home, arguments.quick, rng, bar, *own)
            finish("offline")
        if "server" in left:
            own = partial(keep, "server"), halves.get("server")
            measure_server(models, home, arguments.quick, bound_ms, rng, bar, *own)
            finish("server")
        if "search" in left:
            keep("search", beyond_published(published, arguments.weights, predictor, rng, bar))
            finish("search")
    for name in ("halves", "unfinished"):
        if not value[name]:
            del value[name]
    shown = {name: one for name, one in value.items() if name not in PARTS or name in parts}
    print_table(shown, published, out)
    out.print(f"written: {path}; LoadGen's logs beside it", soft_wrap=True)
    return value


def _earlier(path: Path, value: dict[str, Any], out: Console) -> dict[str, Any]:
    """The parts that an earlier start measured under the same conditions. A file of other ones is renamed:
    it may have taken hours."""
    from profiling.machine import describe_difference

    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        agreed = ("schema_version", "is_quick", "weights", "seed")
        same = all(kept[name] == value[name] for name in agreed)
        if same and not describe_difference(kept["machine"], value["machine"]):
            return {name: kept[name] for name in (*PARTS, "halves", "unfinished") if name in kept}
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    names = (path.with_name(f"{path.stem}-{i}{path.suffix}") for i in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    out.print(f"{path} was measured under other conditions; it is kept as {aside.name}", soft_wrap=True)
    return {}


def _left(
    unfinished: dict[str, Any] | None, asked: dict[str, Any], parts: list[str], out: Console
) -> list[str]:
    """The parts to measure: all, or what an interrupted start that was asked for the same has left."""
    if not unfinished or unfinished["asked"] != asked:
        return list(parts)
    left = [part for part in parts if part in unfinished["left"]]
    done = [part for part in parts if part not in left]
    if done:
        out.print(f"going on with {', '.join(left)}: the interrupted start has finished {', '.join(done)}")
    return left


def _parts(arguments: argparse.Namespace, predictor: Path, out: Console) -> list[str]:
    from supernet.errors import OvnasError, nearest

    if arguments.parts is None:
        if arguments.predictor is not None or predictor.is_dir():
            return list(PARTS)
        out.print(
            f"the search with the MACs of A, B and C is left out, for there is no predictor in {predictor}: "
            f"make one with profiling.collect and predictor.train --study {predictor.parts[-3]}",
            soft_wrap=True,
        )
        return [part for part in PARTS if part != "search"]
    names = [name.strip() for name in arguments.parts.split(",")]
    for name in names:
        if name not in PARTS:
            raise OvnasError(f"--parts: there is no {name!r}{nearest(name, PARTS)}")
    return names


def _build(
    published: dict[str, Published], weights: Path | None, folder: Path, bar: Progress
) -> dict[str, Path]:
    """INT8 files of all networks, sliced from one quantised ResNet-50."""
    import openvino as ov

    from search.beyond import make_graphs
    from search.published import member_of

    task = bar.add_task("building INT8 networks", total=len(published), note="")
    graphs = make_graphs(STUDY, weights)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, network in published.items():
        path = folder / f"{name}.xml"
        ov.save_model(graphs.model(member_of(graphs.space, network)), path, compress_to_fp16=False)
        found[name] = path
        bar.update(task, advance=1)
    return found


if __name__ == "__main__":
    sys.exit(main())
