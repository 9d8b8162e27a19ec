from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from profiling import repeats
from profiling.budget import n_to_repeat
from profiling.repeats import repeat_in_fresh_process, to_repeat
from profiling.store import NetworkRecord
from supernet import Architecture, OvnasError, cli


def records(latencies):
    return [
        NetworkRecord(Architecture((i,)), "filling", 1, us, float("nan"), 1, 0, 0, 9, 0, ())
        for i, us in enumerate(latencies)
    ]


def test_repeats_spread_over_the_latencies():
    measured = records(np.random.default_rng(0).permutation(np.arange(100, 200)))
    latency = {r.architecture: r.latency_us for r in measured}
    chosen = [latency[a] for a in to_repeat(measured)]
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (100, 199)
    assert len(chosen) == n_to_repeat(100)
    assert np.ptp(np.diff(chosen)) <= 1
    assert len(to_repeat(records([5, 4, 3]))) == 3


def test_what_is_repeated_is_not_repeated_again():
    measured = records(range(100, 200))
    done = [replace(r, repeat_us=r.latency_us) if i < 10 else r for i, r in enumerate(measured)]
    chosen = to_repeat(done)
    assert len(chosen) == n_to_repeat(100) - 10
    assert not {r.architecture for r in done[:10]} & set(chosen)
    assert to_repeat([replace(r, repeat_us=1.0) for r in measured]) == []


def test_the_child_is_given_the_lock(monkeypatch):
    called = {}

    def run(command, **options):
        called.update(options, command=command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(repeats.subprocess, "run", run)
    repeat_in_fresh_process(cli.parser("x", "").parse_args(["--seed", "3"]), 7)
    assert called["pass_fds"] == [7]
    assert " ".join(called["command"][1:]) == (
        "-m profiling.collect --repeat 7 --study digits --runs-dir runs --seed 3"
    )


def test_a_failed_repetition_is_said(monkeypatch):
    monkeypatch.setattr(repeats.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=2))
    with pytest.raises(OvnasError, match="what was collected is kept"):
        repeat_in_fresh_process(cli.parser("x", "").parse_args([]), 7)
