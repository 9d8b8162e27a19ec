from __future__ import annotations

import pytest

from profiling.store import Store
from profiling.summary import print_summary, summarise
from supernet import cli


def summary(path, capsys, **changes):
    out = cli.console(cli.parser("x", "").parse_args([]))
    with Store.open(path) as store:
        value = summarise(store)
    print_summary({**value, **changes}, out)
    return value, " ".join(capsys.readouterr().out.split())


def test_the_summary_is_of_what_is_stored(known, tmp_path, capsys):
    path = known.write(tmp_path / "m.sqlite", 14, 8)
    value, text = summary(path, capsys)
    kernels = sum(len(known.plan.of(a)) for a in known.architectures(14))
    assert (value["networks"], value["kernels"], value["unplanned_networks"]) == (14, kernels, 0)
    ceiling = value["ceiling"]
    assert ceiling["networks"] == 8
    assert ceiling["mape"] == pytest.approx(0.01, rel=1e-3)
    assert ceiling["floor"] == pytest.approx(0.01 / 2**0.5, rel=1e-3)
    assert ceiling["kendall_tau"] == pytest.approx(1)
    assert value["counters_difference"] == pytest.approx(0.3, rel=1e-4)
    assert value["flagged_rounds"] == 0
    assert "differ by 1.00%" in text
    assert "warning" not in text


def test_the_summary_warns(known, tmp_path, capsys):
    path = known.write(tmp_path / "m.sqlite", 9)
    with Store.open(path, is_written=True) as store:
        for i, architecture in enumerate(store.architectures()):
            store.add_repeat(architecture, known.rounds(architecture, i, 1.03))
    _, text = summary(path, capsys, unplanned_networks=2)
    assert "this machine is noisy" in text
    assert "2 networks execute other kernels than planned" in text


@pytest.mark.parametrize("n_repeated", [0, 1])
def test_the_summary_of_too_few_repeats(known, tmp_path, capsys, n_repeated):
    value, text = summary(known.write(tmp_path / "m.sqlite", 1, n_repeated), capsys)
    assert value["ceiling"]["mape"] is None
    assert value["networks"] == 1
    assert "1 networks" in text
