from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from profiling import collect
from profiling.budget import FIRST_BLOCK, REPEAT_COST, SET_UP_COST, Budget, n_to_repeat
from profiling.store import NetworkRecord, Store
from supernet import Architecture, OvnasError, cli


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
            model=architecture,
            kernels=known.kernels(architecture),
            prepare_s=0.1,
            is_planned=architecture != known.plan.space.smallest,
        )

    same = SimpleNamespace(anchors=lambda: [], timer=lambda model: model)
    return SimpleNamespace(plan=known.plan, target=known.target, prepare=prepare, **vars(same))


@pytest.fixture
def measure(known, bench, monkeypatch, tmp_path):
    """Runs `_measure` on a store of `n_before` networks; returns it with how many it holds after."""
    monkeypatch.setattr(
        "profiling.block.interleave",
        lambda timers, anchors, rng, level: [disturb(a, known.rounds(a)) for a in timers],
    )
    clock = Clock()
    seen: Counter = Counter()

    def disturb(architecture, rounds):
        """Networks of `disturbed` are disturbed the first so many times."""
        seen[architecture] += 1
        is_bad = seen[architecture] <= run.disturbed.get(architecture, 0)
        return [replace(r, is_flagged=is_bad) for r in rounds]

    monkeypatch.setattr(collect, "time", clock)
    options = cli.parser("x", "").parse_args(["--json"])

    def run(budget: Budget, n_before: int = 0):
        path = known.write(tmp_path / "m.sqlite", n_before)
        rng = np.random.default_rng(0)
        with Store.open(path) as store:
            found = collect._measure(bench, store, budget, clock.now, rng, cli.console(options))
            run.seen, run.flagged = seen, {r.architecture: r.n_flagged for r in store.records()}
            return found, len(store.architectures()), clock.now

    run.disturbed = {}
    return run


def test_a_budget_of_networks_is_met_exactly(measure):
    assert measure(Budget(None, 14))[:2] == (1, 14)


def test_networks_that_the_plan_missed_are_counted(measure):
    assert measure(Budget(None, 8), 4)[:2] == (0, 8)


@pytest.mark.parametrize("seconds", [20, 40, 60])
def test_a_budget_of_time_leaves_time_for_the_repeats(measure, seconds):
    """On a clock of one second a block; a repeat costs REPEAT_COST of a network."""
    start_s = 1
    _, n, used = measure(Budget(seconds, None))
    each = (used - start_s) / n
    repeats = REPEAT_COST * each * n_to_repeat(n) + SET_UP_COST * start_s
    assert used + repeats <= seconds + 1
    assert used + repeats > seconds - 6


def test_at_least_one_block_is_measured(measure):
    assert measure(Budget(0.001, None))[1] == FIRST_BLOCK


def test_a_disturbed_network_is_measured_again_once(measure, known):
    once, always = known.architectures(6)[4:]
    measure.disturbed = {once: 1, always: 99}
    assert measure(Budget(None, 20))[:2] == (1, 20)
    assert measure.seen[once] == measure.seen[always] == 2
    assert measure.seen[known.plan.space.largest] == 1
    assert (measure.flagged[once], measure.flagged[always]) == (0, 5)


def test_a_first_block_that_is_disturbed_as_a_whole_does_not_end_the_collection(measure, known):
    measure.disturbed = dict.fromkeys(known.architectures(300), 1)
    assert measure(Budget(60, None))[1] > FIRST_BLOCK
    assert sum(n == 0 for n in measure.flagged.values()) > FIRST_BLOCK


def test_what_is_still_to_be_measured_again_when_the_time_is_used_up_is_kept(measure, known):
    measure.disturbed = {known.plan.space.largest: 1}
    assert measure(Budget(0.001, None))[1] == FIRST_BLOCK
    assert measure.flagged[known.plan.space.largest] == 5


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
        "floor": pytest.approx(0.01 / 2**0.5, rel=1e-3),
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
    monkeypatch.setattr(collect, "set_up", lambda *_: pytest.fail("the work has begun"))
    path = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("something else\n" * 100)
    assert "no ovnas file" in failing("--budget", "14")
    assert path.read_text() == "something else\n" * 100


def test_measurements_of_another_machine_are_refused_before_the_work(failing, known, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "set_up", lambda *_: pytest.fail("the work has begun"))
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


@pytest.fixture
def merging(write_study, known, tmp_path, capsys):
    """Runs `--merge` of a file of ten networks into the study's own of six; returns code and output."""
    own = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"

    def run(other: Path, has_own: bool = True) -> tuple[int, str, Path]:
        if has_own and not own.exists():
            own.parent.mkdir(parents=True)
            known.write(own, 6)
        study = write_study(tmp_path, data="none")
        arguments = ["--study", str(study), "--runs-dir", str(tmp_path / "runs"), "--merge", str(other)]
        code = collect.main(arguments)
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split()), own

    return run


def test_merge_joins_a_file_of_equal_conditions(merging, known, tmp_path):
    other = known.write(tmp_path / "other.sqlite", 10)
    code, text, own = merging(other)
    assert code == 0
    assert "4 of 10 networks joined, 6 were here already; 10 in" in text
    with Store.open(own) as store:
        assert len(store.records()) == 10


def test_merge_begins_a_file_where_there_is_none(merging, known, tmp_path):
    code, text, own = merging(known.write(tmp_path / "other.sqlite", 5), has_own=False)
    assert code == 0
    assert "5 of 5 networks joined" in text
    assert own.is_file()


def test_merge_refuses_what_it_must(merging, known, tmp_path):
    threads = {**known.target, "threads": 3}
    with Store.create_or_open(tmp_path / "threads.sqlite", known.meta(target=threads)):
        pass
    code, text, own = merging(tmp_path / "threads.sqlite")
    assert code == 2
    assert "target threads: 3 there, 1 here" in text
    with Store.create_or_open(tmp_path / "study.sqlite", known.meta(study="another")):
        pass
    assert "belongs to study 'another', not to 'tiny'" in merging(tmp_path / "study.sqlite")[1]
    assert "cannot be merged with itself" in merging(own)[1]
    assert "there are no measurements at" in merging(tmp_path / "missing.sqlite")[1]
    with Store.open(own) as store:
        assert len(store.records()) == 6
