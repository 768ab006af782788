"""
What goes into a container and comes out of it: processes, logs, figures, files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from kina import _copying, _logs
from kina import process as _process
from kina import stats as _stats
from kina._fields import (
    Strings,
)
from kina._objects import Named
from kina._quantities import Moment, Quantity
from kina._streams import Input, Output
from kina.process import Completed, Process
from kina.stats import Stats
from kina.status import ContainerStatus

if TYPE_CHECKING:
    import numpy as np


__all__ = ["ContainerIO"]


class ContainerIO(Named[ContainerStatus]):
    """
    The half of `kina.Container` that moves bytes.
    """

    __slots__ = ()

    # -- Processes ---------------------------------------------------------------------------------

    @overload
    def exec(
        self,
        args: Sequence[str],
        *,
        env: Strings | None = None,
        workdir: str | None = None,
        user: str | int | None = None,
        stdin: Input = None,
        tty: bool = False,
        privileged: bool = False,
        timeout: Quantity | None = None,
        check: bool = False,
        text: Literal[True] = True,
        encoding: str = "utf-8",
    ) -> Completed[str]: ...

    @overload
    def exec(
        self,
        args: Sequence[str],
        *,
        env: Strings | None = None,
        workdir: str | None = None,
        user: str | int | None = None,
        stdin: Input = None,
        tty: bool = False,
        privileged: bool = False,
        timeout: Quantity | None = None,
        check: bool = False,
        text: Literal[False],
        encoding: str = "utf-8",
    ) -> Completed[bytes]: ...

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Strings | None = None,
        workdir: str | None = None,
        user: str | int | None = None,
        stdin: Input = None,
        tty: bool = False,
        privileged: bool = False,
        timeout: Quantity | None = None,
        check: bool = False,
        text: bool = True,
        encoding: str = "utf-8",
    ) -> Completed[str] | Completed[bytes]:
        """
        Run a command in it, to its end.

        Args:
            args: The program and its arguments; no shell.
            env: On top of the container's.
            workdir: The container's when None.
            user: "name", "uid", "name:group" or "uid:gid"; the container's when None.
            stdin: What it reads: bytes, text, a file or a descriptor; nothing when None.
            tty: Whether its streams are one terminal; then all output is in stdout.
            privileged: Whether it has all the capabilities there are.
            timeout: After which it is ended, in the container and with its children: seconds or
                "1m30s".
            check: Whether an exit code other than 0 is an error.
            text: Whether output is text; what can't be decoded is replaced.
            encoding: Of the text.

        Raises:
            DeadlineExceededError: The timeout came; it has the output until then.
            ExecError: With check, the exit code is not 0.
            InvalidStateError: The container does not run.
            NotFoundError: It was deleted, or there is no such program in it.
            PermissionDeniedError: The program can't be executed.
            InvalidArgumentError: Some arguments can't be used.
        """
        spec = _process.process_spec(args, env, workdir, user, tty, privileged, timeout)
        return _process.execute(
            self._runtime, self.id, spec, stdin, encoding if text else None, check=check
        )

    def exec_stream(
        self,
        args: Sequence[str],
        *,
        env: Strings | None = None,
        workdir: str | None = None,
        user: str | int | None = None,
        stdin: bool = False,
        tty: bool = False,
        privileged: bool = False,
        timeout: Quantity | None = None,
    ) -> Process:
        """
        Start a command in it, to watch and to feed while it runs.

        ```python
        with box.exec_stream(["tail", "-f", "/var/log/messages"]) as process:
            for stream, chunk in process:
                ...
        ```

        Args:
            args: The program and its arguments; no shell.
            env: On top of the container's.
            workdir: The container's when None.
            user: The container's when None.
            stdin: Whether the process's `stdin` can be written to.
            tty: Whether its streams are one terminal.
            privileged: Whether it has all the capabilities there are.
            timeout: After which it is ended, in the container and with its children.

        Raises:
            InvalidStateError: The container does not run.
            NotFoundError: It was deleted, or there is no such program in it.
            InvalidArgumentError: Some arguments can't be used.
        """
        spec = _process.process_spec(args, env, workdir, user, tty, privileged, timeout)
        return Process._start(self._runtime, self.id, spec, stdin)  # noqa: SLF001  # no public constructor

    def attach(self, stdin: Output = 0, stdout: Output = 1, stderr: Output = 2) -> None:
        """
        Connect this program's streams with the container's, until it ends.

        Args:
            stdin: A file or descriptor; nothing when None. The container needs stdin=True.
            stdout: The same.
            stderr: The same; unused when the container has a terminal.

        Raises:
            InvalidStateError: The container does not run.
            InvalidArgumentError: A file has no descriptor.
            NotFoundError: It was deleted.
        """
        _process.attach(self._runtime, self.id, stdin, stdout, stderr)

    # -- Logs and figures --------------------------------------------------------------------------

    @overload
    def logs(
        self,
        *,
        follow: Literal[False] = False,
        since: Moment | None = None,
        until: Moment | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        text: Literal[True] = True,
    ) -> str: ...

    @overload
    def logs(
        self,
        *,
        follow: Literal[True],
        since: Moment | None = None,
        until: Moment | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        text: Literal[True] = True,
    ) -> Iterator[str]: ...

    @overload
    def logs(
        self,
        *,
        follow: Literal[False] = False,
        since: Moment | None = None,
        until: Moment | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        text: Literal[False],
    ) -> bytes: ...

    @overload
    def logs(
        self,
        *,
        follow: Literal[True],
        since: Moment | None = None,
        until: Moment | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        text: Literal[False],
    ) -> Iterator[bytes]: ...

    def logs(
        self,
        *,
        follow: bool = False,
        since: Moment | None = None,
        until: Moment | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        text: bool = True,
    ) -> str | bytes | Iterator[str] | Iterator[bytes]:
        """
        Read what it wrote to its streams.

        Args:
            follow: Whether to go on until the container ends; then lines come as they are written.
                Letting go of the iterator ends it.
            since: Not before: a datetime, or how long ago as a timedelta or seconds.
            until: Not after.
            tail: The last lines only.
            timestamps: Whether each line begins with its time.
            stdout: Whether to read standard output.
            stderr: Whether to read standard error.
            text: Whether lines are text (UTF-8; what is not is replaced) or bytes.

        Raises:
            NotFoundError: It was deleted.
            InvalidArgumentError: Some arguments can't be used.
        """
        request = _logs.request(follow, since, until, tail, timestamps, stdout, stderr)
        if follow:
            return _logs.follow(self._runtime, self.id, request, text=text)
        content = _logs.read(self._runtime, self.id, request)
        return content.decode(errors="replace") if text else content

    def stats(self) -> Stats:
        """
        Read its figures, once.

        Raises:
            InvalidStateError: It does not run.
            NotFoundError: It was deleted.
        """
        return _stats.stats(self._runtime, self.id)

    def sample(
        self,
        interval: Quantity = 1.0,
        *,
        count: int | None = None,
        duration: Quantity | None = None,
    ) -> np.ndarray[Any, np.dtype[np.void]]:
        """
        Read its figures many times, without a Python object for each.

        Args:
            interval: Seconds from one sample to the next.
            count: How many; or
            duration: for how long.

        Returns:
            A structured array: the fields of `Stats`, and `valid`, the bits (`kina.Figure`) of
            those that could be read. It is shorter when the container ends.

        Raises:
            InvalidStateError: It does not run.
            NotFoundError: It was deleted.
            InvalidArgumentError: Neither or both of count and duration are given, or one can't be
            used.
        """
        return _stats.sample(self._runtime, self.id, interval, count, duration)

    # -- Files -------------------------------------------------------------------------------------

    def copy_to(self, src: str | os.PathLike[str] | bytes | IO[bytes], dest: str) -> None:
        """
        Copy into the container, running or not. Modes, owners (as root), links and extended
        attributes (the user's, and programs' capabilities) are kept; sockets are left out.

        A file or tree goes into `dest` when that is a directory, else becomes `dest`, whose parent
        must exist; the contents of "src/." go into `dest`. Bytes become the file `dest`.

        Args:
            src: A path; the bytes of a file; or a file that has a tar, which is unpacked in the
                directory `dest`.
            dest: An absolute path in the container.

        Raises:
            NotFoundError: There is no such path here, no such directory there, or no such
                container.
            InvalidArgumentError: A path can't be used.
            ConflictError: A file became shorter meanwhile.
        """
        _copying.copy_to(self._runtime, self.id, src, dest)

    def copy_from(self, src: str, dest: str | os.PathLike[str]) -> Path:
        """
        Copy out of the container, running or not. Modes, owners (as root), links and extended
        attributes (the user's, and programs' capabilities) are kept; sockets are left out.

        A file or tree goes into `dest` when that is a directory, else becomes `dest`, whose parent
        must exist; the contents of "src/." go into `dest`. Nothing is ever written outside of
        `dest`.

        Args:
            src: An absolute path in the container.
            dest: A path.

        Returns:
            Where it is.

        Raises:
            NotFoundError: There is no such path there, no such directory here, or no such
                container.
            InvalidArgumentError: A path can't be used, or src has devices or pipes, or is a socket.
            ConflictError: A file became shorter meanwhile.
            DataLossError: The container's archive is damaged or would write outside.
        """
        return _copying.copy_from(self._runtime, self.id, src, dest)
