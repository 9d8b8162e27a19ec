from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from profiling import pictures, show
from profiling.lock import measuring
from profiling.portrait import RoundFigure, make_portrait
from profiling.show import COLUMNS, choose, facts_of, main, page_name, rows_of
from profiling.store import Store
from supernet import OvnasError

PEAK = {"int8_gops": 400.0, "f32_gops": 100.0, "bandwidth_gbs": 10.0}
N = 4


@pytest.fixture(scope="module")
def runs(known, tmp_path_factory) -> Path:
    """Four networks of a study named `digits`, two of them measured again."""
    folder = tmp_path_factory.mktemp("runs")
    known.write(folder / "digits" / "profiling" / "measurements.sqlite", N, 2)
    return folder


@pytest.fixture(scope="module")
def records(runs):
    with Store.open(runs / "digits" / "profiling" / "measurements.sqlite") as store:
        return store.records()


@pytest.fixture(scope="module")
def portrait(runs, records):
    with Store.open(runs / "digits" / "profiling" / "measurements.sqlite") as store:
        return make_portrait(records[0], store.networks()[0], PEAK)


@pytest.fixture
def write_without_peak(known, tmp_path):
    """A collection from before peaks were stored with it."""

    def write(**machine: str) -> Path:
        path = tmp_path / "digits" / "profiling" / "measurements.sqlite"
        facts = {**known.meta()["machine"], **machine}
        with Store.create_or_open(path, known.meta(peak=None)) as store:
            architecture = known.plan.space.largest
            store.add(architecture, known.rounds(architecture), known.kernels(architecture), 0.1)
            with store._db as db:
                db.execute("UPDATE meta SET value = ? WHERE key = 'machine'", (json.dumps(facts),))
        return tmp_path

    return write


def test_a_network_is_chosen(records):
    largest = max(records, key=lambda r: r.macs)
    assert choose(records) is largest
    assert choose(records, number=3) is records[2]
    assert choose(records, str(records[1].architecture)) is records[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "w1"}, "no measured network 'w1'"),
        ({"number": 0}, f"--network must be 1 to {N}, but got 0"),
        ({"number": N + 1}, f"must be 1 to {N}, but got {N + 1}"),
    ],
)
def test_a_network_that_is_not_there_is_an_error(records, options, message):
    with pytest.raises(OvnasError, match=message):
        choose(records, **options)


def test_page_names_fit_any_file_system():
    assert page_name("w4_d1") == "network-w4_d1.html"
    one, other = page_name("w" + "64-" * 200 + "1"), page_name("w" + "64-" * 200 + "2")
    assert one != other
    assert max(len(one), len(other)) < 255


def test_the_table_is_the_networks(portrait, records):
    rows = rows_of(portrait)
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert [row[0] for row in rows] == [
        *(k.layer for k in records[0].kernels), "(cost of a call)", "network",
    ]  # fmt: skip
    times = [float(row[3]) for row in rows]
    assert sum(times[:-1]) == pytest.approx(times[-1], abs=0.05 * len(times))
    assert rows[-1][4] == "100.0%"


def test_the_facts_are_the_networks(portrait):
    facts = dict(map(reversed, facts_of(portrait)))
    assert facts["latency, end to end"] == f"{portrait.latency_us / 1e3:.3f} ms"
    assert facts["rounds flagged"] == "0 of 5"
    assert facts["in a second process"] == "+1.00%"
    assert facts["of the INT8 peak here"] == f"{portrait.gops / 400:.0%}"
    bare = dataclasses.replace(portrait, peak=None, peak_share=None, repeat_us=None)
    names = [name for _, name in facts_of(bare)]
    assert "in a second process" not in names
    assert "of the INT8 peak here" not in names


def test_bars_are_the_times_in_the_networks_order(portrait):
    time, share = pictures.layer_bars(portrait).axes
    assert [bar.get_width() for bar in time.patches] == [k.time_us for k in portrait.kernels]
    assert [text.get_text() for text in time.get_yticklabels()] == [k.layer for k in portrait.kernels]
    assert time.yaxis_inverted()
    assert [bar.get_width() for bar in share.patches] == [100 * (k.peak_share or 0) for k in portrait.kernels]


def test_the_roofline_has_a_point_a_kernel_with_macs(portrait):
    (axes,) = pictures.roofline(portrait).axes
    points = [line for line in axes.lines if line.get_marker() == "o"]
    expected = sorted((k.intensity, k.gops) for k in portrait.kernels if k.macs)
    assert sorted((p.get_xdata()[0], p.get_ydata()[0]) for p in points) == expected
    low, high = axes.get_ylim()
    assert all(low < y < high for _, y in expected)
    texts = " ".join(text.get_text() for text in axes.texts)
    assert all(part in texts for part in ("INT8: 400", "FP32: 100", "memory: 10.0"))
    (axes,) = pictures.roofline(dataclasses.replace(portrait, peak=None)).axes
    assert not axes.texts


