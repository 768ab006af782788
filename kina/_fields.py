"""
What the specs' fields are made with: converters that keep their complaints until all fields are
read.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import attrs

from kina._quantities import Quantity, parse_bytes, parse_cpus, parse_seconds
from kina.errors import InvalidArgumentError, Problem

__all__ = ["Address", "Problems", "Spec", "Strings", "nearest"]

T = TypeVar("T")
V = TypeVar("V")

Address = str | ipaddress.IPv4Address
Strings = Mapping[str, object] | Iterable[str]
"""A mapping, or "KEY=value" strings."""


class Problems:
    """
    Gathers bad values, to raise them as one error.
    """

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, field: str, value: object, reason: str, hint: str | None = None) -> None:
        """
        Note one bad value.
        """
        self.found.append(Problem(field, value, reason, hint))

    def absorb(self, field: str, error: InvalidArgumentError) -> None:
        """
        Note what an error says, as being about `field` or inside of it.
        """
        for problem in error.problems:
            inner = problem.field
            dot = "." if field and inner and not inner.startswith("[") else ""
            self.found.append(problem._replace(field=f"{field}{dot}{inner}"))

    @contextmanager
    def at(self, field: str) -> Iterator[None]:
        """
        Note, rather than raise, what goes wrong with `field`.
        """
        try:
            yield
        except InvalidArgumentError as error:
            self.absorb(field, error)

    def raise_any(self) -> None:
        """
        Raise all of them, if there is any.
        """
        if self.found:
            raise InvalidArgumentError.of(self.found)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """
    Return the known name that `name` was probably meant to be.
    """
    import difflib

    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


@attrs.frozen
class _Bad:
    value: object
    error: InvalidArgumentError


def deferred(parse: Callable[[V], T], value: V) -> T:
    """
    Convert; a complaint becomes the value, for `Spec` to find when all fields are read.
    """
    try:
        return parse(value)
    except InvalidArgumentError as error:
        return cast(T, _Bad(value, error))


class Spec:
    """
    Base of the specs: raises everything that is wrong with one at once.
    """

    __slots__ = ()

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for attribute in attrs.fields(cast(Any, type(self))):
            value = getattr(self, attribute.name)
            if isinstance(value, _Bad):
                problems.absorb(attribute.name, value.error)
        if not problems.found:
            self._check(problems)
        problems.raise_any()

    def _check(self, problems: Problems) -> None:
        """
        Look at the fields together; each is right by itself.
        """


def _bad(value: object, reason: str, hint: str | None = None) -> InvalidArgumentError:
    return InvalidArgumentError.at("", value, reason, hint)


# -- Parsing: raise at once ------------------------------------------------------------------------


def parse_text(value: str) -> str:
    """
    Take text that C and JSON can carry.
    """
    if not isinstance(value, str):
        raise _bad(value, "must be a string")
    if "\0" in value:
        raise _bad(value, "must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _bad(value, "must be valid Unicode text") from None
    return value


def parse_name(value: str) -> str:
    """
    Take text that is not empty.
    """
    if not parse_text(value):
        raise _bad(value, "must not be empty")
    return value


def parse_strings(value: Iterable[str]) -> tuple[str, ...]:
    """
    Take a sequence of strings; a lone string would be a sequence of letters.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _bad(value, "must be a list of strings", _as_list(value))
    problems = Problems()
    items = tuple(value)
    for index, item in enumerate(items):
        with problems.at(f"[{index}]"):
            parse_text(item)
    problems.raise_any()
    return items


