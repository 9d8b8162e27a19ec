"""The published comparison's parts, with stand-ins for what takes minutes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from search import mlperf_v20, mlperf_v20_offline, mlperf_v20_server, mlperf_v20_table
from supernet import OvnasError

pytest.importorskip("mlperf_loadgen")
RATIO = {"value": 2.0, "interval": [None, None]}


@pytest.fixture
def compare(tmp_path, own_lock, monkeypatch):
    """Runs the command; `parts` maps a part to its value, or what it raises."""
    monkeypatch.setattr(mlperf_v20, "_build", lambda *_: {})
    monkeypatch.setattr(mlperf_v20_table, "print_table", lambda *_: None)

    def run(*options: str, **parts) -> int:
        for name, value in parts.items():

            def measured(*arguments, value=value):
                if isinstance(value, BaseException):
                    raise value
                arguments[-2]({"figure": value})  # kept

            monkeypatch.setattr(f"search.mlperf_v20_{name}.measure_{name}", measured)
        return mlperf_v20.main(["--runs-dir", str(tmp_path), "--parts", ",".join(parts), *options])

    return run


def kept(folder):
    return json.loads((folder / "mlperf_v20" / "mlperf_v20.json").read_text())


def test_a_part_is_on_disk_before_the_next_one_begins(compare, tmp_path):
    assert compare("--quick", offline=1, server=KeyboardInterrupt()) == 2
    assert kept(tmp_path)["offline"]["figure"] == 1
    assert "server" not in kept(tmp_path)
    assert compare("--quick", server=2) == 0
    assert (kept(tmp_path)["offline"]["figure"], kept(tmp_path)["server"]["figure"]) == (1, 2)
    assert compare("--quick", offline=3) == 0
    assert (kept(tmp_path)["offline"]["figure"], kept(tmp_path)["server"]["figure"]) == (3, 2)


def test_an_interrupted_command_goes_on_with_what_is_left(compare, tmp_path, capsys):
    assert compare("--quick", offline=1, server=KeyboardInterrupt()) == 2
    capsys.readouterr()
    assert compare("--quick", offline=3, server=4) == 0
    assert "the interrupted start has finished offline" in capsys.readouterr().out
    value = kept(tmp_path)
    assert (value["offline"]["figure"], value["server"]["figure"]) == (1, 4)
    assert not {"halves", "unfinished"} & set(value)
    assert compare("--quick", offline=5, server=6) == 0  # a whole one begins anew
    assert (kept(tmp_path)["offline"]["figure"], kept(tmp_path)["server"]["figure"]) == (5, 6)
    assert compare("--quick", offline=7, server=KeyboardInterrupt()) == 2
    assert compare("--quick", "--latency-bound", "99ms", offline=8, server=9) == 0  # another question
    assert (kept(tmp_path)["offline"]["figure"], kept(tmp_path)["server"]["figure"]) == (8, 9)


def test_half_a_new_part_leaves_the_old_one(compare, tmp_path, monkeypatch):
    assert compare("--quick", offline=1) == 0
    compare_half = mlperf_v20.main
    seen = []

    def half(*arguments):
        seen.append(arguments[-1])
        arguments[-2]({"figure": 2})
        raise KeyboardInterrupt

    monkeypatch.setattr("search.mlperf_v20_offline.measure_offline", half)
    options = ["--runs-dir", str(tmp_path), "--parts", "offline", "--quick"]
    assert compare_half(options) == 2
    assert (kept(tmp_path)["offline"]["figure"], kept(tmp_path)["halves"]["offline"]["figure"]) == (1, 2)
    assert compare_half(options) == 2
    assert [one and one["figure"] for one in seen] == [None, 2]
    assert compare("--quick", server=3) == 0  # which leaves the half where it is
    assert kept(tmp_path)["halves"]["offline"]["figure"] == 2
    assert compare("--quick", offline=4) == 0
    assert kept(tmp_path)["offline"]["figure"] == 4
    assert "halves" not in kept(tmp_path)


def test_a_server_ratio_says_what_is_left_open(tmp_path, rng, monkeypatch):
    from search.published import load_published
    from supernet import cli

    rates = {"TV": (100.0, 110.0), "A": (250.0, 260.0), "B": (150.0, None), "C": (180.0, 189.0)}

    def measured(model, *_, **__):
        value, refused = rates[model]
        found = {"value": value, "verdict": "VALID", "refused_rate": refused}
        return SimpleNamespace(to_json=lambda: dict(found))

    monkeypatch.setattr("search.measurement.measure_scenario", measured)
    names = {name: name for name in load_published()}
    with cli.progress(cli.console(SimpleNamespace(json=False))) as bar:
        kept: list[dict] = []
        mlperf_v20_server.measure_server(names, tmp_path, True, 15.0, rng, bar, kept.append)
    found = kept[-1]["ratios"]
    assert found["A"] == {"value": 2.5, "interval": [pytest.approx(250 / 110), pytest.approx(2.6)]}
    assert found["B"] == {"value": 1.5, "interval": [None, None]}


def test_parts_of_other_conditions_are_not_joined_but_kept_aside(compare, tmp_path, capsys):
    assert compare("--quick", offline=1) == 0
    assert compare(server=2) == 0
    assert "offline" not in kept(tmp_path)
    assert "kept as mlperf_v20-1.json" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "mlperf_v20/mlperf_v20-1.json").read_text())["offline"]["figure"] == 1
    assert compare("--quick", offline=3) == 0
    names = {p.name for p in (tmp_path / "mlperf_v20").glob("*.json")}
    assert names == {"mlperf_v20.json", "mlperf_v20-1.json", "mlperf_v20-2.json"}


def test_a_network_without_a_valid_rate_does_not_stop_the_others(tmp_path, rng, monkeypatch, capsys):
    from search.published import load_published
    from supernet import cli

    published = load_published()

    def measured(model, *_, **__):
        if model == "A":
            raise OvnasError("no rate met the bound")
        summary = {"percentiles_ms": {"99": 12.0}}
        value = {"value": 80.0, "verdict": "INVALID" if model == "C" else "VALID", "summary": summary}
        return SimpleNamespace(to_json=lambda: dict(value))

    monkeypatch.setattr("search.measurement.measure_scenario", measured)
    monkeypatch.setattr("search.loadgen.run_trials", lambda *_: [SimpleNamespace(latency_ms=3.0)])
    out = cli.console(SimpleNamespace(json=False))
    with cli.progress(out) as bar:
        kept: list[dict] = []
        mlperf_v20_server.measure_server(
            {name: name for name in published}, tmp_path, True, None, rng, bar, kept.append
        )
    assert [len(one["networks"]) for one in kept] == [1, 2, 3, 4]
    found = kept[-1]
    assert found["networks"]["A"] == {"value": None, "verdict": "INVALID", "reason": "no rate met the bound"}
    assert found["ratios"]["A"]["value"] is None
    assert found["ratios"]["B"]["value"] == 1.0
    assert found["ratios"]["C"]["value"] is None  # its rate is no valid one
    mlperf_v20_table.print_table({"is_quick": True, "weights": "random", "server": found}, published, out)
    text = capsys.readouterr().out
    assert "A: no rate met the bound" in text
    assert "none" in text


def test_offline_ratios_are_of_rounds_in_which_both_runs_are_valid(tmp_path, rng, monkeypatch):
    """A run that was asked for too few samples is repeated once, with the rate that it has shown."""
    from supernet import cli

    asked: dict[str, list[float]] = {"TV": [], "A": []}

    def performance(test):
        asked[test.model].append(test.rate)
        is_short = test.model == "A" and test.rate < 200
        never = test.model == "TV" and "round-02" in test.folder.name
        return SimpleNamespace(value=200.0 if test.model == "A" else 100.0, is_valid=not (is_short or never))

    monkeypatch.setattr("search.loadgen.run_performance", performance)
    monkeypatch.setattr("search.loadgen.run_trials", lambda *_: [SimpleNamespace(rate=100.0)])
    with cli.progress(cli.console(SimpleNamespace(json=False))) as bar:
        kept: list[dict] = []
        mlperf_v20_offline.measure_offline({"TV": "TV", "A": "A"}, tmp_path, True, rng, bar, kept.append)
    (found,) = kept
    n = mlperf_v20_offline.QUICK_ROUNDS
    assert found["runs_valid"] == [2 * n - 1, 2 * n]
    assert found["ratios"]["A"]["value"] == 2.0
    assert len(asked["A"]) == n + 1  # the first one twice
    assert len(asked["TV"]) == n + 1


@pytest.fixture
def measured(monkeypatch):
    """Names of models that `measure_scenario` was asked for; a name in `stops` interrupts it."""
    names: list[str] = []
    stops: set[str] = set()

    def measure(model, *_, **__):
        names.append(model)
        if model in stops:
            raise KeyboardInterrupt
        return SimpleNamespace(to_json=lambda: {"value": 80.0, "verdict": "VALID"})

    monkeypatch.setattr("search.measurement.measure_scenario", measure)
    monkeypatch.setattr("search.loadgen.run_trials", lambda *_: [SimpleNamespace(latency_ms=3.0, rate=100.0)])
    monkeypatch.setattr(
        "search.loadgen.run_performance", lambda _: SimpleNamespace(value=100.0, is_valid=True)
    )
    return SimpleNamespace(names=names, stops=stops)


@pytest.mark.parametrize("part", ["offline", "server"])
def test_half_a_part_goes_on_and_a_whole_one_begins_anew(part, measured, tmp_path, rng):
    from search.published import load_published
    from supernet import cli

    models = {name: name for name in load_published()}
    measure = {
        "offline": lambda *rest: mlperf_v20_offline.measure_offline(models, tmp_path, False, *rest),
        "server": lambda *rest: mlperf_v20_server.measure_server(models, tmp_path, False, None, *rest),
    }[part]
    kept: list[dict] = []

    def run(earlier):
        with cli.progress(cli.console(SimpleNamespace(json=False))) as bar:
            measure(np.random.default_rng(0), bar, kept.append, earlier)

    last = [list(models)[i] for i in np.random.default_rng(0).permutation(4)][-1]
    measured.stops.add("C" if part == "offline" else last)
    with pytest.raises(KeyboardInterrupt):
        run(None)
    half, done = json.loads(json.dumps(kept[-1])), measured.names[:-1]
    assert 0 < len(done) < 4
    measured.stops.clear()
    measured.names.clear()
    run(half)
    assert sorted(done + measured.names) == sorted(models)
    whole = json.loads(json.dumps(kept[-1]))
    assert set(whole["by_the_rules" if part == "offline" else "networks"]) == set(models)
    measured.names.clear()
    run(whole)
    assert sorted(measured.names) == sorted(models)


def test_half_a_server_part_of_another_bound_begins_anew(measured, tmp_path, rng):
    from search.published import load_published
    from supernet import cli

    models = {name: name for name in load_published()}
    kept: list[dict] = []
    half = {
        "bound_ms": 15.0,
        "bound_reason": "the rule",
        "networks": {"A": {"value": 1.0, "verdict": "VALID"}},
    }
    with cli.progress(cli.console(SimpleNamespace(json=False))) as bar:
        mlperf_v20_server.measure_server(models, tmp_path, True, 20.0, rng, bar, kept.append, half)
    assert sorted(measured.names) == sorted(models)
    assert (kept[-1]["bound_ms"], kept[-1]["bound_reason"]) == (20.0, "as asked for")
