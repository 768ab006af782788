"""
Further processes in an engine's containers.

An engine can start a process and say how it ended; it can neither signal nor end one. So each gets
a mark in its environment, which its children inherit, and what has the mark is signalled: by this
program where it sees the engine's processes, else by the container's own shell.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from kina.calls import SLICE, Call
from kina.config import ProcessSpec
from kina.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
    NotFoundError,
    UnsupportedError,
)
from kina.runtimes.base import Streams
from kina.runtimes.docker._connection import Exchange, path
from kina.runtimes.docker._containers import Containers, start_error
from kina.runtimes.docker._engine import Engine, check
from kina.runtimes.docker._host import is_visible
from kina.runtimes.docker._signals import number
from kina.runtimes.docker._status import exit_status, state_of
from kina.runtimes.docker._streams import Demultiplexer, join
from kina.status import ExitStatus

__all__ = ["Processes"]

MARK: Final = "KINA_EXEC"
SIGNAL_SECONDS: Final = 60.0
"""How long a container's shell may look for whom to signal."""
SWEEPS: Final = 50
"""How often what a killed process has just forked is looked for."""
# Signals the first process with the mark, or all of them.
SCRIPT: Final = """
for p in /proc/[0-9]*; do
  tr '\\0' '\\n' < $p/environ 2>/dev/null | grep -qx "$1" || continue
  q=/proc/$(sed 's/.*) . //;s/ .*//' $p/stat)
  [ "$3" = all ] || ! tr '\\0' '\\n' < $q/environ 2>/dev/null | grep -qx "$1" || continue
  kill -$2 ${p#/proc/} && echo ${p#/proc/}
done
"""


@attrs.define(eq=False)
class _Process:
    """
    A process that this program has started.
    """

    id: str
    container: str
    mark: str
    terminal: bool
    exchange: Exchange
    deadline: Call
    thread: threading.Thread | None = None
    ended: threading.Event = attrs.field(factory=threading.Event)
    drained: threading.Event = attrs.field(factory=threading.Event)


