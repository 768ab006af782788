"""
Files and trees, into a container and out of it.
"""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from kina._fields import parse_path, path_text
from kina._packing import attributes, restore_attributes
from kina._streams import Pipe, Reading
from kina.calls import Background, Call
from kina.errors import ConflictError, DataLossError, InvalidArgumentError, NotFoundError
from kina.runtimes.base import Runtime

__all__ = ["copy_from", "copy_to"]

LINKS = 40
"""As many symbolic links as Linux follows in one path."""

Source = str | os.PathLike[str] | bytes | IO[bytes]


def copy_to(runtime: Runtime, container: str, source: Source, destination: str) -> None:
    """
    Copy a file, a tree, bytes or a tar stream to a path in a container.
    """
    target = _inside(destination, "dest")
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        if destination.endswith("/"):
            raise InvalidArgumentError.at("dest", destination, "must be a file's path for bytes")
        _send(runtime, container, posixpath.dirname(target), _one_file(target, content))
    elif hasattr(source, "read"):
        stream = cast(IO[bytes], source)
        _send(runtime, container, target, lambda out: shutil.copyfileobj(stream, out, 1 << 16))
    else:
        path = Path(path_text(source, "src"))
        if not path.exists() and not path.is_symlink():
            raise NotFoundError(f"src {os.fspath(source)!r}: no such file or directory")
        contents = os.fspath(source).endswith(("/.", "/./"))
        directory, name = _place(runtime, container, target, destination, path, contents)
        _send(runtime, container, directory, _tree(path, name))


def copy_from(
    runtime: Runtime, container: str, source: str, destination: str | os.PathLike[str]
) -> Path:
    """
    Copy a file or a tree out of a container.
    """
    origin = _inside(source, "src")
    destination = path_text(destination, "dest")
    target = Path(os.path.abspath(destination))  # noqa: PTH100  # without following links
    name = posixpath.basename(origin)
    contents = source.endswith(("/.", "/./")) or origin == "/"
    if contents:
        target.mkdir(exist_ok=True)
    elif target.is_dir():
        target = target / name
    elif destination.endswith("/") or not target.parent.is_dir():
        raise NotFoundError(f"dest {destination!r}: no such directory")
    _receive(runtime, container, origin, target)
    return target


def _inside(path: str, field: str) -> str:
    try:
        return posixpath.normpath(parse_path(path_text(path, field)))
    except InvalidArgumentError as error:
        raise InvalidArgumentError.at(field, path, error.problems[0].reason) from None


# -- In --------------------------------------------------------------------------------------------


def _place(
    runtime: Runtime, container: str, target: str, spelt: str, path: Path, contents: bool
) -> tuple[str, str]:
    """
    Say in which directory of the container a source goes, and under what name.
    """
    there = _look(runtime, container, target)
    if contents:
        if there is None:
            return posixpath.dirname(target), posixpath.basename(target)
        return target, "."
    if there is not None and there.isdir():
        return target, path.resolve().name if path.name in ("", "..") else path.name
    if spelt.endswith("/"):
        raise NotFoundError(f"dest {spelt!r}: no such directory in the container")
    if there is not None and path.is_dir():
        raise InvalidArgumentError.at("dest", spelt, "is a file, and src a directory")
    return posixpath.dirname(target), posixpath.basename(target)


def _look(runtime: Runtime, container: str, path: str) -> tarfile.TarInfo | None:
    """
    Say what is at a path of a container, after symbolic links; None when nothing is.
    """
    for _ in range(LINKS):
        if path == "/":
            root = tarfile.TarInfo("/")
            root.type = tarfile.DIRTYPE
            return root
        try:
            member = _first_member(runtime, container, path)
        except NotFoundError:
            return None
        if not member.issym():
            return member
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
    raise InvalidArgumentError.at("dest", path, "has too many symbolic links")


def _first_member(runtime: Runtime, container: str, path: str) -> tarfile.TarInfo:
    try:
        with (
            Reading(
                lambda fd, call: runtime.containers.copy_out(container, path, fd, call),
                Call(),
                chunk=tarfile.BLOCKSIZE,
            ) as chunks,
            tarfile.open(fileobj=_Reader(chunks), mode="r|", bufsize=tarfile.BLOCKSIZE) as archive,
        ):
            member = archive.next()
    except tarfile.ReadError as failure:
        raise DataLossError(f"the archive of {path!r} can't be read: {failure}") from failure
    if member is None:
        raise NotFoundError(f"{path!r}: no such file or directory in the container")
    return member


