from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal

import pytest

import kina
from support.containers import WAITS
from support.leaks import wait_until


@pytest.fixture(autouse=True)
def _clean(nothing_leaks: None, no_rules_leak: None) -> None:
    """
    Every test leaves the host as it was.
    """


@pytest.fixture
def run(busybox: str) -> Iterator[Callable[..., kina.Container]]:
    """
    Runs containers that go with the test. Without a command they wait.
    """
    with ExitStack() as stack:

        def start(command: list[str] | None = None, **options: Any) -> kina.Container:
            image = options.pop("image", busybox)
            given = WAITS if command is None and image == busybox else command
            return stack.enter_context(kina.Container.run(image, given, **options))

        yield start


@pytest.fixture
def run_with_ping(run: Callable[..., kina.Container]) -> Callable[..., kina.Container]:
    """
    Runs containers in which Debian's busybox can ping: it knows raw sockets only.
    """

    def start(command: list[str] | None = None, **options: Any) -> kina.Container:
        return run(command, **{"cap_add": ["NET_RAW"], **options})

    return start


def _life_of_box(fixture_name: str, config: pytest.Config) -> Literal["function", "module"]:
    """
    Say how long `box` lives: on Linux a machine has streams for seven execs, and no more.
    """
    return "function" if os.environ.get("KINA_TEST_BACKENDS") == "vm" else "module"


@pytest.fixture(scope=_life_of_box)
def box(busybox: str, no_rules_leak: None) -> Iterator[kina.Container]:
    """
    A container that runs for a whole module where it can. Tests leave it running.

    It goes before what looks for leaks does, also when the next runtime has its turn within a
    module: whatever lives as long must ask for that, too.
    """
    with kina.Container.run(busybox, WAITS) as container:
        # The shell and what it waits for: a process that came later would look like a test's.
        assert wait_until(lambda: container.stats().pids == 2)
        yield container
