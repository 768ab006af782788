"""
Errors: the codes' classes, what they say, what survives a pickle.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from kina import errors
from kina.errors import (
    CLASSES,
    Code,
    ExecError,
    InvalidArgumentError,
    KinaError,
    Problem,
    error_for,
)

HEADER = Path(__file__).parents[2] / "swift/Sources/CKina/include/kina.h"


def test_the_codes_are_those_of_the_header() -> None:
    declared = dict(re.findall(r"^\s+KINA_([A-Z_]+) = (\d+)", HEADER.read_text(), re.MULTILINE))
    assert {"OK": 0} | {code.name: code.value for code in Code} == {
        name: int(value) for name, value in declared.items()
    }


def test_every_code_has_a_class_and_makes_it() -> None:
    assert set(Code) == set(CLASSES)
    for code, kind in CLASSES.items():
        error = error_for(code, "m", "h", {"k": "v"})
        assert (kind, code, "m", "h", {"k": "v"}) == (
            type(error),
            error.code,
            error.message,
            error.hint,
            error.details,
        )


def test_a_code_of_a_newer_library_is_unknown() -> None:
    assert error_for(99, "m").code == Code.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InvalidArgumentError, ValueError),
        (errors.NotFoundError, LookupError),
        (errors.PermissionDeniedError, PermissionError),
        (errors.DeadlineExceededError, TimeoutError),
    ],
)
def test_errors_are_also_what_python_calls_them(
    kind: type[KinaError], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin)
    assert str(kind("it went wrong", hint="do this")) == "it went wrong (do this)"


def test_the_docstring_draws_every_class() -> None:
    drawn = set(re.findall(r"[├└]─ (\w+)", errors.__doc__ or ""))
    classes = {
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), KinaError)
    }
    assert classes - {"KinaError"} == drawn


def test_errors_survive_pickling() -> None:
    for code in Code:
        error = error_for(code, "m", "h", {"k": "v"})
        copy = pickle.loads(pickle.dumps(error))
        assert (type(error), str(error), error.code, error.details) == (
            type(copy),
            str(copy),
            copy.code,
            copy.details,
        )
    failed = pickle.loads(pickle.dumps(ExecError(["x"], 4, "out", "err")))
    assert (
        failed.command,
        failed.exit_code,
        failed.stdout,
        failed.stderr,
    ) == (("x",), 4, "out", "err")


def test_an_exec_error_shows_the_command_and_the_end_of_stderr() -> None:
    text = str(ExecError(["ls", "/x"], 2, "", "\n".join(f"line {i}" for i in range(9))))
    assert "'ls /x' ended with exit code 2" in text
    assert "line 8" in text
    assert "line 3" not in text


def test_one_problem_is_one_line_and_more_are_a_list() -> None:
    one = InvalidArgumentError.at("memory", "lots", "is not a size", "write 64Mi")
    assert str(one) == "memory 'lots': is not a size (write 64Mi)"
    assert one.details == {"field": "memory", "value": "lots"}
    two = InvalidArgumentError.of([Problem("a", 1, "x"), Problem("b", 2, "y", "z")])
    assert str(two) == "2 values can't be used:\n  a 1: x\n  b 2: y (z)"
