"""
Clusters: real Kubernetes, of nodes that are containers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs

from kina import _clusterstate as state
from kina import kubeconfig as _kubeconfig
from kina._clusterapi import ClusterAPI
from kina._clusterplan import free_name, new_token, planned_of, wanted_of
from kina._objects import chosen
from kina._together import each, undisturbed
from kina.bootstrap import CREATE, JOIN_NODES, Context, Planned, run_actions
from kina.bootstrap.kubeconfigs import FILE
from kina.bootstrap.nodes import await_boot
from kina.bootstrap.ready import await_nodes
from kina.calls import Call
from kina.client import Session
from kina.clusterconfig import ConfigLike, NodeConfig
from kina.config import Mount
from kina.container import Container
from kina.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
    NotFoundError,
    UnavailableError,
)
from kina.image import Image
from kina.node import Labels, Node, is_ready, run
from kina.progress import Reporter, showing_steps
from kina.runtimes import Runtime

if TYPE_CHECKING:
    pass

__all__ = ["Cluster", "ClusterStatus", "NodeStatus"]

State = Literal["running", "stopped", "partial", "incomplete"]


@attrs.frozen(kw_only=True)
class NodeStatus:
    """
    What a node is.

    Attributes:
        name: Its name in Kubernetes.
        role: control-plane or worker.
        state: Its container's: running, stopped and so on.
        ip: Its address.
        ready: What Kubernetes says; None when the API does not answer.
        version: Its kubelet's, the same.
    """

    name: str
    role: str
    state: str
    ip: str
    ready: bool | None = None
    version: str | None = None


@attrs.frozen(kw_only=True)
class ClusterStatus:
    """
    What a cluster is.

    Attributes:
        name: Its name.
        state: running; stopped; partial (some nodes run); incomplete (its creation or deletion
            was cut short: delete it).
        api: Whether the API server answers.
        nodes: Each node.
    """

    name: str
    state: State
    api: bool
    nodes: tuple[NodeStatus, ...]


class Cluster(ClusterAPI):
    """
    A Kubernetes cluster, found by its name: a view, which any number of programs can have.

    Made by `create`, `get` and `list`. As a context manager it deletes the cluster on the way out;
    `keep()` prevents that. Beside its own methods it has the official client's objects, each made
    when it is first used: core_v1, apps_v1, batch_v1, networking_v1, rbac_v1, storage_v1,
    policy_v1, autoscaling_v2, discovery_v1, apiextensions_v1, custom_objects, version.

    Attributes:
        name: Its name.
        timings: The seconds that each action of its creation took, where this object made it.
    """

    def __init__(self) -> None:
        raise TypeError("use the class methods of kina.Cluster, such as kina.Cluster.get()")

    name: str
    timings: dict[str, float]
    _runtime: Runtime
    _keep: bool

    @classmethod
    def _of(cls, runtime: Runtime, name: str) -> Cluster:
        self = cls.__new__(cls)
        self._runtime, self.name, self.timings, self._keep = runtime, name, {}, False
        return self

    # -- Making and finding ------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        name: str | None = None,
        *,
        workers: int = 0,
        image: str | Image | None = None,
        config: ConfigLike | None = None,
        ports: Any = (),
        mounts: Iterable[Mount | str] = (),
        wait: float = 300.0,
        retain: bool = False,
        kubeconfig: bool | str | os.PathLike[str] = True,
        progress: Reporter = True,
        timeout: float | None = None,
        runtime: Runtime | None = None,
    ) -> Cluster:
        """
        Create a cluster.

        ```python
        cluster = kina.Cluster.create("dev", workers=2)
        ```

        Args:
            name: Unique. The configuration's when None, else "kina".
            workers: Nodes beside the control plane and beside the configuration's.
            image: A node image. When None, what `kina.build_node_image` built last, else
                kindest/node from its registry.
            config: A `ClusterConfig`, or kind's configuration: a file's path, its text, a mapping.
            ports: Ports of the control plane's node that are published on the host: `Port(…)`,
                "8080:30080" and the like.
            mounts: What every node mounts: `Mount.bind(…)`, "/host:/there:ro".
            wait: Seconds that the nodes may take to get ready; 0 returns before.
            retain: Whether a cluster that does not come up is kept, to be looked at.
            kubeconfig: Whether the user's is given a context for the cluster ($KUBECONFIG, else
                ~/.kube/config); or the file that is.
            progress: True shows each action with its time; False is silent; or a function that is
                called with each event.
            timeout: Seconds that everything may take.
            runtime: Where; the one in use when None.

        Raises:
            InvalidArgumentError: Some arguments can't be used; the message names all of them.
            AlreadyExistsError: The name is taken.
            ResourceExhaustedError: The machine can't take it; the hint says what to do.
            BootstrapError: It did not come up. It says which action failed, on which node, with
                telling lines of the logs. What was made was undone, unless retain was asked for.
            DeadlineExceededError: It took longer than the timeout.
        """
        chosen_name, wanted = wanted_of(name, workers, config, ports, mounts)
        where = chosen(runtime)
        self = cls._of(where, chosen_name)
        call = Call(timeout)
        context = Context(
            name=chosen_name,
            config=wanted,
            runtime=where,
            call=call,
            directory=state.directory(where, chosen_name),
            image=None if image is None else str(image),
            kubeconfig=_kubeconfig.target(None if isinstance(kubeconfig, bool) else kubeconfig),
            merge=kubeconfig is not False,
            ready_seconds=wait,
            nodes=planned_of(chosen_name, wanted),
            token=new_token(),
            get_session=self._get_session,
        )
        with state.locked(where, chosen_name, Call(0)):
            self._bring_up(context, retain, progress)
        return self

    def _bring_up(self, context: Context, retain: bool, progress: Reporter) -> None:
        _refuse_taken(context)
        try:
            with showing_steps(f"cluster {self.name}", progress) as report:
                self.timings = run_actions(CREATE, context, report)
        except BaseException as failure:
            if retain:
                failure.add_note(f"cluster {self.name!r} was kept: delete it when you are done")
                raise
            try:
                undisturbed(lambda: state.remove(self._runtime, self.name))
            except NotFoundError:
                pass  # nothing was made yet
            except KinaError as second:
                failure.add_note(f"not all of it could be removed: {second}")
            raise
        if context.session is not None:
            self.__dict__["_session"] = context.session

    @classmethod
    def get(cls, name: str, *, runtime: Runtime | None = None) -> Cluster:
        """
        Find a cluster.

        Args:
            name: Its name.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: There is none.
        """
        where = chosen(runtime)
        state.find(where, name)
        return cls._of(where, name)

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> list[Cluster]:
        """
        Return all clusters.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        where = chosen(runtime)
        return [cls._of(where, name) for name in state.names(where)]

    # -- Its life ----------------------------------------------------------------------------------

    def delete(self, *, timeout: float = 120.0) -> None:
        """
        Delete it, whatever state it is in, with its entries in the user's kubeconfig.

        Args:
            timeout: Seconds that it may take.

        Raises:
            NotFoundError: It was deleted already.
            ConflictError: Another program is changing it.
            KinaError: Something could not be removed; the rest was.
        """
        call = Call(timeout)
        with state.locked(self._runtime, self.name, call):
            state.remove(self._runtime, self.name, call)
        self._forget()

    def stop(self, *, grace: float = 10.0, timeout: float = 120.0) -> None:
        """
        Stop its nodes. They keep their addresses and all they hold.

        Args:
            grace: Seconds that their processes have to end by themselves, pods' too.
            timeout: Seconds that it may take.

        Raises:
            NotFoundError: It was deleted.
        """
        call = Call(timeout)
        with state.locked(self._runtime, self.name, call):
            found = state.find(self._runtime, self.name)
            running = [c for c in found.containers if c.state in ("running", "paused")]
            each(lambda c: self._runtime.containers.stop(c.id, grace, call), running, call)
        self._forget()

    def start(self, *, wait: float = 300.0, timeout: float | None = None) -> None:
        """
        Start it again after `stop`, or after the machine went down.

        Args:
            wait: Seconds that the nodes may take to get ready; 0 returns before.
            timeout: Seconds that everything may take.

        Raises:
            NotFoundError: It was deleted.
            DeadlineExceededError: It did not get ready in time.
        """
        call = Call(timeout)
        with state.locked(self._runtime, self.name, call):
            self._start(call, wait)

    def _start(self, call: Call, wait: float) -> None:
        found = state.find(self._runtime, self.name)
        # Kubernetes' times have whole seconds.
        since = datetime.now(UTC).replace(microsecond=0)
        stopped = [c for c in found.containers if c.state != "running"]

        def start(container: Container) -> None:
            before = time.time_ns()
            self._runtime.containers.start(container.id, call)
            await_boot(self._node(container), before, call)

        each(start, stopped, call)
        if wait <= 0:
            return
        left = call.remaining
        limit = Call(wait if left is None else min(wait, left))
        session = self._await_api(limit)
        fresh = {c.id for c in stopped}
        names = {c.labels[Labels.NODE]: since if c.id in fresh else None for c in found.containers}
        late = await_nodes(session, names, limit)
        if late:
            told = "; ".join(f"{name}: {why}" for name, why in late.items())
            raise DeadlineExceededError(f"nodes are not ready after {wait:.0f} s: {told}")

    def _await_api(self, call: Call) -> Session:
        """
        Wait until the API server answers: it is a pod, which nobody outside can watch.
        """
        session = self._get_session()
        while True:
            try:
                session.get("/readyz", call)
            except (UnavailableError, KinaError) as error:
                if call.remaining == 0:
                    raise DeadlineExceededError(f"the API server is not ready: {error}") from error
            else:
                return session
            time.sleep(0.1)

    def status(self) -> ClusterStatus:
        """
        Say what it is.

        Raises:
            NotFoundError: It was deleted.
        """
        found = state.find(self._runtime, self.name)
        objects: dict[str, dict[str, Any]] | None = None
        states = {c.id: c.state for c in found.containers}
        whole = (state.directory(self._runtime, self.name) / FILE).exists()
        if whole and "running" in states.values():
            try:
                listed = self._get_session().get("/api/v1/nodes", Call(5))
                objects = {item["metadata"]["name"]: item for item in listed["items"]}
            except KinaError:
                objects = None
        nodes = tuple(_node_status(c, objects) for c in found.containers)
        running = [value == "running" for value in states.values()]
        word: State = "incomplete"
        if whole and running:
            word = "running" if all(running) else "partial" if any(running) else "stopped"
        return ClusterStatus(name=self.name, state=word, api=objects is not None, nodes=nodes)

    # -- Nodes -------------------------------------------------------------------------------------

    def add_node(
        self,
        config: NodeConfig | None = None,
        *,
        wait: float = 300.0,
        retain: bool = False,
        progress: Reporter = True,
        timeout: float | None = None,
    ) -> Node:
        """
        Add a worker.

        Args:
            config: What it should be; its role is worker.
            wait: Seconds that it may take to get ready; 0 returns before.
            retain: Whether a node that does not join is kept, to be looked at.
            progress: As for `create`.
            timeout: Seconds that everything may take.

        Raises:
            BootstrapError: It did not join.
            InvalidStateError: The cluster does not run.
            UnsupportedError: A further control plane was asked for.
        """
        wanted = config if config is not None else NodeConfig(role="worker")
        if wanted.role != "worker":
            reason = "several control planes are not supported yet"
            raise InvalidArgumentError.at("config.role", wanted.role, reason, "add a worker")
        call = Call(timeout)
        with state.locked(self._runtime, self.name, call):
            found = state.find(self._runtime, self.name)
            plane = self._running_plane(found)
            planned = Planned(
                name=free_name(self.name, {c.labels[Labels.NODE] for c in found.containers}),
                config=wanted,
            )
            token = new_token()
            run(plane, ["kubeadm", "token", "create", token, "--ttl", "15m"], call)
            context = Context(
                name=self.name,
                config=found.config,
                runtime=self._runtime,
                call=call,
                directory=state.directory(self._runtime, self.name),
                image=plane.container.image,
                merge=False,
                ready_seconds=wait,
                nodes=[planned],
                joining=[planned],
                token=token,
                network="" if found.network is None else found.network.name,
                admin=self._admin(),
                session=self._get_session(),
                get_session=self._get_session,
            )
            try:
                with showing_steps(f"cluster {self.name}", progress) as report:
                    run_actions(JOIN_NODES, context, report)
            except BaseException as reason:
                failure = reason
                if not retain:
                    undisturbed(lambda: self._discard(planned, failure))
                raise
        return planned.there

    def _running_plane(self, found: state.Found) -> Node:
        planes = [c for c in found.containers if c.labels[Labels.ROLE] == "control-plane"]
        if not planes or planes[0].state != "running":
            hint = "start it with cluster.start()"
            raise InvalidStateError(f"cluster {self.name!r} does not run", hint=hint)
        return self._node(planes[0])

    def _discard(self, planned: Planned, failure: BaseException) -> None:
        """
        Take back a node that did not join.
        """
        try:
            try:
                container = Container.get(planned.name, runtime=self._runtime)
            except NotFoundError:
                return
            if container.labels.get(Labels.CLUSTER) == self.name:
                self._remove(self._node(container), Call(30))
        except KinaError as second:
            failure.add_note(f"node {planned.name!r} could not be removed: {second}")

    def remove_node(self, node: Node | str, *, drain: bool = True, timeout: float = 180.0) -> None:
        """
        Remove a worker.

        Args:
            node: The node, or its name.
            drain: Whether its pods are evicted first.
            timeout: Seconds that it may take.

        Raises:
            InvalidArgumentError: It is the control plane.
            NotFoundError: There is no such node.
            DeadlineExceededError: Some pods would not go; nothing was removed.
        """
        target = self.node(node) if isinstance(node, str) else node
        if target.role != "worker":
            reason = "is the control plane"
            hint = "cluster.delete() deletes the cluster"
            raise InvalidArgumentError.at("node", target.name, reason, hint)
        call = Call(timeout)
        with state.locked(self._runtime, self.name, call):
            if drain and target.running:
                target.drain(timeout=call.remaining or timeout)
            self._remove(target, call)

    def _remove(self, node: Node, call: Call) -> None:
        with suppress(NotFoundError):  # it never joined
            self._get_session().request("DELETE", f"/api/v1/nodes/{node.name}", call=call)
        self._runtime.containers.delete(node.container.id, True, call)

    # -- Python ------------------------------------------------------------------------------------

    def keep(self) -> Cluster:
        """
        Have it outlive a `with` block, and return itself.
        """
        self._keep = True
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if self._keep:
            return
        try:
            undisturbed(self.delete)
        except NotFoundError:
            return
        except KinaError as second:
            if failure is None:
                raise
            failure.add_note(f"cluster {self.name!r} could not be deleted: {second}")

    def __repr__(self) -> str:
        return f"<kina.Cluster {self.name!r}>"

    def _repr_html_(self) -> str:
        from kina.notebook import table

        status = self.status()
        rows = [(n.name, n.role, n.state, n.ip, n.ready, n.version) for n in status.nodes]
        header = ("node", "role", "state", "address", "ready", "version")
        return table(f"cluster {self.name}: {status.state}", header, rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cluster):
            return NotImplemented
        return (self.name, self._runtime) == (other.name, other._runtime)

    def __hash__(self) -> int:
        return hash(self.name)


def _refuse_taken(context: Context) -> None:
    try:
        found = state.find(context.runtime, context.name)
    except NotFoundError:
        return
    del found
    whole = (context.directory / FILE).exists()
    what = "there is a cluster" if whole else "there is what was left of a cluster"
    raise AlreadyExistsError(
        f"{what} {context.name!r}",
        hint=f"kina.Cluster.get({context.name!r}) finds it; its delete() removes it",
    )


def _node_status(container: Container, objects: Mapping[str, dict[str, Any]] | None) -> NodeStatus:
    name = container.labels[Labels.NODE]
    item = None if objects is None else objects.get(name, {})
    info = (item or {}).get("status", {}).get("nodeInfo", {})
    return NodeStatus(
        name=name,
        role=container.labels[Labels.ROLE],
        state=container.state,
        ip=container.ip or "",
        ready=None if item is None else is_ready(item),
        version=info.get("kubeletVersion"),
    )
