"""
What builds have made, by what it was made of.

A result is a directory whose name ends with a digest of its inputs. It is made beside its place,
under a lock, and moved there complete: whatever is at the place can be used, and builds of the same
at the same time are one build.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from kina.calls import SLICE, Call
from kina.nodeimage.commands import check

__all__ = ["Cache", "default_directory", "digest_of", "digest_of_tree"]

UNFINISHED = ".unfinished"


def default_directory() -> Path:
    """
    Return where results are when nobody says: the user's cache, root's being the system's.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    if home:
        return Path(home) / "kina/nodeimage"
    if os.geteuid() == 0:
        return Path("/var/cache/kina/nodeimage")
    return Path.home() / ".cache/kina/nodeimage"


def digest_of(inputs: Mapping[str, Any]) -> str:
    """
    Name a set of inputs: the same for the same, in any order.
    """
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def digest_of_tree(directory: Path) -> str:
    """
    Name the files of a directory: their paths and contents.
    """
    whole = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            whole.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:20]


@attrs.frozen
class Cache:
    """
    A directory of results.
    """

    directory: Path

    def path(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """
        Return where the result of these inputs is, or will be.
        """
        return self.directory / f"{name}-{digest_of(inputs)}"

    def get(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None], call: Call
    ) -> Path:
        """
        Return a result, making it when there is none.

        Args:
            name: What it is.
            inputs: All that it is made of.
            make: Fills an empty directory.
            call: Bounds the wait for another build of the same.
        """
        place = self.path(name, inputs)
        if place.is_dir():
            return place
        with self.locked(place.name, call):
            if place.is_dir():
                return place
            unfinished = place.with_name(place.name + UNFINISHED)
            remove_tree(unfinished)  # of a build that was killed: nobody else has the lock
            unfinished.mkdir()
            try:
                make(unfinished)
                (unfinished / "inputs.json").write_text(
                    json.dumps(inputs, indent=1, sort_keys=True, default=str)
                )
                unfinished.rename(place)
            except BaseException:
                remove_tree(unfinished)
                raise
        return place

    @contextmanager
    def locked(self, name: str, call: Call) -> Iterator[None]:
        """
        Keep others, in this process and elsewhere, from the same.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                check(call)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(SLICE)
            yield
        finally:
            os.close(descriptor)


def remove_tree(directory: Path) -> None:
    """
    Remove a tree, if it is there. Nothing is mounted in it: mounts are in namespaces that have
    ended.
    """
    if directory.is_dir():
        shutil.rmtree(directory)