def _send(
    runtime: Runtime, container: str, directory: str, write: Callable[[IO[bytes]], object]
) -> None:
    """
    Unpack what `write` writes, a tar, in a directory of the container.
    """
    pipe, call = Pipe(), Call()

    def unpack() -> None:
        try:
            runtime.containers.copy_in(container, directory, pipe.reader.fd, call)
        finally:
            pipe.reader.close()  # a writer that goes on gets an error, not a full pipe

    try:
        background = Background(unpack, call)
        try:
            background.start()
            out = os.fdopen(os.dup(pipe.writer.fd), "wb")
            pipe.writer.close()
            try:
                write(out)
            except BrokenPipeError:
                _abandon(out)  # the other side says why
            except BaseException:
                # Before the end of the archive can arrive: what is half written must not count as
                # whole.
                background.cancel()
                _abandon(out)
                raise
            else:
                _finish(out)
        except BaseException:
            background.cancel()
            raise
        background.result()
    finally:
        pipe.close()


def _finish(out: IO[bytes]) -> None:
    try:
        out.close()
    except BrokenPipeError:
        return  # the other side says why


def _abandon(out: IO[bytes]) -> None:
    try:
        out.close()
    except OSError:
        return


def _one_file(target: str, content: bytes) -> Callable[[IO[bytes]], None]:
    def write(out: IO[bytes]) -> None:
        member = tarfile.TarInfo(posixpath.basename(target))
        member.size, member.mode, member.mtime = len(content), 0o644, time.time()
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(member, io.BytesIO(content))

    return write


def _tree(path: Path, name: str) -> Callable[[IO[bytes]], None]:
    current = path

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        nonlocal current
        # Numbers, not names: the container has a user database of its own.
        member.uname = member.gname = ""
        current = path / PurePosixPath(member.name).relative_to(name)
        if member.isreg() or member.isdir():
            member.pax_headers = {**member.pax_headers, **attributes(current)}
        return member

    def write(out: IO[bytes]) -> None:
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            try:
                archive.add(path, name, filter=plain)
            except OSError as failure:
                if failure.errno is not None:
                    raise
                # tarfile's own: it found less than it had announced.
                raise ConflictError(
                    f"src {os.fspath(current)!r} became shorter while it was copied",
                    hint="copy it again when nothing writes to it",
                ) from failure

    return write


# -- Out -------------------------------------------------------------------------------------------


class _Reader(io.RawIOBase):
    """
    A file over chunks.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        taken = min(len(buffer), len(self._rest))
        buffer[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken


def _receive(runtime: Runtime, container: str, origin: str, target: Path) -> None:
    root = target.parent.resolve()
    try:
        with Reading(
            lambda fd, call: runtime.containers.copy_out(container, origin, fd, call), Call()
        ) as chunks:
            reader = io.BufferedReader(_Reader(chunks), 1 << 16)
            with tarfile.open(fileobj=reader, mode="r|") as archive:
                if hasattr(tarfile, "fully_trusted_filter"):
                    # `_checked` is stricter about where, and keeps modes and owners, which the
                    # others drop.
                    archive.extraction_filter = staticmethod(tarfile.fully_trusted_filter)
                members = _checked(archive, root, target.name, origin)
                archive.extractall(root, members, numeric_owner=True)  # noqa: S202  # checked
            for _ in chunks:
                pass  # to the end, where the runtime's own error is
    except tarfile.ReadError as failure:
        raise DataLossError(f"the archive of {origin!r} can't be read: {failure}") from failure


def _checked(
    archive: tarfile.TarFile, root: Path, name: str, origin: str
) -> Iterator[tarfile.TarInfo]:
    """
    Yield what an archive has, its top entry renamed; refuse whatever would be written outside.
    """
    for member in archive:
        there = _renamed(member.name, origin)
        member.name = _renamed(member.name, name)
        if member.islnk():
            member.linkname = _renamed(member.linkname, name)
            _contain(root, member.linkname, follow=True)
        elif not (member.isreg() or member.isdir() or member.issym()):
            raise InvalidArgumentError.at(
                "src", there, "is a device or a pipe", "copy the files beside it"
            )
        _contain(root, member.name, follow=not member.issym())
        yield member
        # It is there by now.
        if member.isreg() or member.isdir():
            restore_attributes(root / member.name, member.pax_headers)


def _renamed(path: str, top: str) -> str:
    _, *rest = PurePosixPath(path.lstrip("/")).parts or (".",)
    return posixpath.join(top, *rest)


def _contain(root: Path, name: str, *, follow: bool) -> None:
    path = root / name
    real = Path(os.path.realpath(path if follow else path.parent))
    if ".." in PurePosixPath(name).parts or not real.is_relative_to(root):
        raise DataLossError(
            f"the container's archive has {name!r}, which would be outside of {os.fspath(root)!r}",
            hint="nothing was written there; do not trust this container",
        )
