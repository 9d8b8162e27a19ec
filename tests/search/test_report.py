from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from search.csv_files import NOT_MEASURED, write_candidates
from search.outcome import Outcome
from search.pictures import front_picture, overview_picture
from search.places import LATENCY, Places
from search.report import main, read_candidates

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def whole(make_found):
    return make_found(n_candidates=40, n_finalists=4)


@pytest.fixture(scope="module")
def page(whole, tmp_path_factory) -> Path:
    """A page with everything that there can be."""
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    whole.value["mlperf"] = [
        {"network": "baseline", "scenario": "offline", "metric": "samples/s", "value": 1403.25,
         "verdict": "VALID", "is_quick": True, "log_dir": "logs"}
    ]  # fmt: skip
    whole.write_page(path)
    return path


@pytest.fixture(scope="module")
def text(page) -> str:
    return page.read_text(encoding="utf-8")


def titles(text: str) -> list[str]:
    return re.findall(r"<title>([^<]*)</title>", text)


def test_every_evaluated_architecture_shows_on_hover(whole, text):
    shown = titles(text)
    for candidate in whole.candidates:
        assert any(title.startswith(f"{candidate.architecture}\n") for title in shown)


def test_every_finalist_shows_predicted_and_measured(whole, text):
    shown = titles(text)
    for one in Outcome.of(whole.value).finalists:
        (found, *_) = [t for t in shown if t.startswith(f"{one.name}: {one.architecture}\n")]
        low, high = one.interval_us
        assert f"predicted {one.predicted_us / 1e3:.3f} ms ({low / 1e3:.3f} to {high / 1e3:.3f}" in found
        assert f"measured {one.measured_then_us / 1e3:.3f} ms at that speed" in found
    assert any(title.startswith("INT8 pre-trained model\nmeasured ") for title in shown)


def test_figures_stand_in_the_text(whole, text):
    base, best = whole.value["baseline"], whole.value["finalists"][1]
    speedup, change = best["measured"]["speedup"], 100 * best["measured"]["top1_int8_change"]
    for part in (
        f"<b>{speedup:.2f}x</b>", f"<b>{change:+.2f} ± 0.40 points</b>", "1,234,567", "digits &lt;b&gt;",
        "CPU &amp; co",
        "2026.1.0;", "max_accuracy_drop: 1.70 &gt; 1 points", "1,403.2 samples/s", "of 360 images",
        "850 calibration samples", "objectives: accuracy, latency, macs", whole.value["command"],
    ):  # fmt: skip
        assert part in text
    for one in (base, *whole.value["finalists"]):
        assert Path(one["files"]["ir"]).parent.name in text


def test_speed_is_green_only_where_the_interval_excludes_one(found, tmp_path):
    for one in found.value["finalists"]:
        for name in ("speedup", "throughput_speedup", "speedup_fp32"):
            one["measured"][f"{name}_interval"] = [0.99, 1.2]
        one["measured"]["is_faster"] = False
    text = found.write_page(tmp_path / "report.html")
    assert 'class="good"' not in text
    assert "No finalist within max_accuracy_drop 1 point(s) is faster" in text
    found.value["finalists"][1]["measured"]["speedup_interval"] = [1.01, 1.2]
    assert found.write_page(tmp_path / "report.html").count('<td class="good"') == 1


