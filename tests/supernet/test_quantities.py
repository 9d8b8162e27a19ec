from __future__ import annotations

import pytest

from supernet import OvnasError
from supernet.quantities import parse_count, parse_latency, parse_size


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_latency, "8ms", 8e3),
        (parse_latency, "750us", 750),
        (parse_latency, "0.1 s", 1e5),
        (parse_latency, " 2.5 ms ", 2500),
        (parse_count, "40M", 4e7),
        (parse_count, "1.5g", 1.5e9),
        (parse_count, "123", 123),
        (parse_size, "2MB", 2e6),
        (parse_size, "1.5MiB", 1.5 * 2**20),
    ],
)
def test_the_users_words(parse, text, value):
    assert parse(text, "--option") == pytest.approx(value)


@pytest.mark.parametrize("parse", [parse_latency, parse_count, parse_size])
@pytest.mark.parametrize("text", ["", "fast", "-1ms", "0ms", "8 parsecs", "nan", "9" * 400 + "kb"])
def test_other_words_are_refused_with_an_example(parse, text):
    with pytest.raises(OvnasError, match=rf"--option must be a .* like .*, but got {text!r}"):
        parse(text, "--option")


@pytest.mark.parametrize("text", ["8", "ms", "1m"])
def test_a_latency_needs_its_number_and_unit(text):
    with pytest.raises(OvnasError, match="--max-latency must be a latency like 8ms"):
        parse_latency(text, "--max-latency")
