"""
What is asked for besides specs: requests and filters, as frozen attrs classes.

They mirror the documents that `kina.h` names.
"""

from __future__ import annotations

from typing import Literal

import attrs

from kina.config import ImageConfig
from kina.status import EventKind, State, wire_name

__all__ = [
    "ContainerFilter",
    "EventFilter",
    "ImageImportRequest",
    "ImageLoadRequest",
    "ImagePullRequest",
    "ImagePushRequest",
    "ImageSaveRequest",
    "LogRequest",
    "PruneRequest",
    "RuntimeOptions",
]


@attrs.frozen(kw_only=True)
class ContainerFilter:
    """
    Which containers: all that is given must match.

    Attributes:
        labels: Label to value; an empty value asks for the label's presence.
        states: Any of them.
        names: Names, ids or id prefixes, any of them.
    """

    labels: dict[str, str] = attrs.field(factory=dict)
    states: tuple[State, ...] = ()
    names: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class LogRequest:
    """
    Which part of a log, and how.
    """

    follow: bool = False
    since_ns: int | None = wire_name("since", default=None)
    until_ns: int | None = wire_name("until", default=None)
    tail: int | None = None
    timestamps: bool = False
    streams: tuple[Literal["stdout", "stderr"], ...] = ()


@attrs.frozen(kw_only=True)
class ImagePullRequest:
    """
    An image to fetch from its registry.
    """

    reference: str
    platform: str | None = None
    insecure: bool = False
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    auth_file: str | None = None


@attrs.frozen(kw_only=True)
class ImagePushRequest:
    """
    An image to send to a registry.
    """

    reference: str
    destination: str | None = None
    insecure: bool = False
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    auth_file: str | None = None


@attrs.frozen(kw_only=True)
class ImageLoadRequest:
    """
    An archive to read.
    """

    reference: str | None = None


@attrs.frozen(kw_only=True)
class ImageSaveRequest:
    """
    An archive to write.
    """

    references: tuple[str, ...]
    format: Literal["oci", "docker"] = "oci"


@attrs.frozen(kw_only=True)
class ImageImportRequest:
    """
    A root file system to make an image of.
    """

    reference: str
    directory: str | None = None
    config: ImageConfig = attrs.field(factory=ImageConfig)
    platform: str | None = None


@attrs.frozen(kw_only=True)
class RuntimeOptions:
    """
    How to open a runtime; None and absent mean kina's own choice.
    """

    home: str | None = None
    backend: str | None = None
    oci_runtime: str | None = None
    libexec: str | None = None
    unpack_limit: int = 64 << 30
    kernel: str | None = None
    init_image: str | None = None


@attrs.frozen(kw_only=True)
class EventFilter:
    """
    Which events.
    """

    since_ns: int | None = wire_name("since", default=None)
    until_ns: int | None = wire_name("until", default=None)
    kinds: tuple[EventKind, ...] = ()
    references: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PruneRequest:
    """
    Which kinds of unused objects to delete. What a crash left behind goes always.
    """

    containers: bool = False
    images: bool = False
    networks: bool = False
    volumes: bool = False
    labels: dict[str, str] = attrs.field(factory=dict)
