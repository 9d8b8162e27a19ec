from __future__ import annotations

import itertools

import numpy as np
import pytest

from predictor.compiled import CHUNK, CompiledPredictor
from predictor.network import Network
from profiling.plan import Plan
from tests.predictor.tabulated import CONDITIONS, Lookup, layers_as_kernels


@pytest.fixture(scope="module")
def compiled(trained, known, data) -> CompiledPredictor:
    return CompiledPredictor(known.plan, trained.predictor, data.conditions)


def test_compiled_is_the_uncompiled_sum(compiled, trained, known, networks_of, rng):
    space = known.plan.space
    architectures = [space.smallest, space.largest, *(space.sample(rng) for _ in range(300))]
    assert len({a.depth for a in architectures}) == 6
    expected = trained.predictor.predict(networks_of(architectures))
    found = compiled.predict_codes(space.encode_all(architectures))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.fixture(params=["width", "expand"])
def plan(request, known, make_tiny_network) -> Plan:
    """Of the expand space, inner widths hang on two slots: the ratio's and the outer width's."""
    if request.param == "width":
        return known.plan
    network = make_tiny_network((0.5, 1.0), expand=(0.25, 0.5, 1.0))
    assert any(group.parent is not None for group in network.space.groups)
    return layers_as_kernels(network.space)


def test_every_kernel_counts_where_it_is_alive(plan, rng):
    """The whole space by brute force, with latencies that no two kernels share."""
    predictor, space = Lookup(), plan.space
    codes = np.array(list(itertools.product(*(range(len(s.choices)) for s in space.slots))))
    codes = np.unique(space.canonical(codes), axis=0)
    assert len(codes) == round(10**space.log10_size)
    found = CompiledPredictor(plan, predictor, CONDITIONS).predict_codes(codes)
    expected = predictor.predict([Network.planned(plan, space.decode(row), CONDITIONS) for row in codes])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_choices_inside_dropped_blocks_do_not_matter(compiled, known, rng):
    space = known.plan.space
    codes = rng.integers(0, [len(s.choices) for s in space.slots], size=(200, len(space.slots)))
    assert not np.array_equal(codes, space.canonical(codes))
    np.testing.assert_allclose(
        compiled.predict_codes(codes), compiled.predict_codes(space.canonical(codes)), rtol=1e-12
    )


def test_many_codes_are_as_few(compiled, known, rng):
    codes = known.plan.space.sample_codes(CHUNK + 3, rng)
    before = codes.copy()
    found = compiled.predict_codes(codes)
    np.testing.assert_array_equal(codes, before)
    np.testing.assert_array_equal(found[-5:], compiled.predict_codes(codes[-5:]))
    np.testing.assert_array_equal(found[:5], compiled.predict_codes(codes[:5]))
    assert compiled.predict_codes(codes[:0]).shape == (0,)
