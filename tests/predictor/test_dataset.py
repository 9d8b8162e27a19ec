from __future__ import annotations

import pytest

from predictor.dataset import MIN_NETWORKS, TEST_SHARE, load_dataset
from profiling.store import Store
from supernet import OvnasError


def architectures(examples):
    return [e.record.architecture for e in examples]


@pytest.mark.parametrize("seed", range(6))
def test_the_parts_are_disjoint_and_complete(measurements, seed):
    data = load_dataset([measurements], seed=seed)
    train, test = set(architectures(data.train)), set(architectures(data.test))
    with Store.open(measurements) as store:
        assert train | test == set(store.architectures())
        assert sorted(repr(e.record) for e in data.examples) == sorted(map(repr, store.records()))
    assert not train & test
    assert len(data.test) == round(TEST_SHARE * 60)
    assert {data.plans["tiny"].space.largest, data.plans["tiny"].space.smallest} <= train


def test_the_seed_decides_the_split(measurements):
    test = architectures(load_dataset([measurements], seed=1).test)
    assert architectures(load_dataset([measurements], seed=1).test) == test
    assert set(architectures(load_dataset([measurements], seed=2).test)) != set(test)


def test_what_goes_with_the_networks(measurements, known):
    data = load_dataset([measurements])
    meta = known.meta()
    facts = {key: meta[key] for key in ("study", "machine", "target")}
    assert data.meta == {**facts, "studies": ["tiny"]}
    assert data.plans == {"tiny": known.plan}
    assert data.anchor_us == {"tiny": pytest.approx(known.latency_us(known.plan.space.largest))}


@pytest.mark.parametrize("n", [0, MIN_NETWORKS - 1])
def test_too_few_networks_are_refused(known, tmp_path, n):
    path = known.write(tmp_path / "m.sqlite", n)
    with pytest.raises(OvnasError, match=rf"holds {n} networks, but 12 are needed .*profiling\.collect"):
        load_dataset([path])


def test_the_fewest_networks_make_both_parts(known, tmp_path):
    data = load_dataset([known.write(tmp_path / "m.sqlite", MIN_NETWORKS)])
    assert (len(data.train), len(data.test)) == (8, 4)
