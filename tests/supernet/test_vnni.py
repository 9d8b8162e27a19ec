from __future__ import annotations

import pytest

from supernet.vnni import has_vnni, this_cpu_has_vnni


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx2 avx512_vnni", True),
        ("avx_vnni", True),
        ("amx_int8", True),
        ("avx2 avx512f", False),
        ("", False),
    ],
)
def test_flags(tmp_path, flags, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(f"model name\t: Some CPU\nflags\t\t: {flags}\n")
    assert has_vnni(flags.split()) is expected
    assert this_cpu_has_vnni(path) is expected


def test_without_the_file_there_is_none(tmp_path):
    assert not this_cpu_has_vnni(tmp_path / "missing")
