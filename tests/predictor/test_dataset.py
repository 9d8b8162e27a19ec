from __future__ import annotations

import pytest

from predictor.dataset import MIN_NETWORKS, TEST_SHARE, load_dataset
from profiling.store import Store
from supernet import OvnasError


def architectures(records):
    return [r.architecture for r in records]


@pytest.mark.parametrize("seed", range(6))
def test_the_parts_are_disjoint_and_complete(measurements, seed):
    data = load_dataset(measurements, seed=seed)
    train, test = set(architectures(data.train)), set(architectures(data.test))
    with Store.open(measurements) as store:
        assert train | test == set(store.architectures())
        assert sorted(map(repr, data.networks)) == sorted(map(repr, store.records()))
    assert not train & test
    assert len(data.test) == round(TEST_SHARE * 60)
    assert {data.plan.space.largest, data.plan.space.smallest} <= train


def test_the_seed_decides_the_split(measurements):
    test = architectures(load_dataset(measurements, seed=1).test)
    assert architectures(load_dataset(measurements, seed=1).test) == test
    assert set(architectures(load_dataset(measurements, seed=2).test)) != set(test)


def test_what_goes_with_the_networks(measurements, known):
    data = load_dataset(measurements)
    meta = known.meta()
    assert data.meta == {key: meta[key] for key in ("study", "machine", "target")}
    assert data.plan == known.plan
    assert data.anchor_us == pytest.approx(known.latency_us(known.plan.space.largest))


@pytest.mark.parametrize("n", [0, MIN_NETWORKS - 1])
def test_too_few_networks_are_refused(known, tmp_path, n):
    path = known.write(tmp_path / "m.sqlite", n)
    with pytest.raises(OvnasError, match=rf"holds {n} networks, but 12 are needed .*profiling\.collect"):
        load_dataset(path)


def test_the_fewest_networks_make_both_parts(known, tmp_path):
    data = load_dataset(known.write(tmp_path / "m.sqlite", MIN_NETWORKS))
    assert (len(data.train), len(data.test)) == (8, 4)
