"""The published sub-networks of MLPerf Inference v2.0 by LoadGen: `python benchmarks/mlperf_v20.py --quick`.

Runs `python -m search.mlperf_v20` and keeps its value. `--parts` may be given in turn, for each takes
minutes: a part replaces its own figures in the file and leaves the others. The search needs a predictor:

    python -m profiling.collect --study resnet50 --budget 224
    python -m profiling.collect --study resnet50_fine16 --budget 96
    python -m predictor.train --study resnet50_fine16 --also resnet50 --name both
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from results_file import FOLDER, write_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", default="offline,server,search")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--predictor", default="runs/resnet50_fine16/predictor/both")
    arguments = parser.parse_args()
    name = f"mlperf_v20{'-quick' if arguments.quick else ''}"
    command = [sys.executable, "-m", "search.mlperf_v20", "--parts", arguments.parts]
    command += ["--predictor", arguments.predictor, *(["--quick"] if arguments.quick else [])]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, "--out", folder], check=True)
        value = json.loads((Path(folder) / "mlperf_v20.json").read_text())
    value["command"] = f"python benchmarks/mlperf_v20.py --parts {arguments.parts}"
    for part in ("offline", "server", "search"):
        value.get(part, {}).pop("log_dir", None)
    for one in value.get("server", {}).get("networks", {}).values():
        one.pop("log_dir")
    for one in value.get("offline", {}).get("by_the_rules", {}).values():
        one.pop("log_dir")
    if "search" in value:  # without the folders of this machine
        value["search"]["predictor"] = "/".join(Path(value["search"]["predictor"]).parts[-3:])
    known = {}
    for path in FOLDER.glob(f"{name}-[!q]*.json"):
        earlier = json.loads(path.read_text())
        theirs = earlier["machine"]  # an older version may have known fewer facts
        is_same = all(theirs[name] == fact for name, fact in value["machine"].items() if name in theirs)
        if is_same and earlier["schema_version"] == value["schema_version"]:
            known = {part: earlier[part] for part in ("offline", "server", "search") if part in earlier}
    write_result(name, {**value, **known, **{p: value[p] for p in arguments.parts.split(",")}})


if __name__ == "__main__":
    main()
