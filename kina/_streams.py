"""
Moves bytes between descriptors while something runs in the background.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import selectors
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import IO, Any, Self, TypeVar, cast

import attrs

from kina.calls import SLICE, Background, Call
from kina.errors import DeadlineExceededError, InvalidArgumentError
from kina.runtimes.base import Streams

__all__ = ["Input", "Lines", "Output", "Pipe", "Reading", "capture", "descriptor_of"]

T = TypeVar("T")

CHUNK = 1 << 16

Input = bytes | str | int | IO[Any] | None
"""Nothing, what to send, or a file or descriptor to read from."""
Output = int | IO[Any] | None
"""Nothing, or a file or descriptor to write to."""


class Descriptor:
    """
    A descriptor of ours; closing is idempotent.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """
        Close it.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Pipe:
    """
    Two descriptors: what is written to `writer` is read from `reader`.

    Args:
        terminal: A pseudo-terminal instead, which is read from and written to at both ends.
    """

    __slots__ = ("reader", "writer")

    def __init__(self, *, terminal: bool = False) -> None:
        reader, writer = os.openpty() if terminal else os.pipe()
        self.reader, self.writer = Descriptor(reader), Descriptor(writer)
        if terminal:
            import tty

            # The terminal inside the container gives keys their meaning. Raw from the beginning:
            # what is written before the runtime would make it so must not lose its end of input.
            tty.setraw(writer)

    def close(self) -> None:
        """
        Close both ends.
        """
        self.reader.close()
        self.writer.close()


def descriptor_of(file: IO[Any] | int, field: str) -> int | None:
    """
    Return the descriptor under a file; None where there is none, as in a notebook or for
    `io.BytesIO`.

    Raises:
        InvalidArgumentError: It is neither a file nor a descriptor.
    """
    if isinstance(file, int) and not isinstance(file, bool):
        return file
    if not hasattr(file, "read") and not hasattr(file, "write"):
        raise InvalidArgumentError.at(field, file, "must be bytes, text, a file or a descriptor")
    try:
        return cast(IO[Any], file).fileno()
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None


def _bytes_of(source: Input, field: str) -> bytes | None:
    """
    Return what is to be sent; None for what has a descriptor of its own.
    """
    if isinstance(source, str):
        return source.encode()
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if source is None or descriptor_of(source, field) is not None:
        return None
    content = source.read()  # type: ignore[union-attr]  # an int has a descriptor
    return content.encode() if isinstance(content, str) else bytes(content)


@attrs.define
class Captured:
    """
    What was written so far.
    """

    stdout: bytearray = attrs.field(factory=bytearray)
    stderr: bytearray = attrs.field(factory=bytearray)

    def decoded(self, encoding: str | None) -> tuple[Any, Any]:
        """
        Return both, as text where an encoding is given.
        """
        if encoding is None:
            return bytes(self.stdout), bytes(self.stderr)
        return self.stdout.decode(encoding, "replace"), self.stderr.decode(encoding, "replace")


def capture(
    function: Callable[[Streams, Call], T],
    call: Call,
    source: Input,
    encoding: str | None,
    *,
    terminal: bool = False,
    field: str = "stdin",
) -> tuple[T, Captured]:
    """
    Run something in the background, feed its input and gather its output.

    The end of the process is the end, also when it has left children that hold its streams.

    Args:
        function: Takes the streams and the call.
        call: Bounds it.
        source: Its standard input.
        encoding: Of the partial output in an error.
        terminal: Whether the streams are one pseudo-terminal.
        field: What its caller calls the input.

    Raises:
        InvalidArgumentError: There is no such encoding, or the input is none.
        DeadlineExceededError: With the partial output.
        KeyboardInterrupt: After the function was cancelled and has cleaned up.
    """
    if encoding is not None:
        _check_encoding(encoding)
    captured = Captured()
    content = _bytes_of(source, field)
    with ExitStack() as stack:

        def pipe(*, terminal: bool = False) -> Pipe:
            made = Pipe(terminal=terminal)
            stack.callback(made.close)
            return made

        out = pipe(terminal=terminal)
        sinks: dict[int, Callable[[bytes], object]] = {out.reader.fd: captured.stdout.extend}
        feed: Descriptor | None = None
        if terminal:
            streams = Streams(out.writer.fd, out.writer.fd, out.writer.fd)
            if content is not None:
                feed = Descriptor(os.dup(out.reader.fd))
                stack.callback(feed.close)
                content += (
                    b"\x04"  # a terminal's end of input is a character, not a closed descriptor
                )
        else:
            error = pipe()
            sinks[error.reader.fd] = captured.stderr.extend
            stdin = -1
            if content is not None:
                into = pipe()
                stdin, feed = into.reader.fd, into.writer
            elif source is not None:
                stdin = descriptor_of(cast(Any, source), field) or 0
            streams = Streams(stdin, out.writer.fd, error.writer.fd)
        background = Background(lambda: function(streams, call), call)
        try:
            background.start()
            _pump(background, sinks, feed, content or b"")
        except BaseException:
            background.cancel()
            raise
        try:
            return background.result(), captured
        except DeadlineExceededError as late:
            late.stdout, late.stderr = captured.decoded(encoding)
            raise


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except (LookupError, TypeError):
        raise InvalidArgumentError.at("encoding", encoding, "is not an encoding") from None


def _pump(
    background: Background[Any],
    sinks: Mapping[int, Callable[[bytes], object]],
    feed: Descriptor | None,
    content: bytes,
) -> None:
    rest = memoryview(content)
    with selectors.DefaultSelector() as selector:
        selector.register(background, selectors.EVENT_READ)
        for fd in sinks:
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        if feed is not None:
            os.set_blocking(feed.fd, False)
            selector.register(feed.fd, selectors.EVENT_WRITE)
        ended = False
        while not ended:
            for key, _ in selector.select(SLICE):
                if key.fileobj is background:
                    ended = True
                elif feed is not None and key.fd == feed.fd:
                    rest = _send(feed.fd, rest)
                    if not rest:
                        selector.unregister(feed.fd)
                        feed.close()
                elif not _receive(key.fd, sinks[key.fd], once=True):
                    selector.unregister(key.fd)
    for fd, sink in sinks.items():
        # What the process wrote is in the pipe by now; children of its that hold it open are not
        # waited for.
        _receive(fd, sink, once=False)


def _send(fd: int, rest: memoryview) -> memoryview:
    try:
        return rest[os.write(fd, rest[:CHUNK]) :] if rest else rest
    except BlockingIOError:
        return rest
    except OSError:
        return rest[:0]  # nobody reads it any more


def _receive(fd: int, sink: Callable[[bytes], object], *, once: bool) -> bool:
    """
    Take what is there; says whether more can come.
    """
    while True:
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # a terminal's other end is gone
            return False
        if not chunk:
            return False
        sink(chunk)
        if once:
            return True


class Reading(Iterator[bytes]):
    """
    What a function writes to a descriptor, while it writes: chunks, from the moment that this is
    made.

    Closing it, or letting go of it, ends the function.

    Args:
        function: Takes the descriptor and the call, in the background.
        call: Bounds it.
        chunk: The most bytes at once.
    """

    def __init__(
        self, function: Callable[[int, Call], object], call: Call, *, chunk: int = CHUNK
    ) -> None:
        self._chunk = chunk
        self._background: Background[None] | None = None
        self._pipe = pipe = Pipe()

        # Holds the pipe and not this object, which may be let go of meanwhile.
        def write() -> None:
            try:
                function(pipe.writer.fd, call)
            finally:
                pipe.writer.close()  # tells the reader

        try:
            self._background = Background(write, call)
            self._background.start()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        if self._background is None:
            raise StopIteration
        try:
            ready = select.poll()
            ready.register(self._pipe.reader.fd, select.POLLIN)
            while not ready.poll(SLICE * 1000):
                pass
            if data := os.read(self._pipe.reader.fd, self._chunk):
                return data
            background, self._background = self._background, None
            background.result()
        except BaseException:
            self.close()
            raise
        self._pipe.close()
        raise StopIteration

    def close(self) -> None:
        """
        End the function, and wait for its end.
        """
        self._pipe.reader.close()  # wakes a writer that waits for room
        background, self._background = self._background, None
        if background is not None:
            background.cancel()
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_background", None) is not None:
            self.close()


class Lines(Iterator[bytes]):
    """
    Lines, without their ends, of chunks. Closing it closes those.
    """

    def __init__(self, chunks: Reading) -> None:
        self._chunks = chunks
        self._ready: deque[bytes] = deque()
        self._rest = b""

    def __next__(self) -> bytes:
        while not self._ready:
            chunk = next(self._chunks, None)
            if chunk is None:
                if not self._rest:
                    raise StopIteration
                self._ready.append(self._rest)
                self._rest = b""
                break
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self._ready.extend(whole)
        return self._ready.popleft()

    def close(self) -> None:
        """
        End what writes them.
        """
        self._chunks.close()
