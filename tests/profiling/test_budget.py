from __future__ import annotations

import pytest

from profiling.budget import (
    BLOCK,
    FIRST_BLOCK,
    MAX_REPEATS,
    MIN_BLOCK,
    MIN_REPEATS,
    REPEAT_COST,
    SET_UP_COST,
    Budget,
    Spent,
    n_to_repeat,
)
from supernet import OvnasError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", Budget(90, None)),
        ("5m", Budget(300, None)),
        ("1.5h", Budget(5400, None)),
        (" 200 ", Budget(None, 200)),
        ("1", Budget(None, 1)),
        ("0.5m", Budget(30, None)),
    ],
)
def test_budgets(text, expected):
    assert Budget.parse(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "1.5", "5 m", "5d", "m", "1e3", "nan", "five", "5m3s"])
def test_other_budgets_are_refused(text):
    with pytest.raises(OvnasError, match="a budget is a time like '90s', '5m' or a number of networks, got"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("n", "expected"), [(0, 0), (1, 1), (8, 8), (14, 8), (53, 8), (60, 9), (100, 15), (200, 30), (9999, 30)]
)
def test_a_share_is_repeated_within_bounds(n, expected):
    assert n_to_repeat(n) == expected
    assert MIN_REPEATS < MAX_REPEATS


@pytest.mark.parametrize(("measured", "expected"), [(0, BLOCK), (20, BLOCK), (30, 10), (40, 0), (50, 0)])
def test_a_number_of_networks_is_met_exactly(measured, expected):
    assert Budget(None, 40).next_block(measured, Spent(5, 99, measured)) == expected


def test_a_time_begins_with_a_small_block_and_then_takes_what_fits():
    budget = Budget(300, None)
    assert budget.next_block(0, Spent(10, 0, 0)) == FIRST_BLOCK
    assert budget.next_block(8, Spent(10, 16, 8)) == BLOCK
    for seconds in range(150, 280, 7):
        n_new = seconds // 2
        n = budget.next_block(n_new, Spent(10, seconds, n_new))
        each = seconds / n_new

        def used(more, each=each, n_new=n_new, seconds=seconds):
            repeats = REPEAT_COST * each * n_to_repeat(n_new + more)
            return 10 + seconds + more * each + repeats + SET_UP_COST * 10

        assert n == 0 or MIN_BLOCK <= n <= BLOCK
        assert n == 0 or used(n) <= 300
        assert n == BLOCK or used(max(n + 1, MIN_BLOCK)) > 300


def test_networks_that_were_timed_and_are_timed_again_count():
    """Nothing is kept yet, but the time that a network takes is known."""
    assert Budget(300, None).next_block(0, Spent(10, 16, FIRST_BLOCK)) == BLOCK
