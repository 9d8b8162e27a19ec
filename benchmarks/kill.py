"""kill -9 at random moments of a collection: `python benchmarks/kill.py --study digits --kills 20`.

Half of the kills hit a collection while it sets up or measures, the others while a second process measures a
share of the networks again: both processes at once, or one of the two alone; half of these just as a network
is being written.
After each: the file is whole, every network that was committed is there with all of its kernels and rounds,
none is there twice, and the next start goes on from there. `--runs-dir DIR` keeps what was done, so that a
call that ends earlier, `--seconds 300`, can be gone on from.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from results_file import revision, write_result

from profiling.budget import n_to_repeat

# Networks a start may add before it would end by itself.
AHEAD = 200
FIRST, BOTH, SECOND, FIRST_ALONE = (
    "measuring",
    "repeating, both processes",
    "repeating, the second process",
    "repeating, the first process",
)
KINDS = (FIRST, FIRST, BOTH, FIRST, BOTH, SECOND)
POLL_S = 0.002
FAULTS = ("lost", "lost_repeats", "doubled", "cut", "corrupt")


@dataclass
class State:
    """What the kills so far have shown, kept between calls."""

    study: str
    revision: str
    start_s: float = 0.0
    repeat_s: float = 0.0  # from the start of a second process to its first write
    kills: list[dict[str, Any]] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What a killed collection left behind, and what is wrong with it."""

    networks: list[str]
    repeated: list[str]
    counts: dict[str, int]


