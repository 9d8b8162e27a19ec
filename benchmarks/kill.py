"""kill -9 at random moments of a collection: `python benchmarks/kill.py --study digits --kills 20`.

After each kill: the file is whole, every network that was committed is still there with all of its
kernels and rounds, none is there twice; and the next start goes on from there.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from results_file import write_result

# Networks a start may add before it would end by itself.
AHEAD = 200


def main() -> None:
    from profiling.collect import store_path
    from supernet.study import Study

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    kills: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as runs:
        path = store_path(Study.load(arguments.study), Path(runs))
        kept: list[str] = []
        start_s = 0.0
        while len(kills) < arguments.kills:
            command = [sys.executable, "-m", "profiling.collect", "--study", arguments.study, "--json"]
            command += ["--runs-dir", runs, "--budget", str(len(kept) + AHEAD)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            begin = time.monotonic()
            if not kills:  # once: how long a start takes until its first networks are there
                while networks_of(path) == 0:
                    require_running(process)
                    time.sleep(0.2)
                start_s = time.monotonic() - begin
            after_s = float(rng.uniform(0, 1.6 * start_s))
            time.sleep(after_s)
            require_running(process)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            found = check(path, kept)
            kills.append({"after_s": round(time.monotonic() - begin, 2), **found.counts})
            print(f"kill {len(kills)}: {kills[-1]}", flush=True)
            kept = found.networks
        command[-1] = str(len(kept) + 4)
        goes_on = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        n_after = len(check(path, kept).networks)
    faults = {key: sum(k[key] for k in kills) for key in ("lost", "doubled", "cut", "corrupt")}
    value = {
        "study": arguments.study,
        "kills": kills,
        **faults,
        "next_start": {"exit_code": goes_on.returncode, "networks_before": len(kept), "networks": n_after},
    }
    print(faults)
    write_result(f"kill-{arguments.study}", value)


def require_running(process: subprocess.Popen[bytes]) -> None:
    """A collection that has ended by itself was not killed."""
    if process.poll() is not None:
        raise SystemExit(f"the collection ended by itself with {process.returncode}; nothing is shown")


@dataclass(frozen=True)
class Found:
    """What a killed collection left behind, and what is wrong with it."""

    networks: list[str]
    counts: dict[str, int]


def networks_of(path: Path) -> int:
    """How many networks a file holds; 0 while there is none."""
    import sqlite3

    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        (n,) = connection.execute("SELECT COUNT(*) FROM networks").fetchone()
    connection.close()
    return int(n)


def check(path: Path, kept: list[str]) -> Found:
    """Compares the file with the networks that it held before, `kept`."""
    from profiling.store import Store
    from profiling.timing import ROUNDS
    from supernet.errors import OvnasError

    if not path.exists():
        return Found([], {"networks": 0, "lost": len(kept), "doubled": 0, "cut": 0, "corrupt": 0})
    try:
        with Store.open(path) as store:
            found = [str(a) for a in store.architectures()]
            cut = sum(
                r.n_rounds < ROUNDS or len(r.kernels) != len(store.plan.of(r.architecture))
                for r in store.records()
            )
    except OvnasError as error:
        print(error)
        return Found(kept, {"networks": 0, "lost": len(kept), "doubled": 0, "cut": 0, "corrupt": 1})
    counts = {
        "networks": len(found),
        "lost": len(set(kept) - set(found)),
        "doubled": len(found) - len(set(found)),
        "cut": cut,
        "corrupt": 0,
    }
    return Found(found, counts)


if __name__ == "__main__":
    main()
