"""Where benchmarks write: one JSON file a benchmark, study and CPU, with its conditions inside."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from profiling.machine import has_vnni, read_machine
from supernet.checkpoint import settings_of
from supernet.study import Study
from supernet.whole_files import write_json

FOLDER = Path(__file__).parent / "results"
# Since then networks are measured with the biases and scales of trained ones (supernet/stand_in.py).
BIASES_SINCE = "2026-11-26"
# Since then super-networks are trained on sub-networks of all sizes; before `trained_by` was written down.
_RECIPE_SINCE = "2026-11-27"
_RECIPES_SINCE = {"cifar10": "2026-11-28"}
# Keys of studies that the first results did not know; where they are off, nothing has changed.
_LATER_KEYS = (("train", "mixup", 0.0),)
# What tells two files of one study, machine and benchmark apart, by a part of the file's name.
_NOTES = {
    "-32px-": ", images of 32 px, compressed as JPEGs",
    "-96px-": ", images enlarged to 96 px, compressed as JPEGs",
    "-first-": ", measured first (finalists of the front alone; the anchor alone told the machine's speed)",
    "-mixup-": ", with mixup, images of 32 px, compressed as JPEGs",
    "-second-": ", measured second (profiled networks nearly all of middle size)",
    "-narrow-": ", measured first (profiled networks nearly all of middle size; intervals of the predictor "
    "alone, without what networks have drifted)",
    "-wide-": ", measured second (the first one's networks again; intervals with what they have drifted)",
}
_OF_SPEED = (
    "end_to_end",
    "repeatability",
    "sliced_oracle",
    "benchmark_app",
    "predictor_accuracy",
    "mlperf_v20",
)


def write_result(name: str, value: dict[str, Any], *, activity: dict[str, Any] | None = None) -> Path:
    """Writes `results/<name>-<cpu>.json` with the machine, the date and the revision; `activity` is what
    `profiling.activity.read_activity` said before the benchmark's own work began."""
    machine = read_machine()
    path = FOLDER / f"{name}-{machine_label(machine)}.json"
    conditions: dict[str, Any] = {"date": datetime.date.today().isoformat(), "revision": revision()}
    if activity is not None:
        conditions["activity_before"] = activity
    write_json({**conditions, "machine": machine, **value}, path)
    print(f"wrote {path}")
    return path


def machine_label(machine: dict[str, Any]) -> str:
    """What tells CPUs apart in a file's name; a virtual machine's model may be no more than "AMD EPYC"."""
    model = re.sub(r"[^a-z0-9]+", "-", machine["cpu_model"].lower()).strip("-") or "cpu"
    vnni = "vnni" if has_vnni(machine) else "no-vnni"
    return f"{model}-{machine['cpu_family']}-{vnni}-{machine['logical_cpus']}cpu"


def read(path: Path) -> dict[str, Any]:
    """A result."""
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def lacks_biases(value: dict[str, Any]) -> bool:
    """Whether a result is of the time when untrained networks were measured, whose biases OpenVINO drops."""
    dates = [part["date"] for part in value.values() if isinstance(part, dict) and "date" in part]
    return min(map(str, [value["date"], *dates])) < BIASES_SINCE


def trained_by(study: Study) -> dict[str, str]:
    """For a result: a digest of what decides how the study's super-network is trained."""
    settings = settings_of(study)
    for section, key, off in _LATER_KEYS:
        if settings[section][key] == off:
            settings[section].pop(key)
    text = json.dumps(settings, sort_keys=True)
    return {"trained_by": hashlib.sha256(text.encode()).hexdigest()[:16]}


def recipe_note(value: dict[str, Any]) -> str:
    """Says so where a result is of a super-network that was trained by other settings than the study's."""
    if "trained_by" in value:
        is_earlier = trained_by(Study.load(value["study"]))["trained_by"] != value["trained_by"]
    else:
        since = _RECIPES_SINCE.get(value.get("study", ""), _RECIPE_SINCE)
        is_earlier = str(value.get("date", "now")) < since
    return ", trained by another recipe" if is_earlier else ""


def order_note(name: str) -> str:
    """What tells two files of one study, machine and day apart; `name` is the file's."""
    return next((note for part, note in _NOTES.items() if part in name), "")


def is_without_biases(path: Path) -> bool:
    """Whether a file holds speeds of that time."""
    return path.name.startswith(_OF_SPEED) and lacks_biases(read(path))


def biases_note(mark: str = "") -> str:
    """What the reader of speeds is to know, while there are such results; or nothing."""
    old = [p for name in _OF_SPEED for p in results(name) if lacks_biases(read(p))]
    if not old:
        return ""
    return (
        f"{mark}{len(old)} files of speeds are of before {BIASES_SINCE}: what they measured were untrained "
        "networks, whose biases OpenVINO drops, so that latencies there are some per cent lower than a "
        "trained network's. Ratios and errors of prediction compare like with like, but for finalists of a "
        "search, which have biases."
    )


def results(name: str) -> list[Path]:
    """The results of a benchmark, those of CPUs with VNNI first, for INT8 is what this is about."""
    return sorted(FOLDER.glob(f"{name}-*.json"), key=lambda path: ("-no-vnni-" in path.name, path.name))


def where(path: Path) -> str:
    """A result's place in the repository."""
    return f"benchmarks/results/{path.name}"


def link(name: str) -> str:
    """Markdown's link to a result, from the repository's root."""
    return f"[file]({where(FOLDER / name)})"


def machine_text(value: dict[str, Any]) -> str:
    """The conditions of a result in words."""
    version = value["machine"]["openvino"].split("-")[0]
    return f"{cpu_text(value)}, OpenVINO {version}, {value['target']['threads']} thread(s)"


def cpu_text(value: dict[str, Any]) -> str:
    """The CPU of a result in words."""
    machine = value["machine"]
    kind = "VNNI" if has_vnni(machine) else "no VNNI"
    return f"{machine['cpu_model']} (family {machine['cpu_family']}, {machine['logical_cpus']} CPUs, {kind})"


def revision() -> str:
    """The commit that is measured, "-dirty" if files other than results have changed since; "unknown" outside
    of a checkout."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", ":/", ":!/benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    result = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    return result.stdout.strip()
