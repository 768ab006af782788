"""
Where each millisecond of a container's life goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest

import kina
from benchmarks.conftest import ROUNDS
from benchmarks.results import Report, Trace
from kina.calls import Call
from kina.options import container_spec
from kina.runtimes.base import Streams

pytestmark = pytest.mark.timeout(600)


class _Tracer:
    """
    Collects the steps that calls report, and the time around them.
    """

    def __init__(self) -> None:
        self._totals: list[float] = []
        self._steps: dict[str, list[float]] = {}

    def __call__(self, function: Callable[[Call], object]) -> None:
        reader, writer = os.pipe()
        with os.fdopen(reader) as events:
            try:
                begin = perf_counter()
                function(Call(progress_fd=writer))
                self._totals.append(perf_counter() - begin)
            finally:
                os.close(writer)
            times: dict[str, float] = {}
            for event in map(json.loads, events):
                if event["action"] == "step":
                    step = event["item"]
                    times[step] = times.get(step, 0.0) + event["elapsedNs"] / 1e6
        for step, time in times.items():
            self._steps.setdefault(step, []).append(time)

    def trace(self, what: str) -> Trace:
        steps = {step: median(times) for step, times in self._steps.items()}
        return Trace(what, median(self._totals) * 1e3, steps)


def bench_trace_run(
    benchmark: Any, report: Report, image: kina.Image, runtime: kina.Runtime
) -> None:
    """
    The steps of `kina.run`, and what Python adds around them.
    """
    tracer = _Tracer()
    command = ["echo", "hello"]
    null = os.open(os.devnull, os.O_RDWR)

    def run(call: Call) -> None:
        spec = container_spec(image, command, {})
        runtime.containers.run(spec, Streams(null, null, null), call)

    try:
        benchmark.pedantic(
            lambda: kina.run(image, command, runtime=runtime),
            setup=lambda: tracer(run),
            rounds=ROUNDS,
            warmup_rounds=2,
        )
    finally:
        os.close(null)
    trace = tracer.trace("run, with its streams given")
    report.traces.append(trace)
    capture = benchmark.stats["median"] * 1e3 - trace.total
    report.tell("kina.run: capturing its output in Python", capture, "ms")


def bench_trace_life(
    benchmark: Any, report: Report, image: kina.Image, runtime: kina.Runtime
) -> None:
    """
    The steps of create, start, stop and delete, each with a supervisor, as `Container` does them.
    """
    phases = {name: _Tracer() for name in ("create", "start", "stop", "delete")}
    spec = container_spec(image, ["sleep", "3600"], {"stop_signal": "KILL"})
    containers = runtime.containers

    def live() -> None:
        made: list[str] = []
        phases["create"](lambda call: made.append(containers.create(spec, call).id))
        (container,) = made
        phases["start"](lambda call: containers.start(container, call))
        phases["stop"](lambda call: containers.stop(container, None, call))
        phases["delete"](lambda call: containers.delete(container, False, call))

    benchmark.pedantic(live, rounds=ROUNDS, warmup_rounds=1)
    report.traces += [tracer.trace(name) for name, tracer in phases.items()]
    for name, tracer in phases.items():
        report.tell(f"Container.{name}", tracer.trace(name).total, "ms")
