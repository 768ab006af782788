"""
Files into an engine's containers and out of them.

An engine's own archives lose what the native runtime keeps: dockerd's attributes but capabilities,
Podman's owners; and dockerd's do not reach a tmpfs. So where this program is root on the engine's
machine it packs and unpacks in the container's root itself; elsewhere it takes what there is.
"""

from __future__ import annotations

import json
import os
import posixpath
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias

import attrs

from kina import _packing
from kina.calls import SLICE, Call
from kina.errors import (
    ConflictError,
    DataLossError,
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnsupportedError,
)
from kina.runtimes.docker._connection import path as joined
from kina.runtimes.docker._engine import Engine, check
from kina.runtimes.docker._host import Root, is_root_beside, root_of
from kina.runtimes.docker._podman import mounted
from kina.runtimes.docker._status import state_of

__all__ = ["Files"]

Action: TypeAlias = Literal["pack", "unpack"]

_KINDS: Final[dict[str, tuple[type[KinaError], str | None]]] = {
    "socket": (InvalidArgumentError, "copy the files beside it"),
    "shrunk": (ConflictError, "copy it again when nothing writes to it"),
    "archive": (InvalidArgumentError, "pass a whole, uncompressed tar archive"),
    "ENOENT": (NotFoundError, None),
    "ENOTDIR": (NotFoundError, None),
    "EISDIR": (InvalidArgumentError, "a directory is there already"),
    "EROFS": (PermissionDeniedError, "choose a directory that the container can write to"),
    "EACCES": (PermissionDeniedError, "choose a directory that the container can write to"),
    "EPERM": (PermissionDeniedError, "choose a directory that the container can write to"),
    "ENOSPC": (ResourceExhaustedError, "free disk space, or enlarge the volume or tmpfs"),
    "EDQUOT": (ResourceExhaustedError, "free disk space, or enlarge the volume or tmpfs"),
    "EBUSY": (InvalidStateError, "something is mounted on it: write to it from inside, or beside"),
    "ETXTBSY": (InvalidStateError, "it runs: stop it, or copy beside it"),
    "EPIPE": (ConflictError, "read the archive to its end"),
    "EIO": (DataLossError, "the file system that it is on is damaged"),
}


