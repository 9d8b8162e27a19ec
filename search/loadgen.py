"""One LoadGen test in a process of its own: started, watched, and killed if its caller stops.

LoadGen reads its rules once a process, and what one network leaves in memory shall not touch the next.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from search.loadgen_log import Summary, read_summary
from search.scenario import SCENARIOS, SERVER_BOUND_MS, Arrangement, Scenario
from supernet.errors import OvnasError
from supernet.study import DATA_VARIABLE

__all__ = ["Test", "Trial", "require_loadgen", "run_accuracy", "run_performance", "run_trials"]

Mode = Literal["performance", "accuracy", "trial"]
QUICK_SAMPLES = 64
OUTPUT, RESULT, SETTINGS = "output.txt", "result.json", "user.conf"
# What a child keeps of our environment; nothing else that changes how OpenVINO or numpy run.
_KEPT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *(DATA_VARIABLE, "XDG_CACHE_HOME"),  # where the study's images are, and are kept decoded
)
_POLL_S = 0.1


@dataclass(frozen=True)
class Test:
    """One test, all that the child needs.

    `rate` is the samples a second to expect or, for the Server scenario, to ask for; `latency_ms` what a
    query takes, for the scenarios that LoadGen paces by it. Without `duration_s` the rules' durations,
    counts and 1,024 samples hold, with it the run is quick. `study` gives the samples of an accuracy run.
    `trials` are arrangements to try in place of a test.
    """

    __test__ = False  # not pytest's

    model: Path
    scenario: str
    arrangement: Arrangement
    folder: Path
    mode: Mode = "performance"
    rate: float = 1.0
    latency_ms: float = 1.0
    bound_ms: float = SERVER_BOUND_MS
    duration_s: float | None = None
    n_queries: int | None = None
    study: str = ""
    trials: tuple[Arrangement, ...] = ()

    @property
    def rules(self) -> Scenario:
        """Its scenario."""
        return SCENARIOS[self.scenario]

    def settings(self) -> str:
        """LoadGen's user.conf."""
        name = self.rules.loadgen
        lines = {
            "offline": f"target_qps = {self.rate:.6g}",
            "server": f"target_qps = {self.rate:.6g}",
            "singlestream": f"target_latency = {self.latency_ms:.6g}",
            "multistream": f"target_latency = {self.latency_ms:.6g}",
        }
        found = [lines[self.scenario]]
        if self.scenario == "server":
            found.append(f"target_latency = {self.bound_ms:.6g}")
        if self.duration_s is not None:
            found.append(f"min_duration = {1000 * self.duration_s:.0f}")
            found.append(f"min_query_count = {self.n_queries or self.rules.quick_queries}")
            found.append(f"performance_sample_count_override = {QUICK_SAMPLES}")
        return "".join(f"*.{name}.{line}\n" for line in found)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        return {**asdict(self), "model": str(self.model.resolve()), "folder": str(self.folder.resolve())}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Test:
        """Reads `to_json`'s value."""
        trials = tuple(Arrangement(**t) for t in value["trials"])
        paths = {name: Path(value[name]) for name in ("model", "folder")}
        return cls(**{**value, **paths, "arrangement": Arrangement(**value["arrangement"]), "trials": trials})


@dataclass(frozen=True)
class Trial:
    """What an arrangement did for a moment: samples a second with all requests in flight, and the latency
    of one query alone."""

    arrangement: Arrangement
    rate: float
    latency_ms: float


def require_loadgen() -> None:
    """Raises OvnasError if LoadGen is not installed."""
    if importlib.util.find_spec("mlperf_loadgen") is None:
        raise OvnasError("MLPerf's LoadGen is not installed; install it with: pip install mlcommons-loadgen")


def run_performance(test: Test, on_wait: Callable[[float], None] = lambda seconds: None) -> Summary:
    """Runs a performance test; `on_wait` is told the seconds since its start now and then."""
    _run(replace(test, mode="performance"), on_wait)
    return read_summary(test.folder)


def run_accuracy(test: Test, on_wait: Callable[[float], None] = lambda seconds: None) -> int:
    """Runs over all of the study's test split; returns how many samples that are."""
    return int(_run(replace(test, mode="accuracy"), on_wait)["n_samples"])


def run_trials(test: Test, on_wait: Callable[[float], None] = lambda seconds: None) -> list[Trial]:
    """Tries each of `test.trials` for a moment; without those that the model cannot be reshaped to."""
    found = _run(replace(test, mode="trial"), on_wait)["trials"]
    return [Trial(Arrangement(**t["arrangement"]), t["rate"], t["latency_ms"]) for t in found]


def _run(test: Test, on_wait: Callable[[float], None]) -> dict[str, Any]:
    require_loadgen()
    if not test.model.is_file():
        raise OvnasError(f"there is no model file {test.model}")
    test.folder.mkdir(parents=True, exist_ok=True)
    (test.folder / SETTINGS).write_text(test.settings(), encoding="utf-8")
    start = time.monotonic()
    with (test.folder / OUTPUT).open("wb") as output:
        # A session of its own: an interrupt at the terminal reaches us, and we end the child.
        child = subprocess.Popen(
            [sys.executable, "-m", "search.loadgen_child"], stdin=subprocess.PIPE, stdout=output,
            stderr=subprocess.STDOUT, env=_environment(), start_new_session=True,
        )  # fmt: skip
        try:
            assert child.stdin is not None
            try:
                child.stdin.write(json.dumps(test.to_json()).encode() + b"\n")
                child.stdin.flush()  # it stays open: when it closes, the child knows that we are gone
            except BrokenPipeError:
                pass  # its last words are in the output
            while child.poll() is None:
                on_wait(time.monotonic() - start)
                time.sleep(_POLL_S)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()
    if child.returncode != 0:
        raise OvnasError(f"LoadGen's process failed: {_last_words(test.folder, child.returncode)}")
    return json.loads((test.folder / RESULT).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NNCF_CI": "1", "TQDM_DISABLE": "1"}


def _last_words(folder: Path, code: int) -> str:
    text = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").strip()
    last = text.splitlines()[-1].removeprefix("error: ") if text else f"it ended with {code}"
    return f"{last} (all of it: {folder / OUTPUT})"
