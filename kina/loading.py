"""
Images into nodes: one stream, to all of them at once.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from kina._streams import CHUNK, Pipe
from kina._together import each, together
from kina.calls import Call
from kina.errors import DataLossError, ExecError, InvalidStateError, NotFoundError
from kina.image import Image
from kina.node import Node, run
from kina.process import execute, process_spec
from kina.requests import ImageSaveRequest, RuntimeOptions
from kina.runtimes.base import Runtime

__all__ = ["load"]

CTR: Final = ("ctr", "-n", "k8s.io", "images")
IMPORT: Final = (*CTR, "import", "--all-platforms", "--digests", "--snapshotter=overlayfs", "-")
LABEL: Final = "io.x-kina.image"
"""What a node's image is labelled with: the ID of the one that it was loaded from."""
ENGINE: Final = "docker-daemon:"
"""What begins the name of an engine's image, as skopeo and Podman write it."""


def load(
    runtime: Runtime, image: Image | str | os.PathLike[str], nodes: Sequence[Node], call: Call
) -> list[str]:
    """
    Copy an image, or an archive's, to nodes.
    """
    idle = [node.name for node in nodes if not node.running]
    if idle:
        raise InvalidStateError(f"nodes that do not run: {', '.join(idle)}")
    path = _archive(image)
    if path is not None:
        with path.open("rb") as archive:
            _import(archive.fileno(), nodes, call)
        return [node.name for node in nodes]
    with _found(runtime, image) as found:
        there = each(lambda node: _has(node, found, call), nodes, call)
        missing = [node for node, has in zip(nodes, there, strict=True) if not has]
        if missing:
            _stream(found, missing, call)
            each(lambda node: _mark(node, found, call), missing, call)
    return [node.name for node in missing]


@contextmanager
def _found(runtime: Runtime, image: Image | str | os.PathLike[str]) -> Iterator[Image]:
    """
    Find an image, in the cluster's runtime or where it says.
    """
    if isinstance(image, Image):
        yield image
        return
    name = os.fspath(image)
    if not name.startswith(ENGINE):
        yield Image.get(name, runtime=runtime)
        return
    from kina.runtimes.docker import DockerRuntime, find

    with DockerRuntime(find(), RuntimeOptions()) as engine:
        yield Image.get(name.removeprefix(ENGINE), runtime=engine)


def _archive(image: Image | str | os.PathLike[str]) -> Path | None:
    if isinstance(image, Image):
        return None
    path = Path(image)
    if isinstance(image, str) and not path.is_file():
        return None
    if not path.is_file():
        raise NotFoundError(f"image {os.fspath(image)!r}: no such file")
    if not tarfile.is_tarfile(path):
        raise DataLossError(f"image {os.fspath(image)!r} is no archive")
    return path


def _has(node: Node, image: Image, call: Call) -> bool:
    listed = run(node, [*CTR, "ls", f"name=={image.reference}"], call).stdout
    return f"{LABEL}={image.id}" in re.split(r"[\s,]+", listed)


def _mark(node: Node, image: Image, call: Call) -> None:
    run(node, [*CTR, "label", image.reference, f"{LABEL}={image.id}"], call)


def _stream(image: Image, nodes: Sequence[Node], call: Call) -> None:
    """
    Save an image into a pipe, and import from that.
    """
    pipe = Pipe()
    # As the store has it, layers compressed: a Docker archive would have to be made first.
    request = ImageSaveRequest(references=(image.reference,), format="oci")

    def save() -> None:
        try:
            image.runtime.images.save(request, pipe.writer.fd, call)
        finally:
            pipe.writer.close()

    def spread() -> None:
        try:
            _import(pipe.reader.fd, nodes, call)
        finally:
            pipe.reader.close()

    try:
        together([save, spread], call)
    finally:
        pipe.close()


def _import(source: int, nodes: Sequence[Node], call: Call) -> None:
    """
    Feed an archive to containerd on every node.
    """
    if len(nodes) == 1:
        _import_on(nodes[0], source, call)
        return
    with ExitStack() as stack:
        pipes = [Pipe() for _ in nodes]
        for pipe in pipes:
            stack.callback(pipe.close)
        importing = [
            _Import(node=node, pipe=pipe, call=call)
            for node, pipe in zip(nodes, pipes, strict=True)
        ]
        together([*(each_one.run for each_one in importing), lambda: _copy(source, pipes)], call)


@attrs.frozen
class _Import:
    """
    One node's share: it reads its pipe to the end.
    """

    node: Node
    pipe: Pipe
    call: Call

    def run(self) -> None:
        """
        Import what comes.
        """
        try:
            _import_on(self.node, self.pipe.reader.fd, self.call)
        finally:
            self.pipe.reader.close()  # so that the copier does not wait for a reader that is gone


def _import_on(node: Node, source: int, call: Call) -> None:
    spec = process_spec(IMPORT, None, None, None, False, True, None)
    container = node.container
    try:
        execute(container.runtime, container.id, spec, source, "utf-8", check=True, call=call)
    except ExecError as error:
        raise DataLossError(
            f"node {node.name!r} could not import the image: {_last(error.stderr)}",
            hint="is it a whole Docker or OCI archive?",
        ) from error


def _last(text: Any) -> str:
    lines = str(text).strip().splitlines()
    return lines[-1] if lines else "containerd gave no reason"


def _copy(source: int, pipes: Sequence[Pipe]) -> None:
    """
    Write what one descriptor gives to several.
    """
    try:
        while data := os.read(source, CHUNK):
            for pipe in pipes:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(pipe.writer.fd, rest) :]
    except BrokenPipeError:
        return  # the import that has ended says why
    finally:
        for pipe in pipes:
            pipe.writer.close()
