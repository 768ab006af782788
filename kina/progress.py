"""
Shows how far something is: a live table in a terminal or notebook, plain lines elsewhere.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kina import wire
from kina._streams import Lines, Reading
from kina.calls import Call
from kina.status import ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Reporter", "showing_steps", "with_progress"]

T = TypeVar("T")

Reporter = bool | Callable[[ProgressEvent], object]
"""True: shown; False: silent; or called with each event."""


class _Display(Protocol):
    def __enter__(self) -> Callable[[ProgressEvent], object]: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


def with_progress(
    function: Callable[[Call], T], title: str, reporter: Reporter, timeout: float | None
) -> T:
    """
    Run a function, showing its progress on the way.

    Args:
        function: Takes the call.
        title: What is shown beside it.
        reporter: How.
        timeout: Seconds that it may take.
    """
    if reporter is False:
        return function(Call(timeout))
    result: list[T] = []
    bound = Call(timeout)

    def write(fd: int, call: Call) -> None:
        call.progress_fd = fd
        result.append(function(call))

    with _display(title, reporter) as report, Reading(write, bound) as chunks:
        for line in Lines(chunks):
            report(wire.from_json(ProgressEvent, line.decode()))
    return result[0]


def showing_steps(title: str, reporter: Reporter) -> _Display:
    """
    Return what shows steps, each with its time: a context manager over a function to be called with
    each event, from any thread.

    Args:
        title: What the steps are of.
        reporter: How.
    """
    if reporter is False:
        return _Callback(lambda _: None)
    if callable(reporter):
        return _Callback(reporter)
    if _is_live():
        return _LiveSteps(title)
    return _PlainSteps(title)


def _display(title: str, reporter: Reporter) -> _Display:
    if callable(reporter):
        return _Callback(reporter)
    if _is_live():
        return _Live(title)
    return _Plain(title)


def _is_live() -> bool:
    """
    Say whether what was shown can be changed. A notebook without widgets can't do that: rich would
    show nothing but advice.
    """
    if _in_notebook():
        return importlib.util.find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


def _in_notebook() -> bool:
    # IPython is imported where there is a notebook, and nowhere else is it looked for.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _Callback:
    def __init__(self, callback: Callable[[ProgressEvent], object]) -> None:
        self._callback = callback

    def __enter__(self) -> Callable[[ProgressEvent], object]:
        return self._callback

    def __exit__(self, *exception: object) -> None:
        return None


class _Plain:
    """
    A line for each part that has come to something new.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._states: dict[str | None, str] = {}

    def __enter__(self) -> Callable[[ProgressEvent], object]:
        return self._report

    def __exit__(self, *exception: object) -> None:
        return None

    def _report(self, event: ProgressEvent) -> None:
        if self._states.get(event.item) == event.state:
            return
        self._states[event.item] = event.state
        size = f" {_size(event.total)}" if event.total else ""
        part = f" {_short(event.item)}" if event.item else ""
        sys.stderr.write(f"{self._title}:{part} {event.state}{size}\n")
        sys.stderr.flush()


class _Live:
    """
    A bar for each part.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._tasks: dict[str | None, TaskID] = {}

    def __enter__(self) -> Callable[[ProgressEvent], object]:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TextColumn("{task.fields[state]}"),
            console=None if _in_notebook() else Console(stderr=True),
        )
        self._progress.start()
        return self._report

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def _report(self, event: ProgressEvent) -> None:
        task = self._tasks.get(event.item)
        if task is None:
            from rich.markup import escape

            name = escape(_short(event.item) if event.item else self._title)
            task = self._tasks[event.item] = self._progress.add_task(name, total=None, state="")
        given: dict[str, Any] = {"completed": event.current, "total": event.total}
        self._progress.update(
            task,
            state=event.state,
            **{key: value for key, value in given.items() if value is not None},
        )


class _PlainSteps:
    """
    A line for each step that has ended.
    """

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> Callable[[ProgressEvent], object]:
        return self._report

    def __exit__(self, *exception: object) -> None:
        return None

    def _report(self, event: ProgressEvent) -> None:
        if event.state == "running":
            return
        failed = "" if event.state == "done" else f" {event.state}"
        line = f"{self._title}: {event.item}{failed} {_seconds(event)}\n"
        sys.stderr.write(line)  # one call: lines of several threads stay whole
        sys.stderr.flush()


class _LiveSteps:
    """
    A line for each step, with a spinner while it runs.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._tasks: dict[str | None, TaskID] = {}

    def __enter__(self) -> Callable[[ProgressEvent], object]:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress, SpinnerColumn, TextColumn

        self._progress: Progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[state]}"),
            console=None if _in_notebook() else Console(stderr=True),
        )
        self._progress.start()
        self._progress.console.print(f"[bold]{escape(self._title)}[/bold]")
        return self._report

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def _report(self, event: ProgressEvent) -> None:
        if event.state == "running":
            task = self._progress.add_task(event.item or event.action, total=1, state="")
            self._tasks[event.item] = task
            return
        mark = "[green]✓[/green]" if event.state == "done" else "[red]✗[/red]"
        self._progress.update(
            self._tasks[event.item], completed=1, state=f"{mark} {_seconds(event)}"
        )


def _seconds(event: ProgressEvent) -> str:
    return f"{(event.elapsed_ns or 0) / 1e9:.1f} s"


def _short(item: str) -> str:
    return item.removeprefix("sha256:")[:12] if item.startswith("sha256:") else item


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
