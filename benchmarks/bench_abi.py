"""
What crossing from Python to Swift costs, and what importing does.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import kina
from benchmarks.conftest import ROUNDS
from benchmarks.results import Report, interleaved
from kina import _kina  # the bare C functions are what is measured

HEAVY = ("numpy", "kubernetes", "rich", "docker")


def bench_empty_call(benchmark: Any, report: Report) -> None:
    benchmark(_kina.lib.kina_abi_version)
    report.at_most("an empty call through the ABI", benchmark.stats["median"] * 1e6, "µs", 1)
    report.check()


def bench_small_document(benchmark: Any, report: Report, runtime: kina.Runtime) -> None:
    """
    A document from Swift, as an object of Python.
    """
    benchmark(runtime.info)
    report.tell("runtime.info(): a small document", benchmark.stats["median"] * 1e6, "µs")


def bench_statistics(
    benchmark: Any, report: Report, image: kina.Image, runtime: kina.Runtime
) -> None:
    """
    A thousand samples make no more Python objects than ten do.
    """
    with kina.Container.run(image, ["sleep", "3600"], runtime=runtime) as container:

        def sample(count: int) -> int:
            gc.collect()
            before = sys.getallocatedblocks()
            samples = container.sample(0, count=count)
            blocks = sys.getallocatedblocks() - before
            assert len(samples) == count
            return blocks

        sample(10)
        growth = median(sample(1000) - sample(10) for _ in range(5))
        benchmark.pedantic(lambda: container.sample(0, count=1000), rounds=20, warmup_rounds=1)
    report.at_most("Python objects more for 1,000 samples than for 10", growth, "", 0)
    report.tell("1,000 statistics samples", benchmark.stats["median"] * 1e3, "ms")
    report.check()


def bench_import(benchmark: Any, report: Report) -> None:
    def run(code: str) -> None:
        # -I: as an installed package is found, and nothing of this checkout.
        subprocess.run([sys.executable, "-I", "-c", code], check=True)

    heavy = f"import sys, kina; assert not {{*sys.modules}} & {{*{HEAVY!r}}}"
    run(heavy)
    times = interleaved(
        benchmark, lambda: run("import kina"), {"python": lambda: run("pass")}, ROUNDS
    )
    extra = (median(times["kina"]) - median(times["python"])) * 1e3
    report.at_most("import kina, over a bare interpreter", extra, "ms", 60)
    # Swift's runtime and FoundationEssentials, linked in, are nearly all of it.
    library = Path(_kina.__file__).parent / "libkina.so"
    report.at_most("libkina.so", library.stat().st_size / 1e6, "MB", 16)
    report.check()


def bench_first_use(benchmark: Any, report: Report, runtime: kina.Runtime) -> None:
    """
    From nothing to the first answer: what a short script pays.
    """
    home = runtime.info().home
    code = f"import kina; kina.connect(home={home!r}); kina.Container.list()"

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-I", "-c", code], check=True)

    times = interleaved(benchmark, lambda: run(code), {"python": lambda: run("pass")}, ROUNDS)
    extra = (median(times["kina"]) - median(times["python"])) * 1e3
    report.tell("import, open and list, over a bare interpreter", extra, "ms")
