from __future__ import annotations

import json
import pickletools
from pathlib import Path

import numpy as np
import pytest

import predictor
from predictor.base import plain_parameters
from predictor.dataset import load_dataset
from predictor.features import FEATURES
from predictor.registry import make_predictor
from predictor.saved import CARD, SCHEMA_VERSION, data_hash, load, save
from supernet import OvnasError


@pytest.fixture
def folder(trained, data, tmp_path) -> Path:
    facts = {**data.meta, "anchor_us": data.anchor_us, "seed": 3}
    place = tmp_path / "predictor" / trained.name
    save(
        trained.name,
        trained.predictor,
        data.plans,
        data.train,
        facts,
        place,
        residuals={"tiny": [0.01, -0.02]},
    )
    return tmp_path / "predictor" / trained.name


def change(folder: Path, **values) -> None:
    """Writes the card with `values`, without those that are None."""
    card = json.loads((folder / CARD).read_text()) | values
    (folder / CARD).write_text(json.dumps({k: v for k, v in card.items() if v is not None}))


def test_round_trip(trained, folder, data, unseen, networks_of):
    loaded = load(folder)
    expected = trained.predictor.predict(networks_of(unseen))
    np.testing.assert_array_equal(loaded.predict(unseen), expected)
    codes = data.plans["tiny"].space.encode_all(unseen)
    np.testing.assert_allclose(loaded.compiled().predict_codes(codes), expected, rtol=1e-6)
    assert (loaded.name, loaded.plan) == (trained.name, data.plans["tiny"])
    assert type(loaded.predictor) is type(trained.predictor)
    assert plain_parameters(loaded.predictor) == plain_parameters(trained.predictor)
    np.testing.assert_array_equal(predictor.load(str(folder)).predict(unseen), expected)


def test_parameters_of_ones_own_are_kept(data, tmp_path):
    from predictor.xgb import XgbPredictor

    own = data.fit(XgbPredictor(n_estimators=4, n_joint=3, max_depth=2), data.train)
    save("xgb", own, data.plans, data.train, data.meta, tmp_path / "xgb")
    loaded = load(tmp_path / "xgb").predictor
    assert loaded.get_params() == own.get_params()
    assert loaded.trees_.boosters_[0].num_boosted_rounds() == 7


def test_the_card_says_what_it_was_trained_on(folder, trained, data):
    card = load(folder).card
    assert card["schema_version"] == SCHEMA_VERSION
    assert card["predictor"] == trained.name
    assert card["features"] == list(FEATURES)
    assert card["machine"] == data.meta["machine"]
    assert card["data_hash"] == data_hash(data.train)
    assert card["train_architectures"] == {"tiny": [str(e.record.architecture) for e in data.train]}


def test_the_data_hash_is_of_the_measurements(data):
    assert data_hash(data.train[::-1]) == data_hash(data.train)
    assert data_hash(data.train[1:]) != data_hash(data.train)
    assert data_hash(data.test) != data_hash(data.train)


def test_saving_again_replaces(trained, folder, data):
    before = sorted(p.name for p in folder.iterdir())
    save(trained.name, trained.predictor, data.plans, data.train[1:], data.meta, folder)
    assert sorted(p.name for p in folder.iterdir()) == before
    assert [p.name for p in folder.parent.iterdir()] == [trained.name]
    assert load(folder).card["data_hash"] == data_hash(data.train[1:])


def test_no_file_is_a_pickle(folder):
    for file in (p for p in folder.rglob("*") if p.is_file()):
        content = file.read_bytes()
        assert not content.startswith(b"\x80")
        with pytest.raises(Exception, match=r"."):
            list(pickletools.genops(content))
    json.loads((folder / CARD).read_text())


def test_a_missing_predictor_names_the_command(tmp_path):
    with pytest.raises(OvnasError, match=r"no predictor at .*predictor\.train --predictor xgb"):
        load(tmp_path / "xgb")
    with pytest.raises(OvnasError, match=r"predictor\.train --from PREDICTOR_FOLDER"):
        load(tmp_path / "adapted")
    with pytest.raises(OvnasError, match=r"predictor\.train --name both"):
        load(tmp_path / "both")


