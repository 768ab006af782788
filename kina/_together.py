"""
Several things at once, ended together: by the first failure, or by Ctrl-C.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from kina.calls import Background, Call
from kina.errors import OperationCancelledError

__all__ = ["each", "together", "undisturbed"]

T = TypeVar("T")
V = TypeVar("V")


def together(functions: Iterable[Callable[[], T]], call: Call) -> list[T]:
    """
    Run functions at once, each on a thread of its own, and return their results in order.

    The first failure cancels the call, and with it the others; it is raised when they have ended,
    with what else went wrong as notes.

    Args:
        functions: They must honour the call.
        call: Bounds them all.

    Raises:
        KeyboardInterrupt: After all were cancelled and have cleaned up.
    """
    listed = list(functions)
    first: list[BaseException] = []
    lock = threading.Lock()

    def guarded(function: Callable[[], T]) -> Callable[[], T]:
        def run() -> T:
            try:
                return function()
            except BaseException as failure:
                with lock:
                    first.append(failure)
                call.cancel()
                raise

        return run

    running = [Background(guarded(function), call) for function in listed]
    try:
        for background in running:
            background.start()
        for background in running:
            background.wait()
    except BaseException:
        for background in running:
            background.cancel()
        raise
    results: list[T] = []
    for background in running:
        # The first failure is raised below, whichever it was.
        with suppress(*({type(failure) for failure in first})):
            results.append(background.result())
    if first:
        raise _noted(first)
    return results


def _noted(failures: list[BaseException]) -> BaseException:
    failure, *others = failures
    for other in others:
        if not isinstance(other, OperationCancelledError):
            failure.add_note(f"also: {other}")
    return failure


def each(function: Callable[[V], T], items: Iterable[V], call: Call) -> list[T]:
    """
    Run a function for every item at once; see `together`.
    """
    listed = list(items)
    if len(listed) == 1:
        return [function(listed[0])]
    return together([lambda item=item: function(item) for item in listed], call)  # type: ignore[misc]


def undisturbed(function: Callable[[], T]) -> T:
    """
    Run a function to its end, whatever signals come meanwhile; a Ctrl-C is raised afterwards.
    """
    background = Background(function, Call())
    interruption: KeyboardInterrupt | None = None
    background.start()
    while not background.done:
        try:
            background.wait()
        except KeyboardInterrupt as signal:
            interruption = signal
    result = background.result()
    if interruption is not None:
        raise interruption
    return result
