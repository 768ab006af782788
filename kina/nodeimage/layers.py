"""
Images of the control plane: each a layer of a program and what it needs, in one archive.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import posixpath
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs

__all__ = ["PATH", "Layer", "LayeredImage", "libraries", "write_archive"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@attrs.frozen
class Layer:
    """
    Files of some root, by their paths there, and single files by the paths that they get.
    """

    root: Path
    paths: tuple[str, ...] = ()
    files: Mapping[str, Path] = attrs.field(factory=dict)


@attrs.frozen
class LayeredImage:
    """
    An image to be made.
    """

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()


def libraries(root: Path, programs: Iterable[str]) -> tuple[str, ...]:
    """
    Return what the loader of a root would load for these programs of it, the loader included.
    """
    output = subprocess.run(  # its own, trusted programs: ldd runs their loader
        ["/usr/sbin/chroot", root, "ldd", *programs], capture_output=True, text=True
    )
    words = output.stdout.split()
    return tuple(sorted({word for word in words if word.startswith("/") and word[-1] != ":"}))


def write_archive(images: Iterable[LayeredImage], architecture: str, target: Path) -> None:
    """
    Write what `docker save` would, each layer once.
    """
    # By identity: layers that several images share are the same object.
    written: dict[int, tuple[str, str]] = {}  # its file in the archive, and its digest unpacked
    manifest: list[dict[str, Any]] = []
    with tarfile.open(target, "w") as archive:
        for image in images:
            for layer in image.layers:
                if id(layer) not in written:
                    written[id(layer)] = _add_layer(archive, layer, target.with_suffix(".layer"))
            made = [written[id(layer)] for layer in image.layers]
            config = json.dumps(
                {
                    "architecture": architecture,
                    "os": "linux",
                    "created": "1970-01-01T00:00:00Z",
                    "config": {"Env": [f"PATH={PATH}"], "Entrypoint": list(image.entrypoint)},
                    "rootfs": {"type": "layers", "diff_ids": [digest for _, digest in made]},
                },
                sort_keys=True,
            ).encode()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_bytes(archive, name, config)
            manifest.append(
                {"Config": name, "RepoTags": [image.name], "Layers": [path for path, _ in made]}
            )
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _add_layer(archive: tarfile.TarFile, layer: Layer, scratch: Path) -> tuple[str, str]:
    with scratch.open("w+b") as file:
        # Level 1: programs are read often and written once, by machines that build in a hurry.
        zipped = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0)
        with zipped, _Hashing(zipped) as unpacked, tarfile.open(fileobj=unpacked, mode="w|") as tar:
            _write_layer(tar, layer)
        digest = unpacked.digest()
        file.seek(0)
        member = tarfile.TarInfo(f"{digest}/layer.tar")
        member.size = os.fstat(file.fileno()).st_size
        archive.addfile(member, file)
    scratch.unlink()
    return member.name, f"sha256:{digest}"


class _Hashing(io.RawIOBase):
    """
    Passes on what is written, and knows its digest.
    """

    def __init__(self, target: IO[bytes] | gzip.GzipFile) -> None:
        super().__init__()
        self._target, self._hash = target, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._target.write(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _write_layer(tar: tarfile.TarFile, layer: Layer) -> None:
    entries: dict[str, Path | str] = {}
    for path in layer.paths:
        entries.update(_with_links(layer.root, path))
    if entries:
        # Debian's programs name their files by the old directories as well.
        for name in ("bin", "sbin", "lib", "lib64"):
            entries[name] = f"usr/{name}"
    entries.update({path.lstrip("/"): file for path, file in layer.files.items()})
    parents: set[str] = set()
    for name in sorted(entries):
        for parent in _parents(name):
            if parent not in parents:
                parents.add(parent)
                tar.addfile(_member(parent, tarfile.DIRTYPE, 0o755))
        content = entries[name]
        if isinstance(content, str):
            link = _member(name, tarfile.SYMTYPE, 0o777)
            link.linkname = content
            tar.addfile(link)
            continue
        found = content.stat()
        file = _member(name, tarfile.REGTYPE, 0o755 if found.st_mode & stat.S_IXUSR else 0o644)
        file.size = found.st_size
        with content.open("rb") as data:
            tar.addfile(file, data)


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def _with_links(root: Path, path: str) -> Iterator[tuple[str, Path | str]]:
    """
    Yield a file of a root with every symbolic link on the way to it; a directory with its contents.
    """
    # The directory's real place: /lib is /usr/lib there.
    parent = os.path.realpath(root / posixpath.dirname(path).lstrip("/"))
    place = Path(parent) / posixpath.basename(path)
    name = os.fspath(place.relative_to(root.resolve()))
    if place.is_symlink():
        target = os.fspath(place.readlink())
        yield name, target
        yield from _with_links(root, posixpath.join("/", posixpath.dirname(name), target))
    elif place.is_dir():
        for child in sorted(place.iterdir()):
            yield from _with_links(root, f"/{name}/{child.name}")
    else:
        yield name, place
