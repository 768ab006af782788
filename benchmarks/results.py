"""
What was measured, beside what, and whether it is what was promised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

__all__ = ["Report", "Result", "Samples", "Trace", "interleaved", "print_results", "print_trace"]

Samples = Sequence[float]

_SCALES = {"ms": 1e3, "µs": 1e6, "s": 1.0}


@attrs.frozen
class Result:
    """
    One line of the report.

    Attributes:
        what: What was measured.
        value: How much it was, in `unit`.
        beside: What the peer is, and `beside_value` how much that was.
        promise: What must hold, in words; empty for a figure that is only told.
        kept: Whether it holds.
    """

    what: str
    value: float
    unit: str
    beside: str = ""
    beside_value: float | None = None
    promise: str = ""
    kept: bool = True

    @property
    def ratio(self) -> float | None:
        """
        How many times the peer's value this is.
        """
        return self.value / self.beside_value if self.beside_value else None


@attrs.frozen
class Trace:
    """
    Where the time of something went.

    Attributes:
        what: What was traced.
        total: Its median, in milliseconds.
        steps: Each step's median, in milliseconds, in the order in which they ended.
    """

    what: str
    total: float
    steps: dict[str, float]


class Report:
    """
    What one benchmark found; `check` fails it when a promise was not kept.
    """

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.traces: list[Trace] = []

    def tell(self, what: str, value: float, unit: str) -> None:
        """
        Add a figure that nothing was promised about.
        """
        self.results.append(Result(what, value, unit))

    def at_most(self, what: str, value: float, unit: str, limit: float) -> None:
        """
        Add a figure that must be no larger than `limit`, in the same unit.
        """
        promise = f"at most {limit:g} {unit}"
        self.results.append(Result(what, value, unit, promise=promise, kept=value <= limit))

    def compare(
        self,
        what: str,
        samples: Samples,
        beside: str,
        peer: Samples,
        *,
        at_most: float | None = None,
        times_as_fast: float | None = None,
        unit: str = "ms",
    ) -> None:
        """
        Add the medians of two series of seconds, and what their ratio must be.
        """
        ours, theirs = median(samples), median(peer)
        promise, kept = "", True
        if at_most is not None:
            promise, kept = f"at most {at_most:g} times", ours <= at_most * theirs
        elif times_as_fast is not None:
            promise, kept = (
                f"at least {times_as_fast:g} times as fast",
                ours * times_as_fast <= theirs,
            )
        scale = _SCALES[unit]
        self.results.append(Result(what, ours * scale, unit, beside, theirs * scale, promise, kept))

    def check(self) -> None:
        """
        Fail unless every promise was kept.
        """
        broken = [
            f"{result.what}: {_quantity(result.value, result.unit)}, {result.promise}"
            + (f" ({result.beside}: {_beside(result)})" if result.beside else "")
            for result in self.results
            if not result.kept
        ]
        assert not broken, "\n".join(broken)


def interleaved(
    benchmark: Any,
    subject: Callable[[], object],
    peers: Mapping[str, Callable[[], object]],
    rounds: int,
) -> dict[str, list[float]]:
    """
    Measure `subject` with pytest-benchmark, and before each of its rounds each peer once: a load on
    the machine meets all of them alike.

    Returns:
        Seconds, by peer; the subject's are at "kina".
    """
    times: dict[str, list[float]] = {name: [] for name in ("kina", *peers)}

    def timed(name: str, function: Callable[[], object]) -> None:
        begin = perf_counter()
        function()
        times[name].append(perf_counter() - begin)

    def run_peers() -> None:
        for name, function in peers.items():
            timed(name, function)

    # The first round, of everything, warms up.
    benchmark.pedantic(
        lambda: timed("kina", subject), setup=run_peers, rounds=rounds, warmup_rounds=1
    )
    return {name: series[1:] for name, series in times.items()}


def print_results(results: Sequence[Result], console: Console) -> None:
    """
    Show results as a table.
    """
    table = Table(title="kina, and its peers in the same run (medians)", title_justify="left")
    table.add_column("what")
    for name in ("kina", "beside", "ratio"):
        table.add_column(name, justify="right")
    table.add_column("promised")
    for result in results:
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        verdict = "" if not result.promise else "[green]✓" if result.kept else "[bold red]✗"
        table.add_row(
            result.what,
            _quantity(result.value, result.unit),
            f"{result.beside} {_beside(result)}" if result.beside else "",
            ratio,
            f"{verdict} {result.promise}",
        )
    console.print(table)


def print_trace(trace: Trace, console: Console) -> None:
    """
    Show where time went as a table.
    """
    table = Table(title=f"{trace.what}: {trace.total:.1f} ms, of which", title_justify="left")
    table.add_column("step")
    for name in ("ms", "%"):
        table.add_column(name, justify="right")
    rest = trace.total - sum(trace.steps.values())
    for step, value in {**trace.steps, "between the steps": rest}.items():
        table.add_row(step, f"{value:.2f}", f"{100 * value / trace.total:.0f}")
    console.print(table)


def _beside(result: Result) -> str:
    return "" if result.beside_value is None else _quantity(result.beside_value, result.unit)


def _quantity(value: float, unit: str) -> str:
    digits = 0 if value >= 1000 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
