"""
Connections to an engine, of one shape whatever they lead through: a Unix socket, TCP, TLS, ssh(1).

Each has what `http.client` and the SDK want of a socket; of none can something that was accepted
get lost when a send takes longer than the socket's timeout; and the sending half of each can end,
which is how a process learns that its input has ended.
"""

from __future__ import annotations

import io
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from kina.runtimes.docker._errors import NoTLSError

if TYPE_CHECKING:
    from kina.errors import KinaError

__all__ = ["Channel", "Secure"]

Data: TypeAlias = bytes | memoryview

CHUNK: Final = 1 << 16


class Channel:
    """
    A connection as it is.

    Args:
        raw: Connected. It is the channel's from now on.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw, self._readers, self._closed = raw, 0, False

    def fileno(self) -> int:
        """
        Return what can be polled.
        """
        return self._raw.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """
        Have sending and receiving raise TimeoutError after so long.
        """
        self._raw.settimeout(seconds)

    def send(self, data: Data) -> int:
        """
        Send some of it, and say how much was accepted.
        """
        return self._raw.send(data)

    def sendall(self, data: Data) -> None:
        """
        Send all of it.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest) :]
        self.flush()

    @property
    def unsent(self) -> bool:
        """
        Whether something that was accepted is still to be sent.
        """
        return False

    def flush(self) -> None:
        """
        Send what was accepted.
        """

    def recv(self, size: int) -> bytes:
        """
        Return what has come; nothing at the end.
        """
        return self._raw.recv(size)

    @property
    def pending(self) -> bool:
        """
        Whether something has come that no poll shows.
        """
        return False

    def finish(self) -> None:
        """
        End the sending half.
        """
        with suppress(OSError):  # the other end is gone
            self._raw.shutdown(socket.SHUT_WR)

    def explain(self) -> KinaError | None:
        """
        Say why it broke, where that is known.
        """
        return None

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        """
        Return a file that reads from it, and keeps it open until the file is closed, too.
        """
        assert mode == "rb"
        self._readers += 1
        return io.BufferedReader(cast(io.RawIOBase, _Reader(self)), CHUNK)

    def close(self) -> None:
        """
        Let go of it.
        """
        self._closed = True
        if not self._readers:
            self._end()

    def _reader_closed(self) -> None:
        self._readers -= 1
        if self._closed and not self._readers:
            self._end()

    def _end(self) -> None:
        self._raw.close()


class _Reader(io.RawIOBase):
    """
    A channel's receiving half as a file. Unlike a socket's, it goes on after a timeout.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel: Channel | None = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        assert self._channel is not None
        try:
            data = self._channel.recv(len(buffer))
        except BlockingIOError:
            return None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        channel, self._channel = self._channel, None
        super().close()
        if channel is not None:
            channel._reader_closed()  # noqa: SLF001  # its other half


class Secure(Channel):
    """
    A connection with TLS, of which one direction can end.

    Python's own TLS socket has no such end: its `unwrap` sends the notice and reads at once, and
    output that comes before the other side's notice is then an error for good. Here TLS works on
    memory, which is empty at that moment; so `unwrap` sends the notice and finds nothing to read.

    Args:
        raw: Connected.
        context: Checks the engine's certificate and shows ours.
        host: The name that the certificate must have.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(raw)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._encrypted, self._plain = b"", bytearray()
        self._begun = False
        try:
            self._shake_hands()
        except ssl.SSLError:
            with suppress(OSError):
                self.flush()  # why
            raise

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            else:
                self.flush()
                return

    def _fill(self) -> None:
        data = self._raw.recv(CHUNK)
        if not self._begun and data and not 20 <= data[0] <= 23:  # none of TLS's kinds of record
            raise NoTLSError("it speaks no TLS")
        self._begun = True
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def send(self, data: Data) -> int:
        self.flush()
        rest = memoryview(data)
        if not rest:
            return 0
        accepted = self._tls.write(rest[:CHUNK])
        with suppress(TimeoutError):
            self.flush()
        return accepted

    @property
    def unsent(self) -> bool:
        return bool(self._encrypted or self._out.pending)

    def flush(self) -> None:
        self._encrypted += self._out.read()
        try:
            while self._encrypted:
                self._encrypted = self._encrypted[self._raw.send(self._encrypted) :]
        except ConnectionError:
            self._encrypted = b""
            self._hear_out()
            raise

    def _hear_out(self) -> None:
        """
        Take what came before the connection broke: the other side may have said why.
        """
        with suppress(OSError):
            while data := self._raw.recv(CHUNK):
                self._in.write(data)
        with suppress(ssl.SSLEOFError):
            self._decrypt()

    def _decrypt(self) -> None:
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while data := self._tls.read(CHUNK):
                self._plain += data

    def recv(self, size: int) -> bytes:
        if self._plain:
            data = bytes(self._plain[:size])
            del self._plain[:size]
            return data
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError as error:
                raise ConnectionResetError("it closed the connection") from error

    @property
    def pending(self) -> bool:
        return bool(self._plain or self._tls.pending() or self._in.pending)

    def finish(self) -> None:
        with suppress(ssl.SSLError):  # that the other side's notice is not here yet
            self._decrypt()
            self._tls.unwrap()
        with suppress(OSError):
            self.flush()
