from __future__ import annotations

import dataclasses
import sys

import pytest

from supernet import OvnasError, Study
from supernet.study import shipped_studies

MODEL = '[model]\nfactory = "package.module:function"\ninput_shape = [3, 32, 32]\n'


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_load_and_can_be_made(name):
    from supernet.study_model import example_input, make_model

    study = Study.load(name)
    assert study.name == name
    assert make_model(study)(example_input(study)).shape[0] == 1


def test_the_studies_are_shipped():
    assert {"cifar10", "digits", "mobilenet_v2", "resnet18", "resnet50"} <= set(shipped_studies())


def test_a_folder_studies_of_the_users_hides_none(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "digits.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "studies", raising=False)
    assert "resnet50" in shipped_studies()
    assert Study.load("digits").model.factory


def test_a_file_is_read_as_it_is_written(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MODEL + "[space]\nwidth = [0.5, 1]\nexpand = [0.2]\nmax_dropped = 1\n[target]\nbatch = 4")
    study = Study.load(str(path))
    assert study.name == "mine"
    assert study.model.input_shape == (3, 32, 32)
    assert study.space.width == (0.5, 1.0)
    assert isinstance(study.space.width[1], float)
    assert (study.space.expand, study.space.max_dropped, study.target.batch) == ((0.2,), 1, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.name = "other"


def refused(text: str) -> str:
    with pytest.raises(OvnasError) as caught:
        Study.parse("mine", text, source="mine.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert "mine.toml" in message
    return message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (MODEL + "[spaec]", ["unknown section [spaec]", "did you mean 'space'"]),
        (MODEL + "[zzz]", ["unknown section [zzz]", "known: data, model"]),
        (MODEL + "[space]\nwidht = [1.0]", ["[space]", "unknown key 'widht'", "did you mean 'width'"]),
        (
            MODEL + "[target]\nzz = 1",
            ["[target]", "unknown key 'zz'", "known: batch, mode, streams"],
        ),
        ("", ["[model]", "the key 'factory' is missing"]),
        ('[model]\nfactory = "a:b"', ["[model]", "the key 'input_shape' is missing"]),
        ("model = 3", ["[model] must be a table", "got 3"]),
        ("[model", ["not valid TOML"]),
        (MODEL + "[model]\n", ["not valid TOML"]),
        (MODEL + "[target]\nthreads = 'two'", ["'threads' must be a whole number", "got 'two'"]),
        (MODEL + "[target]\nthreads = 1.5", ["'threads' must be a whole number", "got 1.5"]),
        (MODEL + "[target]\nthreads = true", ["'threads' must be a whole number", "got True"]),
        (MODEL + "[train]\nlearning_rate = 'x'", ["'learning_rate' must be a number"]),
        (MODEL + "[train]\nlearning_rate = nan", ["'learning_rate' must be finite"]),
        (MODEL + "[space]\nwidth = 0.5", ["'width' must be a list", "got 0.5"]),
        (MODEL + "[space]\nwidth = ['a']", ["'width' must be a number", "got 'a'"]),
        (MODEL + "[profiling]\nbudget = 200", ["'budget' must be a text in quotes", "got 200"]),
        (MODEL + "[data]\nname = 'cifar'", ["'name' must be one of digits, cifar10, folder", "got 'cifar'"]),
        (MODEL + "[[train.stages]]\nepochs = 1", ["'stages' 1", "the key 'open' is missing"]),
        (
            MODEL + "[[train.stages]]\nopen = ['widht']\nepochs = 1\nlearning_rate = 1",
            ["'stages' 1: 'open' must be one of kernel, depth, width", "got 'widht'"],
        ),
        (MODEL + "[train]\nstages = [3]", ["'stages' 1 must be a table", "got 3"]),
        (MODEL + "[data]\nname = []", ["'name' must be one of", "got []"]),
    ],
)
def test_a_wrong_file_is_refused_with_one_line(text, parts):
    message = refused(text)
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("section", "line", "rule"),
    [
        ("model", 'factory = "no_colon"\ninput_shape = [3, 8, 8]', "[model] factory"),
        ("model", 'factory = "a:b"\ninput_shape = []', "[model] input_shape"),
        ("model", 'factory = "a:b"\ninput_shape = [3, 8]', "[model] input_shape"),
        ("model", 'factory = "a:b"\ninput_shape = [3, 0, 8]', "[model] input_shape"),
        ("data", "name = 'custom'\nfactory = 'mine'", "[data] factory"),
        ("data", "workers = -2", "[data] workers"),
        ("data", "path = 'images'", "[data] has a path ('images'), but no name"),
        ("data", "name = 'folder'\nfactory = 'a:b'", "[data] factory ('a:b') is of name = 'custom'"),
        ("space", "expand = [0.5]\nmin_channels = 32", "[space] min_channels (32) is of free widths"),
        ("space", "width = []", "[space] width"),
        ("space", "width = [0.0, 1.0]", "[space] width"),
        ("space", "width = [1.5]", "[space] width must be ratios within 0 < r <= 1, but is [1.5]"),
        ("space", "expand = [-0.2]", "[space] expand"),
        ("space", "divisor = 0", "[space] divisor"),
        ("space", "max_dropped = -2", "[space] max_dropped"),
        ("space", "kernel = [4]", "[space] kernel"),
        ("space", "resolution = [0]", "[space] resolution"),
        ("space", "resolution = [16, 33]", "[space] resolution"),
        ("space", "min_channels = 0", "[space] min_channels"),
        ("train", "epochs = 0", "[train] epochs"),
        ("train", "weight_decay = -0.5", "[train] weight_decay must be >= 0, but is -0.5"),
        ("search", "max_latency = 'fast'", "[search] max_latency must be a latency like 8ms"),
        ("search", "max_macs = '4ms'", "[search] max_macs must be a count like 40M"),
        ("search", "objectives = ['accuracy', 'speed']", "'objectives' must be one of accuracy, latency"),
        ("profiling", "budget = '5 parsecs'", "[profiling] budget is a time like '90s', '5m' or a number"),
        ("profiling", "budget = '0m'", "[profiling] budget"),
        ("profiling", "budget = '1.5'", "[profiling] budget"),
        ("train", "pretrain_epochs = -1", "[train] pretrain_epochs"),
        ("train", "batch_size = 1", "[train] batch_size"),
        ("train", "n_random = -1", "[train] n_random"),
        ("train", "learning_rate = 0.0", "[train] learning_rate must be > 0, but is 0.0"),
        ("train", "label_smoothing = 1.0", "[train] label_smoothing"),
        ("train", "mixup = -0.1", "[train] mixup must be >= 0"),
        ("train", "label_weight = -0.5", "[train] label_weight"),
        ("train", "stages = [{open = ['depth'], epochs = 0, learning_rate = 0.1}]", "[[train.stages]]"),
        ("target", "threads = -1", "[target] threads"),
        ("target", "batch = 0", "[target] batch must be >= 1, but is 0"),
        ("search", "evaluations = 0", "[search] evaluations"),
        ("search", "finalists = 0", "[search] finalists must be >= 1, but is 0"),
        ("search", "max_accuracy_drop = -0.1", "[search] max_accuracy_drop"),
    ],
)
def test_values_out_of_range_are_refused(section, line, rule):
    head = "" if section == "model" else MODEL
    assert rule in refused(f"{head}[{section}]\n{line}\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "there is no study 'digit'; did you mean 'digits'"),
        ("", "there is no study ''"),
        ("../digits", "there is no study '../digits'"),
        ("missing.toml", "there is no study file 'missing.toml'"),
    ],
)
def test_unknown_studies_are_named(name, message):
    with pytest.raises(OvnasError) as caught:
        Study.load(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("content", [b"\xff\xfe[model]", b"\x00", b"[model]\nfactory = \xe9"])
def test_a_file_that_is_no_text_is_refused(tmp_path, content):
    path = tmp_path / "binary.toml"
    path.write_bytes(content)
    with pytest.raises(OvnasError, match="not valid TOML"):
        Study.load(str(path))


def test_a_file_name_that_is_no_study_name_is_refused(tmp_path):
    path = tmp_path / "my study.toml"
    path.write_text(MODEL)
    with pytest.raises(OvnasError, match="file name must be letters"):
        Study.load(str(path))
