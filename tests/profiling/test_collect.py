from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from profiling import collect
from profiling.collect import MAX_REPEATS, MIN_REPEATS, Budget, n_to_repeat
from profiling.store import NetworkRecord, Store
from supernet import Architecture, OvnasError, cli


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", Budget(90, None)),
        ("5m", Budget(300, None)),
        ("1.5h", Budget(5400, None)),
        (" 200 ", Budget(None, 200)),
        ("1", Budget(None, 1)),
        ("0.5m", Budget(30, None)),
    ],
)
def test_budgets(text, expected):
    assert Budget.parse(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "1.5", "5 m", "5d", "m", "1e3", "nan", "five", "5m3s"])
def test_other_budgets_are_refused(text):
    with pytest.raises(OvnasError, match="a budget is a time like '90s', '5m' or a number of networks, got"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("n", "expected"), [(0, 0), (1, 1), (8, 8), (14, 8), (53, 8), (60, 9), (100, 15), (200, 30), (9999, 30)]
)
def test_a_share_is_repeated_within_bounds(n, expected):
    assert n_to_repeat(n) == expected
    assert MIN_REPEATS < MAX_REPEATS


def records(latencies):
    return [
        NetworkRecord(Architecture((i,)), "filling", 1, us, float("nan"), 1, 0, 0, 9, 0, ())
        for i, us in enumerate(latencies)
    ]


def test_repeats_spread_over_the_latencies():
    measured = records(np.random.default_rng(0).permutation(np.arange(100, 200)))
    latency = {r.architecture: r.latency_us for r in measured}
    chosen = [latency[a] for a in collect._to_repeat(measured)]
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (100, 199)
    assert len(chosen) == n_to_repeat(100)
    assert np.ptp(np.diff(chosen)) <= 1
    assert len(collect._to_repeat(records([5, 4, 3]))) == 3


def test_what_is_repeated_is_not_repeated_again():
    measured = records(range(100, 200))
    done = [replace(r, repeat_us=r.latency_us) if i < 10 else r for i, r in enumerate(measured)]
    chosen = collect._to_repeat(done)
    assert len(chosen) == n_to_repeat(100) - 10
    assert not {r.architecture for r in done[:10]} & set(chosen)
    assert collect._to_repeat([replace(r, repeat_us=1.0) for r in measured]) == []


