"""
Calls that can last: bounded by a deadline, cancelled from another thread, interrupted by Ctrl-C.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

from kina._quantities import parse_seconds
from kina.errors import InvalidArgumentError

__all__ = ["CLEAN_UP_SECONDS", "SLICE", "Background", "Call", "interruptible"]

T = TypeVar("T")

SLICE = 0.2
"""
The longest that a wait is uninterrupted, in seconds. A signal that comes just before a wait's
system call does not end that call, and the interpreter has no way to close the gap: so a wait looks
up now and then.
"""

CLEAN_UP_SECONDS = 30.0
"""How long an interrupted call may take to undo what it began."""


def _seconds(timeout: float) -> float:
    try:
        return parse_seconds(timeout)
    except InvalidArgumentError as error:
        (problem,) = error.problems
        raise InvalidArgumentError.of([problem._replace(field="timeout")]) from None


class Call:
    """
    What bounds one or more functions of a runtime.

    Args:
        timeout: Seconds until the deadline, counted from now; None for none.
        progress_fd: Where progress goes, a JSON line an event; -1 for nowhere.

    Raises:
        InvalidArgumentError: The timeout is no duration, or negative.
    """

    __slots__ = ("_cancelled", "_deadline", "_hooks", "_lock", "progress_fd")

    def __init__(self, timeout: float | None = None, progress_fd: int = -1) -> None:
        self._deadline = None if timeout is None else time.monotonic() + _seconds(timeout)
        self._lock = threading.Lock()
        self._hooks: list[Callable[[], None]] = []
        self._cancelled = False
        self.progress_fd = progress_fd

    @property
    def remaining(self) -> float | None:
        """
        Seconds until the deadline, never negative; None without one.
        """
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """
        Whether `cancel` was called.
        """
        return self._cancelled

    def cancel(self) -> None:
        """
        Ask every function under way with this call to stop. Returns at once.
        """
        with self._lock:
            self._cancelled = True
            for hook in self._hooks:
                hook()

    @contextmanager
    def cancelling(self, hook: Callable[[], None]) -> Iterator[None]:
        """
        Have `hook` called when the call is cancelled meanwhile, or at once when it is cancelled
        already.
        """
        with self._lock:
            self._hooks.append(hook)
            if self._cancelled:
                hook()
        try:
            yield
        finally:
            with self._lock:
                self._hooks.remove(hook)


class _Outcome(Generic[T]):
    """
    What a function has come to; shared by its thread and its waiter.
    """

    __slots__ = ("ended", "failure", "ticket", "values")

    def __init__(self, writer: int) -> None:
        # Whoever takes it closes the descriptor, and decides whether the function runs: a signal
        # can interrupt the start of a thread such that nobody knows whether it has begun.
        self.ticket = [writer]
        # Not the thread's own lock: a `join` that a signal interrupts takes the thread for ended
        # (bpo-45274).
        self.ended = threading.Event()
        self.values: list[T] = []
        self.failure: BaseException | None = None

    def take(self) -> int | None:
        """
        Return the descriptor, once.
        """
        try:
            return self.ticket.pop()
        except IndexError:
            return None


def _work(function: Callable[[], T], outcome: _Outcome[T]) -> None:
    writer = outcome.take()
    if writer is None:
        return
    try:
        outcome.values.append(function())
    except BaseException as failure:  # noqa: BLE001  # the thread that waits raises it
        outcome.failure = failure
    finally:
        outcome.ended.set()
        os.close(writer)


class Background(Generic[T]):
    """
    A function under way on a thread of its own, which ends with it.

    It can be waited for with `selectors`: its descriptor becomes readable at the end. Abandoning it
    cancels it.

    Args:
        function: What to do. It must honour `call`.
        call: Ends it early.
    """

    def __init__(self, function: Callable[[], T], call: Call) -> None:
        self._call = call
        self._reader, writer = os.pipe()
        self._outcome: _Outcome[T] = _Outcome(writer)
        arguments = (function, self._outcome)
        self._thread = threading.Thread(target=_work, args=arguments, name="kina", daemon=True)

    def start(self) -> Background[T]:
        """
        Begin, and return itself.
        """
        self._thread.start()
        return self

    def fileno(self) -> int:
        """
        Return the descriptor that becomes readable at the end.
        """
        return self._reader

    @property
    def done(self) -> bool:
        """
        Whether the function has returned or raised.
        """
        return self._outcome.ended.is_set()

    @property
    def value(self) -> T | None:
        """
        What the function has returned, None when it has not.
        """
        return self._outcome.values[0] if self._outcome.values else None

    @property
    def failure(self) -> BaseException | None:
        """
        What the function has raised.
        """
        return self._outcome.failure

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait for the end and say whether it came. Signals interrupt it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._outcome.ended.wait(SLICE if timeout is None else min(SLICE, timeout)):
            if deadline is not None and (timeout := deadline - time.monotonic()) <= 0:
                return self.done
        return True

    def result(self) -> T:
        """
        Wait for the end, and return or raise what the function did.
        """
        self.wait()
        self._thread.join()
        self.close()
        if self._outcome.failure is not None:
            raise self._outcome.failure
        return self._outcome.values[0]

    def cancel(self) -> bool:
        """
        End the function and wait for its clean-up, whatever signals come.

        Returns:
            Whether the clean-up has ended within its time.
        """
        self._call.cancel()
        self._forgo()
        deadline = time.monotonic() + CLEAN_UP_SECONDS
        while not self.done and (left := deadline - time.monotonic()) > 0:
            # A second Ctrl-C is held: the first is raised when all is clean.
            with suppress(KeyboardInterrupt):
                self.wait(left)
        if self.done and self._thread.ident is not None:
            with suppress(KeyboardInterrupt):
                self._thread.join()
        self.close()
        return self.done

    def close(self) -> None:
        """
        Give up the descriptor.
        """
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)

    def _forgo(self) -> None:
        """
        See to it that a function which has not begun never does.
        """
        writer = self._outcome.take()
        if writer is not None:
            os.close(writer)
            self._outcome.ended.set()

    def __del__(self) -> None:
        if not hasattr(self, "_thread"):
            return
        # One call may bound several functions: only what still runs is abandoned.
        if not self.done:
            self._call.cancel()
            self._forgo()
        self.close()


def interruptible(
    function: Callable[[], T], call: Call, undo: Callable[[T], None] | None = None
) -> T:
    """
    Run a function that blocks outside the interpreter such that Ctrl-C ends it.

    The interpreter runs signal handlers on the main thread only, and between its own instructions.
    So on the main thread the function goes to a worker while the main thread waits; elsewhere no
    signal arrives and it runs here.

    Args:
        function: What to do. It must honour `call`.
        call: Ends it early.
        undo: Takes back a result that came just when the wait for it was interrupted.

    Raises:
        KeyboardInterrupt: After the function was cancelled and has cleaned up.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    background = Background(function, call)
    try:
        return background.start().result()
    except BaseException as interruption:
        if interruption is background.failure:
            raise
        ended = background.cancel()
        for note in getattr(background.failure, "__notes__", ()):
            interruption.add_note(note)  # what its clean-up could not do
        if not ended:
            interruption.add_note(f"the clean-up goes on after {CLEAN_UP_SECONDS:.0f} s")
        elif undo is not None and (value := background.value) is not None:
            _take_back(undo, value, interruption)
        raise


def _take_back(undo: Callable[[T], None], value: T, interruption: BaseException) -> None:
    try:
        undo(value)
    except Exception as failure:  # noqa: BLE001  # said with the interruption
        interruption.add_note(f"what it had made could not be taken back: {failure}")
