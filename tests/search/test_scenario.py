from __future__ import annotations

import pytest

from search.scenario import SCENARIOS, Arrangement, candidates


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=str)
@pytest.mark.parametrize("threads", [1, 2, 3, 16, 80])
def test_candidates_fit_the_machine(scenario, threads):
    found = candidates(scenario, threads)
    assert found
    assert len(set(found)) == len(found)
    for one in found:
        assert 1 <= one.streams <= one.threads <= threads
        assert one.requests >= one.streams
        assert one.requests * one.batch >= scenario.samples_per_query
        assert one.target()["streams"] == one.streams
        assert (one.target()["mode"] == "throughput") == (one.streams > 1)
        assert Arrangement(**one.to_json()) == one


def test_the_submission_s_arrangement_is_among_them():
    assert Arrangement(80, 80, 2, 160) in candidates(SCENARIOS["offline"], 80)
    assert Arrangement(80, 20, 1, 20) in candidates(SCENARIOS["server"], 80)
