"""
Containers and Kubernetes clusters for Python.

```python
import kina

with kina.Container.run("docker.io/library/alpine:3", ["sleep", "inf"], memory="256Mi") as box:
    print(box.ip, box.exec(["uname", "-a"]).stdout)

with kina.Cluster.create("dev", workers=2) as cluster:
    cluster.apply("deploy/")
    cluster.wait("deployment/shop")
```

Importing this does nothing but import: each name is loaded when it is first used.
"""

from __future__ import annotations

# Not typing's, which takes longer to import than all the rest; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kina._logs import events as events
    from kina.cluster import Cluster as Cluster
    from kina.cluster import ClusterStatus as ClusterStatus
    from kina.cluster import NodeStatus as NodeStatus
    from kina.clusterconfig import ClusterConfig as ClusterConfig
    from kina.clusterconfig import JSONPatch as JSONPatch
    from kina.clusterconfig import Networking as Networking
    from kina.clusterconfig import NodeConfig as NodeConfig
    from kina.config import DNS as DNS
    from kina.config import ContainerSpec as ContainerSpec
    from kina.config import Device as Device
    from kina.config import ImageConfig as ImageConfig
    from kina.config import Mount as Mount
    from kina.config import NamespacesSpec as NamespacesSpec
    from kina.config import NetworkAttachment as NetworkAttachment
    from kina.config import NetworkSpec as NetworkSpec
    from kina.config import PodSpec as PodSpec
    from kina.config import Port as Port
    from kina.config import ProcessSpec as ProcessSpec
    from kina.config import Resources as Resources
    from kina.config import Rlimit as Rlimit
    from kina.config import SandboxSpec as SandboxSpec
    from kina.config import Seccomp as Seccomp
    from kina.config import VolumeSpec as VolumeSpec
    from kina.container import Container as Container
    from kina.errors import AlreadyExistsError as AlreadyExistsError
    from kina.errors import BootstrapError as BootstrapError
    from kina.errors import ConflictError as ConflictError
    from kina.errors import DataLossError as DataLossError
    from kina.errors import DeadlineExceededError as DeadlineExceededError
    from kina.errors import ExecError as ExecError
    from kina.errors import InternalError as InternalError
    from kina.errors import InvalidArgumentError as InvalidArgumentError
    from kina.errors import InvalidStateError as InvalidStateError
    from kina.errors import KinaError as KinaError
    from kina.errors import NotFoundError as NotFoundError
    from kina.errors import OperationCancelledError as OperationCancelledError
    from kina.errors import PermissionDeniedError as PermissionDeniedError
    from kina.errors import ResourceExhaustedError as ResourceExhaustedError
    from kina.errors import RuntimeUnavailableError as RuntimeUnavailableError
    from kina.errors import UnauthenticatedError as UnauthenticatedError
    from kina.errors import UnavailableError as UnavailableError
    from kina.errors import UnsupportedError as UnsupportedError
    from kina.image import Image as Image
    from kina.network import Network as Network
    from kina.node import Node as Node
    from kina.nodeimage import build_node_image as build_node_image
    from kina.pod import Pod as Pod
    from kina.process import Completed as Completed
    from kina.process import Process as Process
    from kina.runtimes import connect as connect
    from kina.runtimes.base import Runtime as Runtime
    from kina.stats import Figure as Figure
    from kina.stats import Stats as Stats
    from kina.status import ContainerStatus as ContainerStatus
    from kina.status import Event as Event
    from kina.status import ExitStatus as ExitStatus
    from kina.status import ImageStatus as ImageStatus
    from kina.status import NetworkStatus as NetworkStatus
    from kina.status import PodStatus as PodStatus
    from kina.status import ProgressEvent as ProgressEvent
    from kina.status import PruneResult as PruneResult
    from kina.status import VolumeStatus as VolumeStatus
    from kina.system import Doctor as Doctor
    from kina.system import doctor as doctor
    from kina.system import prune as prune
    from kina.system import run as run
    from kina.volume import Volume as Volume

# Where each public name is; the imports above say the same to type checkers, and a test compares
# the two.
_PLACES = {
    "kina._logs": ("events",),
    "kina.cluster": ("Cluster", "ClusterStatus", "NodeStatus"),
    "kina.clusterconfig": ("ClusterConfig", "JSONPatch", "Networking", "NodeConfig"),
    "kina.config": (
        "DNS",
        "ContainerSpec",
        "Device",
        "ImageConfig",
        "Mount",
        "NamespacesSpec",
        "NetworkAttachment",
        "NetworkSpec",
        "PodSpec",
        "Port",
        "ProcessSpec",
        "Resources",
        "Rlimit",
        "SandboxSpec",
        "Seccomp",
        "VolumeSpec",
    ),
    "kina.container": ("Container",),
    "kina.errors": (
        "AlreadyExistsError",
        "BootstrapError",
        "ConflictError",
        "DataLossError",
        "DeadlineExceededError",
        "ExecError",
        "InternalError",
        "InvalidArgumentError",
        "InvalidStateError",
        "KinaError",
        "NotFoundError",
        "OperationCancelledError",
        "PermissionDeniedError",
        "ResourceExhaustedError",
        "RuntimeUnavailableError",
        "UnauthenticatedError",
        "UnavailableError",
        "UnsupportedError",
    ),
    "kina.image": ("Image",),
    "kina.network": ("Network",),
    "kina.node": ("Node",),
    "kina.nodeimage": ("build_node_image",),
    "kina.pod": ("Pod",),
    "kina.process": ("Completed", "Process"),
    "kina.runtimes": ("connect",),
    "kina.runtimes.base": ("Runtime",),
    "kina.stats": ("Figure", "Stats"),
    "kina.status": (
        "ContainerStatus",
        "Event",
        "ExitStatus",
        "ImageStatus",
        "NetworkStatus",
        "PodStatus",
        "ProgressEvent",
        "PruneResult",
        "VolumeStatus",
    ),
    "kina.system": ("Doctor", "doctor", "prune", "run"),
    "kina.volume": ("Volume",),
}
_HOME = {name: module for module, names in _PLACES.items() for name in names}

__version__ = "0.1.0"

__all__ = [*sorted(_HOME)]  # all are strings


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
    raise AttributeError(f"module 'kina' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
