"""
What a runtime is: everything above speaks to one through these protocols.

Specs go in and statuses come out as the frozen classes of `kina.config` and `kina.status`; bytes go
through file descriptors, which are borrowed for the call (-1 stands for none). A function that can
last takes a `Call`, which ends it early, and is ended by Ctrl-C; what it had begun is undone then,
but for what was done just before: who can't lose that calls it under `interruptible`. All may be
called from any thread. Failures are `kina.errors`. A reference is a name, an id, or an unambiguous
prefix of an id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol, Self

from kina.calls import Call
from kina.config import ContainerSpec, NetworkSpec, PodSpec, ProcessSpec, Resources, VolumeSpec
from kina.requests import (
    ContainerFilter,
    EventFilter,
    ImageImportRequest,
    ImageLoadRequest,
    ImagePullRequest,
    ImagePushRequest,
    ImageSaveRequest,
    LogRequest,
    PruneRequest,
)
from kina.status import (
    ContainerStatus,
    ExitStatus,
    ImageStatus,
    NetworkStatus,
    PodStatus,
    PruneResult,
    RuntimeInfo,
    VolumeStatus,
)

__all__ = [
    "ContainerRuntime",
    "ImageRuntime",
    "NetworkRuntime",
    "PodRuntime",
    "ProcessRuntime",
    "Reach",
    "Runtime",
    "Streams",
    "VolumeRuntime",
]


class Streams(NamedTuple):
    """
    A process's standard streams: borrowed file descriptors, -1 for none.
    """

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1


class Reach(NamedTuple):
    """
    How this program reaches a network's containers.

    Attributes:
        direct: Whether at their own addresses; else only by their published ports.
        host: What the machine that ports are published on is called here.
        address: Its IPv4 address; 127.0.0.1 where it is this machine.
    """

    direct: bool = True
    host: str = "127.0.0.1"
    address: str = "127.0.0.1"


class ImageRuntime(Protocol):
    """
    Images.
    """

    def pull(self, request: ImagePullRequest, call: Call | None = None) -> ImageStatus: ...
    def push(self, request: ImagePushRequest, call: Call | None = None) -> None: ...
    def load(
        self, request: ImageLoadRequest, fd: int, call: Call | None = None
    ) -> tuple[ImageStatus, ...]: ...
    def save(self, request: ImageSaveRequest, fd: int, call: Call | None = None) -> None: ...
    def import_(
        self, request: ImageImportRequest, fd: int = -1, call: Call | None = None
    ) -> ImageStatus: ...
    def tag(self, source: str, target: str) -> ImageStatus: ...
    def get(self, reference: str) -> ImageStatus: ...
    def list(self) -> tuple[ImageStatus, ...]: ...
    def delete(self, reference: str, force: bool, call: Call | None = None) -> None: ...


class ContainerRuntime(Protocol):
    """
    Containers.
    """

    def create(self, spec: ContainerSpec, call: Call | None = None) -> ContainerStatus: ...
    def start(self, reference: str, call: Call | None = None) -> ContainerStatus: ...
    def stop(
        self, reference: str, timeout: float | None = None, call: Call | None = None
    ) -> ContainerStatus: ...
    def pause(self, reference: str, call: Call | None = None) -> ContainerStatus: ...
    def resume(self, reference: str, call: Call | None = None) -> ContainerStatus: ...
    def update(
        self, reference: str, resources: Resources, call: Call | None = None
    ) -> ContainerStatus: ...
    def delete(self, reference: str, force: bool, call: Call | None = None) -> None: ...
    def get(self, reference: str) -> ContainerStatus: ...
    def list(self, filter: ContainerFilter) -> tuple[ContainerStatus, ...]: ...
    def run(self, spec: ContainerSpec, streams: Streams, call: Call | None = None) -> ExitStatus:
        """
        Create, run to the end and delete.
        """
        ...

    def logs(
        self, reference: str, request: LogRequest, streams: Streams, call: Call | None = None
    ) -> None: ...
    def attach(self, reference: str, streams: Streams, call: Call | None = None) -> None: ...
    def copy_in(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        """
        Unpack a tar in the directory `path`, which must exist.
        """
        ...

    def copy_out(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        """
        Pack `path` into a tar whose one top entry is the path's last component.
        """
        ...

    def statistics(
        self,
        reference: str,
        interval_ns: int,
        buffer: Any,
        capacity: int,
        call: Call | None = None,
    ) -> int:
        """
        Fill a writable buffer with kina_statistics_t, and say how many.
        """
        ...


class ProcessRuntime(Protocol):
    """
    Further processes in a running container; `process` None is the container's own.
    """

    def create(
        self, container: str, spec: ProcessSpec, streams: Streams, call: Call | None = None
    ) -> str: ...
    def wait(self, container: str, process: str | None, call: Call | None = None) -> ExitStatus: ...
    def kill(
        self, container: str, process: str | None, signal: str, call: Call | None = None
    ) -> None: ...
    def resize(self, container: str, process: str | None, rows: int, columns: int) -> None: ...
    def delete(self, container: str, process: str) -> None:
        """
        End it and its children if it still runs, and forget it.
        """
        ...


class PodRuntime(Protocol):
    """
    Pods: sandboxes that several containers share.
    """

    def create(self, spec: PodSpec, call: Call | None = None) -> PodStatus: ...
    def start(self, reference: str, call: Call | None = None) -> PodStatus:
        """
        Bring its sandbox up; containers are started one by one.
        """
        ...

    def stop(
        self, reference: str, timeout: float | None = None, call: Call | None = None
    ) -> PodStatus: ...
    def delete(self, reference: str, force: bool, call: Call | None = None) -> None: ...
    def get(self, reference: str) -> PodStatus: ...
    def list(self) -> tuple[PodStatus, ...]: ...


class NetworkRuntime(Protocol):
    """
    Networks.
    """

    def create(self, spec: NetworkSpec, call: Call | None = None) -> NetworkStatus: ...
    def get(self, reference: str) -> NetworkStatus: ...
    def list(self) -> tuple[NetworkStatus, ...]: ...
    def delete(self, reference: str, call: Call | None = None) -> None: ...


class VolumeRuntime(Protocol):
    """
    Volumes.
    """

    def create(self, spec: VolumeSpec, call: Call | None = None) -> VolumeStatus: ...
    def get(self, reference: str) -> VolumeStatus: ...
    def list(self) -> tuple[VolumeStatus, ...]: ...
    def delete(self, reference: str, call: Call | None = None) -> None: ...


class Runtime(ABC):
    """
    An open runtime. A context manager that closes it; containers outlive it.

    Attributes:
        name: "native" or "docker".
        local: Whether what is made runs on this machine: its paths, ports and memory are those.
        images, pods, containers, processes, networks, volumes: What it does.
    """

    name: str
    local: bool = True
    images: ImageRuntime
    pods: PodRuntime
    containers: ContainerRuntime
    processes: ProcessRuntime
    networks: NetworkRuntime
    volumes: VolumeRuntime

    @abstractmethod
    def info(self) -> RuntimeInfo:
        """
        Say what was opened.

        Raises:
            InvalidStateError: The runtime is closed.
        """

    def reach(self, network: str) -> Reach:  # noqa: ARG002  # the same for all, mostly
        """
        Say how this program reaches a network's containers.

        Args:
            network: Its name or id.

        Raises:
            NotFoundError: There is no such network.
        """
        return Reach()

    @abstractmethod
    def events(self, filter: EventFilter, fd: int, call: Call | None = None) -> None:
        """
        Write events, a JSON line each, until the call ends or the reader is gone.
        """

    @abstractmethod
    def prune(self, request: PruneRequest, call: Call | None = None) -> PruneResult:
        """
        Delete what is unused, and what a crash left.
        """

    @abstractmethod
    def close(self) -> None:
        """
        Let go of the runtime. Containers stay as they are.
        """

    @property
    @abstractmethod
    def closed(self) -> bool:
        """
        Whether it was closed.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
