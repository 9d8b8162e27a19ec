"""What every registered predictor keeps to."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn.base import clone

from predictor.base import KernelPredictor
from predictor.registry import ADAPTED, PREDICTORS, make_predictor
from supernet import OvnasError

# Relative error on architectures that were not measured: mean, largest.
# The law has products of widths, which a sum over choices cannot say.
TOLERANCE = {"macs": (1e-5, 1e-5), "ridge": (0.25, 1.5)}
USUAL_TOLERANCE = (0.015, 0.08)


def test_a_known_law_is_recovered_on_unseen_architectures(trained, known, unseen, networks_of):
    truth = np.array([known.latency_us(a) for a in unseen])
    error = np.abs(trained.predictor.predict(networks_of(unseen)) / truth - 1)
    mean, largest = TOLERANCE.get(trained.name, USUAL_TOLERANCE)
    assert error.mean() < mean
    assert error.max() < largest
    assert np.abs(truth.mean() / truth - 1).mean() > 0.2  # a constant would not do


def test_predictions_are_finite_and_positive(trained, known, networks_of, data):
    space = known.plan.space
    architectures = [space.smallest, space.largest, *known.architectures(300, seed=4)]
    latency = trained.predictor.predict(networks_of(architectures))
    assert latency.shape == (len(architectures),)
    assert latency.dtype == np.float64
    assert np.isfinite(latency).all()
    assert (latency > 0).all()
    if isinstance(trained.predictor, KernelPredictor):
        assert (trained.predictor.kernel_latency_us(known.plan.of(space.largest), data.conditions) >= 0).all()


def test_a_network_is_its_overhead_and_its_kernels(trained, unseen, networks_of):
    """Networks given together, alone, in another order, or with a kernel twice."""
    networks = networks_of(unseen[:20])
    together = trained.predictor.predict(networks)
    np.testing.assert_allclose(trained.predictor.predict(networks[:1]), together[:1], rtol=1e-12)
    np.testing.assert_allclose(trained.predictor.predict(networks[::-1]), together[::-1], rtol=1e-12)
    if not isinstance(trained.predictor, KernelPredictor):
        return
    for network, expected in zip(networks, together, strict=True):
        by_kernel = trained.predictor.kernel_latency_us(network.kernels, network.conditions)
        assert by_kernel.shape == (len(network.kernels),)
        assert trained.predictor.overhead_us_ + by_kernel.sum() == pytest.approx(expected, rel=1e-9)
    (twice,) = trained.predictor.predict([dataclasses.replace(networks[0], kernels=networks[0].kernels * 2)])
    assert twice - trained.predictor.overhead_us_ == pytest.approx(
        2 * (together[0] - trained.predictor.overhead_us_), rel=1e-9
    )


def test_no_networks_are_no_predictions(trained, data):
    assert trained.predictor.predict([]).shape == (0,)
    if isinstance(trained.predictor, KernelPredictor):
        assert trained.predictor.kernel_latency_us([], data.conditions).shape == (0,)


def test_clones_have_the_parameters_and_nothing_learned(trained):
    copy = clone(trained.predictor)
    assert type(copy) is type(trained.predictor)
    assert copy.get_params() == trained.predictor.get_params()
    assert vars(copy) == copy.get_params(deep=False)


@pytest.mark.parametrize("name", PREDICTORS)
def test_parameters_are_stored_as_given(name):
    kind = type(make_predictor(name))
    given = {key: object() for key in make_predictor(name).get_params()}
    made = kind(**given)
    assert vars(made) == given
    assert made.get_params() == given
    with pytest.raises(ValueError, match="Invalid parameter"):
        made.set_params(unheard_of=1)


def test_fitting_is_repeatable_and_starts_afresh(trained, data, unseen, networks_of):
    networks = networks_of(unseen)
    expected = trained.predictor.predict(networks)
    again = data.fit(clone(trained.predictor), data.train)
    np.testing.assert_array_equal(again.predict(networks), expected)
    assert data.fit(again, data.test) is again
    data.fit(again, data.train)
    np.testing.assert_array_equal(again.predict(networks), expected)


CODE = """
import json, pathlib, sys
from predictor.dataset import load_dataset
from predictor.registry import ADAPTED, PREDICTORS, make_predictor
data = load_dataset([pathlib.Path(sys.argv[1])])
networks = [e.network for e in data.test]
fitted = {n: data.fit(make_predictor(n, seed=3), data.train) for n in sorted(PREDICTORS) if n != ADAPTED}
fitted[ADAPTED] = data.fit(make_predictor(ADAPTED, seed=3).set_params(base=fitted["xgb"]), data.train)
found = {n: predictor.predict(networks).tolist() for n, predictor in fitted.items()}
print(json.dumps(found))
"""


def test_the_seed_decides_in_any_process(measurements, data, in_other_process):
    found = in_other_process(CODE, measurements, hash_seed=2)
    networks = [e.network for e in data.test]
    here = {}
    for name in sorted(PREDICTORS, key=lambda n: n == ADAPTED):
        predictor = make_predictor(name, seed=3)
        if name == ADAPTED:
            predictor.set_params(base=data.fit(make_predictor("xgb", seed=3), data.train))
        here[name] = data.fit(predictor, data.train).predict(networks)
    assert json.loads(found) == {name: latency.tolist() for name, latency in here.items()}


def test_fitting_changes_no_record(data, trained):
    before = repr(data.train)
    data.fit(clone(trained.predictor), data.train)
    assert repr(data.train) == before


def test_the_overhead_is_never_negative(trained):
    if isinstance(trained.predictor, KernelPredictor) and trained.name != "macs":
        assert trained.predictor.overhead_us_ >= 0


def test_kernel_times_that_do_not_fit_are_refused(unfitted, data):
    networks, latency = data.measured_networks(data.train), data.latencies(data.train)
    for name in ("xgb", "lookup", "forest", ADAPTED):
        with pytest.raises(OvnasError, match="pass kernel_us"):
            unfitted(name).fit(networks, latency)
        with pytest.raises(OvnasError, match="one time for each kernel"):
            unfitted(name).fit(networks, latency, [np.ones(1)] * len(networks))
