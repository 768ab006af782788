from __future__ import annotations

from collections.abc import Iterator

import pytest

import kina
from support.images import Entry, Handmade, handmade, tree
from support.registry import HostileRegistry, hostile_registry


@pytest.fixture
def _last(runtime: object) -> Iterator[None]:
    """
    After the leak check has said what a test left, those after it start from nothing all the same.
    """
    yield
    for box in kina.Container.list():
        box.delete(force=True)


@pytest.fixture(autouse=True)
def _clean(_last: None, nothing_leaks: None, no_rules_leak: None) -> None:
    """
    Whatever fails leaves the host as it was.
    """


@pytest.fixture(scope="session")
def small_image() -> Handmade:
    return handmade([tree([Entry(name="etc/marker", data=b"from a registry\n")])])


@pytest.fixture(scope="module")
def hostile(small_image: Handmade) -> Iterator[HostileRegistry]:
    with hostile_registry(small_image) as registry:
        yield registry


@pytest.fixture(autouse=True)
def _no_image_left(runtime: object) -> Iterator[None]:
    """
    A pull that failed has left no image.
    """
    before = {image.reference for image in kina.Image.list()}
    yield
    after = {image.reference for image in kina.Image.list()}
    assert after <= before
