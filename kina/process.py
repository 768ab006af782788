"""
Processes in a container: captured, or watched while they run.
"""

from __future__ import annotations

import os
import selectors
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, AnyStr, Generic, Literal, Self

import attrs

from kina._fields import Problems, Strings, parse_signal
from kina._quantities import Quantity, parse_seconds
from kina._spoken import spoken
from kina._streams import CHUNK, Descriptor, Input, Output, Pipe, capture, descriptor_of
from kina.calls import CLEAN_UP_SECONDS, SLICE, Background, Call, interruptible
from kina.config import ProcessSpec
from kina.errors import (
    DeadlineExceededError,
    ExecError,
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
)
from kina.runtimes.base import Runtime, Streams
from kina.status import ExitReason, ExitStatus

__all__ = ["Completed", "Process"]

Chunk = tuple[Literal["stdout", "stderr"], bytes]


@attrs.frozen
class Completed(Generic[AnyStr]):
    """
    A command that has ended.

    Attributes:
        args: What was run.
        exit_code: 128 and a signal's number when that ended it; None when nobody saw the end.
        stdout: What it wrote. With a terminal, all of it.
        stderr: What it complained.
        reason: exited, signaled, oom, timeout or lost.
    """

    args: tuple[str, ...]
    exit_code: int | None
    stdout: AnyStr
    stderr: AnyStr
    reason: ExitReason = "exited"

    @property
    def timed_out(self) -> bool:
        """
        Whether a timeout ended it.
        """
        return self.reason == "timeout"

    @property
    def oom_killed(self) -> bool:
        """
        Whether the kernel ended it for memory.
        """
        return self.reason == "oom"

    def check(self) -> Completed[AnyStr]:
        """
        Return itself when the exit code is 0.

        Raises:
            ExecError: It is not.
        """
        if self.exit_code == 0:
            return self
        why = {"oom": "was killed for memory", "lost": "ended, and nobody saw how"}.get(self.reason)
        raise ExecError(self.args, self.exit_code, self.stdout, self.stderr, why=why)


def completed(
    args: Sequence[str],
    status: ExitStatus,
    stdout: Any,
    stderr: Any,
    *,
    timeout: float | None,
    check: bool,
) -> Completed[Any]:
    """
    Make the result of a command, or raise what it stands for.
    """
    if status.reason == "timeout":
        late = DeadlineExceededError(
            f"{' '.join(args)!r} was ended after {timeout} s", hint="allow a longer timeout"
        )
        late.stdout, late.stderr = stdout, stderr
        raise late
    result = Completed(tuple(args), status.exit_code, stdout, stderr, status.reason)
    return result.check() if check else result


def process_spec(
    args: Sequence[str],
    env: Strings | None,
    workdir: str | None,
    user: str | int | None,
    tty: bool,
    privileged: bool,
    timeout: Quantity | None,
) -> ProcessSpec:
    """
    Make a spec of what `exec` is told.

    Raises:
        InvalidArgumentError: Some can't be used; it names all of them.
    """
    problems = Problems()
    milliseconds: int | None = None
    with problems.at("timeout"):
        milliseconds = None if timeout is None else max(1, round(parse_seconds(timeout) * 1000))
    if isinstance(user, bool):
        problems.add("user", user, "must be a name or a number")
    spec: ProcessSpec | None = None
    with problems.at(""):
        spec = ProcessSpec(
            args=args,
            env=env,
            workdir=workdir,
            user=str(user) if isinstance(user, int) else user,
            terminal=tty,
            privileged=privileged,
            timeout_ms=milliseconds,
        )
    problems.raise_any()
    assert spec is not None
    return spec


