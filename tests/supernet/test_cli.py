from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from supernet import OvnasError, cli


def arguments(*argv: str):
    return cli.parser("supernet.test", "A test.").parse_args(list(argv))


def raising(error: BaseException):
    def command(_):
        raise error

    return command


def test_defaults_are_the_shared_ones():
    options = arguments()
    assert (options.study, str(options.runs_dir), options.seed) == ("digits", "runs", 0)
    assert not options.json
    assert not options.debug


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OvnasError("the rule,\n  what was got"), "error: the rule, what was got"),
        (KeyboardInterrupt(), "error: interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "x.pt"), "error: the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "error: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "error: Permission denied: /x"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_2(capsys, error, line):
    assert cli.run(raising(error), arguments()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_a_full_disk_names_the_folder(capsys):
    assert cli.run(raising(OSError(errno.ENOSPC, "")), arguments("--runs-dir", "/somewhere")) == 2
    assert "/somewhere" in capsys.readouterr().err


def test_a_mistake_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        cli.run(raising(ZeroDivisionError()), arguments())


@pytest.mark.parametrize("error", [OvnasError("x"), OSError(errno.ENOSPC, "x")])
def test_debug_shows_the_traceback(error):
    with pytest.raises(type(error)):
        cli.run(raising(error), arguments("--debug"))


def test_json_prints_json_only(capsys):
    def command(options):
        cli.console(options).print("a word to a person")
        return {"n": 1, "text": "ä"}

    assert cli.run(command, arguments("--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"n": 1, "text": "ä"}
    assert "a word" in err


def test_without_json_the_value_is_not_printed(capsys):
    def command(options):
        cli.console(options).print("a word to a person")
        return {"n": 1}

    assert cli.run(command, arguments()) == 0
    out, err = capsys.readouterr()
    assert out == "a word to a person\n"
    assert err == ""


def test_a_negative_seed_is_refused(capsys):
    assert cli.run(lambda _: {}, arguments("--seed", "-1")) == 2
    assert "--seed must be >= 0, but got -1" in capsys.readouterr().err


def python(code: str, **options) -> subprocess.CompletedProcess[str]:
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", code], text=True, check=False, env=buffered, **options)


@pytest.mark.parametrize("module", ["supernet", "supernet.cli", "supernet.study", "supernet.train"])
def test_importing_costs_nothing(module):
    heavy = ("torch", "openvino", "numpy", "nncf", "rich", "sklearn")
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    result = python(code, capture_output=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_public_names_are_loaded_on_first_use():
    import supernet

    assert [name for name in supernet.__all__ if getattr(supernet, name).__name__ != name] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = supernet.nothing


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_a_full_standard_output_is_reported():
    code = (
        "import sys; from supernet import cli;"
        "sys.exit(cli.run(lambda _: {'n': 1}, cli.parser('x', '').parse_args(['--json'])))"
    )
    with open("/dev/full", "w") as full:
        result = python(code, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 2
    assert result.stderr.startswith("error: the disk is full")
    assert "Exception" not in result.stderr


def test_a_closed_pipe_is_silent():
    code = (
        "import sys; from supernet import cli;"
        "sys.exit(cli.run(lambda _: {'n': 'x' * 10**6}, cli.parser('x', '').parse_args(['--json'])))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (2, "")


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ((), "python -m profiling.collect\n"),
        (("--study", "my net.toml", "--runs-dir", "r"), "collect --study 'my net.toml' --runs-dir r\n"),
    ],
)
def test_an_error_ends_with_the_command_that_mends_it(capsys, options, command):
    error = OvnasError("nothing was measured; do it with", command="profiling.collect")
    assert str(error).endswith("profiling.collect (same --study and --runs-dir)")
    assert cli.run(raising(error), arguments(*options)) == 2
    assert capsys.readouterr().err.endswith(command)
