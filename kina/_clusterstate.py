"""
What of a cluster is on this host: its lock, its private files, its containers and its network.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from kina import kubeconfig, wire
from kina._together import each
from kina.bootstrap.network import network_name
from kina.calls import CLEAN_UP_SECONDS, Call
from kina.clusterconfig import ClusterConfig
from kina.container import Container
from kina.errors import ConflictError, KinaError, NotFoundError
from kina.node import Labels
from kina.runtimes.base import Runtime
from kina.status import NetworkStatus

__all__ = ["Found", "find", "locked", "names", "remove"]

PAUSE = 0.05


def directory(runtime: Runtime, name: str) -> Path:
    """
    Return where a cluster's private files are.
    """
    return Path(runtime.info().home, "clusters", name)


@contextmanager
def locked(runtime: Runtime, name: str, call: Call) -> Iterator[None]:
    """
    Hold a cluster's lock: whoever changes the cluster does.

    Raises:
        ConflictError: Another holds it until the call's deadline.
    """
    top = directory(runtime, name).parent
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = top / f"{name}.lock"
    fd = _acquire(path, name, call)
    try:
        yield
    finally:
        # While it is held: whoever waits for it sees that it is no longer the one at the path.
        path.unlink(missing_ok=True)
        os.close(fd)


def _acquire(path: Path, name: str, call: Call) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.fstat(fd).st_ino == path.stat().st_ino:
                return fd
        except BlockingIOError:
            pass
        except FileNotFoundError:
            pass  # deleted between two looks
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if call.remaining == 0:
            raise ConflictError(
                f"another program is changing cluster {name!r}",
                hint="wait until it is done; `kina` programs that were killed hold no lock",
            )
        time.sleep(PAUSE)


@attrs.frozen(kw_only=True)
class Found:
    """
    What there is of a cluster.

    Attributes:
        name: Its name.
        network: Its network; None when a deletion was cut short.
        containers: Its nodes', the control plane first.
    """

    name: str
    network: NetworkStatus | None
    containers: list[Container]

    @property
    def config(self) -> ClusterConfig:
        """
        What it was made of.
        """
        text = "" if self.network is None else self.network.labels.get(Labels.CONFIG, "")
        return wire.from_json(ClusterConfig, text) if text else ClusterConfig()

    @property
    def kubeconfig(self) -> Path | None:
        """
        The user's file that it was merged into, where that was recorded.
        """
        text = "" if self.network is None else self.network.labels.get(Labels.KUBECONFIG, "")
        return Path(text) if text else None


def find(runtime: Runtime, name: str) -> Found:
    """
    Find what there is of a cluster.

    Raises:
        NotFoundError: There is nothing.
    """
    network: NetworkStatus | None = None
    with suppress(NotFoundError):
        network = runtime.networks.get(network_name(name))
    if network is not None and network.labels.get(Labels.CLUSTER) != name:
        network = None  # the user's own, of that name
    containers = Container.list(labels={Labels.CLUSTER: name}, runtime=runtime)
    if network is None and not containers:
        known = ", ".join(names(runtime))
        hint = f"there are: {known}" if known else "there is none at all"
        raise NotFoundError(f"there is no cluster {name!r}", hint=hint)
    ordered = sorted(containers, key=lambda c: (c.labels.get(Labels.ROLE) == "worker", _order(c)))
    return Found(name=name, network=network, containers=ordered)


def _order(container: Container) -> tuple[int, str]:
    name = container.labels.get(Labels.NODE, container.name)
    return len(name), name


def names(runtime: Runtime) -> list[str]:
    """
    Return the names of all clusters.
    """
    containers = Container.list(labels=Labels.CLUSTER, runtime=runtime)
    found = {container.labels[Labels.CLUSTER] for container in containers}
    for network in runtime.networks.list():
        if network.name == network_name(network.labels.get(Labels.CLUSTER, "")):
            found.add(network.labels[Labels.CLUSTER])
    return sorted(found)


def remove(runtime: Runtime, name: str, call: Call | None = None) -> None:
    """
    Remove all there is of a cluster, in the order in which a further attempt finds the rest.

    Raises:
        NotFoundError: There is nothing.
        KinaError: Something could not be removed; the rest was.
    """
    found = find(runtime, name)
    bound = call or Call(CLEAN_UP_SECONDS)
    failures: list[KinaError] = []

    def discard(container: Container) -> None:
        try:
            runtime.containers.delete(container.id, True, bound)
        except NotFoundError:
            return
        except KinaError as failure:
            failures.append(failure)

    each(discard, found.containers, bound)
    try:
        kubeconfig.remove(name, found.kubeconfig)
    except KinaError as failure:
        failures.append(failure)
    shutil.rmtree(directory(runtime, name), ignore_errors=True)
    if found.network is not None and not any(_is_left(runtime, c) for c in found.containers):
        try:
            runtime.networks.delete(found.network.id, bound)
        except NotFoundError:
            pass
        except KinaError as failure:
            failures.append(failure)
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(f"also: {other}")
        raise first


def _is_left(runtime: Runtime, container: Container) -> bool:
    try:
        runtime.containers.get(container.id)
    except NotFoundError:
        return False
    return True
