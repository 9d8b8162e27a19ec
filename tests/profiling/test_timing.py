from __future__ import annotations

import numpy as np
import pytest

from profiling.timing import (
    EXTRA_ROUNDS,
    MAX_PER_ROUND,
    MIN_PER_ROUND,
    ROUNDS,
    Round,
    Timer,
    _RawRound,
    anchor_level,
    flag_rounds,
    interleave,
    low,
    ratio,
)

CALM = np.full(6, 100, np.float32)
RUNAWAY = np.array([100, 100, 100, 100, 100, 900], np.float32)


def noisy(us: float, rng: np.random.Generator, n: int = 200) -> np.ndarray:
    """A fastest time, and interruptions that only ever add to it."""
    return (us * (1 + rng.exponential(0.02, n))).astype(np.float32)


def rounds_of(pairs, flagged=()) -> list[Round]:
    """One round a pair of the network's and the anchor's microseconds."""
    return [
        Round(*(np.full(3, us, np.float32) for us in (own, anchor, anchor)), 0.5, i in flagged)
        for i, (own, anchor) in enumerate(pairs)
    ]


class FakeTimer:
    """Writes its name into `log`; its n-th round is `script(n)`."""

    def __init__(self, name, log, script=lambda n: CALM):
        self.name, self.log, self.script, self.n = name, log, script, 0

    def per_round(self) -> int:
        return 6

    def run(self, n: int) -> np.ndarray:
        assert n == 6
        self.log.append(self.name)
        self.n += 1
        return self.script(self.n - 1)


def play(scripts, seed=0, **options):
    """What `interleave` gives for three networks, and the order in which it ran them and the anchor."""
    log: list[str] = []
    timers = [FakeTimer(name, log, scripts.get(name, lambda n: CALM)) for name in "abc"]
    anchor = FakeTimer("anchor", log, scripts.get("anchor", lambda n: CALM))
    return interleave(timers, [anchor], np.random.default_rng(seed), **options), log


def test_level_is_a_low_quantile_not_the_minimum():
    samples = np.arange(100, 201, dtype=np.float32)
    assert low(samples) == pytest.approx(110)
    assert low(samples[::-1]) == low(samples)


def test_drift_that_hits_anchor_and_network_alike_cancels():
    rng = np.random.default_rng(0)
    drift = np.cumprod(rng.uniform(0.9, 1.12, 24))
    assert np.ptp(drift) > 0.3
    rounds = [Round(*(noisy(us * d, rng) for us in (70, 200, 200)), 0.3, False) for d in drift]
    assert ratio(rounds) == pytest.approx(0.35, rel=2e-3)
    plain = np.median([low(r.samples) for r in rounds])
    assert abs(plain / 70 - 1) > 0.02


def test_the_anchor_counts_as_it_would_be_at_the_networks_place():
    samples = [np.full(3, us, np.float32) for us in (55, 100, 120)]
    for place, expected in ((0, 0.55), (0.5, 0.5), (1, 55 / 120)):
        assert Round(*samples, place, False).ratio(low) == pytest.approx(expected)


def test_the_level_decides_what_a_round_says():
    own, anchor = (np.array(v, np.float32) for v in ((10, 10, 10, 30), (20, 20, 20, 100)))
    rounds = [Round(own, anchor, anchor, 0.5, False)]
    assert ratio(rounds) == pytest.approx(0.5)
    assert ratio(rounds, lambda samples: float(samples.mean())) == pytest.approx(15 / 40)
    assert anchor_level(rounds, lambda samples: float(samples.max())) == 100


def test_rounds_that_were_disturbed_as_a_whole_do_not_count():
    """Neither where the network was, nor where the anchor was, nor both, as long as most were not."""
    calm, network, anchor, both = (50, 100), (60, 100), (50, 120), (58, 130)
    assert ratio(rounds_of([calm] * 6 + [network, anchor, both])) == pytest.approx(0.5)


def test_the_estimate_is_a_low_quantile_over_rounds_not_the_minimum():
    pairs = [(own, 100) for own in range(50, 61)]
    assert ratio(rounds_of(pairs)) == pytest.approx(0.52)


def test_flagged_rounds_do_not_count():
    pairs = [(50, 100), (50, 100), (50, 100), (10, 100), (10, 100)]
    assert ratio(rounds_of(pairs, flagged={3, 4})) == pytest.approx(0.5)


def test_with_most_rounds_flagged_all_count():
    pairs = [(50, 100), (10, 100), (10, 100), (50, 100), (50, 100), (50, 100)]
    assert ratio(rounds_of(pairs, flagged={1, 2})) == pytest.approx(0.5)
    assert ratio(rounds_of(pairs, flagged={1, 2, 3, 4})) == pytest.approx(0.1)


def test_without_rounds_there_is_no_ratio():
    assert np.isnan(ratio([]))


