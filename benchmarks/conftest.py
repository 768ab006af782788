"""
What benchmarks share: the image, the peers, and the report at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from rich.console import Console

import kina
from benchmarks.peers import Docker, Podman, Runc, make_rootfs
from benchmarks.results import Report, print_results, print_trace

_REPORTS = pytest.StashKey[list[Report]]()

ROUNDS = 25


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORTS] = []


def pytest_terminal_summary(config: pytest.Config) -> None:
    reports = config.stash[_REPORTS]
    console = Console(width=140)
    for report in reports:
        for trace in report.traces:
            print_trace(trace, console)
    if results := [result for report in reports for result in report.results]:
        print_results(results, console)


@pytest.fixture
def report(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Report]:
    """
    Where a benchmark's results go: the table at the end, and pytest-benchmark's JSON.
    """
    report = Report()
    yield report
    request.config.stash[_REPORTS].append(report)
    benchmark.extra_info["results"] = [attrs.asdict(result) for result in report.results]
    benchmark.extra_info["traces"] = [attrs.asdict(trace) for trace in report.traces]


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """
    Everything's place. pytest's own directories stay for a while, and these have engines in them.
    """
    with TemporaryDirectory(prefix="kina-benchmark-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def rootfs(directory: Path) -> Path:
    return make_rootfs(directory / "rootfs")


@pytest.fixture(scope="session")
def runc(directory: Path, rootfs: Path) -> Runc:
    return Runc(directory / "runc", rootfs)


@pytest.fixture(scope="session")
def docker(directory: Path, rootfs: Path) -> Iterator[Docker]:
    with Docker.started(directory / "docker", rootfs) as docker:
        yield docker


@pytest.fixture(scope="session")
def podman(directory: Path, rootfs: Path) -> Iterator[Podman]:
    with Podman.started(directory / "podman", rootfs) as podman:
        yield podman


@pytest.fixture(scope="session")
def runtime(directory: Path) -> Iterator[kina.Runtime]:
    """
    A runtime with a home of its own, left empty.
    """
    with kina.connect(home=directory / "home") as runtime:
        yield runtime
        kina.prune(runtime=runtime)


@pytest.fixture(scope="session")
def image(runtime: kina.Runtime, rootfs: Path) -> kina.Image:
    return kina.Image.from_rootfs(rootfs, "localhost/benchmark:latest", runtime=runtime)
