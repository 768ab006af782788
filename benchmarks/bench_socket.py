"""
What the way through a server's socket costs, beside the same in this process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import attrs
import pytest

import kina
from benchmarks.conftest import ROUNDS
from benchmarks.results import Report, interleaved

BYTES = 256 << 20


@attrs.frozen
class Server:
    """
    kina-vmd's process.
    """

    pid: int

    def resident(self) -> float:
        """
        Return megabytes of memory that are its alone.
        """
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000

    def cpu(self) -> float:
        """
        Return seconds of processor time.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def remote(runtime: kina.Runtime) -> Iterator[kina.Runtime]:
    """
    The same home through the socket.
    """
    with kina.connect(home=runtime.info().home, backend="remote") as remote:
        yield remote


@pytest.fixture(scope="module")
def server(remote: kina.Runtime) -> Server:
    remote.containers.list(kina.requests.ContainerFilter())
    return Server(int(Path(remote.info().run_directory, "server/lock").read_text()))


def bench_call(benchmark: Any, report: Report, runtime: kina.Runtime, remote: kina.Runtime) -> None:
    times = interleaved(benchmark, remote.volumes.list, {"here": runtime.volumes.list}, 20 * ROUNDS)
    hop = (median(times["kina"]) - median(times["here"])) * 1e3
    report.tell("a list of no volumes, in this process", median(times["here"]) * 1e3, "ms")
    report.at_most("the same through the socket, more than that", hop, "ms", 0.3)
    report.check()


def bench_long_document(
    benchmark: Any, report: Report, runtime: kina.Runtime, remote: kina.Runtime, image: kina.Image
) -> None:
    """
    A whole specification is read and written once more at each end of the socket.
    """
    with kina.Container.create(image, ["sleep", "60"], runtime=runtime) as box:
        times = interleaved(
            benchmark,
            lambda: remote.containers.get(box.id),
            {"here": lambda: runtime.containers.get(box.id)},
            20 * ROUNDS,
        )
    hop = (median(times["kina"]) - median(times["here"])) * 1e3
    report.tell(
        "a container with its specification, in this process", median(times["here"]) * 1e3, "ms"
    )
    report.tell("the same through the socket, more than that", hop, "ms")


def bench_exec(
    benchmark: Any, report: Report, runtime: kina.Runtime, remote: kina.Runtime, image: kina.Image
) -> None:
    with kina.Container.run(image, ["sleep", "3600"], runtime=runtime) as box:
        far = kina.Container.get(box.id, runtime=remote)
        times = interleaved(
            benchmark, lambda: far.exec(["true"]), {"here": lambda: box.exec(["true"])}, 2 * ROUNDS
        )
    report.tell("exec true, in this process", median(times["here"]) * 1e3, "ms")
    report.tell("exec true, through the socket", median(times["kina"]) * 1e3, "ms")
    # Three calls (create, wait, delete), which is less than one exec differs from the next.
    ratio = median(times["kina"]) / median(times["here"])
    report.at_most("exec true through the socket, times that in this process", ratio, "x", 1.1)
    report.check()


def bench_statistics(
    benchmark: Any, report: Report, runtime: kina.Runtime, remote: kina.Runtime, image: kina.Image
) -> None:
    with kina.Container.run(image, ["sleep", "3600"], runtime=runtime) as box:
        far = kina.Container.get(box.id, runtime=remote)
        times = interleaved(
            benchmark,
            lambda: far.sample(0, count=1000),
            {"here": lambda: box.sample(0, count=1000)},
            ROUNDS,
        )
    report.tell("1,000 samples, in this process", median(times["here"]) * 1e3, "ms")
    report.tell("1,000 samples through the socket", median(times["kina"]) * 1e3, "ms")


def stream(runtime: kina.Runtime, container: str) -> float:
    """
    Read a lot from an exec'd process; megabytes a second.
    """
    spec = kina.config.ProcessSpec(args=("head", "-c", str(BYTES), "/dev/zero"))
    read, write = os.pipe()
    counted = 0

    def drain() -> None:
        nonlocal counted
        while chunk := os.read(read, 1 << 16):
            counted += len(chunk)

    thread = threading.Thread(target=drain)
    begin = time.perf_counter()
    thread.start()
    streams = kina.runtimes.base.Streams(-1, write, -1)
    process = runtime.processes.create(container, spec, streams)
    os.close(write)
    runtime.processes.wait(container, process)
    thread.join()
    seconds = time.perf_counter() - begin
    runtime.processes.delete(container, process)
    os.close(read)
    assert counted == BYTES
    return BYTES / seconds / 1e6


def bench_stream(
    benchmark: Any,
    report: Report,
    runtime: kina.Runtime,
    remote: kina.Runtime,
    image: kina.Image,
    server: Server,
) -> None:
    """
    Descriptors go straight through: the server copies nothing.
    """
    with kina.Container.run(image, ["sleep", "3600"], runtime=runtime) as box:
        near, far = [], []
        before = server.cpu()

        def both() -> None:
            near.append(stream(runtime, box.id))
            far.append(stream(remote, box.id))

        benchmark.pedantic(both, rounds=10, warmup_rounds=1)
        spent = server.cpu() - before
    report.tell("stdout of an exec, in this process", median(near), "MB/s")
    report.tell("stdout of an exec, through the socket", median(far), "MB/s")
    gigabytes = len(far) * BYTES / 1e9
    report.at_most("processor time of the server for a GB", spent / gigabytes * 1e3, "ms", 100)
    report.check()


def bench_idle_memory(benchmark: Any, report: Report, server: Server) -> None:
    benchmark.pedantic(server.resident, rounds=1)
    report.tell("memory of the idle server, its alone", server.resident(), "MB")
