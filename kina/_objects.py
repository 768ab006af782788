"""
What the objects that kina hands out have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, Protocol, Self, TypeVar

from kina._fields import Problems
from kina.calls import Call, interruptible
from kina.errors import InvalidArgumentError, NotFoundError
from kina.runtimes import Runtime, default_runtime

__all__ = ["Known", "Named", "View", "chosen", "made", "references_of"]

T = TypeVar("T")


class View:
    """
    A view on something that the runtime keeps: made by class methods, never by its constructor.
    """

    __slots__ = ()

    def __init__(self, *_: object, **__: object) -> None:
        name = type(self).__name__
        raise TypeError(f"use the class methods of kina.{name}, such as kina.{name}.get()")


class Known(View, Generic[T]):
    """
    A view with what its runtime has said of it last.
    """

    __slots__ = ("_known", "_runtime")

    _runtime: Runtime
    _known: T

    @classmethod
    def _of(cls, runtime: Runtime, status: T) -> Self:
        self = cls.__new__(cls)
        self._runtime, self._known = runtime, status
        return self


class _Status(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...


S = TypeVar("S", bound=_Status)


class Named(Known[S]):
    """
    A view on something with an id, a name and labels, which goes at the end of a `with` block.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """
        Random, unique.
        """
        return self._known.id

    @property
    def name(self) -> str:
        """
        Unique.
        """
        return self._known.name

    @property
    def labels(self) -> dict[str, str]:
        """
        What it is known by.
        """
        return dict(self._known.labels)

    def _discard(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if failure is None:
            self._let_go()
        else:
            self._discard_after(failure)

    def _let_go(self) -> None:
        """
        Delete it, unless it was deleted inside, or by itself.
        """
        with suppress(NotFoundError):
            self._discard()

    def _discard_after(self, failure: BaseException) -> None:
        """
        Delete it because of a failure, which keeps the word.
        """
        try:
            self._let_go()
        except Exception as second:  # noqa: BLE001  # said with the first
            what = type(self).__name__.lower()
            failure.add_note(f"{what} {self.name!r} could not be deleted: {second}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


N = TypeVar("N", bound=Named[Any])


def made(make: Callable[[Call], N], call: Call | None = None) -> N:
    """
    Make something on the runtime such that Ctrl-C leaves none of it, also when it comes between the
    runtime's answer and the object.

    Args:
        make: What to do. It must honour the call.
        call: Bounds it.

    Raises:
        KeyboardInterrupt: After it was undone.
    """
    bound = call or Call()
    return interruptible(lambda: make(bound), bound, Named._let_go)  # noqa: SLF001  # of this module


def chosen(runtime: Runtime | None) -> Runtime:
    """
    Return the runtime that was asked for, else the one in use.
    """
    return default_runtime() if runtime is None else runtime


def references_of(value: object) -> tuple[str, ...]:
    """
    Return what the runtime knows several objects by; one may stand alone.

    Raises:
        InvalidArgumentError: It is neither an object of kina's, nor text, nor a list of such.
    """
    single = _reference_of(value)
    if single is not None:
        return (single,)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise InvalidArgumentError.at("", value, "must be a name, an id, or a list of them")
    problems = Problems()
    found = []
    for index, item in enumerate(value):
        reference = _reference_of(item)
        if reference is None:
            problems.add(f"[{index}]", item, "must be a name or an id")
        else:
            found.append(reference)
    problems.raise_any()
    return tuple(found)


def _reference_of(value: object) -> str | None:
    if isinstance(value, str):
        return value
    for attribute in ("id", "reference", "name"):
        found = getattr(value, attribute, None)
        if isinstance(found, str):
            return found
    return None
