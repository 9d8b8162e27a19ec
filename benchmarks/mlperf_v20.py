"""The published sub-networks of MLPerf Inference v2.0 by LoadGen: `python benchmarks/mlperf_v20.py --quick`.

Runs `python -m search.mlperf_v20` and keeps its value. `--parts` may be given in turn, for each takes
minutes: a part replaces its own figures in the file and leaves the others. The search needs a predictor:

    python -m profiling.collect --study resnet50 --budget 224
    python -m profiling.collect --study resnet50_fine16 --budget 96
    python -m predictor.train --study resnet50_fine16 --also resnet50 --name both
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from results_file import FOLDER, machine_label, read, revision, write_result

from profiling.machine import describe_difference, read_machine

PARTS = ("offline", "server", "search")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", default="offline,server,search")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--predictor", default="runs/resnet50_fine16/predictor/both")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    name = f"mlperf_v20{'-quick' if arguments.quick else ''}"
    parts = [part.strip() for part in arguments.parts.split(",")]
    known = _known(name, parts)  # what cannot be kept beside this is noticed now, not after hours
    command = [sys.executable, "-m", "search.mlperf_v20", "--parts", arguments.parts]
    command += ["--predictor", arguments.predictor, *(["--quick"] if arguments.quick else [])]
    folder = arguments.runs_dir / name  # LoadGen's logs stay there
    at = {"date": datetime.date.today().isoformat(), "revision": revision()}
    subprocess.run([*command, "--out", str(folder)], check=True)
    value = json.loads((folder / "mlperf_v20.json").read_text())
    own = ["python", "benchmarks/mlperf_v20.py", "--parts", arguments.parts]
    own += ["--quick"] if arguments.quick else []
    for part in parts:
        value[part] |= {**at, "command": " ".join(own)}
    for part in PARTS:
        value.get(part, {}).pop("log_dir", None)
    for one in value.get("server", {}).get("networks", {}).values():
        one.pop("log_dir", None)
    for one in value.get("offline", {}).get("by_the_rules", {}).values():
        one.pop("log_dir")
    if "search" in value:  # without the folders of this machine
        value["search"]["predictor"] = "/".join(Path(value["search"]["predictor"]).parts[-3:])
    rest = {key: one for key, one in value.items() if key not in PARTS}
    write_result(name, {**rest, **known, **{part: value[part] for part in parts}})


def _known(name: str, parts: list[str]) -> dict[str, Any]:
    """The parts in this machine's file. Exits where those that stay were measured elsewhere."""
    machine = read_machine()
    path = FOLDER / f"{name}-{machine_label(machine)}.json"
    if not path.is_file():
        return {}
    earlier = read(path)
    known = {part: earlier[part] for part in PARTS if part in earlier}
    difference = describe_difference(earlier["machine"], machine)
    if difference and set(known) - set(parts):
        sys.exit(f"error: {path} has other parts, measured elsewhere ({difference}); move it away")
    return known


if __name__ == "__main__":
    main()
