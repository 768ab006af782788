"""
Archives of images between the forms: engines of Docker's read and write `docker save`'s alone,
which has an OCI layout's blobs under other names.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, cast

import attrs

from kina.config import ImageConfig
from kina.errors import DataLossError, InvalidArgumentError, NotFoundError
from kina.requests import ImageImportRequest
from kina.runtimes.docker._names import full

__all__ = ["docker_archive", "of_root", "spool", "write_docker", "write_oci"]

CHUNK: Final = 1 << 20
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
NAME: Final = "org.opencontainers.image.ref.name"
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def spool() -> IO[bytes]:
    """
    Open a file without a name.
    """
    return tempfile.TemporaryFile(prefix="kina-")


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    """
    Return a file's content, whatever it is compressed with.
    """
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if head.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(file))
    if head.startswith(b"\xfd7zXZ"):
        return cast(IO[bytes], lzma.LZMAFile(file))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise InvalidArgumentError.at("archive", None, "is compressed with zstd", "use gzip")
    return file


@contextmanager
def _spooled(fd: int) -> Iterator[IO[bytes]]:
    """
    Give what a descriptor has, as a plain file.
    """
    with spool() as raw, spool() as plain:
        with os.fdopen(os.dup(fd), "rb") as source:
            shutil.copyfileobj(source, raw, CHUNK)
        raw.seek(0)
        stream = _decompressed(raw)
        if stream is raw:
            yield raw
            return
        try:
            shutil.copyfileobj(stream, plain, CHUNK)
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise DataLossError(f"the archive is damaged: {error}") from error
        plain.seek(0)
        yield plain


@attrs.frozen
class Prepared:
    """
    An archive for an engine, and what it will be known by.
    """

    file: IO[bytes]
    references: tuple[str, ...]

    def fileno(self) -> int:
        """
        Return its descriptor, at its beginning.
        """
        os.lseek(self.file.fileno(), 0, os.SEEK_SET)
        return self.file.fileno()


@contextmanager
def docker_archive(fd: int, wanted: str | None) -> Iterator[Prepared]:
    """
    Give an archive of either form as one that engines load.

    Raises:
        InvalidArgumentError: It is none.
        DataLossError: It is cut short.
    """
    with _spooled(fd) as file, spool() as made:
        try:
            with tarfile.open(fileobj=file) as tar:
                members = {member.name.removeprefix("./"): member for member in tar}
                if "manifest.json" in members:
                    manifest = json.loads(_content(tar, members, "manifest.json"))
                elif "index.json" in members:
                    manifest = _manifest_of_layout(tar, members)
                else:
                    raise InvalidArgumentError.at(
                        "archive", None, "has neither manifest.json nor index.json: it is no image"
                    )
                for each in manifest:
                    each["RepoTags"] = [full(name) for name in each.get("RepoTags") or ()]
                if wanted is not None and len(manifest) == 1:
                    manifest[0]["RepoTags"] = [wanted]
                references = tuple(name for each in manifest for name in each["RepoTags"])
                unnamed = [each["Config"] for each in manifest if not each["RepoTags"]]
                with tarfile.open(fileobj=made, mode="w") as out:
                    for name, member in members.items():
                        if name not in ("manifest.json", "repositories"):
                            out.addfile(member, tar.extractfile(member) if member.isreg() else None)
                    _add(out, "manifest.json", json.dumps(manifest).encode())
                for config in unnamed:
                    digest = hashlib.sha256(_content(tar, members, config)).hexdigest()
                    references += (f"sha256:{digest}",)
        except (tarfile.TarError, EOFError) as error:
            raise DataLossError(f"the archive is damaged or none: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InvalidArgumentError):
                raise
            raise InvalidArgumentError.at("archive", None, f"is malformed: {error}") from error
        yield Prepared(made, references)


def _content(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> bytes:
    member = members.get(name)
    stream = None if member is None else tar.extractfile(member)
    if stream is None:
        raise DataLossError(f"the archive lacks {name}")
    return stream.read()


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _manifest_of_layout(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> list[Any]:
    """
    Describe an OCI layout as `docker save` describes its archives.
    """
    machine = MACHINES.get(platform.machine(), platform.machine())
    found = []
    for entry in json.loads(_content(tar, members, "index.json"))["manifests"]:
        document = json.loads(_content(tar, members, _blob(entry["digest"])))
        if "manifests" in document:
            own = [m for m in document["manifests"]
                   if (m.get("platform") or {}).get("architecture") == machine]  # fmt: skip
            chosen = (own or document["manifests"])[0]
            document = json.loads(_content(tar, members, _blob(chosen["digest"])))
        annotations = entry.get("annotations") or {}
        name = annotations.get("io.containerd.image.name") or annotations.get(NAME)
        found.append(
            {
                "Config": _blob(document["config"]["digest"]),
                "RepoTags": [name] if name else [],
                "Layers": [_blob(layer["digest"]) for layer in document["layers"]],
            }
        )
    return found


def _add(out: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    out.addfile(info, io.BytesIO(data))


def _to(fd: int) -> IO[bytes]:
    return os.fdopen(os.dup(fd), "wb")


def write_docker(file: IO[bytes], fd: int, names: list[str]) -> None:
    """
    Pass `docker save`'s archive on, with the names fully spelled.
    """
    with (
        tarfile.open(fileobj=file) as tar,
        _to(fd) as sink,
        tarfile.open(fileobj=sink, mode="w|") as out,
    ):
        for member in tar:
            if member.name == "manifest.json":
                manifest = json.loads(cast(Any, tar.extractfile(member)).read())
                for each in manifest:
                    each["RepoTags"] = [full(name) for name in each.get("RepoTags") or names]
                _add(out, "manifest.json", json.dumps(manifest).encode())
            else:
                out.addfile(member, tar.extractfile(member) if member.isreg() else None)


def write_oci(file: IO[bytes], fd: int) -> None:
    """
    Write `docker save`'s archive as an OCI layout. Layers stay uncompressed, and the configuration,
    and so the image's id, stays as it is.
    """
    with tarfile.open(fileobj=file) as tar, _to(fd) as sink:
        members = {member.name.removeprefix("./"): member for member in tar}
        with tarfile.open(fileobj=sink, mode="w|") as out:
            _add(out, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            written: set[str] = set()
            entries = []
            for each in json.loads(_content(tar, members, "manifest.json")):
                entries += _write_image(tar, members, out, each, written)
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
            _add(out, "index.json", json.dumps(index).encode())


def _write_image(
    tar: tarfile.TarFile,
    members: dict[str, tarfile.TarInfo],
    out: tarfile.TarFile,
    image: Any,
    written: set[str],
) -> list[Any]:
    def write(data: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest not in written:
            written.add(digest)
            _add(out, _blob(digest), data)
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    config = _content(tar, members, image["Config"])
    diffs = json.loads(config)["rootfs"]["diff_ids"]
    layers = []
    for digest, name in zip(diffs, image["Layers"], strict=True):
        member = members[name]
        while member.issym() or member.islnk():  # the same layer again
            target = member.linkname
            if member.issym():
                target = os.path.normpath(Path(member.name).parent / target)
            member = members[target]
        layers.append({"mediaType": LAYER, "digest": digest, "size": member.size})
        if digest not in written:
            written.add(digest)
            info = tarfile.TarInfo(_blob(digest))
            info.size, info.mode = member.size, 0o644
            out.addfile(info, tar.extractfile(member))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": write(config, CONFIG),
        "layers": layers,
    }
    entry = write(json.dumps(manifest).encode(), MANIFEST)
    names = [full(name) for name in image.get("RepoTags") or ()]
    return [{**entry, "annotations": {NAME: name}} for name in names] or [entry]


@contextmanager
def of_root(request: ImageImportRequest, reference: str, fd: int) -> Iterator[Prepared]:
    """
    Give an archive of an image of one layer.
    """
    with spool() as layer, spool() as made:
        if request.directory is not None:
            _pack(request.directory, layer)
        else:
            with _spooled(fd) as plain:
                shutil.copyfileobj(plain, layer, CHUNK)
        layer.seek(0)
        try:
            with tarfile.open(fileobj=layer) as tar:
                tar.next()
        except tarfile.TarError as error:
            raise InvalidArgumentError.at("rootfs", None, f"is no tar: {error}") from error
        layer.seek(0)
        digest = hashlib.file_digest(layer, "sha256").hexdigest()  # type: ignore[arg-type]
        layer.seek(0)
        config = json.dumps(_config(request, digest)).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        with tarfile.open(fileobj=made, mode="w") as out:
            info = tarfile.TarInfo("layer.tar")
            info.size = os.fstat(layer.fileno()).st_size
            out.addfile(info, layer)
            _add(out, name, config)
            manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
            _add(out, "manifest.json", json.dumps(manifest).encode())
        yield Prepared(made, (reference,))


def _pack(directory: str, out: IO[bytes]) -> None:
    if not Path(directory).is_dir():
        raise NotFoundError(f"rootfs {directory!r}: no such directory")
    # Python's tarfile knows neither extended attributes nor sparse files.
    command = [
        "tar",
        "--numeric-owner",
        "--xattrs",
        "--sort=name",
        "-C",
        directory,
        "-cf",
        "-",
        ".",
    ]
    done = subprocess.run(
        command, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        raise DataLossError(f"rootfs {directory!r} could not be packed: {text}")


def _config(request: ImageImportRequest, digest: str) -> dict[str, Any]:
    system, _, machine = (request.platform or "").partition("/")
    machine, _, variant = machine.partition("/")
    document: dict[str, Any] = {
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "os": system or "linux",
        "architecture": machine or MACHINES.get(platform.machine(), platform.machine()),
        "config": _run_config(request.config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "kina"}],
    }
    if variant:
        document["variant"] = variant
    return document


def _run_config(config: ImageConfig) -> dict[str, Any]:
    found = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Env": [f"{key}={value}" for key, value in config.env.items()],
        "WorkingDir": config.workdir,
        "User": config.user,
        "Labels": dict(config.labels),
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Volumes": {path: {} for path in config.volumes},
        "StopSignal": config.stop_signal,
    }
    return {key: value for key, value in found.items() if value}
