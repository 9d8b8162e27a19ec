"""The whole line in a fresh folder, each step timed: `python benchmarks/end_to_end.py --study digits`.

`--steps collect,predict,report` leaves out what needs data (resnet50). Where training takes hours, its
supernet/ can be put into `--runs-dir` before, and `--steps` begins with collect.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from results_file import FOLDER, trained_by, write_result

from supernet.study import Study

STEPS = {
    "train": ["supernet.train"],
    "collect": ["profiling.collect"],
    "predict": ["predictor.train", "--predictor", "xgb"],
    "report": ["predictor.report"],
    "search": ["search.run", "--predictor", "xgb"],
}
# What each makes in runs/<study>/; a step on top of an earlier one would time something else.
MADE = {"train": "supernet", "collect": "profiling", "predict": "predictor", "search": "search"}
KEPT = {
    "train": ("accuracy", "log10_size", "seconds"),
    "collect": (
        "networks",
        "kernels",
        "ceiling",
        "flagged_rounds",
        "counters_difference",
        "unexplained",
        "prepare_s",
        "peak_memory_gib",
    ),
    "report": ("counts", "ceiling", "predictors"),
    "search": (
        "baseline",
        "finalists",
        "evaluations",
        "machine_speed",
        "anchor_speed",
        "drift",
        "witnesses",
        "copies",
        "rounds_a_copy",
        "constraints",
        "seconds_of",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--finetune", metavar="EPOCHS", help="of search.run, if not the study's")
    parser.add_argument("--also", metavar="TEXT", help="of search.run")
    parser.add_argument("--budget", help="of profiling.collect, if not the study's")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--runs-dir", help="where to keep what is made, without results of these steps")
    arguments = parser.parse_args()
    loaded = Study.load(arguments.study)
    study = loaded.name
    value: dict[str, Any] = {"study": study, **trained_by(loaded), "seed": int(arguments.seed), "steps_s": {}}
    steps = arguments.steps.split(",")
    with kept(arguments.runs_dir, study, steps) as runs:
        for step in steps:
            command = [sys.executable, "-m", *STEPS[step], "--study", arguments.study, "--json"]
            command += ["--runs-dir", runs, "--seed", arguments.seed]
            if step == "collect" and arguments.budget:
                command += ["--budget", arguments.budget]
            if step == "search" and arguments.finetune:
                command += ["--finetune", arguments.finetune]
                value["finetune_epochs"] = int(arguments.finetune)
            if step == "search" and arguments.also:
                command += ["--also", arguments.also]
            print("==", " ".join(command[1:]), flush=True)
            start = time.monotonic()
            result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            # A search without a feasible finalist ends with 2, when it has written what it has measured.
            if result.returncode and not (step == "search" and result.stdout):
                sys.exit(f"error: {' '.join(command[1:])} ended with {result.returncode}, see above")
            value["steps_s"][step] = round(time.monotonic() - start, 1)
            found = json.loads(result.stdout)
            value.setdefault("target", found.get("target"))
            if step in KEPT:
                value[step] = {key: found[key] for key in KEPT[step]}
            if step in ("report", "search"):
                value["target"] = found["target"]
        tuned = any(one["is_finetuned"] for one in value.get("search", {}).get("finalists", ()))
        name = f"end_to_end-{study}{'-finetuned' * tuned}"
        path = write_result(name, _without_paths(value))
        picture = Path(runs) / study / "search" / "front.png"
        if "search" in steps and picture.is_file():
            shutil.copy(picture, FOLDER / f"{path.stem}.png")


def kept(runs_dir: str | None, study: str, steps: list[str]) -> AbstractContextManager[str]:
    """The folder named, or a temporary one. Exits where a step's results are there already."""
    if runs_dir is None:
        return tempfile.TemporaryDirectory()
    for place in (Path(runs_dir) / study / MADE[step] for step in steps if step in MADE):
        if place.exists():
            sys.exit(f"error: {place} is there already; give another --runs-dir or fewer --steps")
    return nullcontext(runs_dir)


def _without_paths(value: Any) -> Any:
    """Drops the names of files in the temporary folder."""
    if isinstance(value, dict):
        return {key: _without_paths(v) for key, v in value.items() if key != "files"}
    return [_without_paths(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
