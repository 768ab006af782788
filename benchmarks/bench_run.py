"""
A command in a container of its own: output, exit code, and nothing left.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import kina
from benchmarks.conftest import ROUNDS
from benchmarks.peers import Docker, Peer, Podman, Runc
from benchmarks.results import Report, interleaved

pytestmark = pytest.mark.timeout(600)

COMMAND = ("echo", "hello")


def bench_run(
    benchmark: Any,
    report: Report,
    image: kina.Image,
    runtime: kina.Runtime,
    runc: Runc,
    docker: Docker,
    podman: Podman,
) -> None:
    def run() -> None:
        completed = kina.run(image, COMMAND, runtime=runtime)
        assert completed.stdout == "hello\n"

    peers: dict[str, Peer] = {"runc": runc, "docker": docker, "podman": podman}
    for peer in peers.values():
        assert peer.run(*COMMAND) == "hello\n"
    times = interleaved(
        benchmark,
        run,
        {name: partial(peer.run, *COMMAND) for name, peer in peers.items()},
        ROUNDS,
    )
    what = "run, output, exit code, delete"
    report.compare(what, times["kina"], "runc run", times["runc"], at_most=3.5)
    report.compare(what, times["kina"], "docker run --rm", times["docker"], times_as_fast=3)
    report.compare(what, times["kina"], "podman run --rm", times["podman"], times_as_fast=3)
    report.check()


def bench_exec(
    benchmark: Any, report: Report, image: kina.Image, runtime: kina.Runtime, runc: Runc
) -> None:
    sleep = ("sleep", "3600")
    with (
        kina.Container.run(image, sleep, runtime=runtime) as container,
        runc.running(*sleep) as bare,
    ):

        def execute() -> None:
            assert container.exec(["true"]).exit_code == 0

        times = interleaved(
            benchmark, execute, {"runc": lambda: runc.exec(bare, "true")}, 2 * ROUNDS
        )
    report.compare("exec true", times["kina"], "runc exec", times["runc"], at_most=2)
    report.check()
