"""
A runtime's handle, and how its functions are called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from kina._ffi._library import CallPointer, Function, RuntimePointer, encode, error_of, load
from kina.calls import Call, interruptible
from kina.errors import InvalidStateError

__all__ = ["RuntimeHandle", "doctor"]

T = TypeVar("T")


def _answer(function: Function, *arguments: Any) -> str:
    """
    Call a function that answers a document, and return that.
    """
    ffi, library = load()
    out, error = ffi.new("char **"), ffi.new("kina_error_t **")
    code = function(*arguments, out, error)
    if code:
        raise error_of(code, error[0])
    try:
        return ffi.string(out[0]).decode()
    finally:
        library.kina_string_free(out[0])


def _perform(function: Function, *arguments: Any) -> None:
    """
    Call a function that answers nothing.
    """
    error = load()[0].new("kina_error_t **")
    code = function(*arguments, error)
    if code:
        raise error_of(code, error[0])


def doctor(options: str) -> str:
    """
    Say what is usable on this machine (Report). Opens nothing.

    Args:
        options: RuntimeOptions.
    """
    return _answer(load()[1].kina_runtime_doctor, encode(options, "options"))


class RuntimeHandle:
    """
    An open runtime.

    Text goes in and out; `None` is NULL. A function that can last takes a `Call` and can be
    interrupted.

    Args:
        options: RuntimeOptions.
    """

    def __init__(self, options: str) -> None:
        self.ffi, self.library = load()
        self._pid = os.getpid()
        pointer, error = self.ffi.new("kina_runtime_t **"), self.ffi.new("kina_error_t **")
        code = self.library.kina_runtime_open(encode(options, "options"), pointer, error)
        if code:
            raise error_of(code, error[0])
        self._pointer: RuntimePointer | None = RuntimePointer(pointer[0])

    @property
    def closed(self) -> bool:
        """
        Whether it was closed.
        """
        return self._pointer is None

    @property
    def pointer(self) -> RuntimePointer:
        """
        What the library knows the runtime by.

        Raises:
            InvalidStateError: It was closed, or opened before a fork.
        """
        if self._pointer is None:
            raise InvalidStateError("this runtime is closed", hint="open one with kina.connect()")
        if self._pid != os.getpid():
            raise InvalidStateError(
                "this runtime was opened before os.fork()",
                hint="open one with kina.connect() in the child process",
            )
        return self._pointer

    def close(self) -> None:
        """
        Release it. Containers stay as they are.
        """
        pointer, self._pointer = self._pointer, None
        # A child of a fork has a copy of the library's table: releasing there is harmless to the
        # parent.
        if pointer is not None:
            self.library.kina_runtime_release(pointer)

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            self.close()

    def ask(self, function: Function, *arguments: Any) -> str:
        """
        Call a short function that answers a document.
        """
        return _answer(function, self.pointer, *arguments)

    def tell(self, function: Function, *arguments: Any) -> None:
        """
        Call a short function that answers nothing.
        """
        _perform(function, self.pointer, *arguments)

    def ask_long(self, call: Call | None, function: Function, *arguments: Any) -> str:
        """
        Call a function that can last and answers a document.

        Args:
            call: Bounds it.
            function: One of the library's.
            arguments: What it takes after runtime and call.
        """
        bound = call or Call()
        pointer = self.pointer
        return interruptible(
            lambda: self._bounded(bound, lambda c: _answer(function, pointer, c, *arguments)),
            bound,
        )

    def tell_long(self, call: Call | None, function: Function, *arguments: Any) -> None:
        """
        Call a function that can last and answers nothing.
        """
        bound = call or Call()
        pointer = self.pointer
        interruptible(
            lambda: self._bounded(bound, lambda c: _perform(function, pointer, c, *arguments)),
            bound,
        )

    def _bounded(self, call: Call, function: Callable[[CallPointer], T]) -> T:
        remaining = call.remaining
        milliseconds = -1 if remaining is None else int(remaining * 1000)
        native = self.library.kina_call_create(milliseconds, call.progress_fd)
        if cast(Any, native) == self.ffi.NULL:
            raise OSError("no file descriptor is left for a call")
        try:
            with call.cancelling(lambda: self.library.kina_call_cancel(native)):
                return function(native)
        finally:
            self.library.kina_call_release(native)

    def statistics(
        self, call: Call | None, reference: str, interval_ns: int, buffer: Any, capacity: int
    ) -> int:
        """
        Fill a buffer with samples, in place.

        Args:
            call: Bounds it.
            reference: The container.
            interval_ns: Nanoseconds from one sample to the next.
            buffer: Writable, of at least `capacity` kina_statistics_t.
            capacity: How many samples to take.

        Returns:
            How many were taken.
        """
        count = self.ffi.new("int64_t *")
        samples = self.ffi.from_buffer("kina_statistics_t[]", buffer, require_writable=True)
        arguments = (encode(reference, "reference"), interval_ns, samples, capacity, count)
        self.tell_long(call, self.library.kina_container_statistics, *arguments)
        return cast(int, count[0])
