"""
One HTTP exchange that a call can end at any moment, for what lasts: streams, waits, archives.

The SDK's own are unbounded while they block, and its upgraded sockets lose what came together with
the answer's headers.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self, cast
from urllib.parse import quote, urlencode

from kina.calls import SLICE, Call
from kina.errors import DeadlineExceededError, KinaError, OperationCancelledError
from kina.runtimes.docker._channels import Channel
from kina.runtimes.docker._dial import CONNECT_SECONDS, dial
from kina.runtimes.docker._endpoint import Endpoint
from kina.runtimes.docker._errors import from_answer, from_socket

__all__ = ["Exchange", "path"]

CHUNK: Final = 1 << 16


def path(*parts: str) -> str:
    """
    Join the parts of a path; a reference's slashes stay.
    """
    return "".join(f"/{quote(part, safe='/:@')}" for part in parts)


class Exchange:
    """
    A connection of its own, with one request on it. A context manager that closes it.

    Args:
        endpoint: Where.
        call: Ends it.

    Attributes:
        call: What ends it from now on.
    """

    def __init__(self, endpoint: Endpoint, call: Call) -> None:
        self._endpoint, self.call = endpoint, call
        self.socket = self._connect()
        self.answer: http.client.HTTPResponse | None = None
        self._body = _Body(chunked=False, length=0)

    # -- Connecting --------------------------------------------------------------------------------

    def _connect(self) -> Channel:
        left = self.call.remaining
        seconds = CONNECT_SECONDS if left is None else max(0.01, min(left, CONNECT_SECONDS))
        made = dial(self._endpoint, seconds)
        made.settimeout(SLICE)
        return made

    def close(self) -> None:
        """
        Let go of it. What the engine does for it may end with that.
        """
        if self.answer is not None:
            self.answer.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- Asking ------------------------------------------------------------------------------------

    def check(self, what: str) -> None:
        """
        Raise when the call is to end.
        """
        if self.call.cancelled:
            raise OperationCancelledError(f"{what} was cancelled")
        if self.call.remaining == 0:
            raise DeadlineExceededError(f"{what} took longer than allowed", hint="allow more time")

    def ask(
        self,
        method: str,
        target: str,
        *,
        query: Mapping[str, Any] | None = None,
        document: Any = None,
        headers: Mapping[str, str] | None = None,
        body: int = -1,
        upgrade: bool = False,
        what: str = "the engine's answer",
    ) -> Self:
        """
        Send a request and read the answer's head.

        Args:
            method: GET and the like.
            target: The path.
            query: Its parameters; None is left out.
            document: A body in JSON.
            headers: Further ones.
            body: A descriptor to send to its end instead.
            upgrade: Whether the connection is to become a stream in both directions.
            what: What is waited for, in errors.

        Raises:
            KinaError: The engine refused it.
        """
        given = {key: value for key, value in (query or {}).items() if value is not None}
        if given:
            target = f"{target}?{urlencode(given)}"
        lines = {"Host": "kina", "User-Agent": "kina", **(headers or {})}
        data = b""
        if upgrade:
            lines |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        if document is not None:
            data = json.dumps(document).encode()
            lines["Content-Type"] = "application/json"
        if body >= 0:
            lines["Transfer-Encoding"] = "chunked"
            lines["Content-Type"] = "application/x-tar"
        elif method != "GET" or data:
            lines["Content-Length"] = str(len(data))
        head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
        try:
            self._send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + data, what)
            complete = body < 0 or self._send_all(body, what)
            answer = self._head(method, what)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error
        if answer.status >= 400 or (not complete and answer.status >= 300):
            raise from_answer(answer.status, self._rest(what))
        return self

    def _failure(self, error: BaseException) -> KinaError:
        return self.socket.explain() or from_socket(self._endpoint, error)

    def _send(self, data: bytes, what: str) -> None:
        rest = memoryview(data)
        while rest or self.socket.unsent:
            try:
                rest = rest[self.socket.send(rest) :]
            except TimeoutError:
                self.check(what)

    def _send_all(self, fd: int, what: str) -> bool:
        """
        Send what a descriptor has, in chunks. Says whether all of it was taken.
        """
        try:
            while data := self._read_from(fd, what):
                self._send(b"%x\r\n%b\r\n" % (len(data), data), what)
            self._send(b"0\r\n\r\n", what)
        except (BrokenPipeError, ConnectionResetError):
            return False  # it answers before it has read all
        return True

    def _read_from(self, fd: int, what: str) -> bytes:
        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        while not waiting.poll(SLICE * 1000):
            self.check(what)
        self.check(what)
        return os.read(fd, CHUNK)

    def _head(self, method: str, what: str) -> http.client.HTTPResponse:
        # Not through the answer's buffered file, which a timeout would break.
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        while not self.socket.pending and not waiting.poll(SLICE * 1000):
            self.check(what)
        self.socket.settimeout(CONNECT_SECONDS)
        # All that it wants of a socket is `makefile`.
        self.answer = http.client.HTTPResponse(cast(socket.socket, self.socket), method=method)
        self.answer.begin()
        self.socket.settimeout(0)
        early = self.answer.fp.peek()
        self.socket.settimeout(SLICE)
        length = None if 100 <= self.answer.status < 200 else self.answer.length
        self._body = _Body(chunked=bool(self.answer.chunked), length=length)
        if early:
            self._body.feed(early)
        return self.answer

    # -- Reading -----------------------------------------------------------------------------------

    def ready(self, seconds: float) -> bool:
        """
        Wait until something can be read.
        """
        if self._body.ready or self.socket.pending:
            return True
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def take(self) -> bytes | None:
        """
        Return what has come: nothing at the end, None when it is no whole piece yet.
        """
        if not self._body.ready:
            try:
                data = self.socket.recv(CHUNK)
            except TimeoutError:
                return None
            except OSError as error:
                raise self._failure(error) from error
            if not data and not self._body.may_end:
                raise self._failure(ConnectionResetError("it closed the connection"))
            self._body.feed(data)
        return self._body.take()

    def read(self, what: str) -> bytes:
        """
        Return what has come, at least a byte; nothing at the end.
        """
        while True:
            while not self.ready(SLICE):
                self.check(what)
            self.check(what)
            if (data := self.take()) is not None:
                return data

    def chunks(self, what: str) -> Iterator[bytes]:
        """
        Yield the answer's body as it comes.
        """
        while data := self.read(what):
            yield data

    def lines(self, what: str) -> Iterator[Any]:
        """
        Yield the JSON documents of a body, one after the other.
        """
        decoder, text = json.JSONDecoder(), ""
        for data in self.chunks(what):
            text += data.decode(errors="replace")
            while text := text.lstrip():
                try:
                    value, end = decoder.raw_decode(text)
                except ValueError:
                    break  # the rest of it is on the way
                text = text[end:]
                yield value

    def copy_to(self, fd: int, what: str) -> None:
        """
        Write the body to a descriptor.
        """
        for data in self.chunks(what):
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]

    def json(self, what: str) -> Any:
        """
        Return the body as a document.
        """
        return json.loads(self._rest(what) or b"null")

    def text(self, what: str) -> str:
        """
        Return the body as it is.
        """
        return self._rest(what).decode(errors="replace")

    def _rest(self, what: str) -> bytes:
        return b"".join(self.chunks(what))

    def finish_input(self) -> None:
        """
        Say that no more input comes, on an upgraded connection.
        """
        self.socket.finish()


class _Body:
    """
    Finds the body in what a connection brings, whatever the pieces that it comes in.

    Args:
        chunked: Whether it comes as chunks.
        length: Its length; None when it ends with the connection.
    """

    def __init__(self, *, chunked: bool, length: int | None) -> None:
        self._chunked, self._left = chunked, 0 if chunked else length
        self._rest, self._whole = b"", bytearray()
        self._ended = not chunked and length == 0

    @property
    def ready(self) -> bool:
        """
        Whether `take` has something, the end being something too.
        """
        return bool(self._whole) or self._ended

    @property
    def may_end(self) -> bool:
        """
        Whether the connection may end here.
        """
        return self._ended or (not self._chunked and self._left is None)

    def take(self) -> bytes | None:
        """
        Return what there is; nothing at the end, None when more is to come first.
        """
        if not self._whole and not self._ended:
            return None
        data = bytes(self._whole)
        self._whole.clear()
        return data

    def feed(self, data: bytes) -> None:
        """
        Add what came; nothing stands for the connection's end.
        """
        if not data:
            self._ended = True
        elif self._chunked:
            self._feed_chunks(data)
        elif self._left is None:
            self._whole += data
        else:
            self._whole += data[: self._left]
            self._left -= len(data)
            self._ended = self._left <= 0

    def _feed_chunks(self, data: bytes) -> None:
        self._rest += data
        while self._rest and not self._ended:
            if self._left:
                piece, self._rest = self._rest[: self._left], self._rest[self._left :]
                self._whole += piece
                self._left -= len(piece)
                continue
            # A chunk ends with a line's end, and the next begins with its size on a line.
            line, end, rest = self._rest.removeprefix(b"\r\n").partition(b"\r\n")
            if not end:
                return
            self._left, self._rest = int(line.split(b";")[0], 16), rest
            self._ended = self._left == 0
