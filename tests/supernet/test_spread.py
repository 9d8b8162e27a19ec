from __future__ import annotations

import pytest

from supernet.spread import evenly_spread


@pytest.mark.parametrize(
    ("total", "n", "expected"),
    [
        (0, 3, []),
        (5, 0, []),
        (5, -1, []),
        (5, 1, [0]),
        (5, 2, [0, 4]),
        (5, 3, [0, 2, 4]),
        (3, 9, [0, 1, 2]),
        (101, 5, [0, 25, 50, 75, 100]),
    ],
)
def test_places_are_evenly_spread(total, n, expected):
    assert evenly_spread(total, n) == expected
