from __future__ import annotations

import re

import pytest

from supernet import Architecture, OvnasError


def test_file_names_fit_any_file_system():
    short, long, other = Architecture((8,)), Architecture((64,) * 150), Architecture((64,) * 149 + (32,))
    assert short.file_name == "w8"
    assert len(str(long)) > 255
    assert max(len(long.file_name), len(other.file_name)) <= 200
    assert long.file_name != other.file_name


@pytest.mark.parametrize(
    ("architecture", "text"),
    [
        (Architecture((40, 168), (0.2, 0.25), (2, 3)), "w40-168_e0.2-0.25_d2-3"),
        (Architecture((8,)), "w8"),
        (Architecture(), "w"),
        (Architecture((), (), (0,)), "w_d0"),
        (Architecture((), (6.0,)), "w_e6"),
        (Architecture((8,), (), (2,), (3, 5)), "w8_d2_k3-5"),
        (Architecture((), (), (), (7,)), "w_k7"),
        (Architecture((8,), (), (2,), (3, 5), (192,)), "w8_d2_k3-5_r192"),
        (Architecture((), resolution=(24,)), "w_r24"),
    ],
)
def test_text_form(architecture, text):
    assert str(architecture) == text
    assert Architecture.parse(text) == architecture
    assert Architecture.parse(f" {text}\n") == architecture
    assert re.fullmatch(r"[\w.-]+", text)


@pytest.mark.parametrize(
    "text", ["", "8-16", "w8_x3", "w8_e0.2.3", "w8.5", "d3_w8", "w8 d3", "../w8", "w8_r2-3", "w8_r"]
)
def test_other_text_is_refused(text):
    with pytest.raises(OvnasError, match=re.escape(f"but got {text!r}")):
        Architecture.parse(text)


def test_is_a_value():
    a, b = Architecture((8, 16), (), (1,)), Architecture((8, 16), (), (2,))
    assert a < b
    assert len({a, b, Architecture((8, 16), (), (1,))}) == 2
    with pytest.raises(AttributeError):
        a.width = (1,)
