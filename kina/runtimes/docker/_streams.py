"""
Bytes between descriptors and a process's streams on an upgraded connection.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import time
from collections.abc import Callable
from typing import Final

from kina.calls import SLICE
from kina.runtimes.base import Streams
from kina.runtimes.docker._connection import Exchange

__all__ = ["Demultiplexer", "join"]

CHUNK: Final = 1 << 16
BACKLOG: Final = 16 << 20
"""Bytes that are kept for somebody who is slow to read them."""
GRACE: Final = 0.3
"""Seconds without output that are its end, when its process has ended and children hold it."""
TRAIL: Final = 5.0
"""Seconds after which such children are not listened to any more, whatever they write."""
HEADER: Final = struct.Struct(">BxxxI")
READABLE: Final = select.POLLIN | select.POLLHUP | select.POLLERR


class Demultiplexer:
    """
    Takes apart what an engine sends: a header and a piece of one stream, again and again.

    Args:
        terminal: Whether there is one stream, as it is.
    """

    def __init__(self, *, terminal: bool) -> None:
        self._terminal, self._rest = terminal, bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """
        Return the pieces that are whole, each with its stream: 1 or 2.
        """
        if self._terminal:
            return [(1, data)] if data else []
        self._rest += data
        found = []
        while len(self._rest) >= HEADER.size:
            stream, size = HEADER.unpack_from(self._rest)
            end = HEADER.size + size
            if len(self._rest) < end:
                break
            found.append((stream, bytes(self._rest[HEADER.size : end])))
            del self._rest[:end]
        return found


def write_all(fd: int, data: bytes, check: Callable[[], None]) -> bool:
    """
    Write to a descriptor; says whether somebody still reads it.
    """
    rest = memoryview(data)
    waiting = select.poll()
    waiting.register(fd, select.POLLOUT)
    while rest:
        if not waiting.poll(SLICE * 1000):
            check()
            continue
        try:
            rest = rest[os.write(fd, rest[: select.PIPE_BUF]) :]
        except BlockingIOError:
            continue
        except OSError:
            return False
    return True


def join(
    exchange: Exchange,
    streams: Streams,
    *,
    terminal: bool,
    what: str,
    lone_input: bool = False,
    ended: threading.Event | None = None,
) -> None:
    """
    Move bytes both ways until the engine ends the connection or the call ends.

    Args:
        exchange: Upgraded.
        streams: Whereto and wherefrom; -1 for nowhere. They are not closed.
        terminal: Whether output is one stream.
        what: What goes on, in errors.
        lone_input: Whether the end of input is the end of all where there is no output to write.
        ended: Set when the process has ended, which output can outlive: its children may hold it.
    """
    pieces = Demultiplexer(terminal=terminal)
    second = streams.stdout if terminal else streams.stderr
    sinks = {1: Sink(streams.stdout), 2: Sink(second)}
    engine, source, pending = exchange.socket.fileno(), streams.stdin, b""
    tail = Tail(ended or threading.Event())
    if source < 0:
        exchange.finish_input()
    alone = lone_input and streams.stdout < 0 and streams.stderr < 0
    while not (alone and source < 0 and not exchange.socket.unsent):
        exchange.check(what)
        outgoing = bool(pending) or exchange.socket.unsent
        # Others wait for what is slow to read: so much is kept here instead.
        full = any(len(sink.backlog) > tail.limit for sink in sinks.values())
        if tail.is_over(full):
            break
        waiting = select.poll()
        waiting.register(engine, 0 if full else select.POLLIN)
        if outgoing:
            waiting.modify(engine, select.POLLOUT | (0 if full else select.POLLIN))
        if source >= 0 and not outgoing:
            waiting.register(source, select.POLLIN)
        for sink in sinks.values():
            if sink.backlog:
                waiting.register(sink.fd, select.POLLOUT)
        # What TLS or the answer's head has brought already, no poll shows.
        ready = not full and exchange.ready(0)
        events = dict(waiting.poll(0 if ready else SLICE * 1000))
        if not full and exchange.ready(0):
            data = exchange.take()
            if data == b"":
                break
            tail.came()
            for stream, piece in pieces.feed(data or b""):
                sinks.get(stream, sinks[1]).add(piece)
        for sink in sinks.values():
            sink.flush()
        if outgoing and events.get(engine, 0) & select.POLLOUT:
            pending, open_ = _send(exchange, pending)
            source = source if open_ else -1
        elif source >= 0 and events.get(source, 0) & READABLE:
            pending = _read(source)
            if not pending:
                source = -1
                exchange.finish_input()
    for sink in sinks.values():
        if sink.fd >= 0:
            write_all(sink.fd, bytes(sink.backlog), lambda: exchange.check(what))


class Tail:
    """
    Tells when output is over that outlives its process.

    Args:
        ended: Set when the process has ended.
    """

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._since = self._last = 0.0

    @property
    def limit(self) -> int:
        """
        How much may be kept for who reads it. An engine drops what nobody fetches of a process
        that has ended (Docker after 2 s), which is little: there is room left for it.
        """
        return 2 * BACKLOG if self._ended.is_set() else BACKLOG

    def came(self) -> None:
        """
        Say that some has come.
        """
        self._last = time.monotonic()

    def is_over(self, full: bool) -> bool:
        """
        Return whether no more is to be taken.

        Args:
            full: Whether none is taken now, so that silence says nothing.
        """
        now = time.monotonic()
        if full or not self._ended.is_set():
            self._since = self._last = 0.0
            return False
        self._since = self._since or now
        return now - max(self._last, self._since) > GRACE or now - self._since > TRAIL


class Sink:
    """
    A descriptor, and what could not be written to it yet.

    Args:
        fd: -1 for nowhere.
    """

    def __init__(self, fd: int) -> None:
        self.fd, self.backlog = fd, bytearray()

    def add(self, data: bytes) -> None:
        """
        Have something written.
        """
        if self.fd >= 0:
            self.backlog += data

    def flush(self) -> None:
        """
        Write what goes without waiting.
        """
        if not self.backlog:
            return
        waiting = select.poll()
        waiting.register(self.fd, select.POLLOUT)
        done = 0
        while done < len(self.backlog) and waiting.poll(0):
            try:
                # A pipe that has room has room for so much.
                done += os.write(self.fd, self.backlog[done : done + select.PIPE_BUF])
            except BlockingIOError:
                break
            except OSError:
                self.fd = -1  # nobody reads it: the rest is drained all the same
                self.backlog.clear()
                return
        del self.backlog[:done]


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, CHUNK)
    except OSError:  # a terminal's other end is gone
        return b""


def _send(exchange: Exchange, data: bytes) -> tuple[bytes, bool]:
    """
    Send some of it; returns the rest, and whether the other end takes input.
    """
    try:
        return data[exchange.socket.send(data) :], True
    except TimeoutError:
        return data, True
    except OSError:
        return b"", False