def test_a_page_loads_nothing(text):
    class Elements(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag not in ("script", "iframe", "object", "embed")
            for name, value in attrs:
                assert not name.startswith("on")
                if name in ("src", "href", "xlink:href", "srcset", "data"):
                    assert value.startswith(("#", "data:"))

    Elements().feed(text)
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?#)", text)


def test_the_same_search_is_the_same_page(page, text, whole, tmp_path):
    assert whole.write_page(tmp_path / "report.html") == text


def test_png(page):
    from PIL import Image

    assert sorted(p.name for p in page.parent.iterdir()) == ["front.png", "report.html"]
    picture = np.asarray(Image.open(page.parent / "front.png").convert("L"))
    assert picture.shape[1] > 1000
    assert 0.01 < (picture < 250).mean() < 0.9


def test_without_accuracy_it_is_said(found, tmp_path):
    value = found.value
    value |= {"is_accuracy": False, "quality": "million MACs (stand-in: accuracy not measured)"}
    value["baseline"] |= {"top1_fp32": None, "top1_int8": None, "top1_int8_se": None}
    for one in value["finalists"]:
        one["predicted"]["top1"] = None
        one["measured"] |= {
            "top1_fp32": None, "top1_int8": None, "top1_int8_se": None, "top1_int8_change": None,
            "top1_int8_change_se": None,
        }  # fmt: skip
    text = found.write_page(tmp_path / "report.html")
    assert f"No data: {NOT_MEASURED}." in text
    assert "points</b>" not in text


def test_without_times_of_kernels_the_networks_are_still_drawn(found, tmp_path):
    for network in (found.value["layers"]["baseline"], *found.value["layers"]["finalists"]):
        for kernel in network:
            kernel["latency_us"] = None
    text = found.write_page(tmp_path / "report.html")
    assert "saves its time" not in text
    assert "The networks" in text


def test_the_box_of_the_hypervolume_is_readable(text):
    assert "Reference point: worst accuracy 0.1, latency 1235; best accuracy 1, latency 98.77." in text


def test_nothing_feasible_makes_no_share_of_nothing(found, tmp_path):
    for step in found.value["history"]:
        step["hypervolume"] = 0.0
    text = found.write_page(tmp_path / "report.html")
    assert "Nothing evaluated keeps to what was asked for" in text
    assert "99 % of the last hypervolume" not in text
    assert "1e" not in "".join(re.findall(r"<!-- (1e\S*) -->", text))  # an axis of zeros is no power of ten


def test_a_single_finalist_and_few_candidates(make_found, tmp_path):
    few = make_found(n_candidates=3, n_finalists=1)
    few.value["history"] = [{"evaluations": 3, "hypervolume": 0.0, "n_front": 0}]
    assert few.write_page(tmp_path / "report.html").count("<svg") == 6


def test_a_command_draws_it_again(found, tmp_path, capsys, write_study):
    study = write_study(tmp_path)
    folder = tmp_path / "runs/tiny/search"
    folder.mkdir(parents=True)
    common = ["--study", str(study), "--runs-dir", str(tmp_path / "runs")]
    assert main(common) == 2
    assert "python -m search.run" in capsys.readouterr().err
    (folder / "search.json").write_text(json.dumps(found.value))
    assert main(common) == 2
    assert "no evaluated architectures" in capsys.readouterr().err
    found.write_csv(folder / "candidates.csv")
    assert main(common) == 2
    assert "no front" in capsys.readouterr().err
    write_candidates(found.front, folder / "front.csv", is_accuracy=True)
    assert main([*common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(folder / "report.html")
    assert (folder / "report.html").read_text(encoding="utf-8") == found.write_page(tmp_path / "again.html")
    for damaged in ("{}", json.dumps({**found.value, "finalists": [{}]})):
        (folder / "search.json").write_text(damaged)
        assert main(common) == 2
        assert "does not hold a whole search" in capsys.readouterr().err
    (folder / "search.json").write_text(json.dumps({**found.value, "schema_version": 99}))
    assert main(common) == 2
    assert "has schema 99, but this version reads" in capsys.readouterr().err


def test_a_front_of_other_objectives_is_drawn_again(found, tmp_path, write_study):
    """Accuracy over MACs under a limit, say: not the best in accuracy over latency."""
    folder = tmp_path / "runs/tiny/search"
    folder.mkdir(parents=True)
    found = replace(found, front=found.candidates[5:12])
    (folder / "search.json").write_text(json.dumps(found.value))
    found.write_csv(folder / "candidates.csv")
    write_candidates(found.front, folder / "front.csv", is_accuracy=True)
    assert main(["--study", str(write_study(tmp_path)), "--runs-dir", str(tmp_path / "runs")]) == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == found.write_page(tmp_path / "again.html")


def test_candidates_are_read_back(found, tmp_path):
    assert all(c.n_parameters and c.model_bytes for c in found.candidates)
    found.write_csv(tmp_path / "candidates.csv")
    assert read_candidates(tmp_path / "candidates.csv") == found.candidates


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Chromium on a page, without a window and with a profile of its own."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--hide-scrollbars", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}"]
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run(
        [*command, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True,
        env=environment,
    )  # fmt: skip


needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no chromium on this machine")


@needs_browser
def test_a_browser_shows_the_front_without_an_error(page, whole, tmp_path):
    result = browse(page, tmp_path, "--dump-dom")
    assert "CONSOLE" not in result.stderr
    dom = result.stdout
    assert "<h2>Front</h2><figure><svg" in dom
    assert dom.count("<svg") == dom.count("</svg>") == 7
    front = dom.split("<h2>Front</h2>")[1].split("</svg>")[0]
    for one in Outcome.of(whole.value).finalists:
        assert f"<title>{one.name}: {one.architecture}\n" in front


@needs_browser
def test_a_console_error_would_be_noticed(page, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text(encoding="utf-8").replace("</main>", "<script>f(</script></main>"))
    assert "CONSOLE" in browse(broken, tmp_path, "--dump-dom").stderr


@needs_browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_browser_paints_the_front(page, tmp_path, width):
    from PIL import Image

    file = tmp_path / "page.png"
    browse(page, tmp_path, f"--screenshot={file}", f"--window-size={width},2400")
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    assert picture.shape[1] >= width
    blue, orange = (np.abs(picture - colour).sum(axis=2) < 90 for colour in ((0, 114, 178), (213, 94, 0)))
    assert blue.sum() > 200
    assert orange.sum() > 100
    assert picture.mean() > 200  # dark on light


@pytest.mark.parametrize(
    ("objectives", "axis"),
    [
        ("accuracy,latency", LATENCY),
        ("accuracy,throughput,macs", LATENCY),
        ("accuracy,macs", "million MACs"),
        ("model_size,accuracy", "INT8 weights, MB"),
        ("macs,parameters", "million MACs"),
    ],
)
def test_the_front_is_drawn_over_what_was_searched_for(found, objectives, axis):
    found.value["objectives"] = objectives.split(",")
    outcome = Outcome.of(found.value)
    for draw in (front_picture, overview_picture):
        (axes,) = draw(outcome, found.candidates, found.front).axes
        assert axes.get_xlabel() == axis
    places = Places(outcome, found.candidates)
    if axis == LATENCY:
        (left, right), _ = places.limits()
        intervals = [i for f in outcome.finalists for i in (f.interval_us, f.measured_then_interval_us) if i]
        assert intervals
        assert all(left < end / 1e3 < right for ends in intervals for end in ends)
    else:
        one, candidate = outcome.finalists[0], found.chosen[0]
        assert places.predicted(one)[0] == places.cost(candidate)
        size = one.macs if axis == "million MACs" else one.model_bytes
        assert places.measured(one)[0] == pytest.approx(size / 1e6)
