"""The published comparison's parts, with stand-ins for what takes minutes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from search import mlperf_v20, mlperf_v20_table
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
                arguments[-1]({"figure": value})  # kept

            monkeypatch.setattr(mlperf_v20, f"_{name}", measured)
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
        mlperf_v20._server({name: name for name in published}, tmp_path, True, None, rng, bar, kept.append)
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
        mlperf_v20._offline({"TV": "TV", "A": "A"}, tmp_path, True, rng, bar, kept.append)
    (found,) = kept
    n = mlperf_v20.QUICK_ROUNDS
    assert found["runs_valid"] == [2 * n - 1, 2 * n]
    assert found["ratios"]["A"]["value"] == 2.0
    assert len(asked["A"]) == n + 1  # the first one twice
    assert len(asked["TV"]) == n + 1