def execute(
    runtime: Runtime,
    container: str,
    spec: ProcessSpec,
    source: Input,
    encoding: str | None,
    *,
    check: bool,
    call: Call | None = None,
) -> Completed[Any]:
    """
    Run a process in a container to its end.

    A call of the caller's bounds it too, and ends it when it is cancelled.
    """
    seconds = None if spec.timeout_ms is None else spec.timeout_ms / 1000

    def run(streams: Streams, call: Call) -> ExitStatus:
        process = runtime.processes.create(container, spec, streams, call)
        try:
            return runtime.processes.wait(container, process, call)
        finally:
            runtime.processes.delete(container, process)

    # The runtime ends the process at its timeout; should it not, the call ends.
    bound = call or Call(None if seconds is None else seconds + CLEAN_UP_SECONDS)
    with spoken():
        status, captured = capture(run, bound, source, encoding, terminal=spec.terminal)
    out, error = captured.decoded(encoding)
    return completed(spec.args, status, out, error, timeout=seconds, check=check)


class Process:
    """
    A process that runs in a container. Made by `Container.exec_stream`.

    Iterating yields its output as it comes, as (stream, bytes). As a context manager it ends the
    process, and its children, on the way out.

    Attributes:
        args: What was run.
        id: What the runtime knows it by.
        stdin: A file to write to; None unless stdin=True or tty=True was asked for. Closing it is
            the end of input.
    """

    def __init__(self) -> None:
        raise TypeError("use kina.Container.exec_stream()")

    args: tuple[str, ...]
    id: str
    stdin: IO[bytes] | None
    _runtime: Runtime
    _container: str
    _tty: bool
    _input: Pipe | None
    _readers: dict[int, tuple[Literal["stdout", "stderr"], Descriptor]]
    _waiting: Background[ExitStatus]

    @classmethod
    def _start(cls, runtime: Runtime, container: str, spec: ProcessSpec, stdin: bool) -> Process:
        call = Call()
        return interruptible(
            lambda: cls._started(runtime, container, spec, stdin, call), call, Process.close
        )

    @classmethod
    def _started(
        cls, runtime: Runtime, container: str, spec: ProcessSpec, stdin: bool, call: Call
    ) -> Process:
        self = cls.__new__(cls)
        self._runtime, self._container = runtime, container
        self._tty = spec.terminal
        self.args, self.id, self.stdin = spec.args, "", None
        self._readers = {}
        pipes: list[Pipe] = []
        try:
            streams = self._open_streams(pipes, stdin)
            with spoken():
                self.id = runtime.processes.create(container, spec, streams, call)
            process, waiting = self.id, Call()
            self._waiting = Background(
                lambda: runtime.processes.wait(container, process, waiting), waiting
            )
            self._waiting.start()
        except BaseException:
            for pipe in pipes:
                pipe.close()
            self._close_stdin()
            if self.id:
                runtime.processes.delete(container, self.id)
            self.id = ""
            raise
        for pipe in pipes:
            # The process's own ends.
            (pipe.reader if pipe is self._input else pipe.writer).close()
        return self

    def _open_streams(self, pipes: list[Pipe], stdin: bool) -> Streams:
        self._input = None
        out = Pipe(terminal=self._tty)
        pipes.append(out)
        self._readers[out.reader.fd] = ("stdout", out.reader)
        if self._tty:
            self.stdin = os.fdopen(os.dup(out.reader.fd), "wb", buffering=0)
            return Streams(out.writer.fd, out.writer.fd, out.writer.fd)
        error = Pipe()
        pipes.append(error)
        self._readers[error.reader.fd] = ("stderr", error.reader)
        if not stdin:
            return Streams(-1, out.writer.fd, error.writer.fd)
        self._input = Pipe()
        pipes.append(self._input)
        self.stdin = os.fdopen(self._input.writer.fd, "wb", buffering=0)
        self._input.writer.fd = -1  # the file's from here on
        return Streams(self._input.reader.fd, out.writer.fd, error.writer.fd)

    def __repr__(self) -> str:
        state = f"exit code {self.exit_code}" if self._waiting.done else "running"
        return f"<kina.Process {' '.join(self.args)!r} in {self._container[:12]}, {state}>"

    def __iter__(self) -> Iterator[Chunk]:
        """
        Yield output as it comes, until the process has ended and all it wrote was read.
        """
        with selectors.DefaultSelector() as selector:
            if not self._waiting.done:
                selector.register(self._waiting, selectors.EVENT_READ)
            for fd in self._readers:
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while not self._waiting.done:
                for key, _ in selector.select(SLICE):
                    if key.fileobj is self._waiting:
                        self._waiting.wait()
                    elif (chunk := self._read(key.fd)) is not None:
                        if chunk:
                            yield self._readers[key.fd][0], chunk
                    else:
                        selector.unregister(key.fd)
        for fd, (name, _) in self._readers.items():
            while chunk := self._read(fd):
                yield name, chunk

    def _read(self, fd: int) -> bytes | None:
        """
        Read what is there: nothing yet is b"", the end is None.
        """
        try:
            return os.read(fd, CHUNK) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    @property
    def exit_code(self) -> int | None:
        """
        How it ended; None while it runs, or when nobody saw the end.
        """
        status = self._waiting.value
        return None if status is None else status.exit_code

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait for the end. Output that nobody reads can keep a process from ending: iterate first.

        Args:
            timeout: Seconds; None for ever.

        Returns:
            The exit code; 128 and a signal's number when that ended it.

        Raises:
            DeadlineExceededError: It still runs.
            InvalidStateError: Nobody saw how it ended, or it was closed.
        """
        if not self._waiting.wait(timeout):
            raise DeadlineExceededError(
                f"{' '.join(self.args)!r} still runs after {timeout} s", hint="allow more time"
            )
        status = self._waiting.result()
        if status.exit_code is None:
            raise InvalidStateError("nobody saw how the process ended")
        return status.exit_code

    def kill(self, signal: str | int = "KILL") -> None:
        """
        Send a signal.

        Args:
            signal: Its name or number.

        Raises:
            InvalidArgumentError: There is no such signal.
            NotFoundError: The process has ended.
        """
        problems = Problems()
        with problems.at("signal"):
            signal = parse_signal(signal)
        problems.raise_any()
        self._runtime.processes.kill(self._container, self.id, str(signal))

    def resize(self, rows: int, columns: int) -> None:
        """
        Set the size of its terminal, in characters.

        Raises:
            InvalidArgumentError: A size is not 1 to 65535.
            InvalidStateError: It has no terminal.
        """
        self._runtime.processes.resize(self._container, self.id, rows, columns)

    def close(self) -> None:
        """
        End the process and its children if it still runs, and let go of its streams.
        """
        process, self.id = self.id, ""
        if not process:
            return
        try:
            self._runtime.processes.delete(self._container, process)
        finally:
            self._waiting.cancel()
            self._close_stdin()
            for _, reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def _close_stdin(self) -> None:
        if self.stdin is not None:
            self.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "id", ""):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=1, source=self)
            try:
                self.close()
            except KinaError:
                # The container is gone, and the process with it.
                return


def attach(runtime: Runtime, container: str, stdin: Output, stdout: Output, stderr: Output) -> None:
    """
    Connect files or descriptors with a container's streams.
    """
    named = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    fds: list[int] = []
    for name, file in named.items():
        fd = -1 if file is None else descriptor_of(file, name)
        if fd is None:
            raise InvalidArgumentError.at(
                name,
                file,
                "has no file descriptor",
                "in a notebook use logs(follow=True) or exec_stream()",
            )
        fds.append(fd)
    status = runtime.containers.get(container)
    terminal = status.spec is not None and status.spec.terminal
    with raw_terminal(fds[0] if terminal else -1):
        runtime.containers.attach(container, Streams(*fds))


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """
    Hand every key of a terminal through, while the other end has a terminal of its own.
    """
    if fd < 0 or not os.isatty(fd):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
