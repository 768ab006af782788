"""
Clusters: beside kind with the same image in the same run, and what more nodes cost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Any, Final

import pytest

import kina
from benchmarks.peers import Docker
from benchmarks.results import Report, Trace
from support.kind import Kind

pytestmark = pytest.mark.timeout(3600)

ROUNDS = 3
WORKERS = 3
IMAGE_SIZE = 200 << 20
IDLE_SECONDS = 60.0
# By its name, and by that which an import adds.
FORGET = """
ctr -n k8s.io images ls -q | grep -E "^localhost/large:1$|^import-" | while read -r name; do
    ctr -n k8s.io images rm --sync "$name"
done
"""


@pytest.fixture(scope="module")
def node_image(runtime: kina.Runtime) -> kina.Image:
    return kina.build_node_image(progress=False, runtime=runtime)


# Docker gives a privileged container every capability there is, also one that this machine may not
# have itself.
_RUNTIME: Final = """#!/bin/sh
bundle=. process= previous=
for word do
    case $previous in
    --bundle | -b) bundle=$word ;;
    --process | -p) process=$word ;;
    esac
    previous=$word
done
for file in "$bundle/config.json" "$process"; do
    [ -f "$file" ] && sed -i 's/"CAP_SYS_RESOURCE",//g; s/,"CAP_SYS_RESOURCE"//g' "$file"
done
exec runc "$@"
"""


@pytest.fixture(scope="module")
def kind(directory: Path, rootfs: Path, node_image: kina.Image) -> Iterator[Kind]:
    archive, wrapper = directory / "node.tar", directory / "runtime"
    kina.Image.save(node_image, archive, format="docker")
    wrapper.write_text(_RUNTIME)
    wrapper.chmod(0o755)
    options = ("--add-runtime", f"bounded={wrapper}", "--default-runtime", "bounded")
    with Docker.started(directory / "docker", rootfs, *options) as docker:
        docker.load(archive)
        archive.unlink()
        yield Kind(directory / "kind", docker.host, node_image.reference)


@pytest.fixture(scope="module")
def large_image(runtime: kina.Runtime, directory: Path) -> kina.Image:
    """
    An image of 200 MB that does not shrink.
    """
    tree = directory / "large"
    tree.mkdir()
    (tree / "noise").write_bytes(os.urandom(IMAGE_SIZE))
    return kina.Image.from_rootfs(tree, "localhost/large:1", runtime=runtime)


class Rounds:
    """
    Clusters that are created and deleted again, and how long each took.
    """

    def __init__(self, runtime: kina.Runtime, image: kina.Image, workers: int) -> None:
        self._runtime, self._image, self._workers = runtime, image, workers
        self.created: list[float] = []
        self.deleted: list[float] = []
        self.timings: list[dict[str, float]] = []

    def create(self) -> kina.Cluster:
        begin = perf_counter()
        cluster = kina.Cluster.create(
            "bench",
            workers=self._workers,
            image=self._image,
            kubeconfig=False,
            progress=False,
            runtime=self._runtime,
        )
        self.created.append(perf_counter() - begin)
        self.timings.append(cluster.timings)
        return cluster

    def delete(self, cluster: kina.Cluster) -> None:
        begin = perf_counter()
        cluster.delete()
        self.deleted.append(perf_counter() - begin)

    def run(self) -> None:
        self.delete(self.create())

    def trace(self, what: str) -> Trace:
        """
        Say where the time went; some actions run at once.
        """
        names = self.timings[0]
        steps = {name: 1e3 * median(times[name] for times in self.timings) for name in names}
        return Trace(what, 1e3 * median(self.created), steps)


def bench_one_node(
    benchmark: Any, report: Report, runtime: kina.Runtime, node_image: kina.Image, kind: Kind
) -> None:
    ours = Rounds(runtime, node_image, 0)
    created: list[float] = []
    deleted: list[float] = []

    def run_kind() -> None:
        begin = perf_counter()
        kind.create()
        created.append(perf_counter() - begin)
        begin = perf_counter()
        kind.delete()
        deleted.append(perf_counter() - begin)

    benchmark.pedantic(ours.run, setup=run_kind, rounds=ROUNDS)
    report.traces.append(ours.trace("one node"))
    what = "a cluster of one node, until it is ready"
    report.compare(what, ours.created, "kind", created, at_most=0.4, unit="s")
    report.compare("its deletion", ours.deleted, "kind", deleted, unit="s")
    report.check()


def bench_four_nodes(
    benchmark: Any, report: Report, runtime: kina.Runtime, node_image: kina.Image
) -> None:
    one, four = Rounds(runtime, node_image, 0), Rounds(runtime, node_image, WORKERS)
    benchmark.pedantic(four.run, setup=one.run, rounds=ROUNDS)
    report.traces.append(four.trace(f"1 + {WORKERS} nodes"))
    what = f"a cluster of 1 + {WORKERS} nodes"
    report.compare(what, four.created, "one node", one.created, at_most=1.6, unit="s")
    report.at_most("deletion of 4 nodes", median(four.deleted), "s", 3.0)
    report.check()


def bench_load_and_idle(
    benchmark: Any,
    report: Report,
    runtime: kina.Runtime,
    node_image: kina.Image,
    large_image: kina.Image,
) -> None:
    rounds = Rounds(runtime, node_image, WORKERS)
    cluster = rounds.create()
    try:
        _tell_idle(report, cluster)
        workers = cluster.nodes("worker")
        alone: list[float] = []
        together: list[float] = []
        # The image's name and content stay on a node: it is forgotten between the rounds.
        for _ in range(ROUNDS):
            for nodes, times in ((workers[:1], alone), (workers, together)):
                begin = perf_counter()
                assert len(cluster.load_image(large_image, nodes=nodes)) == len(nodes)
                times.append(perf_counter() - begin)
                for node in nodes:
                    node.exec(["sh", "-c", FORGET], check=True)
        what = f"200 MB into {WORKERS} nodes"
        report.compare(what, together, "one node", alone, at_most=1.5, unit="s")
        benchmark.pedantic(cluster.status, rounds=5)
    finally:
        rounds.delete(cluster)
    report.check()


def _tell_idle(report: Report, cluster: kina.Cluster) -> None:
    """
    Measure nodes that have nothing to do, over a minute.
    """
    sleep(IDLE_SECONDS / 4)  # what comes right after the creation is not rest
    begin = monotonic()
    before = {node.name: node.stats().cpu_ns or 0 for node in cluster.nodes()}
    sleep(IDLE_SECONDS)
    for node in cluster.nodes():
        figures = node.stats()
        used = ((figures.cpu_ns or 0) - before[node.name]) / 1e9 / (monotonic() - begin)
        name = node.name.removeprefix(f"{cluster.name}-")
        report.tell(f"idle {name}: memory", (figures.memory_bytes or 0) / (1 << 20), "MiB")
        report.tell(f"idle {name}: CPU over a minute", 100 * used, "% of one")
