"""
Sizes, CPUs, durations and times as people write them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kina._quantities import parse_bytes, parse_cpus, parse_moment, parse_seconds
from kina.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (1024, 1024),
        ("0", 0),
        ("256Mi", 256 << 20),
        ("256MiB", 256 << 20),
        ("1.5G", 1_500_000_000),
        ("1.5Gi", 3 << 29),
        ("64kb", 64 << 10),
        ("256m", 256 << 20),
        ("2g", 2 << 30),
        ("1k", 1000),
        (" 12 Ki ", 12 << 10),
        (".5Ki", 512),
        (1e6, 1_000_000),
        ("7E", 7 * 10**18),
    ],
)
def test_sizes_follow_kubernetes_and_docker(written: str | float, expected: int) -> None:
    assert expected == parse_bytes(written)


@pytest.mark.parametrize(
    "written",
    ["", "lots", "12q", "-1", -1, "1e3x", "٣Mi", "1 2", True, None, [], float("nan"), 1.5, 2**63],
)
def test_what_is_no_size_is_refused_with_its_value(written: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_bytes(written)  # type: ignore[arg-type]
    assert written is caught.value.problems[0].value or written != written
    assert caught.value.problems[0].hint


@given(st.integers(0, 2**40), st.sampled_from(["", "Ki", "Mi"]))
def test_sizes_are_exact(number: int, unit: str) -> None:
    factor = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20}[unit]
    assert number * factor == parse_bytes(f"{number}{unit}")


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    try:
        size = parse_bytes(text)
    except InvalidArgumentError:
        return
    assert size >= 0


@pytest.mark.parametrize(("written", "expected"), [(1, 1.0), (1.5, 1.5), ("500m", 0.5), ("2", 2)])
def test_cpus(written: str | float, expected: float) -> None:
    assert expected == parse_cpus(written)


@pytest.mark.parametrize("written", [0, -1, "0m", "x", "", True, float("inf"), "1Gi", None])
def test_what_is_no_number_of_cpus_is_refused(written: object) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_cpus(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (10, 10.0),
        ("10", 10.0),
        ("90s", 90.0),
        ("1m30s", 90.0),
        ("1h 1ms", 3600.001),
        (timedelta(minutes=2), 120.0),
        ("0.5s", 0.5),
    ],
)
def test_durations(written: str | float | timedelta, expected: float) -> None:
    assert expected == parse_seconds(written)


@pytest.mark.parametrize("written", ["", "s", "1x", "1m30", "-1s", -1, timedelta(-1), None, True])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_seconds(written)  # type: ignore[arg-type]


def test_a_time_is_a_datetime_or_how_long_ago() -> None:
    assert (
        parse_moment(datetime(2001, 9, 9, 1, 46, 40, 500_000, tzinfo=UTC))
        == 1_000_000_000_500_000_000
    )
    before = time.time_ns()
    ago = parse_moment(timedelta(seconds=60))
    assert before - 60 * 10**9 <= ago <= time.time_ns() - 60 * 10**9


@pytest.mark.parametrize("written", ["now", None, True])
def test_what_is_no_time_is_refused(written: object) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_moment(written)  # type: ignore[arg-type]