def _as_list(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    import shlex

    try:
        words = shlex.split(value)
    except ValueError:
        words = [value]
    return f"write {words!r}; for a shell's own syntax ['sh', '-c', {value!r}]"


def parse_mapping(value: Mapping[str, object] | Iterable[str] | None) -> dict[str, str]:
    """
    Take a mapping, or "KEY=value" strings.
    """
    if value is None:
        return {}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _bad(value, "must be a mapping, or a list of 'KEY=value'")
    problems = Problems()
    result: dict[str, str] = {}
    for key, item in _pairs(value, problems):
        with problems.at(f"[{key!r}]"):
            name = parse_name(key)
            if "=" in name:
                raise _bad(name, "must not contain '='")
            plain = isinstance(item, int | float) and not isinstance(item, bool)
            result[name] = parse_text(str(item) if plain else cast(str, item))
    problems.raise_any()
    return result


def _pairs(
    value: Mapping[str, object] | Iterable[str], problems: Problems
) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from value.items()
        return
    items: Iterable[object] = value
    for index, item in enumerate(items):
        key, equals, rest = item.partition("=") if isinstance(item, str) else ("", "", "")
        if equals:
            yield key, rest
        else:
            problems.add(f"[{index}]", item, "must be 'KEY=value'")


def parse_integer(value: int, minimum: int, maximum: int) -> int:
    """
    Take a whole number in a range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad(value, "must be a whole number")
    if not minimum <= value <= maximum:
        raise _bad(value, f"must be {minimum} to {maximum}")
    return value


def parse_port(value: int | str) -> int:
    """
    Take a port, or 0 for one of the runtime's choice.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return parse_integer(cast(int, value), 0, 65535)


def parse_address(value: Address) -> str:
    """
    Take an IPv4 address.
    """
    try:
        return str(ipaddress.IPv4Address(value if isinstance(value, str) else str(value)))
    except ValueError:
        raise _bad(value, "is not an IPv4 address", "write one such as '10.0.0.7'") from None


def path_text(value: object, field: str) -> str:
    """
    Return the text of a path, given as text or as a path.

    Raises:
        InvalidArgumentError: It is neither.
    """
    try:
        text = os.fspath(cast(Any, value))
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise InvalidArgumentError.at(field, value, "must be a path")
    return text


def parse_path(value: str) -> str:
    """
    Take an absolute path in a container.
    """
    if not parse_name(value).startswith("/"):
        raise _bad(value, "must be an absolute path")
    return value


_SIGNAL = re.compile(r"(?:SIG)?[A-Z]+[0-9]*(?:[+-][0-9]+)?|[0-9]{1,2}", re.ASCII)


def parse_signal(value: str | int) -> str:
    """
    Take a signal's name or number; the runtime knows which there are.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(int(value))
    text = value.upper() if isinstance(value, str) else ""
    if not _SIGNAL.fullmatch(text):
        raise _bad(value, "is not a signal", "write a name or number such as 'TERM' or 15")
    return text


def choice(value: T, *known: str) -> T:
    """
    Take one of a few words.
    """
    if value in known:
        return value
    close = nearest(value, known) if isinstance(value, str) else None
    words = ", ".join(map(repr, known))
    raise _bad(value, f"must be one of {words}", close and f"did you mean {close!r}?")


def parse_choices(value: Iterable[str] | str, *known: str) -> tuple[str, ...]:
    """
    Take one of a few words, or several of them.
    """
    words = (value,) if isinstance(value, str) else value
    if not isinstance(words, Iterable):
        raise _bad(value, f"must be made of {', '.join(map(repr, known))}")
    problems = Problems()
    chosen = tuple(words)
    for index, word in enumerate(chosen):
        with problems.at("" if isinstance(value, str) else f"[{index}]"):
            choice(word, *known)
    problems.raise_any()
    return chosen


def _flag(value: bool) -> bool:
    if not isinstance(value, bool):
        raise _bad(value, "must be True or False")
    return value


# -- Converters: complain later. Plain functions, as mypy reads a converter's type from. ---------


def to_text(value: str) -> str:
    return deferred(parse_name, value)


def to_plain_text(value: str) -> str:
    return deferred(parse_text, value)


def to_optional_text(value: str | None) -> str | None:
    return None if value is None else deferred(parse_name, value)


def to_strings(value: Iterable[str]) -> tuple[str, ...]:
    return deferred(parse_strings, value)


def to_optional_strings(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else deferred(parse_strings, value)


def to_mapping(value: Mapping[str, object] | Iterable[str] | None) -> dict[str, str]:
    return deferred(parse_mapping, value)


def to_flag(value: bool) -> bool:
    return deferred(_flag, value)


def to_bytes(value: Quantity) -> int:
    return deferred(parse_bytes, value)


def to_optional_bytes(value: Quantity | None) -> int | None:
    return None if value is None else deferred(parse_bytes, value)


def to_swap(value: Quantity | None) -> int | None:
    return None if value is None else -1 if value == -1 else deferred(parse_bytes, value)


def to_cpus(value: Quantity | None) -> float | None:
    return None if value is None else deferred(parse_cpus, value)


def to_seconds(value: Quantity | timedelta) -> float:
    return deferred(parse_seconds, value)


def to_port(value: int | str) -> int:
    return deferred(parse_port, value)


def to_address(value: Address) -> str:
    return deferred(parse_address, value)


def to_optional_address(value: Address | None) -> str | None:
    return None if value is None else deferred(parse_address, value)


def to_path(value: str) -> str:
    return deferred(parse_path, value)


def to_optional_path(value: str | None) -> str | None:
    return None if value is None else deferred(parse_path, value)


def to_signal(value: str | int | None) -> str | None:
    return None if value is None else deferred(parse_signal, value)


def to_count(value: int) -> int:
    return deferred(lambda number: parse_integer(number, 0, 2**64 - 1), value)


def to_optional_count(value: int | None) -> int | None:
    return None if value is None else deferred(lambda n: parse_integer(n, 1, 2**63 - 1), value)


def to_weight(value: int | None) -> int | None:
    return None if value is None else deferred(lambda n: parse_integer(n, 1, 10_000), value)


def sequence(kind: type[T], value: Iterable[T], what: str) -> tuple[T, ...]:
    """
    Take a sequence of one kind of specs.
    """
    if not isinstance(value, Sequence):
        raise _bad(value, f"must be a list of {what}")
    problems = Problems()
    for index, item in enumerate(value):
        if not isinstance(item, kind):
            problems.add(f"[{index}]", item, f"must be a {kind.__name__}")
    problems.raise_any()
    return tuple(value)