def test_without_int8_there_is_no_int8_roof(portrait):
    peak = {**PEAK, "int8_gops": 0.0}
    (axes,) = pictures.roofline(dataclasses.replace(portrait, peak=peak)).axes
    assert not any("INT8" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize("f32_gops", [35.0, 37.0])
def test_roofs_that_are_close_are_told_apart(portrait, f32_gops):
    """As without VNNI: one's text does not lie on the other's."""
    peak = {**PEAK, "int8_gops": 36.0, "f32_gops": f32_gops}
    figure = pictures.roofline(dataclasses.replace(portrait, peak=peak))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if "memory" not in text.get_text()]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_flagged_rounds_are_marked(portrait):
    rounds = (RoundFigure(1.0, False), RoundFigure(1.5, True), RoundFigure(1.1, False))
    changed = dataclasses.replace(portrait, anchor_ratio=1.0, collected=rounds)
    first, second = pictures.stability(changed).axes
    marks = {m: [x.get_xdata()[0] for x in first.lines if x.get_marker() == m] for m in "ox"}
    assert marks == {"o": [1, 3], "x": [2]}
    assert len([x for x in second.lines if x.get_marker() == "o"]) == len(portrait.repeated)
    assert len(pictures.stability(dataclasses.replace(portrait, repeated=())).axes) == 1


def test_the_page_and_the_table_are_written(known, runs, records, capsys):
    assert main(["--runs-dir", str(runs), "--network", "2", "--json"]) == 0
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert value["architecture"] == str(records[1].architecture)
    assert value["peak"] == known.meta()["peak"]
    page = Path(value["page"])
    assert page == runs / "digits" / "profiling" / page_name(value["architecture"])
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("<svg") == 3
    for kernel in value["kernels"]:
        assert f"<td>{kernel['layer']}</td>" in text
        assert f"<title>{kernel['layer']}" in text
        assert kernel["layer"] in captured.err
    assert "The peak is of the collection" in text


def test_a_peak_that_was_not_stored_is_measured_under_the_lock(
    write_without_peak, own_lock, capsys, monkeypatch
):
    def measure_peak(target: dict[str, object]) -> dict[str, float]:
        with pytest.raises(OvnasError, match="another process is measuring"), measuring():
            pass
        assert target["threads"] == 1
        return PEAK

    monkeypatch.setattr("profiling.peak.measure_peak", measure_peak)
    assert main(["--runs-dir", str(write_without_peak()), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["peak"] == PEAK
    assert "The peak was measured now" in captured.err


def test_another_machines_networks_have_no_peak(write_without_peak, capsys, monkeypatch):
    monkeypatch.setattr("profiling.peak.measure_peak", None)
    assert main(["--runs-dir", str(write_without_peak(cpu_model="another CPU")), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["peak"] is None
    assert "measured elsewhere (cpu_model: 'another CPU' there" in captured.err


def test_while_another_measures_there_is_no_peak(write_without_peak, own_lock, capsys, monkeypatch):
    monkeypatch.setattr("profiling.peak.measure_peak", None)
    runs = write_without_peak()
    with measuring():
        assert main(["--runs-dir", str(runs), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["peak"] is None
    assert "No peak: another process is measuring" in captured.err


def test_the_list(runs, records, capsys):
    assert main(["--runs-dir", str(runs), "--list", "--json"]) == 0
    captured = capsys.readouterr()
    networks = json.loads(captured.out)["networks"]
    assert [n["architecture"] for n in networks] == [str(r.architecture) for r in records]
    assert [n["number"] for n in networks] == list(range(1, N + 1))
    assert all(str(r.architecture) in captured.err for r in records)
    assert captured.err.count("+1.00%") == 2


@pytest.mark.parametrize("to", [None, "mine.csv"])
def test_export(runs, records, tmp_path, capsys, to):
    options = ["--to", str(tmp_path / to)] if to else []
    assert main(["--runs-dir", str(runs), "--export", "csv", *options, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    path = tmp_path / to if to else runs / "digits" / "profiling" / "kernels.csv"
    assert value == {"file": str(path), "networks": N, "kernels": sum(len(r.kernels) for r in records)}
    assert len(pd.read_csv(path)) == value["kernels"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "x.csv"], "--to says where to export to"),
        (["--network", "99"], "--network must be 1 to 4"),
        (["--runs-dir", "nowhere"], "there are no measurements"),
    ],
)
def test_mistakes_are_one_line(runs, capsys, options, message):
    assert main(["--runs-dir", str(runs), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_collection_is_named(known, tmp_path, capsys):
    path = tmp_path / "digits" / "profiling" / "measurements.sqlite"
    with Store.create_or_open(path, known.meta()):
        pass
    assert main(["--runs-dir", str(tmp_path)]) == 2
    assert "holds no network yet" in capsys.readouterr().err


def test_showing_and_exporting_exclude_each_other(runs):
    with pytest.raises(SystemExit):
        main(["--runs-dir", str(runs), "--list", "--export", "csv"])


def test_formats_are_those_of_the_export():
    from profiling.export import FORMATS

    assert set(show.EXPORTS) == set(FORMATS)