@attrs.frozen
class Files:
    """
    The boundary's copies.

    Attributes:
        engine: Whose containers.
        inspect: Returns the document of one of kina's.
    """

    engine: Engine
    inspect: Callable[[str], Any]

    def copy_in(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        self._copy("unpack", f"the copy to {path}", self._put, (reference, path, fd), call)

    def copy_out(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        self._copy("pack", f"the copy of {path}", self._get, (reference, path, fd), call)

    def _copy(
        self,
        action: Action,
        what: str,
        otherwise: Callable[[Any, str, int, str, Call], None],
        of: tuple[str, str, int],
        call: Call | None,
    ) -> None:
        """
        Pack or unpack in the container's root, where this program can; else have the engine do it.
        """
        reference, path, fd = of

        def copy(bound: Call) -> None:
            document = self.inspect(reference)
            with self._root(document, path) as found:
                if found is not None:
                    _run(action, *found, fd, what, bound)
                    return
            otherwise(document, path, fd, what, bound)

        self.engine.bounded(copy, call)

    # -- By this program ---------------------------------------------------------------------------

    @contextmanager
    def _root(self, document: Any, path: str) -> Iterator[tuple[Root, str] | None]:
        """
        Give a root directory and the path beneath it; None where the engine is to do it.
        """
        if state_of(document) in ("running", "paused"):
            with root_of(self.engine, document) as root:
                yield None if root is None else (root, path)
            return
        _refuse_memory(document, path)
        if not self.engine.podman or not is_root_beside(self.engine):
            yield None
            return
        with mounted(self.engine, document["Id"]) as top:
            place, rest = _behind(document, path) or (top, path)
            try:
                root = Root(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
            except OSError:  # a file that is mounted, or another machine's engine after all
                yield None
                return
            try:
                yield root, rest
            finally:
                root.close()

    # -- By the engine -----------------------------------------------------------------------------

    def _put(self, document: Any, path: str, fd: int, what: str, call: Call) -> None:
        self._refuse(document, path)
        missing = NotFoundError(f"{path}: no such directory in the container")
        target, query = self._archive(document), {"path": path}
        try:
            if self.engine.podman:  # 4.3 would make it
                with self.engine.exchange(call) as exchange:
                    exchange.ask("HEAD", target, query=query)
            with self.engine.exchange(call) as exchange:
                exchange.ask("PUT", target, query=query, body=fd, what=what)
                exchange.json("the end of the copy")
        except NotFoundError:
            raise missing from None

    def _get(self, document: Any, path: str, fd: int, what: str, call: Call) -> None:
        self._refuse(document, path)
        with self.engine.exchange(call) as exchange:
            try:
                exchange.ask("GET", self._archive(document), query={"path": path}, what=what)
            except NotFoundError:
                raise NotFoundError(f"{path}: no such file in the container") from None
            exchange.copy_to(fd, what)

    def _archive(self, document: Any) -> str:
        return self.engine.target(joined("containers", document["Id"], "archive"))

    def _refuse(self, document: Any, path: str) -> None:
        # Podman's look through a running container's own eyes.
        if not self.engine.podman or state_of(document) not in ("running", "paused"):
            _refuse_memory(document, path)


def _refuse_memory(document: Any, path: str) -> None:
    """
    Refuse what is in a tmpfs: an engine would say that all is well, and put files beneath it.
    """
    for place in document["HostConfig"].get("Tmpfs") or ():
        if _is_beneath(path, place):
            raise UnsupportedError(
                f"{path}: an engine's copies do not reach the tmpfs at {place}",
                hint="start the container, and exec tar in it and feed that",
            )


def _is_beneath(path: str, place: str) -> bool:
    return f"{posixpath.normpath(path)}/".startswith(f"{posixpath.normpath(place)}/")


def _behind(document: Any, path: str) -> tuple[str, str] | None:
    """
    Return the directory of the host that is mounted where a path leads, and the rest of it.
    """
    mounts = [m for m in document.get("Mounts") or () if _is_beneath(path, m["Destination"])]
    if not mounts:
        return None
    mount = max(mounts, key=lambda each: len(each["Destination"]))
    rest = posixpath.relpath(posixpath.normpath(path), posixpath.normpath(mount["Destination"]))
    return mount["Source"], "/" if rest == "." else f"/{rest}"


def _run(action: Action, root: Root, path: str, fd: int, what: str, call: Call) -> None:
    """
    Run `_packing` until it or the call ends.
    """
    command = [
        sys.executable, "-I", "-X", "utf8", _packing.__file__,
        action, str(root.mounts), str(root.directory), path,
    ]  # fmt: skip
    packs = action == "pack"
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if packs else fd,
        stdout=fd if packs else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=root.all,
        cwd="/",
    ) as process:
        assert process.stderr is not None
        try:
            said = _read_all(process.stderr.fileno(), call)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _failure(said, process.returncode, what)


def _read_all(fd: int, call: Call) -> bytes:
    waiting, said = select.poll(), b""
    waiting.register(fd, select.POLLIN)
    while True:
        if waiting.poll(SLICE * 1000):
            data = os.read(fd, 1 << 12)
            if not data:
                return said
            said += data
        check(call)


def _failure(said: bytes, code: int, what: str) -> KinaError:
    try:
        document = json.loads(said)
        kind, text = document["kind"], document["text"]
    except (ValueError, TypeError, KeyError):
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        return KinaError(f"{what} ended with {code}: {last}")
    meant, hint = _KINDS.get(kind, (KinaError, None))
    return meant(f"{what}: {text}", hint=hint)