def test_a_mistyped_predictor_names_the_nearest(folder):
    with pytest.raises(
        OvnasError, match=rf"no predictor 'x{folder.name}' in .*; did you mean '{folder.name}'"
    ):
        load(folder.parent / f"x{folder.name}")


DAMAGED_CARDS = ["", "{", "[]", "{}", "null", "3", '{"schema_version": ']


@pytest.mark.parametrize("text", DAMAGED_CARDS)
def test_a_damaged_card_is_refused(folder, text):
    (folder / CARD).write_text(text)
    with pytest.raises(OvnasError, match=r"card\.json is damaged; train again"):
        load(folder)


def test_a_cut_or_binary_card_is_refused(folder):
    good = (folder / CARD).read_bytes()
    for content in (good[: len(good) // 2], good[:-20], b"\xff\xfe\x00\x01" * 50):
        (folder / CARD).write_bytes(content)
        with pytest.raises(OvnasError, match=r"card\.json is damaged; train again"):
            load(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"plans": None},
        {"state": None},
        {"predictor": None},
        {"state": {}},
        {"state": {"overhead_us": "x", "scale": [], "us_per_mac": {}}},
        {"parameters": {"unheard_of": 1}},
        {"parameters": [1]},
        {"predictor": [1]},
        {"features": 3},
        {"residuals": [0.1]},
        {"residuals": {}},
        {"residuals": {"tiny": ["x"]}},
        {"unlike_residuals": None},
        {"unlike_residuals": {"tiny": ["x"]}},
    ],
    ids=str,
)
def test_a_card_with_wrong_values_is_refused(folder, values):
    change(folder, **values)
    with pytest.raises(OvnasError, match="damaged; train again"):
        load(folder)


@pytest.mark.parametrize("plan", [{}, {"space": {}, "kernels": []}, []])
def test_a_card_with_another_plan_is_refused(folder, plan):
    change(folder, plans={"tiny": plan})
    with pytest.raises(OvnasError, match=r"not the JSON of a|damaged"):
        load(folder)


def test_another_schema_is_refused(folder):
    message = f"has schema {SCHEMA_VERSION + 1}, but this version reads {SCHEMA_VERSION}"
    change(folder, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(OvnasError, match=message):
        load(folder)
    (folder / CARD).write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1, "all": "else is new"}))
    with pytest.raises(OvnasError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ([*FEATURES, "moon_phase"], "moon_phase"),
        (list(FEATURES[:-1]), FEATURES[-1]),
        ([FEATURES[1], FEATURES[0], *FEATURES[2:]], "order"),
    ],
)
def test_other_features_are_refused_and_named(folder, features, named):
    change(folder, features=features)
    with pytest.raises(OvnasError, match=rf"trained on other features \(.*{named}"):
        load(folder)


def test_an_unknown_predictor_is_refused(folder):
    change(folder, predictor="oracle")
    with pytest.raises(OvnasError, match="there is no predictor 'oracle'"):
        load(folder)


