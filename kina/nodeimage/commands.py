"""
Programs that take minutes: bounded by a call, ended with us however we end, their output kept.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from kina.calls import SLICE, Call
from kina.errors import DeadlineExceededError, ExecError, OperationCancelledError, UnavailableError

__all__ = ["Log", "check", "needed", "run"]

TAIL = 4000
"""Bytes of a log's end that an error shows."""


@attrs.frozen
class Log:
    """
    Where the output of programs goes: one file, which outlives a failure.
    """

    path: Path

    def tail(self, start: int) -> str:
        """
        Return the end of what was written from `start` on.
        """
        with self.path.open("rb") as file:
            file.seek(max(start, self.path.stat().st_size - TAIL))
            return file.read().decode(errors="replace")


def needed(program: str, package: str) -> str:
    """
    Find a program of the host.

    Raises:
        UnavailableError: It is not installed.
    """
    found = shutil.which(program)
    if found is None:
        raise UnavailableError(
            f"building a node image needs {program}", hint=f"apt-get install {package}"
        )
    return found


def check(call: Call) -> None:
    """
    Raise when the call is to end.

    Raises:
        OperationCancelledError: It was cancelled.
        DeadlineExceededError: Its time is over.
    """
    if call.cancelled:
        raise OperationCancelledError("building the node image was cancelled")
    if call.remaining == 0:
        raise DeadlineExceededError(
            "building the node image took longer than allowed",
            hint="what was finished is kept: a further build goes on from there",
        )


def run(
    command: Sequence[str | os.PathLike[str]],
    log: Log,
    call: Call,
    env: Mapping[str, str] | None = None,
) -> None:
    """
    Run a program to its end, at low priority, in process and mount namespaces of its own.

    The kernel ends everything in there together with the first process, which ends with us: nothing
    of it, mounts included, is left however this process dies.

    Args:
        command: The program and its arguments.
        log: Where its output goes.
        call: Bounds it.
        env: Its environment; a plain one when None.

    Raises:
        ExecError: It failed; the error has the end of its output.
        OperationCancelledError: The call was cancelled.
        DeadlineExceededError: The call's time is over.
    """
    check(call)
    words = [os.fspath(word) for word in command]
    guard = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private"),
        *("nice", "-n", "10"),
    ]
    plain = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    with log.path.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [*guard, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**plain, **(env or {})},
            start_new_session=True,
        )
        try:
            with call.cancelling(lambda: _end(process)):
                code = _wait(process, call)
        finally:
            _end(process)
            process.wait()
    check(call)
    if code != 0:
        raise ExecError(words[:4], code, "", log.tail(start), why=f"failed (see {log.path})")


def _wait(process: subprocess.Popen[bytes], call: Call) -> int:
    while True:
        remaining = call.remaining
        if remaining == 0:
            return -1
        try:
            return process.wait(SLICE if remaining is None else min(SLICE, remaining))
        except subprocess.TimeoutExpired:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    # Its process group: the first process is setpriv, then unshare, in the same place.
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
