"""Where benchmarks write: one JSON file a benchmark, study and CPU, with its conditions inside."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

from profiling.machine import read_machine
from supernet.checkpoint import write_json

FOLDER = Path(__file__).parent / "results"


def write_result(name: str, value: dict[str, Any]) -> Path:
    """Writes `results/<name>-<cpu>.json` with the machine and the date."""
    machine = read_machine()
    cpu = re.sub(r"[^a-z0-9]+", "-", machine["cpu_model"].lower()).strip("-") or "cpu"
    vnni = "vnni" if "avx512_vnni" in machine["flags"] else "no-vnni"
    path = FOLDER / f"{name}-{cpu}-{vnni}-{machine['logical_cpus']}cpu.json"
    write_json({"date": datetime.date.today().isoformat(), "machine": machine, **value}, path)
    print(f"wrote {path}")
    return path
