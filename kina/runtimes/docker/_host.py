"""
An engine's containers as this program sees them, where both are on one machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from kina.runtimes.docker._engine import Engine

__all__ = ["Root", "is_root_beside", "is_visible", "root_of"]


def is_visible(engine: Engine, document: Any) -> bool:
    """
    Say whether a container's first process is one of those that this program sees and may touch.
    """
    pid, identifier = document["State"].get("Pid") or 0, document["Id"]
    if pid <= 0 or not is_root_beside(engine):
        return False
    try:
        return identifier in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def is_root_beside(engine: Engine) -> bool:
    """
    Say whether this program is root, perhaps on the engine's machine.
    """
    return engine.endpoint.local and sys.platform == "linux" and os.geteuid() == 0


@attrs.frozen
class Root:
    """
    Descriptors of a root directory, and of the mount namespace that it is seen from; -1 for ours.
    """

    directory: int
    mounts: int = -1

    @property
    def all(self) -> tuple[int, ...]:
        """
        Return those that there are.
        """
        return (self.directory,) if self.mounts < 0 else (self.directory, self.mounts)

    def close(self) -> None:
        """
        Close them.
        """
        for fd in self.all:
            os.close(fd)


@contextmanager
def root_of(engine: Engine, document: Any) -> Iterator[Root | None]:
    """
    Give the root that a container's processes have, with all that is mounted there; None where it
    can't be had, or numbers its users in a way of its own.
    """
    visible = is_visible(engine, document)
    found = _open(Path(f"/proc/{document['State']['Pid']}")) if visible else None
    if found is None:
        yield None
        return
    try:
        # The number is the container's still, and so was what was opened.
        yield found if is_visible(engine, document) else None
    finally:
        found.close()


def _open(process: Path) -> Root | None:
    if has_own_users(process):
        return None
    try:
        mounts = os.open(process / "ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        directory = os.open(process / "root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        os.close(mounts)
        return None
    return Root(directory, mounts)


def has_own_users(process: Path) -> bool:
    """
    Say whether a process's user 0 is another one here.
    """
    try:
        return (process / "uid_map").read_text().split() != ["0", "0", "4294967295"]
    except OSError:
        return True
