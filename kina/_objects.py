"""
What the objects that kina hands out have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from kina._fields import Problems
from kina.errors import InvalidArgumentError
from kina.runtimes import Runtime, default_runtime

__all__ = ["View", "chosen", "references_of"]

T = TypeVar("T")


class View:
    """
    A view on something that the runtime keeps: made by class methods, never by its constructor.
    """

    __slots__ = ()

    def __init__(self, *_: object, **__: object) -> None:
        name = type(self).__name__
        raise TypeError(f"use the class methods of kina.{name}, such as kina.{name}.get()")


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
