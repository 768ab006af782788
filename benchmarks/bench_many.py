"""
A hundred containers at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, TypeVar

import pytest

import kina
from benchmarks.conftest import ROUNDS
from benchmarks.results import Report

COUNT, THREADS, PORT = 100, 8, 8080

T = TypeVar("T")

pytestmark = pytest.mark.timeout(900)


def bench_hundred(benchmark: Any, report: Report, image: kina.Image, runtime: kina.Runtime) -> None:
    before = _kina_processes(runtime)

    def start(index: int) -> kina.Container:
        serve = ["httpd", "-f", "-p", str(PORT), "-h", "/etc"]
        return kina.Container.run(image, serve, name=f"many-{index}", runtime=runtime)

    containers: list[kina.Container] = []
    try:
        _phase(report, "started", start, range(COUNT), containers.append)
        names = {c.name for c in containers}
        answers: list[str] = []
        _phase(report, "reached by address", _ask, containers, answers.append)
        assert sorted(answers) == sorted(names)
        benchmark.pedantic(
            lambda: kina.Container.list(runtime=runtime), rounds=ROUNDS, warmup_rounds=2
        )
        assert {c.name for c in kina.Container.list(runtime=runtime)} == names
        ours = _kina_processes(runtime) - before
        for figure, limit in (("Rss", 3.0), ("Pss", None)):
            size = sum(_memory(pid, figure) for pid in ours) / COUNT / 1e6
            what = f"{figure} of kina's own processes a container"
            if limit is None:
                report.tell(what, size, "MB")
            else:
                report.at_most(what, size, "MB", limit)
    finally:
        _phase(report, "deleted", lambda c: c.delete(force=True), containers)
    assert kina.Container.list(runtime=runtime) == []
    report.at_most(f"Container.list() of {COUNT}", benchmark.stats["median"] * 1e3, "ms", 20)
    report.check()


def _phase(
    report: Report,
    what: str,
    function: Callable[[Any], T],
    items: Iterable[Any],
    keep: Callable[[T], object] = lambda _: None,
) -> None:
    """
    Do something to each of many, a few at a time; what fails is raised once all were tried.
    """
    begin = perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(function, item) for item in items]
    failures = [f.exception() for f in futures if f.exception() is not None]
    for future in futures:
        if future.exception() is None:
            keep(future.result())
    report.tell(f"{COUNT} containers {what}, {THREADS} threads", perf_counter() - begin, "s")
    if failures:
        raise ExceptionGroup(what, [f for f in failures if isinstance(f, Exception)])


def _ask(container: kina.Container) -> str:
    """
    Return what a container's web server says: its host name.
    """
    end = monotonic() + 10
    while True:
        try:
            connection = HTTPConnection(str(container.ip), PORT, timeout=5)
            with closing(connection):
                connection.request("GET", "/hostname")
                return connection.getresponse().read().decode().strip()
        except ConnectionRefusedError:  # not listening yet
            if monotonic() > end:
                raise
            sleep(0.01)


def _kina_processes(runtime: kina.Runtime) -> set[int]:
    """
    The processes that kina keeps: those with its home or run directory in the command line.
    """
    info = runtime.info()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if (info.home in command or info.run_directory in command) and int(
            process.name
        ) != os.getpid():
            found.add(int(process.name))
    return found


def _memory(pid: int, figure: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(figure)
