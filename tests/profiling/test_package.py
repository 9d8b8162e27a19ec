"""Python 3.15 has a standard package named as ours: both must be importable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(code: str, *path: Path, cwd: Path) -> str:
    before = f"import sys; sys.path[:0] = {[str(p) for p in path]}\n"
    command = [sys.executable, "-c", before + code]
    return subprocess.run(command, cwd=cwd, text=True, check=True, stdout=subprocess.PIPE).stdout


def test_the_standard_profiler_works_beside_ours(tmp_path):
    code = """
import cProfile, io, pstats
profile = cProfile.Profile()
profile.runcall(sorted, [3, 1, 2])
pstats.Stats(profile, stream=io.StringIO()).print_stats()
import profiling
print(profiling.__path__[0])
"""
    assert python(code, ROOT, cwd=tmp_path) == f"{ROOT / 'profiling'}\n"


def test_submodules_of_a_package_of_the_same_name_are_found(tmp_path):
    """As with the standard library's: later on the path, its own __init__ never run."""
    other = tmp_path / "profiling"
    other.mkdir()
    (other / "__init__.py").write_text("raise SystemError('run')\n")
    (other / "extra.py").write_text("from profiling import timing\nvalue = 42\n")
    (other / "timing.py").write_text("value = 'theirs'\n")
    code = """
import profiling, profiling.extra, profiling.timing
print(profiling.__path__, profiling.extra.value, profiling.timing.QUANTILE)
"""
    expected = f"{[str(ROOT / 'profiling'), str(other)]} 42 0.1\n"
    assert python(code, ROOT, tmp_path, cwd=tmp_path) == expected


@pytest.mark.parametrize(
    "module", ["profiling", "profiling.collect", "profiling.machine", "profiling.show", "profiling.target"]
)
def test_importing_costs_nothing(module, tmp_path):
    heavy = ("torch", "openvino", "numpy", "nncf", "rich", "scipy")
    code = f"import {module}; print([m for m in {heavy!r} if m in sys.modules])"
    assert python(code, ROOT, cwd=tmp_path) == "[]\n"
