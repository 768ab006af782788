from __future__ import annotations

from collections.abc import Iterator

import pytest

import kina


@pytest.fixture(autouse=True)
def _clean(nothing_leaks: None, no_rules_leak: None) -> None:
    """
    Every test leaves the host as it was.
    """


@pytest.fixture
def pod(busybox: str) -> Iterator[kina.Pod]:
    with kina.Pod.create("front") as made:
        yield made
