"""
What is: statuses, as frozen attrs classes.

They mirror the documents that `kina.h` names. A field that a newer library adds is ignored. Times
are nanoseconds since the epoch (`…_ns`), with an aware datetime beside each.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import attrs

from kina.config import ContainerSpec, ImageConfig, PodSpec, Port

__all__ = [
    "Address",
    "Check",
    "ContainerStatus",
    "Event",
    "ExitStatus",
    "ImageStatus",
    "NetworkStatus",
    "PodStatus",
    "ProgressEvent",
    "PruneResult",
    "Report",
    "RuntimeInfo",
    "VolumeStatus",
]

State = Literal["created", "running", "paused", "stopped", "deleting"]
ExitReason = Literal["exited", "signaled", "oom", "timeout", "lost"]
PodState = Literal["ready", "stopped", "deleting"]
EventKind = Literal["container", "image", "network", "pod", "volume"]


def wire_name(name: str, **arguments: Any) -> Any:
    """
    Make a field whose name in the document is not its own in camel case.
    """
    return attrs.field(metadata={"wire": name}, **arguments)


def moment(nanoseconds: int) -> datetime:
    """
    Return an aware datetime; it keeps the microseconds.
    """
    whole, part = divmod(nanoseconds, 10**9)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=part // 1000)


@attrs.frozen(kw_only=True)
class Address:
    """
    A container's address on one network.
    """

    network: str
    network_id: str = wire_name("networkID")
    address: str
    prefix_length: int
    gateway: str
    mac: str


@attrs.frozen(kw_only=True)
class ExitStatus:
    """
    How a process ended.

    Attributes:
        exit_code: 128 and a signal's number when that ended it; None when nobody saw the end.
        reason: exited; signaled; oom (the kernel killed it for memory); timeout; lost (nobody saw
            the end: its supervisor was killed, or the machine went down).
        finished_at_ns: When.
    """

    exit_code: int | None = None
    reason: ExitReason
    finished_at_ns: int = wire_name("finishedAt")

    @property
    def finished_at(self) -> datetime:
        """
        When.
        """
        return moment(self.finished_at_ns)


@attrs.frozen(kw_only=True)
class ContainerStatus:
    """
    What a container is.

    Attributes:
        id: Random, unique.
        name: Unique.
        image: The reference that was asked for.
        image_digest: The image's, which never changes under a container.
        state: created, running, paused, stopped or deleting.
        unsupervised: It runs, but its supervisor is gone: no log, no attach, and its exit code
            won't be known.
        pid: Its first process, as the host numbers it.
        exit: The last run's end; None while it runs.
        created_at_ns: When it was made.
        started_at_ns: When it was last started.
        hostname: Its own.
        addresses: One for each network.
        ports: Published ports, with host ports resolved.
        pod_id: The pod that it is in, whose addresses it has.
        labels: What it is known by.
        spec: What was asked for; None in lists.
    """

    id: str
    name: str
    image: str
    image_digest: str
    state: State
    unsupervised: bool = False
    pid: int | None = None
    exit: ExitStatus | None = None
    created_at_ns: int = wire_name("createdAt")
    started_at_ns: int | None = wire_name("startedAt", default=None)
    hostname: str
    addresses: tuple[Address, ...] = ()
    ports: tuple[Port, ...] = ()
    pod_id: str | None = wire_name("podID", default=None)
    labels: dict[str, str] = attrs.field(factory=dict)
    spec: ContainerSpec | None = None

    @property
    def created_at(self) -> datetime:
        """
        When it was made.
        """
        return moment(self.created_at_ns)

    @property
    def started_at(self) -> datetime | None:
        """
        When it was last started.
        """
        return None if self.started_at_ns is None else moment(self.started_at_ns)


@attrs.frozen(kw_only=True)
class ContainerList:
    """
    Containers, as a list answers them.
    """

    containers: tuple[ContainerStatus, ...]


@attrs.frozen(kw_only=True)
class ImageStatus:
    """
    An image that is here.

    Attributes:
        reference: Fully spelled: "docker.io/library/alpine:3".
        digest: The manifest's, "sha256:…".
        id: The configuration's digest: what Docker calls the image's id.
        platform: "linux/amd64".
        size: Bytes of compressed layers and configuration.
        layers: How many.
        created_at_ns: When it was built, if it says so.
        config: How its containers run; None in lists.
    """

    reference: str
    digest: str
    id: str
    platform: str
    size: int
    layers: int
    created_at_ns: int | None = wire_name("createdAt", default=None)
    config: ImageConfig | None = None

    @property
    def created_at(self) -> datetime | None:
        """
        When it was built, if it says so.
        """
        return None if self.created_at_ns is None else moment(self.created_at_ns)


@attrs.frozen(kw_only=True)
class ImageList:
    """
    Images, as a list answers them.
    """

    images: tuple[ImageStatus, ...]


@attrs.frozen(kw_only=True)
class NetworkStatus:
    """
    What a network is.

    Attributes:
        id: Random, unique.
        name: Unique.
        subnet: "10.90.1.0/24".
        gateway: The host's address on it.
        internal: Whether there is no way to the outside.
        mtu: Bytes.
        interface: The host's bridge.
        labels: What it is known by.
        created_at_ns: When it was made.
        leases: Addresses in use, each with its container's id.
    """

    id: str
    name: str
    subnet: str
    gateway: str
    internal: bool
    mtu: int
    interface: str
    labels: dict[str, str] = attrs.field(factory=dict)
    created_at_ns: int = wire_name("createdAt")
    leases: dict[str, str] = attrs.field(factory=dict)

    @property
    def created_at(self) -> datetime:
        """
        When it was made.
        """
        return moment(self.created_at_ns)


@attrs.frozen(kw_only=True)
class NetworkList:
    """
    Networks, as a list answers them.
    """

    networks: tuple[NetworkStatus, ...]


@attrs.frozen(kw_only=True)
class PodStatus:
    """
    What a pod is.

    Attributes:
        id: Random, unique.
        name: Unique.
        state: ready, stopped or deleting.
        created_at_ns: When it was made.
        started_at_ns: When it was last brought up.
        hostname: Its containers'.
        addresses: One for each network, the same for all its containers.
        ports: Published ports, with host ports resolved.
        labels: What it is known by.
        containers: The ids of its containers, in the order of their making.
        spec: What was asked for.
    """

    id: str
    name: str
    state: PodState
    created_at_ns: int = wire_name("createdAt")
    started_at_ns: int | None = wire_name("startedAt", default=None)
    hostname: str
    addresses: tuple[Address, ...] = ()
    ports: tuple[Port, ...] = ()
    labels: dict[str, str] = attrs.field(factory=dict)
    containers: tuple[str, ...] = ()
    spec: PodSpec

    @property
    def created_at(self) -> datetime:
        """
        When it was made.
        """
        return moment(self.created_at_ns)


@attrs.frozen(kw_only=True)
class PodList:
    """
    Pods, as a list answers them.
    """

    pods: tuple[PodStatus, ...] = ()


@attrs.frozen(kw_only=True)
class VolumeStatus:
    """
    What a volume is.

    Attributes:
        id: Random, unique.
        name: Unique.
        path: Where its files are on the host.
        labels: What it is known by.
        created_at_ns: When it was made.
        anonymous: Whether it was made for one container, and is deleted with it.
        used_by: The ids of the containers that mount it.
    """

    id: str
    name: str
    path: str
    labels: dict[str, str] = attrs.field(factory=dict)
    created_at_ns: int = wire_name("createdAt")
    anonymous: bool = False
    used_by: tuple[str, ...] = ()

    @property
    def created_at(self) -> datetime:
        """
        When it was made.
        """
        return moment(self.created_at_ns)


@attrs.frozen(kw_only=True)
class VolumeList:
    """
    Volumes, as a list answers them.
    """

    volumes: tuple[VolumeStatus, ...]


@attrs.frozen(kw_only=True)
class RuntimeInfo:
    """
    What was opened.
    """

    backend: str
    version: str
    home: str
    run_directory: str
    oci_runtime: str
    cgroups: str
    platform: str


@attrs.frozen(kw_only=True)
class Check:
    """
    One thing that a runtime needs.

    Attributes:
        name: What.
        state: ok, warning or failed.
        reason: What was found, or why it is not usable.
        fix: What to do: a command where one does it.
    """

    name: str
    state: Literal["ok", "warning", "failed"]
    reason: str
    fix: str | None = None


@attrs.frozen(kw_only=True)
class Report:
    """
    Whether a runtime is usable here, and why.
    """

    backend: str
    usable: bool
    checks: tuple[Check, ...] = ()


@attrs.frozen(kw_only=True)
class Event:
    """
    Something that happened to an object.

    Attributes:
        time_ns: When.
        kind: container, image, network, pod or volume.
        action: create, start, stop, die, oom, delete, pull and so on.
        id: The object's.
        name: The object's.
        attributes: "exitCode", "signal", "image" and the like.
    """

    time_ns: int = wire_name("time")
    kind: EventKind
    action: str
    id: str
    name: str
    attributes: dict[str, str] = attrs.field(factory=dict)

    @property
    def time(self) -> datetime:
        """
        When.
        """
        return moment(self.time_ns)


@attrs.frozen(kw_only=True)
class PruneResult:
    """
    What was deleted.

    Attributes:
        containers: Names.
        images: References.
        networks: Names.
        pods: Names.
        volumes: Names.
        leftovers: What a crash had left: mounts, records, files; said in words.
        reclaimed: Bytes of files that were freed.
    """

    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    reclaimed: int = 0


@attrs.frozen(kw_only=True)
class ProgressEvent:
    """
    A step of something that lasts.

    Attributes:
        action: "pull", "unpack" and so on.
        item: The part of it: a layer's digest, a step's name.
        state: What it has come to.
        current: Bytes so far.
        total: Bytes in all.
        elapsed_ns: How long a finished step took.
    """

    action: str
    item: str | None = None
    state: str
    current: int | None = None
    total: int | None = None
    elapsed_ns: int | None = None