class Clock:
    """Stands for `time`: every look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def bench(known):
    """A bench whose networks need no measuring."""

    def prepare(architecture):
        return SimpleNamespace(
            architecture=architecture,
            timer=architecture,
            kernels=known.kernels(architecture),
            prepare_s=0.1,
            is_planned=architecture != known.plan.space.smallest,
        )

    return SimpleNamespace(plan=known.plan, prepare=prepare, anchor=lambda: None)


@pytest.fixture
def measure(known, bench, monkeypatch, tmp_path):
    """Runs `_measure` on a store of `n_before` networks; returns it with how many it holds after."""
    monkeypatch.setattr(
        "profiling.timing.interleave",
        lambda timers, anchor, rng, level: [known.rounds(a) for a in timers],
    )
    clock = Clock()
    monkeypatch.setattr(collect, "time", clock)
    options = cli.parser("x", "").parse_args(["--json"])

    def run(budget: Budget, n_before: int = 0):
        path = known.write(tmp_path / "m.sqlite", n_before)
        rng = np.random.default_rng(0)
        with Store.open(path) as store:
            found = collect._measure(bench, store, budget, clock.now, rng, cli.console(options))
            return found, len(store.architectures()), clock.now

    return run


def test_a_budget_of_networks_is_met_exactly(measure):
    assert measure(Budget(None, 14))[:2] == (1, 14)


def test_networks_that_the_plan_missed_are_counted(measure):
    assert measure(Budget(None, 8), 4)[:2] == (0, 8)


@pytest.mark.parametrize("seconds", [20, 40, 60])
def test_a_budget_of_time_leaves_time_for_the_repeats(measure, seconds):
    """On a clock of one second a block; repeats cost 0.7 of what measuring did."""
    _, n, used = measure(Budget(seconds, None))
    repeats = 0.7 * n_to_repeat(n) / collect.BLOCK
    assert used + repeats <= seconds
    assert used + repeats > seconds - 6


def test_at_least_one_block_is_measured(measure):
    assert measure(Budget(0.001, None))[1] == collect.BLOCK


def summary(path, known, capsys, **options):
    study = SimpleNamespace(name="tiny")
    out = cli.console(cli.parser("x", "").parse_args([]))
    with Store.open(path) as store:
        value = collect._summary(store.records(), study, path, options.get("n_unplanned", 0), out)
    return value, " ".join(capsys.readouterr().out.split())


def test_the_summary_is_of_what_is_stored(known, tmp_path, capsys):
    path = known.write(tmp_path / "m.sqlite", 14, 8)
    value, text = summary(path, known, capsys)
    kernels = sum(len(known.plan.of(a)) for a in known.architectures(14))
    assert (value["networks"], value["kernels"], value["unplanned_networks"]) == (14, kernels, 0)
    assert value["ceiling"] == {
        "networks": 8,
        "mape": pytest.approx(0.01, rel=1e-3),
        "kendall_tau": pytest.approx(1),
    }
    assert value["counters_difference"] == pytest.approx(0.3, rel=1e-4)
    assert value["flagged_rounds"] == 0
    assert "differ by 1.00%" in text
    assert "warning" not in text


def test_the_summary_warns(known, tmp_path, capsys):
    path = known.write(tmp_path / "m.sqlite", 9)
    with Store.open(path) as store:
        for i, architecture in enumerate(store.architectures()):
            store.add_repeat(architecture, known.rounds(architecture, i, 1.03))
    _, text = summary(path, known, capsys, n_unplanned=2)
    assert "this machine is noisy" in text
    assert "2 networks execute other kernels than planned" in text


@pytest.mark.parametrize("n_repeated", [0, 1])
def test_the_summary_of_too_few_repeats(known, tmp_path, capsys, n_repeated):
    value, text = summary(known.write(tmp_path / "m.sqlite", 1, n_repeated), known, capsys)
    assert value["ceiling"]["mape"] is None
    assert value["networks"] == 1
    assert "1 networks" in text


@pytest.fixture
def failing(write_study, own_lock, tmp_path, capsys):
    """Runs the command, which must fail; returns its one line."""

    def run(*options: str) -> str:
        study = write_study(tmp_path, data="none")
        arguments = ["--study", str(study), "--runs-dir", str(tmp_path / "runs"), *options]
        assert collect.main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("error: ")
        return err

    return run


def test_unknown_studies_and_budgets_are_one_line(failing):
    assert "there is no study 'digts'; did you mean 'digits'?" in failing("--study", "digts")
    assert "a budget is a time like" in failing("--budget", "soon")


def test_a_second_collector_is_told_who_measures(failing, own_lock):
    from profiling.lock import measuring

    with measuring(own_lock):
        assert "another process is measuring on this machine (process " in failing("--budget", "14")


def test_a_wrong_file_is_refused_before_the_work(failing, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "_set_up", lambda *_: pytest.fail("the work has begun"))
    path = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("something else\n" * 100)
    assert "no ovnas file" in failing("--budget", "14")
    assert path.read_text() == "something else\n" * 100


def test_measurements_of_another_machine_are_refused_before_the_work(failing, known, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "_set_up", lambda *_: pytest.fail("the work has begun"))
    path = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    machine = {**known.meta()["machine"], "cpu_model": "abacus"}
    with Store.create_or_open(path, known.meta(machine=machine)):
        pass
    before = path.read_bytes()
    assert "cpu_model: 'abacus' there" in failing("--budget", "14")
    assert path.read_bytes() == before


def test_a_failed_repetition_is_said(monkeypatch):
    monkeypatch.setattr(collect.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=2))
    arguments = cli.parser("x", "").parse_args([])
    with pytest.raises(OvnasError, match="what was collected is kept"):
        collect._repeat_in_fresh_process(None, arguments, None)
