"""What README says works: its commands exist, its Python runs, its figures are those of the files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m ([\w.]+)(.*?)(?:\s+#.*)?$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("module", "options"), COMMANDS, ids=[module for module, _ in COMMANDS])
def test_commands_exist_with_their_options(module, options):
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"python -m {module}" in result.stdout
    assert all(option in result.stdout for option in re.findall(r"--[\w-]+", options))
    assert {"--study", "--runs-dir", "--seed", "--json"} <= set(re.findall(r"--[\w-]+", result.stdout))


def test_all_five_commands_are_shown():
    assert [module for module, _ in COMMANDS][:5] == [
        "supernet.train",
        "profiling.collect",
        "predictor.train",
        "predictor.report",
        "search.run",
    ]


def test_every_command_of_the_measuring_and_predicting_rooms_is_shown():
    shown = {module for module, _ in COMMANDS}
    rooms = [path for room in ("profiling", "predictor") for path in (ROOT / room).glob("*.py")]
    commands = {f"{p.parent.name}.{p.stem}" for p in rooms if "def main(argv" in p.read_text("utf-8")}
    assert len(commands) > 4
    assert commands <= shown


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z][\w-]*)", TEXT.replace("make it", "")):
        if target in ("demo", "test", "test-fast"):
            assert f"\n{target}:" in makefile


@pytest.mark.slow
def test_python_example_runs(tmp_path, write_study):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    study = write_study(tmp_path, data="none")
    for command in (
        ["profiling.collect", "--budget", "14"],
        ["predictor.train"],
    ):
        subprocess.run(
            [sys.executable, "-m", *command, "--study", str(study), "--runs-dir", str(tmp_path / "made")],
            check=True, cwd=ROOT,
        )  # fmt: skip
    code = code.replace("runs/digits/predictor/xgb", str(tmp_path / "made/tiny/predictor/xgb"))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    architecture, latency = result.stdout.split("\n")[0], result.stdout.strip().split("\n")[-1]
    assert re.match(r"w[\d-]+_d[\d-]+ \d+", architecture)
    assert float(latency.strip("[]")) > 0


def test_figures_are_those_of_the_results():
    result = subprocess.run(
        [sys.executable, "benchmarks/figures.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/FIGURES.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_study_in_readme_is_valid(tmp_path):
    from supernet.study import Study

    (text,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    study = Study.parse("mine", text, source="README")
    assert study.data.name == "folder"
    assert study.target.threads == 4
