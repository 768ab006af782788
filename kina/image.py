"""
Images.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, TypedDict, Unpack

from kina._archives import Archive, reading, writing
from kina._fields import Problems, Strings
from kina._objects import Known, chosen
from kina._streams import Reading
from kina.calls import Call
from kina.config import ImageConfig
from kina.errors import InvalidArgumentError, NotFoundError
from kina.progress import Reporter, with_progress
from kina.requests import (
    ImageImportRequest,
    ImageLoadRequest,
    ImagePullRequest,
    ImagePushRequest,
    ImageSaveRequest,
    PruneRequest,
)
from kina.runtimes import Runtime
from kina.status import ImageStatus, PruneResult

__all__ = ["Image"]

Images: TypeAlias = "list[Image]"  # `Image.list` hides the other one in the class


class ConfigOptions(TypedDict, total=False):
    """
    How containers of an image run, unless they say otherwise.

    Attributes:
        entrypoint: The program.
        command: Its arguments, or the program where there is no entrypoint.
        env: Environment variables.
        workdir: The current directory.
        user: "name", "uid", "name:group" or "uid:gid".
        labels: What it is known by.
        exposed_ports: "80/tcp".
        volumes: Paths.
        stop_signal: A signal's name or number.
    """

    entrypoint: Iterable[str]
    command: Iterable[str]
    env: Strings
    workdir: str
    user: str
    labels: Strings
    exposed_ports: Iterable[str]
    volumes: Iterable[str]
    stop_signal: str


class Image(Known[ImageStatus]):
    """
    An image that is here, under one reference.

    Made by `pull`, `load`, `get`, `list` and `from_rootfs`. Wherever an image is asked for, one of
    these will do.
    """

    __slots__ = ()

    @classmethod
    def pull(
        cls,
        reference: str,
        *,
        platform: str | None = None,
        insecure: bool = False,
        username: str | None = None,
        password: str | None = None,
        auth_file: str | os.PathLike[str] | None = None,
        progress: Reporter = True,
        timeout: float | None = None,
        runtime: Runtime | None = None,
    ) -> Image:
        """
        Fetch an image from its registry.

        Args:
            reference: "alpine:3", "registry.example/shop@sha256:…".
            platform: "linux/arm64"; the host's when None.
            insecure: Whether plain http, or a certificate that can't be verified, will do. A
                registry on the loopback interface may speak plain http anyway.
            username: Instead of what the standard auth files have for the registry.
            password: The same.
            auth_file: A file in the form of containers-auth.json(5); the standard places when None.
            progress: True shows it (layers and bytes); False is silent; or a function that is
                called with each event.
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: The registry has no such image.
            UnauthenticatedError: The registry wants other credentials.
            UnavailableError: The registry does not answer.
            DataLossError: What came does not match its digest.
            ResourceExhaustedError: The disk is full.
            DeadlineExceededError: It took longer than allowed.
            InvalidArgumentError: An argument can't be used.
        """
        request = ImagePullRequest(
            reference=_text("reference", reference),
            platform=platform,
            insecure=insecure,
            username=username,
            password=password,
            auth_file=None if auth_file is None else os.fspath(auth_file),
        )
        where = chosen(runtime)
        status = with_progress(
            lambda call: where.images.pull(request, call), f"pull {reference}", progress, timeout
        )
        return cls._of(where, status)

    @classmethod
    def get(cls, reference: str, *, runtime: Runtime | None = None) -> Image:
        """
        Find an image that is here.

        Args:
            reference: A reference, an id or a digest.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: It is not here.
            InvalidArgumentError: The reference is malformed.
        """
        where = chosen(runtime)
        return cls._of(where, where.images.get(_text("reference", reference)))

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> list[Image]:
        """
        Return all images that are here, one for each reference.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        where = chosen(runtime)
        return [cls._of(where, status) for status in where.images.list()]

    @classmethod
    def load(
        cls,
        archive: Archive,
        *,
        reference: str | None = None,
        timeout: float | None = None,
        runtime: Runtime | None = None,
    ) -> Images:
        """
        Read a Docker or OCI archive, compressed or not.

        Args:
            archive: A path, the archive's bytes, or a file.
            reference: For an image without a name, or instead of the one name it has.
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: There is no such file.
            InvalidArgumentError: It is no archive, or a hostile one.
            DataLossError: It is cut short or damaged.
            ResourceExhaustedError: The disk is full, or it unpacks to more than the limit.
        """
        where, call = chosen(runtime), Call(timeout)
        with reading(archive, call) as fd:
            statuses = where.images.load(ImageLoadRequest(reference=reference), fd, call)
        return [cls._of(where, status) for status in statuses]

    @classmethod
    def save(
        cls,
        images: Image | str | Iterable[Image | str],
        archive: str | os.PathLike[str] | IO[bytes],
        *,
        format: Literal["oci", "docker"] = "oci",
        timeout: float | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """
        Write images to an archive.

        Args:
            images: One or several.
            archive: A path, or a file with a descriptor.
            format: "oci" or "docker".
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: An image is not here.
            InvalidArgumentError: An argument can't be used.
            ResourceExhaustedError: The disk is full.
        """
        listed = [images] if isinstance(images, str | Image) else tuple(images)
        references = tuple(str(image) for image in listed)
        request = ImageSaveRequest(references=references, format=format)
        where = chosen(runtime)
        with writing(archive) as fd:
            where.images.save(request, fd, Call(timeout))

    @classmethod
    def from_rootfs(
        cls,
        rootfs: Archive,
        reference: str,
        *,
        platform: str | None = None,
        timeout: float | None = None,
        runtime: Runtime | None = None,
        **config: Unpack[ConfigOptions],
    ) -> Image:
        """
        Make an image of one layer.

        Args:
            rootfs: A directory; or a tar: its path, its bytes or a file.
            reference: What it will be called.
            platform: "linux/amd64"; the host's when None.
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.
            config: entrypoint, command, env, workdir, user, labels, exposed_ports, volumes,
                stop_signal.

        Raises:
            NotFoundError: There is no such directory or file.
            InvalidArgumentError: An argument can't be used, or the tar is a hostile one.
            DataLossError: The tar is cut short or damaged.
            ResourceExhaustedError: The disk is full.
        """
        directory = _directory(rootfs)
        request = ImageImportRequest(
            reference=_text("reference", reference),
            directory=directory,
            config=ImageConfig(**_known(config)),
            platform=platform,
        )
        where, call = chosen(runtime), Call(timeout)
        if directory is not None:
            return cls._of(where, where.images.import_(request, -1, call))
        with reading(rootfs, call) as fd:
            return cls._of(where, where.images.import_(request, fd, call))

    @classmethod
    def prune(cls, *, runtime: Runtime | None = None) -> PruneResult:
        """
        Delete the images that no container uses. In Docker mode only those that kina has brought to
        the engine: others' stay.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        return chosen(runtime).prune(PruneRequest(images=True))

    # -- One image ---------------------------------------------------------------------------------

    @property
    def reference(self) -> str:
        """
        Fully spelled: "docker.io/library/alpine:3".
        """
        return self._known.reference

    @property
    def digest(self) -> str:
        """
        The manifest's digest.
        """
        return self._known.digest

    @property
    def id(self) -> str:
        """
        The configuration's digest: what Docker calls the image's id.
        """
        return self._known.id

    @property
    def size(self) -> int:
        """
        Bytes of compressed layers and configuration.
        """
        return self._known.size

    @property
    def platform(self) -> str:
        """
        "linux/amd64" and the like.
        """
        return self._known.platform

    @property
    def created_at(self) -> datetime | None:
        """
        When it was built, if it says so.
        """
        return self._known.created_at

    @property
    def config(self) -> ImageConfig:
        """
        How its containers run.
        """
        return self._known.config or self.inspect().config or ImageConfig()

    def inspect(self) -> ImageStatus:
        """
        Ask the runtime what the image is, with its configuration.

        Raises:
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.images.get(self.reference)
        return self._known

    def tag(self, reference: str) -> Image:
        """
        Give it a further reference, and return the image under that.

        Args:
            reference: The new one. What had it before loses it.

        Raises:
            NotFoundError: It was deleted.
            InvalidArgumentError: The reference is malformed.
        """
        status = self._runtime.images.tag(self.reference, _text("reference", reference))
        return Image._of(self._runtime, status)

    def push(
        self,
        destination: str | None = None,
        *,
        insecure: bool = False,
        username: str | None = None,
        password: str | None = None,
        auth_file: str | os.PathLike[str] | None = None,
        progress: Reporter = True,
        timeout: float | None = None,
    ) -> None:
        """
        Send it to a registry.

        Args:
            destination: Where to; its own reference when None.
            insecure: As for `pull`.
            username: As for `pull`.
            password: As for `pull`.
            auth_file: As for `pull`.
            progress: As for `pull`.
            timeout: Seconds that it may take.

        Raises:
            NotFoundError: It was deleted.
            UnauthenticatedError: The registry wants other credentials.
            UnavailableError: The registry does not answer.
            DeadlineExceededError: It took longer than allowed.
        """
        request = ImagePushRequest(
            reference=self.reference,
            destination=destination,
            insecure=insecure,
            username=username,
            password=password,
            auth_file=None if auth_file is None else os.fspath(auth_file),
        )
        title = f"push {destination or self.reference}"
        with_progress(
            lambda call: self._runtime.images.push(request, call), title, progress, timeout
        )

    @property
    def runtime(self) -> Runtime:
        """
        Where it is.
        """
        return self._runtime

    def copy(
        self, runtime: Runtime, *, reference: str | None = None, timeout: float | None = None
    ) -> Image:
        """
        Copy it to another runtime: between the native store and an engine, or between engines.

        The archive is streamed, and nothing is copied where the target has the image already.

        Args:
            runtime: Where to, as `kina.connect` returns it.
            reference: What it will be called there; its own reference when None.
            timeout: Seconds that it may take.

        Returns:
            The image there.

        Raises:
            NotFoundError: It was deleted.
            ResourceExhaustedError: A disk is full.
            DeadlineExceededError: It took longer than allowed.
        """
        name = self.reference if reference is None else _text("reference", reference)
        there = _found(runtime, name) or _found(runtime, self.id) or _found(runtime, self.digest)
        if there is not None and {there.id, there.digest} & {self.id, self.digest}:
            return Image._of(runtime, runtime.images.tag(there.reference, name))
        wanted, call = ImageSaveRequest(references=(self.reference,)), Call(timeout)
        source = self._runtime.images
        with (
            Reading(lambda fd, inner: source.save(wanted, fd, inner), call) as chunks,
            reading(_Chunks(chunks), call) as fd,  # type: ignore[arg-type]  # it is read only
        ):
            (status,) = runtime.images.load(ImageLoadRequest(reference=name), fd, call)
        return Image._of(runtime, status)

    def delete(self, force: bool = False, *, timeout: float | None = None) -> None:
        """
        Remove its reference, and with the last one what it is made of.

        Args:
            force: Even while containers use it; they keep what they use.
            timeout: Seconds that it may take.

        Raises:
            InvalidStateError: A container uses it, and force was not asked for.
            NotFoundError: It was deleted already.
        """
        self._runtime.images.delete(self.reference, force, Call(timeout))

    def __str__(self) -> str:
        return self.reference

    def __repr__(self) -> str:
        known = self._known
        what = f"{known.reference!r} {known.digest[7:19]}, {known.platform}, {_size(known.size)}"
        return f"<kina.Image {what}>"

    def _repr_html_(self) -> str:
        from kina.notebook import card

        known = self._known
        rows = {
            "digest": known.digest,
            "platform": known.platform,
            "size": _size(known.size),
            "layers": known.layers,
            "created": known.created_at,
        }
        return card(f"image {known.reference}", rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        return (self.reference, self.digest) == (other.reference, other.digest)

    def __hash__(self) -> int:
        return hash((self.reference, self.digest))


class _Chunks:
    """
    What is read from a stream of chunks.
    """

    def __init__(self, chunks: Reading) -> None:
        self._chunks = chunks

    def read(self, _: int = -1) -> bytes:
        """
        Return the next chunk; nothing at the end.
        """
        return next(self._chunks, b"")


def _found(runtime: Runtime, reference: str) -> ImageStatus | None:
    try:
        return runtime.images.get(reference)
    except NotFoundError:
        return None


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _text(field: str, value: object) -> str:
    text = str(value) if isinstance(value, Image) else value
    if not isinstance(text, str) or not text:
        raise InvalidArgumentError.at(field, value, "must be a reference such as 'alpine:3'")
    return text


def _known(config: Mapping[str, Any]) -> dict[str, Any]:
    problems = Problems()
    for name in config:
        if name not in ConfigOptions.__annotations__:
            known = ", ".join(ConfigOptions.__annotations__)
            problems.add(name, None, "is not a known keyword", f"known: {known}")
    problems.raise_any()
    return dict(config)


def _directory(rootfs: Archive) -> str | None:
    if not isinstance(rootfs, str | os.PathLike):
        return None
    path = Path(rootfs)
    return os.fspath(path.resolve()) if path.is_dir() else None
