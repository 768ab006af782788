"""
Logs and events: what comes line by line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args

from kina import wire
from kina._fields import Problems, parse_choices, parse_integer
from kina._objects import chosen, references_of
from kina._quantities import Moment, parse_moment
from kina._streams import Lines, Reading
from kina.calls import Call
from kina.errors import DeadlineExceededError
from kina.requests import EventFilter, LogRequest
from kina.runtimes import Runtime
from kina.runtimes.base import Streams
from kina.status import Event, EventKind

__all__ = ["events", "follow", "read", "request"]

T = TypeVar("T")


def request(
    follow: bool,
    since: Moment | None,
    until: Moment | None,
    tail: int | None,
    timestamps: bool,
    stdout: bool,
    stderr: bool,
) -> LogRequest:
    """
    Make a request of what `logs` is told.
    """
    problems = Problems()
    moments = _moments(problems, since=since, until=until)
    with problems.at("tail"):
        if tail is not None:
            parse_integer(tail, 0, 2**31)
    if not (stdout or stderr):
        problems.add("stdout", None, "and stderr can't both be False")
    problems.raise_any()
    streams: tuple[Literal["stdout", "stderr"], ...] = ()
    if stdout != stderr:
        streams = ("stdout",) if stdout else ("stderr",)
    return LogRequest(follow=follow, tail=tail, timestamps=timestamps, streams=streams, **moments)


def _moments(problems: Problems, **moments: Moment | None) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in moments.items():
        with problems.at(name):
            result[f"{name}_ns"] = None if value is None else parse_moment(value)
    return result


def _chunks(runtime: Runtime, container: str, wanted: LogRequest) -> Reading:
    return Reading(
        # One descriptor for both streams keeps their order.
        lambda fd, call: runtime.containers.logs(container, wanted, Streams(-1, fd, fd), call),
        Call(),
    )


def read(runtime: Runtime, container: str, wanted: LogRequest) -> bytes:
    """
    Read a log as it is now.
    """
    with _chunks(runtime, container, wanted) as chunks:
        return b"".join(chunks)


def follow(runtime: Runtime, container: str, wanted: LogRequest, *, text: bool) -> Iterator[Any]:
    """
    Return an iterator over the lines of a log, as they are written.
    """
    source = Lines(_chunks(runtime, container, wanted))
    return _Converted(source, lambda line: line.decode(errors="replace") if text else line)


class _Converted(Iterator[T]):
    """
    Lines, each made something else. A deadline is their end: it was asked for.
    """

    def __init__(self, source: Lines, convert: Callable[[bytes], T]) -> None:
        self._source, self._convert = source, convert

    def __next__(self) -> T:
        try:
            return self._convert(next(self._source))
        except DeadlineExceededError:
            raise StopIteration from None

    def close(self) -> None:
        """
        End what writes them.
        """
        self._source.close()

    def __enter__(self) -> _Converted[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def events(
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    kinds: Iterable[EventKind] | EventKind = (),
    references: Iterable[object] | str = (),
    timeout: float | None = None,
    runtime: Runtime | None = None,
) -> Iterator[Event]:
    """
    Yield what happens to containers, images, networks and volumes, as it happens. Letting go of the
    iterator ends it.

    Args:
        since: Also what the journal has from then on: a datetime, or how long ago as a timedelta or
            seconds. From now on when None.
        until: Ends at this time; with a past time (0: now) it only reads the journal.
        kinds: Any of "container", "image", "network", "volume"; all when empty.
        references: Objects, ids or names, any of them; all when empty.
        timeout: Ends after so many seconds.
        runtime: Where; the one in use when None.

    Raises:
        InvalidArgumentError: An argument can't be used.
    """
    problems = Problems()
    moments = _moments(problems, since=since, until=until)
    fields: dict[str, Any] = {}
    with problems.at("kinds"):
        fields["kinds"] = parse_choices(kinds, *get_args(EventKind))
    with problems.at("references"):
        fields["references"] = references_of(references)
    problems.raise_any()
    # What happens after this line is seen, although the watch begins a little later.
    moments["since_ns"] = time.time_ns() if since is None else moments["since_ns"]
    wanted = EventFilter(**fields, **moments)
    where = chosen(runtime)
    source = Lines(Reading(lambda fd, call: where.events(wanted, fd, call), Call(timeout)))
    return _Converted(source, lambda line: wire.from_json(Event, line.decode()))
