"""
Which images kina brought to an engine: those alone are kina's to prune.

An engine has labels for containers, networks and volumes, and none for images, so this is kept in
kina's home, for each engine a file. Without it nothing is pruned.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import attrs

__all__ = ["Brought", "engine_key"]

Kept: TypeAlias = dict[str, list[str]]
"""By their ids, images' references that kina gave them here. None: it goes with its last user."""


def engine_key(name: str, directory: str) -> str:
    """
    Return what one engine's file is called.

    Args:
        name: Its host's name. The ID that an engine tells is another each time on Podman 4.3.
        directory: Where it keeps what it has.
    """
    return hashlib.sha256(f"{name}\0{directory}".encode()).hexdigest()[:16]


@attrs.frozen
class Brought:
    """
    The record of one engine.

    Attributes:
        _home: kina's.
        _key: Returns the engine's, which takes a question to it.
    """

    _home: Path
    _key: Callable[[], str]

    def add(self, identifier: str, reference: str) -> None:
        """
        Note that kina gave an image a reference. Where nothing can be written, it is not kina's.
        """
        with suppress(OSError), self._changing() as kept:
            known = kept.setdefault(identifier, [])
            if reference not in known:
                known.append(reference)

    def doom(self, identifier: str) -> None:
        """
        Note that an image was deleted which containers use.
        """
        with suppress(OSError), self._changing() as kept:
            kept[identifier] = []

    def forget(self, identifier: str, reference: str | None = None) -> None:
        """
        Let go of a reference, and of the image with the last one; of all without one.
        """
        if identifier not in self.all():
            return
        with suppress(OSError), self._changing() as kept:
            left = [] if reference is None else [r for r in kept[identifier] if r != reference]
            if left:
                kept[identifier] = left
            else:
                kept.pop(identifier, None)

    def all(self) -> Kept:
        """
        Return all of it.
        """
        with suppress(OSError):
            return _read(self._file().read_bytes())
        return {}

    def doomed(self, identifier: str) -> bool:
        """
        Say whether an image is to go with its last container.
        """
        return self.all().get(identifier) == []

    def _file(self) -> Path:
        return self._home / "engines" / f"{self._key()}.json"

    @contextmanager
    def _changing(self) -> Iterator[Kept]:
        path = self._file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held for as long as a small file is written
            kept = _read(path.read_bytes()) if path.exists() else {}
            yield kept
            made = path.with_suffix(".new")
            fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                json.dump(kept, file)
            made.replace(path)
        finally:
            os.close(lock)


def _read(data: bytes) -> Kept:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