def test_a_damaged_model_file_is_refused(folder):
    """Missing, empty, cut, or a byte changed anywhere: XGBoost itself may crash on such files."""
    for file in [p for p in folder.rglob("*") if p.is_file() and p.name != CARD]:
        good = file.read_bytes()
        changed = bytearray(good)
        changed[len(good) // 2] ^= 0xFF
        for content in (None, b"", b"{}", good[: len(good) // 2], bytes(changed)):
            file.unlink() if content is None else file.write_bytes(content)
            with pytest.raises(OvnasError, match=rf"{file.name} is missing or damaged; train again"):
                load(folder)
        file.write_bytes(good)
    load(folder)


def test_the_same_machine_and_target_are_accepted(folder, data):
    machine = {**data.meta["machine"], "kernel": "another", "governor": "another"}
    load(folder).require(machine, data.meta["target"])


@pytest.mark.parametrize(
    ("section", "fact", "named"),
    [
        ("machine", {"cpu_model": "abacus"}, "cpu_model: .* there, 'abacus' here"),
        ("machine", {"openvino": "2020.1"}, "openvino: .* there, '2020.1' here"),
        ("target", {"threads": 7}, "target .*'threads': 1.* there, .*'threads': 7.* here"),
        ("target", {"batch": 32}, "'batch': 32"),
    ],
)
def test_another_machine_or_target_is_refused_and_named(folder, data, section, fact, named):
    facts = {key: data.meta[key] for key in ("machine", "target")}
    facts[section] = {**facts[section], **fact}
    with pytest.raises(OvnasError, match=rf"was trained elsewhere \(.*{named}.*collect and train here"):
        load(folder).require(**facts)


def test_the_card_names_the_versions_and_conditions(folder, data):
    card = load(folder).card
    assert {"numpy", "scikit-learn", "openvino"} < set(card["versions"])
    assert load(folder).conditions == data.conditions


def test_conditions_that_are_not_the_machines_are_refused(folder):
    conditions = json.loads((folder / CARD).read_text())["conditions"]
    change(folder, conditions={**conditions, "l2_bytes": 1})
    with pytest.raises(OvnasError, match="conditions that are not its machine's"):
        load(folder)


def test_the_interval_is_of_the_residuals(data, tmp_path):
    """Of nine residuals, the ceil(10 x 0.9) = 9th is the 90 % interval's, the 5th that of 50 %."""
    predictor = data.fit(make_predictor("macs"), data.train)
    residuals = [0.01, -0.02, 0.03, -0.04, 0.05, -0.06, 0.07, -0.08, 0.09]
    own = {"tiny": residuals}
    save("macs", predictor, data.plans, data.train, data.meta, tmp_path / "macs", residuals=own)
    saved = load(tmp_path / "macs")
    low, high = saved.interval(np.array([100.0, 200.0]))
    np.testing.assert_allclose(high, [100 * np.exp(0.09), 200 * np.exp(0.09)])
    np.testing.assert_allclose(low * high, [100.0**2, 200.0**2])
    assert saved.interval(np.array([1.0]), 0.5)[1] == pytest.approx(np.exp(0.05))
    assert saved.interval(np.array([1.0]), 0.95)[1] == np.inf


def test_each_study_has_its_own_interval(measurements, write_other, tmp_path):
    """A network of no study gets the widest; a study without residuals has none."""
    data = load_dataset([measurements, write_other(tmp_path / "other.sqlite")])
    predictor = data.fit(make_predictor("macs"), data.train)
    own = {"tiny": [0.01] * 9, "other": [0.2] * 9}
    save("macs", predictor, data.plans, data.train, data.meta, tmp_path / "macs", residuals=own)
    saved = load(tmp_path / "macs")
    assert saved.card["residuals"] == own
    one = np.array([1.0])
    assert saved.interval(one, study="tiny")[1] == pytest.approx(np.exp(0.01))
    assert saved.interval(one, study="other")[1] == saved.interval(one)[1] == pytest.approx(np.exp(0.2))
    with pytest.raises(OvnasError, match="not trained on study 'third'"):
        saved.interval(one, study="third")
    save("macs", predictor, data.plans, data.train, data.meta, tmp_path / "m2", residuals={"tiny": [0.1] * 9})
    assert load(tmp_path / "m2").interval(one, study="other")[1] == np.inf


def test_one_predictor_of_two_studies(measurements, write_other, tmp_path):
    data = load_dataset([measurements, write_other(tmp_path / "other.sqlite")])
    for name, tolerance in (("xgb", 0.02), ("ridge", 0.3)):
        predictor = data.fit(make_predictor(name), data.train)
        save(name, predictor, data.plans, data.train, data.meta, tmp_path / name)
        saved = load(tmp_path / name)
        assert list(saved.plans) == ["tiny", "other"]
        for study, plan in saved.plans.items():
            architectures = [e.record.architecture for e in data.test if e.study == study]
            measured = data.latencies([e for e in data.test if e.study == study])
            predicted = saved.predict(architectures, study)
            assert np.abs(predicted / measured - 1).mean() < tolerance
            codes = plan.space.encode_all(architectures)
            np.testing.assert_allclose(saved.compiled(study).predict_codes(codes), predicted, rtol=1e-6)
        with pytest.raises(OvnasError, match="not trained on study 'third'; it knows: tiny, other"):
            saved.predict([], "third")
