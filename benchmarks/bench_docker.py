"""
Docker mode beside the SDK that it drives, and beside the native runtime: the same command in a
container of its own, on the same engine, in turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import docker
import pytest

import kina

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.engines import engine

ROUNDS = 25
OVERHEAD = 1.10
"""What Docker mode may take, of the SDK's own time."""


def median_of(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """
    Return milliseconds, each function's in turns with the others'.
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 2):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            taken[name].append((time.perf_counter() - before) * 1000)
    # The first two warm everything up.
    return {name: statistics.median(times[2:]) for name, times in taken.items()}


@pytest.mark.timeout(600, method="signal")
def bench_docker_mode(tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    `containers.run` of the SDK, `kina.run` in Docker mode, `kina.run` natively.
    """
    from support.images import make_rootfs

    rootfs = make_rootfs(tmp_path_factory.mktemp("rootfs") / "tree")
    home = tmp_path_factory.mktemp("home")
    image = "localhost/kina/bench:1"
    with (
        engine("docker", tmp_path_factory.mktemp("docker") / "engine") as running,
        kina.connect("native", home=home) as native,
        kina.connect("docker", url=running.url) as mode,
        closing(docker.DockerClient(base_url=running.url)) as client,
    ):
        for runtime in (native, mode):
            kina.Image.from_rootfs(rootfs, image, env={"PATH": "/bin"}, runtime=runtime)
            kina.run(image, ["true"], runtime=runtime)
        # The engine's default bridge is off: both are on kina's network.
        network = "kina-default"
        found = median_of(
            {
                "SDK": lambda: client.containers.run(image, ["true"], remove=True, network=network),
                "kina, Docker mode": lambda: kina.run(image, ["true"], runtime=mode),
                "kina, native": lambda: kina.run(image, ["true"], runtime=native),
            },
            ROUNDS,
        )
        for name, milliseconds in found.items():
            sys.__stdout__.write(f"\n  {name:<20} {milliseconds:7.1f} ms")  # type: ignore[union-attr]
        kina.prune(images=True, networks=True, runtime=native)
    ratio = found["kina, Docker mode"] / found["SDK"]
    assert ratio < OVERHEAD, f"Docker mode takes {ratio:.2f} of the SDK's time"
