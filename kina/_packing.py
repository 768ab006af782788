"""
Tars of what is in another root directory, which is a container's. Also a program of its own.

`python -I -X utf8 _packing.py pack|unpack MOUNTS ROOT PATH` packs the path beneath a root, or
unpacks what it is fed in that directory. MOUNTS and ROOT are descriptors of a mount namespace, -1
for this one, and of a directory there. What goes wrong comes as one JSON object on its standard
error.

Python's tarfile it is, and not a program of the host's: whoever enters a container's root has none
but what is in memory already. Nothing is imported or looked up in there, for this runs as root, and
what a container has may be hostile (CVE-2019-14271 was docker cp loading its libraries).
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

__all__ = ["attributes", "restore_attributes"]

ATTRIBUTE = "SCHILY.xattr."
"""Before an attribute's name in a pax header, as GNU tar and Go write it."""
KERNELS = ("dev", "proc", "sys")
"""What a copy of a whole root leaves out where something is mounted there."""
NEWNS = 0x20000
"""CLONE_NEWNS."""
SHRUNK = "became shorter while it was copied"


# -- Extended attributes ---------------------------------------------------------------------------


def _is_kept(name: str) -> bool:
    """
    Say whether it is the user's own, or a program's capabilities: others are the host's affair.
    """
    return name.startswith("user.") or name == "security.capability"


def attributes(path: str | os.PathLike[str]) -> dict[str, str]:
    """
    Read what a file has, as pax headers. Elsewhere than on Linux there is nothing that fits.
    """
    if sys.platform != "linux":
        return {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {
            # tarfile writes such text as the bytes that it stands for.
            f"{ATTRIBUTE}{name}": os.getxattr(path, name, follow_symlinks=False).decode(
                errors="surrogateescape"
            )
            for name in names
            if _is_kept(name)
        }
    except OSError:
        return {}  # none on this file system, or it is just going


def restore_attributes(path: str | os.PathLike[str], headers: Mapping[str, str]) -> None:
    """
    Set what an archive says, where the file system and the user's privileges have a place for it.
    """
    if sys.platform != "linux":
        return
    for key, value in headers.items():
        name = key.removeprefix(ATTRIBUTE)
        if name == key or not _is_kept(name):
            continue
        try:
            os.setxattr(path, name, value.encode(errors="surrogateescape"), follow_symlinks=False)
        except OSError as failure:
            if failure.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


# -- Packing ---------------------------------------------------------------------------------------


class Refused(Exception):  # noqa: N818  # no failure of this program's
    """
    What can't be copied, and why.

    Args:
        kind: "socket" or "shrunk".
        text: In words.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _pack(path: str, out: IO[bytes]) -> None:
    parent, _, name = path.rpartition("/")
    os.chdir(parent or "/")
    name = name or "."
    if stat.S_ISSOCK(os.lstat(name).st_mode):
        raise Refused("socket", "it is a socket")
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, name)


def _add(archive: tarfile.TarFile, name: str) -> None:
    """
    Add a file or tree. What goes meanwhile was not there.
    """
    try:
        if stat.S_ISSOCK(os.lstat(name).st_mode):
            return  # a tar has no place for one
        member = archive.gettarinfo(name)
        # Fractions would cost three blocks more for each file.
        member.mtime = int(member.mtime)
        if member.isreg() or member.isdir():
            member.pax_headers = {**member.pax_headers, **attributes(name)}
        if member.isreg():
            # Nothing that has just taken its place is waited for.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with os.fdopen(os.open(name, flags), "rb") as file:
                _add_file(archive, member, file)
            return
        names = sorted(os.listdir(name)) if member.isdir() else []  # noqa: PTH208  # text
    except FileNotFoundError:
        return
    archive.addfile(member)
    for each in names:
        if name != "." or not _is_kernels(each):
            _add(archive, f"{name}/{each}")


def _add_file(archive: tarfile.TarFile, member: tarfile.TarInfo, file: IO[bytes]) -> None:
    try:
        archive.addfile(member, file)
    except OSError as failure:
        if failure.errno is not None:
            raise
        raise Refused("shrunk", f"{member.name!r} {SHRUNK}") from failure


def _is_kernels(name: str) -> bool:
    return name in KERNELS and os.lstat(name).st_dev != os.lstat(".").st_dev


# -- Unpacking -------------------------------------------------------------------------------------


class _Source(io.RawIOBase):
    """
    What is fed, of which the end is kept.

    Args:
        file: Where it comes from.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.tail = file, b""

    def read(self, size: int = -1) -> bytes:
        """
        Read as much, or to the end.
        """
        data = self._file.read(size)
        self.tail = (self.tail + data)[-tarfile.BLOCKSIZE :]
        return data


def _unpack(path: str, file: IO[bytes]) -> None:
    os.chdir(path)
    source = _Source(file)
    with tarfile.open(fileobj=source, mode="r|", errorlevel=2) as archive:
        if hasattr(tarfile, "fully_trusted_filter"):
            # The root is the container's: nothing leads out of it.
            archive.extraction_filter = staticmethod(tarfile.fully_trusted_filter)
        archive.extractall(".", _placed(archive), numeric_owner=True)  # noqa: S202
    while source.read(1 << 16):
        pass  # padding: whoever writes it should not meet a closed pipe
    if source.tail != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it is cut short")  # where a member ends, tarfile says nothing


def _placed(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """
    Yield the members, each when there is room for it, and give them their attributes.
    """
    for member in archive:
        there = Path(member.name)
        is_directory = there.is_dir()
        if not (member.isdir() and is_directory) and (not is_directory or there.is_symlink()):
            # Writing to it would change its other names, and what is mounted there.
            there.unlink(missing_ok=True)
        yield member
        if member.isreg() or member.isdir():
            restore_attributes(member.name, member.pax_headers)


# -- The program -----------------------------------------------------------------------------------


def _enter(mounts: int, root: int) -> None:
    if mounts >= 0:
        # Else what is mounted in there could be taken away by removing what is beneath.
        _join(mounts)
        os.close(mounts)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)
    # From here on every path is the container's.
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    for users in ("pwd", "grp"):
        setattr(tarfile, users, None)  # they would load the container's libraries


def _join(mounts: int) -> None:
    if hasattr(os, "setns"):
        os.setns(mounts, NEWNS)
        return
    import ctypes  # Python 3.11

    if ctypes.CDLL(None, use_errno=True).setns(mounts, NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> int:
    """
    Do what the command line says.
    """
    what, mounts, root, path = sys.argv[1:]
    failure: dict[str, object]
    try:
        _enter(int(mounts), int(root))
        if what == "pack":
            _pack(path, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            _unpack(path, sys.stdin.buffer)
    except Refused as refused:
        failure = {"kind": refused.kind, "text": str(refused)}
    except tarfile.TarError as error:
        failure = {"kind": "archive", "text": str(error)}
    except OSError as error:
        text = f"{error.filename or path}: {error.strerror or error}"
        failure = {"kind": errno.errorcode.get(error.errno or 0, "EIO"), "text": text}
    else:
        return 0
    os.write(2, json.dumps(failure).encode())
    return 1


if __name__ == "__main__":
    # Not by the interpreter's own end, which looks for modules.
    os._exit(main())