def main() -> None:
    from profiling.collect import store_path
    from supernet.study import Study
    from supernet.whole_files import write_json

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--kills", type=int, default=20, help="in all")
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="kill no more after these, go on another time"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs-dir", help="where measurements and kills are kept")
    arguments = parser.parse_args()
    begin = time.monotonic()
    folder = tempfile.TemporaryDirectory() if arguments.runs_dir is None else nullcontext(arguments.runs_dir)
    with folder as runs:
        path = store_path(Study.load(arguments.study), Path(runs))
        notes = Path(runs) / "kills.json"
        state = State(arguments.study, revision())
        if notes.exists():
            state = State(**json.loads(notes.read_text()))
        command = [sys.executable, "-m", "profiling.collect", "--study", arguments.study, "--json"]
        command += ["--runs-dir", runs, "--budget"]
        while len(state.kills) < arguments.kills:
            n = len(state.kills)
            if arguments.seconds is not None and time.monotonic() - begin > arguments.seconds:
                return
            # The last: a second process that is left alone ends its block, and nothing is left to repeat.
            kind = FIRST_ALONE if n == arguments.kills - 1 else KINDS[n % len(KINDS)]
            kill(state, path, command, kind, np.random.default_rng([arguments.seed, n]))
            write_json(asdict(state), notes)
            print(f"kill {len(state.kills)}: {state.kills[-1]}", flush=True)
        n_before, n_repeated = len(state.networks), len(state.repeated)
        goes_on = subprocess.run(
            [*command, str(n_before + 4)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        after = check(path, state)
    faults = {key: sum(k[key] for k in [*state.kills, after.counts]) for key in FAULTS}
    value = {
        "study": state.study,
        "measured_revision": state.revision,
        "kills": state.kills,
        "kills_while": dict(Counter(k["while"] for k in state.kills)),
        **faults,
        "next_start": {
            "exit_code": goes_on.returncode,
            "networks_before": n_before,
            "networks": len(after.networks),
            "repeated_before": n_repeated,
            "repeated": len(after.repeated),
        },
    }
    print(faults, value["next_start"])
    write_result(f"kill-{state.study}", value)


def kill(state: State, path: Path, command: list[str], kind: str, rng: np.random.Generator) -> None:
    """Starts a collection, kills it, and notes in `state` what it has left. A collection that has nothing to
    repeat is killed while it measures."""
    if path.exists():  # a collection that was not killed may have gone on since
        now = check(path, state)
        state.networks, state.repeated = now.networks, now.repeated
    if len(state.repeated) >= n_to_repeat(len(state.networks)):
        kind = FIRST
    budget = str(len(state.networks) + (AHEAD if kind == FIRST else 0))
    begin = time.monotonic()
    process = subprocess.Popen(
        [*command, budget], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    second, is_at_a_write = None, False
    if kind != FIRST:
        second = second_process(process)
        is_at_a_write = state.repeat_s == 0 or bool(rng.random() < 0.5)
        wait(process, state, path, rng, is_at_a_write=is_at_a_write)
    elif not state.kills:  # once: how long a start takes until its first networks are there
        while rows_of(path, "networks") == 0:
            require_running(process)
            time.sleep(POLL_S)
        state.start_s = time.monotonic() - begin
        time.sleep(float(rng.uniform(0, 0.6 * state.start_s)))
    else:
        time.sleep(float(rng.uniform(0, 1.6 * state.start_s)))
    is_killed = process.poll() is None
    try:
        if second is not None and kind == SECOND:
            os.kill(second, signal.SIGKILL)
        elif kind == FIRST_ALONE:
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)  # the session that it leads
    except ProcessLookupError:
        is_killed = False
    process.wait()
    wait_for_the_lock()
    found = check(path, state)
    if is_killed:  # else it has ended by itself before, which shows nothing
        after_s = round(time.monotonic() - begin, 2)
        state.kills.append({"while": kind, "as_it_writes": is_at_a_write, "after_s": after_s, **found.counts})
    state.networks, state.repeated = found.networks, found.repeated


def second_process(process: subprocess.Popen[bytes]) -> int:
    """Waits until a collection has started the process that measures again; returns its id."""
    while True:
        require_running(process)
        if children := psutil.Process(process.pid).children():
            return int(children[0].pid)
        time.sleep(POLL_S)


def wait(
    process: subprocess.Popen[bytes],
    state: State,
    path: Path,
    rng: np.random.Generator,
    *,
    is_at_a_write: bool,
) -> None:
    """While networks are measured again: until one more is written, or a random moment before."""
    begin, n = time.monotonic(), rows_of(path, "rounds WHERE process = 'repeat'")
    if not is_at_a_write:
        time.sleep(float(rng.uniform(0, 0.9 * state.repeat_s)))
        return
    while rows_of(path, "rounds WHERE process = 'repeat'") == n:
        require_running(process)
        time.sleep(POLL_S)
    state.repeat_s = time.monotonic() - begin


def require_running(process: subprocess.Popen[bytes]) -> None:
    """A collection that has ended by itself was not killed."""
    if process.poll() is not None:
        raise SystemExit(f"the collection ended by itself with {process.returncode}; nothing is shown")


def wait_for_the_lock() -> None:
    """A second process whose collection was killed ends its block first."""
    from profiling.lock import measuring
    from supernet.errors import OvnasError

    while True:
        try:
            with measuring():
                return
        except OvnasError:
            time.sleep(0.1)


def rows_of(path: Path, what: str) -> int:
    """How many rows of a table a file holds; 0 while there is none."""
    import sqlite3

    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    (n,) = connection.execute(f"SELECT COUNT(*) FROM {what}").fetchone()
    connection.close()
    return int(n)


def check(path: Path, state: State) -> Found:
    """Compares the file with the networks that it held before."""
    from profiling.store import Store
    from profiling.timing import ROUNDS
    from supernet.errors import OvnasError

    nothing = dict.fromkeys(("networks", "repeated", *FAULTS), 0)
    if not path.exists():
        return Found([], [], {**nothing, "lost": len(state.networks)})
    try:
        with Store.open(path) as store:
            networks, plan = store.networks(), store.plan
            store.records()
    except OvnasError as error:
        print(error)
        return Found(state.networks, state.repeated, {**nothing, "corrupt": 1})
    names = [str(n.architecture) for n in networks]
    repeated = [str(n.architecture) for n in networks if n.repeats]
    counts = {
        "networks": len(names),
        "repeated": len(repeated),
        "lost": len(set(state.networks) - set(names)),
        "lost_repeats": len(set(state.repeated) - set(repeated)),
        "doubled": len(names) - len(set(names)),
        "cut": sum(
            len(n.rounds) < ROUNDS
            or 0 < len(n.repeats) < ROUNDS
            or len(n.kernels) != len(plan.of(n.architecture))
            for n in networks
        ),
        "corrupt": 0,
    }
    return Found(names, repeated, counts)


if __name__ == "__main__":
    main()
