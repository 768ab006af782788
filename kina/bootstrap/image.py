"""
Image: every node's image is here, and is a node's.
"""

from __future__ import annotations

from typing import Final

from kina.bootstrap._action import Action, Context
from kina.errors import InvalidArgumentError, KinaError, NotFoundError, UnavailableError
from kina.requests import ImagePullRequest
from kina.status import ImageStatus

__all__ = ["BUILT", "IMAGE", "UPSTREAM"]

UPSTREAM: Final = (
    "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"
)
"""The image of those who reach a registry and have built none."""

BUILT: Final = "localhost/kina/node"
"""What `kina.build_node_image` calls its images, without the tag."""

ENTRYPOINT: Final = "/usr/local/bin/entrypoint"


def run(context: Context) -> None:
    """
    Find or pull the images.
    """
    default = context.image
    found: dict[str, ImageStatus] = {}
    for planned in context.nodes:
        asked = planned.config.image or default
        if asked is None:
            asked = default = _default(context)
        if asked not in found:
            found[asked] = _here(context, asked)
            _check(found[asked], asked)
        planned.image = found[asked].reference


def _default(context: Context) -> str:
    """
    Choose the newest image that was built here, else the upstream one.
    """
    built = [
        image
        for image in context.runtime.images.list()
        if image.reference.partition("@")[0].rpartition(":")[0] == BUILT
    ]
    if built:
        return max(built, key=lambda image: image.created_at_ns or 0).reference
    return UPSTREAM


def _here(context: Context, reference: str) -> ImageStatus:
    try:
        return context.runtime.images.get(reference)
    except NotFoundError:
        pass
    try:
        pulled = context.runtime.images.pull(ImagePullRequest(reference=reference), context.call)
        return context.runtime.images.get(pulled.reference)
    except (UnavailableError, NotFoundError) as error:
        error.hint = _advice(error)
        raise


def _advice(error: KinaError) -> str:
    advice = "kina.build_node_image() makes a node image without a registry"
    return f"{error.hint}; {advice}" if error.hint else advice


def _check(image: ImageStatus, asked: str) -> None:
    entrypoint = image.config.entrypoint if image.config is not None else ()
    if not entrypoint or entrypoint[0] != ENTRYPOINT:
        hint = "use one of kindest/node, or what kina.build_node_image() has built"
        raise InvalidArgumentError.at("image", asked, "is not a node image", hint)


IMAGE: Final = Action("image", "Finding the node image", run)
