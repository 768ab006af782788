"""
Archives that are read from, or written to, whatever people have: paths, bytes, files.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kina._streams import Descriptor, descriptor_of
from kina.calls import Background, Call
from kina.errors import InvalidArgumentError, NotFoundError

__all__ = ["Archive", "reading", "writing"]

Archive = str | os.PathLike[str] | bytes | IO[bytes]


@contextmanager
def reading(archive: Archive, call: Call) -> Iterator[int]:
    """
    Give a descriptor from which an archive can be read.
    """
    if isinstance(archive, str | os.PathLike):
        try:
            opened = Path(archive).open("rb")  # noqa: SIM115  # closed below
        except FileNotFoundError:
            raise NotFoundError(f"archive {os.fspath(archive)!r}: no such file") from None
        with opened:
            yield opened.fileno()
        return
    if not isinstance(archive, bytes | bytearray | memoryview) and not hasattr(archive, "read"):
        raise InvalidArgumentError.at("archive", archive, "must be a path, bytes or a file")
    source: IO[bytes]
    if isinstance(archive, bytes | bytearray | memoryview):
        source = io.BytesIO(archive)
    else:
        fd = descriptor_of(archive, "archive")
        if fd is not None:
            # A buffered file may have read ahead.
            if archive.seekable():
                os.lseek(fd, archive.tell(), os.SEEK_SET)
            yield fd
            return
        source = archive
    yield from _piped(source, call)


def _piped(source: IO[bytes], call: Call) -> Iterator[int]:
    reader, writer = map(Descriptor, os.pipe())

    def copy() -> None:
        try:
            while data := source.read(1 << 16):
                view = memoryview(data)
                while view:
                    view = view[os.write(writer.fd, view) :]
        except BrokenPipeError:
            return  # the runtime has seen enough, and says why
        finally:
            writer.close()

    try:
        feeding = Background(copy, call)
        try:
            feeding.start()
            yield reader.fd
        finally:
            reader.close()
            feeding.wait()
        feeding.result()
    finally:
        reader.close()
        writer.close()


@contextmanager
def writing(archive: str | os.PathLike[str] | IO[bytes]) -> Iterator[int]:
    """
    Give a descriptor to which an archive can be written. A path gets the whole archive or nothing.
    """
    if not isinstance(archive, str | os.PathLike):
        if not hasattr(archive, "write"):
            raise InvalidArgumentError.at("archive", archive, "must be a path or a file")
        fd = descriptor_of(archive, "archive")
        if fd is None:
            hint = "pass a path, or a file that open() returned"
            raise InvalidArgumentError.at("archive", archive, "has no descriptor", hint)
        archive.flush()
        yield fd
        return
    path = Path(archive)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as out:
            yield out.fileno()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
