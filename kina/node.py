"""
Nodes: containers that run systemd, containerd and a kubelet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal

from kina._fields import Strings
from kina._objects import View
from kina._quantities import Quantity
from kina._streams import Input
from kina.calls import Call
from kina.client import Session
from kina.container import Container
from kina.errors import (
    Code,
    DeadlineExceededError,
    KinaError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from kina.process import Completed, execute, process_spec
from kina.stats import Stats

__all__ = ["Labels", "Node"]

Role = Literal["control-plane", "worker"]


class Labels:
    """
    What kina's containers and networks are labelled with: the database of its clusters.
    """

    CLUSTER: Final = "io.x-kina.cluster"
    ROLE: Final = "io.x-kina.role"
    NODE: Final = "io.x-kina.node"
    CONFIG: Final = "io.x-kina.config"
    KUBECONFIG: Final = "io.x-kina.kubeconfig"


class Node(View):
    """
    A node of a cluster: a view, which any number of programs can have.

    Made by `Cluster.nodes` and `Cluster.add_node`.
    """

    __slots__ = ("_container", "_session")

    _container: Container
    _session: Callable[[], Session]

    @classmethod
    def _of(cls, container: Container, session: Callable[[], Session]) -> Node:
        self = cls.__new__(cls)
        self._container, self._session = container, session
        return self

    # -- What it is --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """
        Its name in Kubernetes, which is its host name.
        """
        return self._container.labels[Labels.NODE]

    @property
    def cluster(self) -> str:
        """
        Its cluster's name.
        """
        return self._container.labels[Labels.CLUSTER]

    @property
    def role(self) -> Role:
        """
        control-plane or worker.
        """
        return "worker" if self._container.labels[Labels.ROLE] == "worker" else "control-plane"

    @property
    def container(self) -> Container:
        """
        The container that it is.
        """
        return self._container

    @property
    def ip(self) -> str:
        """
        Its address, which stays over stop and start.
        """
        address = self._container.ip
        assert address is not None, "a node is on its cluster's network"
        return address

    @property
    def version(self) -> str:
        """
        The Kubernetes of its image: "v1.20.2".

        Raises:
            InvalidStateError: It does not run.
        """
        return self.exec(["cat", "/kind/version"], check=True).stdout.strip()

    @property
    def running(self) -> bool:
        """
        Whether its container runs.
        """
        return self._container.state == "running"

    @property
    def ready(self) -> bool:
        """
        Whether Kubernetes says that it is ready; False where nobody can say.
        """
        try:
            return is_ready(self._object(Call(10)))
        except (NotFoundError, UnavailableError, DeadlineExceededError):
            return False

    def _object(self, call: Call) -> dict[str, Any]:
        found: dict[str, Any] = self._session().get(f"/api/v1/nodes/{self.name}", call)
        return found

    # -- What it does ------------------------------------------------------------------------------

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Strings | None = None,
        workdir: str | None = None,
        stdin: Input = None,
        timeout: Quantity | None = None,
        check: bool = False,
    ) -> Completed[str]:
        """
        Run a command in it, to its end, as root.

        Args:
            args: The program and its arguments; no shell.
            env: On top of the container's.
            workdir: The container's when None.
            stdin: What it reads; nothing when None.
            timeout: After which it is ended, with its children.
            check: Whether an exit code other than 0 is an error.

        Raises:
            DeadlineExceededError: The timeout came.
            ExecError: With check, the exit code is not 0.
            InvalidStateError: The node does not run.
            NotFoundError: It was deleted, or there is no such program in it.
        """
        return self._container.exec(
            args,
            env=env,
            workdir=workdir,
            stdin=stdin,
            privileged=True,
            timeout=timeout,
            check=check,
        )

    def copy_to(self, src: str | os.PathLike[str] | bytes | IO[bytes], dest: str) -> None:
        """
        Copy a file, a tree, bytes or a tar stream into it; see `Container.copy_to`.

        Args:
            src: What to copy.
            dest: Where to: a path in the node.

        Raises:
            NotFoundError: There is no such file, or no such directory in the node.
        """
        self._container.copy_to(src, dest)

    def copy_from(self, src: str, dest: str | os.PathLike[str]) -> Path:
        """
        Copy a file or a tree out of it; see `Container.copy_from`.

        Args:
            src: A path in the node.
            dest: A path of the host.

        Raises:
            NotFoundError: There is no such file in the node, or no such directory here.
        """
        return self._container.copy_from(src, dest)

    def logs(self, unit: str | None = None, *, tail: int | None = None) -> str:
        """
        Read what it logs.

        Args:
            unit: A systemd unit such as "kubelet" or "containerd"; the console when None.
            tail: So many lines from the end; all when None.

        Raises:
            InvalidStateError: The node does not run, and a unit was asked for.
            ExecError: There is no such unit.
        """
        if unit is None:
            return self._container.logs(tail=tail)
        lines = [] if tail is None else ["-n", str(tail)]
        command = ["journalctl", "--no-pager", "-o", "short-precise", "-u", unit, *lines]
        return self.exec(command, check=True).stdout

    def stats(self) -> Stats:
        """
        Measure it: CPU, memory, network; see `Container.stats`.

        Raises:
            InvalidStateError: It does not run.
        """
        return self._container.stats()

    def cordon(self) -> None:
        """
        Let no further pods be scheduled on it.

        Raises:
            UnavailableError: The API server does not answer.
        """
        self._schedulable(False, Call(30))

    def uncordon(self) -> None:
        """
        Undo `cordon`.

        Raises:
            UnavailableError: The API server does not answer.
        """
        self._schedulable(True, Call(30))

    def _schedulable(self, allowed: bool, call: Call) -> None:
        self._session().request(
            "PATCH",
            f"/api/v1/nodes/{self.name}",
            body={"spec": {"unschedulable": None if allowed else True}},
            content_type="application/merge-patch+json",
            call=call,
        )

    def drain(self, *, timeout: float = 120.0) -> list[str]:
        """
        Cordon it, and evict its pods: all but those of DaemonSets and its own static ones.

        Args:
            timeout: Seconds that the pods may take.

        Returns:
            The evicted pods, as namespace/name.

        Raises:
            DeadlineExceededError: Some are still there; the message names them, and what keeps
                them.
            UnavailableError: The API server does not answer.
        """
        call = Call(timeout)
        session = self._session()
        self._schedulable(False, call)
        selector = {"fieldSelector": f"spec.nodeName={self.name}"}
        listed = session.get("/api/v1/pods", call, **selector)["items"]
        # Those that are here now: pods that tolerate a cordoned node may come back to it.
        leaving = {pod["metadata"]["uid"]: pod for pod in listed if _evictable(pod)}
        asked = dict(leaving)
        blocked: dict[str, str] = {}
        while leaving:
            blocked = {
                uid: reason
                for uid, pod in asked.items()
                if (reason := _evict(session, pod, call)) is not None
            }
            # Refused: a disruption budget, which offers nothing to watch. So ask again.
            limit = Call(min(1.0, call.remaining or 0.0)) if blocked else call
            for pods in session.observe("/api/v1/pods", limit, **selector):
                here = {pod["metadata"]["uid"] for pod in pods.values()}
                leaving = {uid: pod for uid, pod in leaving.items() if uid in here}
                if not leaving:
                    break
            asked = {uid: pod for uid, pod in leaving.items() if uid in blocked}
            if leaving and call.remaining == 0:
                raise _undrained(self.name, leaving, blocked, timeout)
        return [_pod_name(pod) for pod in listed if _evictable(pod)]

    def __repr__(self) -> str:
        return f"<kina.Node {self.name!r} {self.role} of {self.cluster!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return self._container == other._container

    def __hash__(self) -> int:
        return hash(self._container)


def is_ready(item: Mapping[str, Any]) -> bool:
    """
    Say whether a node object says that it is ready.
    """
    return ready_since(item) is not None


def ready_since(item: Mapping[str, Any]) -> str | None:
    """
    Return when a node last said that it is ready; None when it does not.
    """
    for condition in item.get("status", {}).get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] == "True":
            return str(condition.get("lastHeartbeatTime") or "")
    return None


def _pod_name(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _undrained(
    node: str,
    leaving: Mapping[str, Mapping[str, Any]],
    blocked: Mapping[str, str],
    timeout: float,
) -> DeadlineExceededError:
    named = [f"{_pod_name(pod)} ({blocked.get(uid, 'ends')})" for uid, pod in leaving.items()]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return DeadlineExceededError(
        f"node {node!r} still has pods after {timeout:.0f} s: {', '.join(named[:5])}{more}",
        hint="a PodDisruptionBudget, or a finalizer, keeps them",
    )


def _evictable(pod: Mapping[str, Any]) -> bool:
    metadata = pod["metadata"]
    owners = {owner["kind"] for owner in metadata.get("ownerReferences") or []}
    static = "kubernetes.io/config.mirror" in (metadata.get("annotations") or {})
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not (static or ended or owners & {"DaemonSet", "Node"})


def _evict(session: Session, pod: Mapping[str, Any], call: Call) -> str | None:
    """
    Ask for a pod's eviction; say what keeps it.
    """
    metadata = pod["metadata"]
    target = {"name": metadata["name"], "namespace": metadata["namespace"]}
    path = f"/api/v1/namespaces/{target['namespace']}/pods/{target['name']}/eviction"
    version = "policy/v1"
    try:
        session.get("/apis/policy/v1", call)
    except NotFoundError:
        version = "policy/v1beta1"  # before 1.22
    body = {"apiVersion": version, "kind": "Eviction", "metadata": target}
    try:
        session.request("POST", path, body=body, call=call)
    except NotFoundError:
        return None
    except ResourceExhaustedError as refusal:
        return refusal.message
    except KinaError as error:
        if error.code == Code.ABORTED:
            return None
        raise
    return None


def run(
    node: Node, args: Sequence[str], call: Call, *, stdin: Input = None, check: bool = True
) -> Completed[str]:
    """
    Run a command in a node, as a part of something that a call bounds.
    """
    spec = process_spec(args, None, None, None, False, True, None)
    container = node.container
    result: Completed[str] = execute(
        container.runtime, container.id, spec, stdin, "utf-8", check=check, call=call
    )
    return result


def put(node: Node, path: str, content: str, call: Call) -> None:
    """
    Write a file in a node.
    """
    run(node, ["cp", "/dev/stdin", path], call, stdin=content)


def journal(node: Node, units: Sequence[str], lines: int) -> Iterator[str]:
    """
    Yield the last lines of units' logs, without their times and host names.
    """
    asked = [word for unit in units for word in ("-u", unit)]
    command = ["journalctl", "--no-pager", "-o", "cat", "-n", str(lines), *asked]
    yield from node.exec(command, timeout=10).stdout.splitlines()
