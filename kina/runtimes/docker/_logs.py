"""
A container's log, from the engine.
"""

from __future__ import annotations

from typing import Any

import attrs

from kina.calls import Call
from kina.requests import LogRequest
from kina.runtimes.base import Streams
from kina.runtimes.docker._connection import path
from kina.runtimes.docker._engine import Engine
from kina.runtimes.docker._streams import Demultiplexer, write_all

__all__ = ["logs"]

Pieces = list[tuple[int, bytes]]


def logs(engine: Engine, document: Any, request: LogRequest, streams: Streams, call: Call) -> None:
    """
    Write a log to the descriptors.
    """
    if request.tail and not request.follow:
        _write(_tail(engine, document, request, call), streams, call)
        return
    tail, skipped = request.tail, 0
    if engine.podman and request.tail:
        whole = _read(engine, document, attrs.evolve(request, follow=False), None, call)
        tail, skipped = None, _size(whole) - _size(_last(whole, request.tail))
    query = _query(request, tail)
    target = engine.target(path("containers", document["Id"], "logs"))
    pieces = Demultiplexer(terminal=bool(document["Config"].get("Tty")))
    with engine.exchange(call) as exchange:
        exchange.ask("GET", target, query=query, what="the log")
        for data in exchange.chunks("the log"):
            found = pieces.feed(data)
            kept = _without(found, skipped)
            skipped -= min(skipped, _size(found))
            if not _write(kept, streams, call):
                return


def _size(pieces: Pieces) -> int:
    return sum(len(piece) for _, piece in pieces)


def _without(pieces: Pieces, count: int) -> Pieces:
    """
    Leave out so many bytes at the beginning.
    """
    kept: Pieces = []
    for stream, piece in pieces:
        rest, count = piece[count:], max(0, count - len(piece))
        if rest:
            kept.append((stream, rest))
    return kept


def _write(pieces: Pieces, streams: Streams, call: Call) -> bool:
    from kina.runtimes.docker._engine import check

    for stream, piece in pieces:
        fd = streams.stderr if stream == 2 else streams.stdout
        if fd >= 0 and not write_all(fd, piece, lambda: check(call)):
            return False
    return True


def _tail(engine: Engine, document: Any, request: LogRequest, call: Call) -> Pieces:
    """
    Return the last lines. An engine counts the pieces that it cuts long lines into, so more are
    asked for until there are enough lines, or no more comes.
    """
    assert request.tail
    if engine.podman:
        # Of long lines, 4.3's tail has the last pieces only (libpod/logs).
        return _last(_read(engine, document, request, None, call), request.tail)
    asked, before = request.tail + 1, -1
    while True:
        found = _read(engine, document, request, asked, call)
        size = _size(found)
        whole = b"".join(piece for _, piece in found)
        lines = whole.count(b"\n") + (not whole.endswith(b"\n") and bool(whole))
        if lines > request.tail or size == before:
            return _last(found, request.tail)
        asked, before = asked * 4, size


def _read(
    engine: Engine, document: Any, request: LogRequest, tail: int | None, call: Call
) -> Pieces:
    target = engine.target(path("containers", document["Id"], "logs"))
    pieces = Demultiplexer(terminal=bool(document["Config"].get("Tty")))
    found: Pieces = []
    with engine.exchange(call) as exchange:
        exchange.ask("GET", target, query=_query(request, tail), what="the log")
        for data in exchange.chunks("the log"):
            found += pieces.feed(data)
    return found


def _last(pieces: Pieces, count: int) -> Pieces:
    """
    Keep so many lines.
    """
    kept: Pieces = []
    for stream, piece in reversed(pieces):
        # A line's end begins what comes after it, but for the very last.
        ends = piece.count(b"\n") - (not kept and piece.endswith(b"\n"))
        if ends < count:
            kept.append((stream, piece))
            count -= ends
            continue
        position = len(piece) - (not kept and piece.endswith(b"\n"))
        for _ in range(count):
            position = piece.rindex(b"\n", 0, position)
        if rest := piece[position + 1 :]:
            kept.append((stream, rest))
        break
    return kept[::-1]


def _query(request: LogRequest, tail: int | None) -> dict[str, Any]:
    streams = request.streams or ("stdout", "stderr")
    return {
        "stdout": int("stdout" in streams),
        "stderr": int("stderr" in streams),
        "follow": int(request.follow),
        "timestamps": int(request.timestamps),
        "since": moment(request.since_ns),
        "until": moment(request.until_ns),
        "tail": "all" if tail is None else tail,
    }


def moment(nanoseconds: int | None) -> str | None:
    """
    Spell a moment as engines do: seconds, a point, nanoseconds.
    """
    if nanoseconds is None:
        return None
    whole, part = divmod(nanoseconds, 10**9)
    return f"{whole}.{part:09d}"