@attrs.frozen
class Processes:
    """
    The boundary's processes.
    """

    engine: Engine
    containers: Containers
    _known: dict[str, _Process] = attrs.field(factory=dict, init=False)

    # -- Starting ----------------------------------------------------------------------------------

    def create(
        self, container: str, spec: ProcessSpec, streams: Streams, call: Call | None = None
    ) -> str:
        return self.engine.bounded(
            lambda bound: self._create(container, spec, streams, bound), call
        )

    def _create(self, container: str, spec: ProcessSpec, streams: Streams, call: Call) -> str:
        document = self.containers.running(container)
        mark = f"{MARK}={secrets.token_hex(16)}"
        with self.engine.asking() as client:
            made = client.exec_create(
                document["Id"],
                list(spec.args),
                stdin=streams.stdin >= 0,
                tty=spec.terminal,
                privileged=spec.privileged,
                user=spec.user or "",
                environment=[f"{key}={value}" for key, value in spec.env.items()] + [mark],
                workdir=spec.workdir,
            )["Id"]
        deadline = Call(None if spec.timeout_ms is None else spec.timeout_ms / 1000)
        exchange = self.engine.exchange(call)
        try:
            target = self.engine.target(path("exec", made, "start"))
            what = f"the start of {spec.args[0]!r}"
            exchange.ask(
                "POST",
                target,
                document={"Detach": False, "Tty": spec.terminal},
                upgrade=True,
                what=what,
            )
            self._await_start(made, spec, exchange, call)
        except BaseException as failure:
            exchange.close()
            with suppress(KinaError):
                self._signal(document, mark, "KILL", every=True)
            if isinstance(failure, KinaError):
                raise self._why(made, spec, failure) from failure
            raise
        exchange.call = Call()  # what it goes on under
        process = _Process(made, document["Id"], mark, spec.terminal, exchange, deadline)
        # The caller may close its descriptors when this has returned.
        kept = Streams(*(fd if fd < 0 else os.dup(fd) for fd in streams))
        process.thread = threading.Thread(
            target=self._pump, args=(process, kept), name="kina-exec", daemon=True
        )
        self._known[made] = process
        process.thread.start()
        return str(made)

    def _await_start(self, made: str, spec: ProcessSpec, exchange: Exchange, call: Call) -> None:
        pause = 0.001
        while True:
            check(call)
            found = self._inspect(made)
            if found.get("Pid") or (found.get("ExitCode") is not None and not found["Running"]):
                break
            if exchange.ready(pause):
                # Its first output, or what the engine says of a start that failed.
                time.sleep(pause)
            pause = min(pause * 2, 0.1)
        if not found.get("Pid") and found.get("ExitCode") in (126, 127):
            pieces = Demultiplexer(terminal=spec.terminal)
            text = b""
            with suppress(KinaError):
                while data := exchange.read("the error"):
                    text += b"".join(piece for _, piece in pieces.feed(data))
            message = text.decode(errors="replace").strip()
            raise KinaError(message or f"{spec.args[0]!r} did not start")

    def _why(self, made: str, spec: ProcessSpec, error: KinaError) -> KinaError:
        code = 0
        with suppress(KinaError):
            code = int(self._inspect(made).get("ExitCode") or 0)
        if "not found" in error.message or "no such file" in error.message.lower():
            code = 127  # older engines answer 126 to both
        return start_error(f"{spec.args[0]!r}", code, error)

    def _inspect(self, made: str) -> Any:
        with self.engine.asking() as client:
            return client.exec_inspect(made)

    def _pump(self, process: _Process, streams: Streams) -> None:
        try:
            # Deleted, or the engine is gone: `wait` says so.
            with suppress(KinaError):
                join(
                    process.exchange,
                    streams,
                    terminal=process.terminal,
                    what="the process",
                    ended=process.ended,
                )
        finally:
            for fd in set(streams):
                if fd >= 0:
                    os.close(fd)
            process.drained.set()

    # -- Ending ------------------------------------------------------------------------------------

    def wait(self, container: str, process: str | None, call: Call | None = None) -> ExitStatus:
        if process is None:
            return self.engine.bounded(
                lambda bound: self._wait_for_container(container, bound), call
            )
        found = self._find(process)
        return self.engine.bounded(lambda bound: self._wait(found, bound), call)

    def _wait_for_container(self, container: str, call: Call) -> ExitStatus:
        document = self.containers.inspect(container)
        name = document["Name"].lstrip("/")
        if state_of(document) == "created":
            raise InvalidStateError(f"container {name!r} has never run", hint="start it")
        if state_of(document) != "stopped":
            try:
                self.containers.await_end(document["Id"], call, None)
            except DeadlineExceededError:
                raise DeadlineExceededError(
                    f"container {name!r} still runs", hint="allow more time"
                ) from None
            document = self.containers.inspect(document["Id"])
        return exit_status(document)

    def _find(self, process: str) -> _Process:
        found = self._known.get(process)
        if found is None:
            raise NotFoundError(
                f"there is no process {process!r}", hint="it was started by another program"
            )
        return found

    def _wait(self, process: _Process, call: Call) -> ExitStatus:
        pause, timed_out = 0.001, False
        while True:
            check(call)
            left = process.deadline.remaining
            # Mostly the end of its output is its end: asking is for those whose children hold it.
            over = process.drained.wait(SLICE if left is None or timed_out else min(left, SLICE))
            found = self._inspect_or_killed(process)
            if not found["Running"]:
                break
            if process.deadline.remaining == 0:
                timed_out = True
                self._end(process)
            if over:
                time.sleep(pause)
                pause = min(pause * 2, SLICE)
        process.ended.set()
        while not process.drained.wait(SLICE):
            check(call)  # who reads it takes their time
        code = int(found["ExitCode"] or 0)
        return ExitStatus(
            exit_code=code,
            reason="timeout" if timed_out else "signaled" if code > 128 else "exited",
            finished_at_ns=time.time_ns(),
        )

    def _inspect_or_killed(self, process: _Process) -> Any:
        """
        Return what the engine knows of a process; it may forget those of a container that ended.
        """
        try:
            found = self._inspect(process.id)
        except NotFoundError:
            return {"Running": False, "ExitCode": 137}
        if found["Running"] or found.get("ExitCode") is None:
            with suppress(NotFoundError):
                if state_of(self.containers.inspect(process.container)) in ("running", "paused"):
                    return {**found, "Running": True}
            return {"Running": False, "ExitCode": 137}
        return found

    def kill(
        self, container: str, process: str | None, signal: str, call: Call | None = None
    ) -> None:
        self.engine.bounded(lambda _: self._kill(container, process, signal), call)

    def _kill(self, container: str, process: str | None, signal: str) -> None:
        number(signal)
        if process is not None:
            found = self._find(process)
            document = self.containers.inspect(container)
            if not self._signal(document, found.mark, signal, every=False):
                raise NotFoundError(f"process {process[:12]!r} has ended")
            return
        document = self.containers.inspect(container)
        if state_of(document) not in ("running", "paused"):
            name = document["Name"].lstrip("/")
            raise InvalidStateError(f"container {name!r} is not running", hint="start it")
        self.containers.signal(document["Id"], signal)

    def resize(self, container: str, process: str | None, rows: int, columns: int) -> None:
        for field, value in (("rows", rows), ("columns", columns)):
            if not 1 <= value <= 65535:
                raise InvalidArgumentError.at(field, value, "must be 1 to 65535")
        with self.engine.asking() as client:
            if process is None:
                client.resize(self.containers.inspect(container)["Id"], rows, columns)
            else:
                if not self._find(process).terminal:
                    raise InvalidStateError("the process has no terminal", hint="tty=True")
                client.exec_resize(process, rows, columns)

    def delete(self, container: str, process: str) -> None:  # noqa: ARG002  # ids are unique
        found = self._known.pop(process, None)
        if found is None:
            return
        try:
            with suppress(NotFoundError):
                if self._inspect(found.id)["Running"]:
                    self._end(found)
        finally:
            found.exchange.call.cancel()
            if found.thread is not None:
                found.thread.join()
            found.exchange.close()

    def _end(self, process: _Process) -> None:
        """
        Kill a process and all that it has started.
        """
        with suppress(NotFoundError):
            document = self.containers.inspect(process.container)
            if state_of(document) not in ("running", "paused"):
                return
            for _ in range(SWEEPS):
                if not self._signal(document, process.mark, "KILL", every=True):
                    return
                time.sleep(0.01)

    def _signal(self, document: Any, mark: str, signal: str, *, every: bool) -> list[int]:
        """
        Signal the process that has a mark, or all that have it, and return who was.
        """
        if is_visible(self.engine, document):
            return _signal_here(mark, number(signal), every=every)
        return self._signal_inside(document, mark, signal, every=every)

    def _signal_inside(self, document: Any, mark: str, signal: str, *, every: bool) -> list[int]:
        command = ["sh", "-c", SCRIPT, "sh", mark, str(number(signal)), "all" if every else "one"]
        with self.engine.asking() as client:
            made = client.exec_create(document["Id"], command, user="0", stderr=False)["Id"]
        output = self._output(made)
        code = self._inspect(made)["ExitCode"]
        if code in (126, 127):
            raise UnsupportedError(
                "the process can't be signalled: the engine can't, and the image has no shell",
                hint="use an image with sh, grep, sed and tr, or this machine's engine as root",
            )
        return [int(word) for word in output.split()]

    def _output(self, made: str) -> bytes:
        pieces, output = Demultiplexer(terminal=False), b""
        what = "the signal"
        with self.engine.exchange(Call(SIGNAL_SECONDS)) as exchange:
            target = self.engine.target(path("exec", made, "start"))
            exchange.ask("POST", target, document={"Detach": False, "Tty": False}, upgrade=True,
                         what=what)  # fmt: skip
            for data in exchange.chunks(what):
                output += b"".join(piece for _, piece in pieces.feed(data))
        return output


def _marked(mark: bytes) -> dict[int, int]:
    """
    Return the processes with a mark, each with its parent.
    """
    found = {}
    for name in _names():
        if not name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                stat = Path("/proc", name, "stat").read_text().rsplit(")", 1)[1].split()
                if stat[0] not in "ZX":
                    found[int(name)] = int(stat[1])
    return found


def _names() -> list[str]:
    return os.listdir("/proc")  # noqa: PTH208  # many, and no paths are needed


def _signal_here(mark: str, value: int, *, every: bool) -> list[int]:
    found = _marked(mark.encode())
    chosen = [pid for pid, parent in found.items() if every or parent not in found]
    for pid in chosen:
        with suppress(ProcessLookupError):
            os.kill(pid, value)
    return chosen