def test_anchor_level_is_the_median_over_rounds():
    assert anchor_level(rounds_of([(1, 100), (1, 130), (1, 110)])) == pytest.approx(110)


def test_a_runaway_flags_its_network_only_and_a_moved_anchor_all():
    def raw(networks=(CALM, CALM), before=1.0, after=1.0):
        return _RawRound(tuple(networks), (0.3, 0.6), CALM * before, CALM * after)

    played = [
        raw(),
        raw(),
        raw([RUNAWAY, CALM]),
        raw(before=1.2, after=1.2),
        raw(after=1.07),
        raw(after=1.04),
    ]
    expected = np.zeros((6, 2), bool)
    expected[2, 0] = True
    expected[3:5] = True
    np.testing.assert_array_equal(flag_rounds(played, low), expected)
    assert flag_rounds([raw([]), raw([])], low).shape == (2, 0)


def test_single_interruptions_among_many_samples_are_no_runaway():
    few = np.full(100, 50, np.float32)
    few[[3, 50, 70]] = 4000
    many = few.copy()
    many[10:30] = 4000
    assert not flag_rounds([_RawRound((few,), (0.5,), CALM, CALM)], low).any()
    assert flag_rounds([_RawRound((many,), (0.5,), CALM, CALM)], low).all()


def test_every_round_runs_everyone_once_in_changing_order_between_two_anchors():
    result, log = play({})
    blocks = [tuple(log[i : i + 5]) for i in range(0, len(log), 5)]
    assert {(block[0], block[-1]) for block in blocks} == {("anchor", "anchor")}
    assert {frozenset(block[1:-1]) for block in blocks} == {frozenset("abc")}
    assert len(set(blocks)) == 6
    assert [len(own) for own in result] == [ROUNDS] * 3
    assert len(blocks) == ROUNDS


def test_copies_of_the_anchor_take_turns():
    log: list[str] = []
    anchors = [FakeTimer(f"anchor{i}", log) for i in range(2)]
    interleave([FakeTimer("a", log)], anchors, np.random.default_rng(0), rounds=4)
    assert log == ["anchor0", "a", "anchor0", "anchor1", "a", "anchor1"] * 2


def test_the_seed_decides_the_order():
    assert play({}, seed=3)[1] == play({}, seed=3)[1]
    assert play({}, seed=3)[1] != play({}, seed=4)[1]


def test_samples_go_to_their_network_with_the_anchor_of_the_same_round():
    scripts = {
        name: lambda n, base=base: np.full(6, base + n / 100, np.float32)
        for name, base in (("a", 100), ("b", 200), ("c", 300), ("anchor", 400))
    }
    result, _ = play(scripts, rounds=5)
    for own, base in zip(result, (100, 200, 300), strict=True):
        assert [r.samples[0] for r in own] == pytest.approx([base + n / 100 for n in range(5)])
        assert [r.before[0] for r in own] == pytest.approx([400 + 2 * n / 100 for n in range(5)])
        assert [r.after[0] for r in own] == pytest.approx([400 + (2 * n + 1) / 100 for n in range(5)])
        assert all(0 < r.place < 1 for r in own)


@pytest.mark.parametrize("n_bad", [0, 1, 5, EXTRA_ROUNDS, EXTRA_ROUNDS + 3])
def test_flagged_rounds_are_measured_again_within_a_bound(n_bad):
    """Network a is bad in its first rounds, b in fewer: the worst one decides."""
    seen: list[int] = []
    scripts = {
        "a": lambda n: RUNAWAY if n < n_bad else CALM,
        "b": lambda n: RUNAWAY if n < n_bad // 2 else CALM,
    }
    result, log = play(scripts, rounds=12, on_round=lambda: seen.append(0))
    n_rounds = 12 + min(n_bad, EXTRA_ROUNDS)
    assert [len(own) for own in result] == [n_rounds] * 3
    assert len(seen) == n_rounds == len(log) / 5
    assert [sum(r.is_flagged for r in own) for own in result] == [n_bad, n_bad // 2, 0]


def test_rounds_end_even_if_all_are_bad():
    result, _ = play({"c": lambda n: RUNAWAY})
    assert len(result[2]) == ROUNDS + EXTRA_ROUNDS
    assert all(r.is_flagged for r in result[2])


def test_bad_extra_rounds_are_made_up_for_too():
    result, _ = play({"a": lambda n: RUNAWAY if n in (3, 12) else CALM}, rounds=12)
    assert len(result[0]) == 14


def test_timer_times_each_inference(tiny_graphs, known):
    from profiling.target import compile_model

    model = tiny_graphs.model(tiny_graphs.space.smallest)
    timer = Timer(compile_model(model, known.target))
    samples = timer.run(5)
    assert samples.shape == (5,)
    assert samples.dtype == np.float32
    assert (samples > 0).all()
    assert MIN_PER_ROUND <= timer.per_round() <= MAX_PER_ROUND
