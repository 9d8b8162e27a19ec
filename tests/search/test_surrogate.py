from __future__ import annotations

import numpy as np
import pytest

from search.sizes import Sizes
from search.surrogate import ACCURACY, LATENCY, Encoding, fit_surrogate


@pytest.fixture
def encoding(space) -> Encoding:
    return Encoding(space, Sizes.of_space(space))


def law(space, codes):
    """An accuracy that saturates with MACs and falls a little with one slot's choice."""
    return (
        0.98 - 0.4 * np.exp(-3 * space.macs_of(codes) / space.macs(space.largest)) - 0.02 * (codes[:, 0] == 0)
    )


@pytest.fixture
def split(space, rng):
    codes = np.unique(space.sample_codes(400, rng), axis=0)
    rng.shuffle(codes)
    return codes[:60], codes[60:]


def test_unseen_architectures_are_predicted_better_than_by_a_line_in_macs(space, encoding, split):
    seen, unseen = split
    model = fit_surrogate(encoding, seen, law(space, seen), ACCURACY)
    error = np.abs(model.predict(unseen) - law(space, unseen)).mean()
    line = np.polyfit(np.log(space.macs_of(seen)), law(space, seen), 1)
    by_macs = np.abs(np.polyval(line, np.log(space.macs_of(unseen))) - law(space, unseen)).mean()
    assert error < 0.6 * by_macs
    assert model.loo_error == pytest.approx(error, rel=1.0)


def test_leaving_one_out_is_what_the_closed_form_says(space, encoding, split):
    """Each left out really, with the same kernel."""
    seen = split[0][:20]
    values = law(space, seen)
    model = fit_surrogate(encoding, seen, values, LATENCY)
    z = (np.log(values) - model._mean) / model._scale
    features = encoding(seen).astype(np.float64)
    squared = ((features[:, None] - features[None]) ** 2).sum(-1)
    near = np.exp(-0.5 * squared / model.length**2)
    kernel = (1 - model.share) * features @ features.T + model.share * near
    errors = []
    for i in range(len(seen)):
        kept = np.arange(len(seen)) != i
        inverse = np.linalg.inv(kernel[np.ix_(kept, kept)] + model.noise * np.eye(kept.sum()))
        errors.append(np.exp(model._mean + model._scale * kernel[i, kept] @ inverse @ z[kept]) - values[i])
    assert model.loo_error == pytest.approx(np.abs(errors).mean(), rel=1e-3)


def test_it_is_least_sure_far_from_what_was_evaluated(space, encoding, rng):
    """Learned from small networks alone, it doubts the largest most."""
    small = np.array([space.encode(space.smallest)] * 30)
    small[:, :2] = rng.integers(0, 2, (30, 2))
    small = np.unique(space.canonical(small), axis=0)
    model = fit_surrogate(encoding, small, law(space, small) + 0.01 * rng.random(len(small)), ACCURACY)
    ends = np.array([space.encode(space.smallest), space.encode(space.largest)])
    near, far = model.deviation(ends)
    assert 0 <= near < far


def test_a_constant_is_predicted(space, encoding, split):
    model = fit_surrogate(encoding, split[0], np.full(len(split[0]), 0.9), ACCURACY)
    np.testing.assert_allclose(model.predict(split[1]), 0.9, atol=1e-6)


def test_features_of_a_dropped_block_are_zero(space, encoding):
    slot = next(i for i, s in enumerate(space.slots) if s.block is not None)
    codes = np.array([space.encode(space.largest)] * 2)
    codes[1, space.slots[slot].block.slot] = 0
    kept, dropped = encoding(space.canonical(codes))[:, slot]
    assert (kept, dropped) == (1, 0)
