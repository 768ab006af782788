"""
The half of `kina.Cluster` that speaks to what runs: its API, its nodes, its images and logs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kina import _clusterstate as state
from kina import apply as _apply
from kina import loading, waiting
from kina._together import each
from kina.bootstrap.kubeconfigs import FILE
from kina.calls import Call
from kina.client import API_CLASSES, Credentials, Session, api_client
from kina.container import Container
from kina.errors import InvalidStateError, NotFoundError
from kina.image import Image
from kina.logfiles import export_node
from kina.node import Node
from kina.runtimes import Runtime

if TYPE_CHECKING:
    from kubernetes import client as k8s

__all__ = ["ClusterAPI"]


class ClusterAPI:
    """
    A cluster that runs, as programs speak to it.

    Attributes:
        name: The cluster's name.
    """

    if TYPE_CHECKING:
        core_v1: k8s.CoreV1Api
        apps_v1: k8s.AppsV1Api
        batch_v1: k8s.BatchV1Api
        networking_v1: k8s.NetworkingV1Api
        rbac_v1: k8s.RbacAuthorizationV1Api
        storage_v1: k8s.StorageV1Api
        policy_v1: k8s.PolicyV1Api
        autoscaling_v2: k8s.AutoscalingV2Api
        discovery_v1: k8s.DiscoveryV1Api
        apiextensions_v1: k8s.ApiextensionsV1Api
        custom_objects: k8s.CustomObjectsApi
        version: k8s.VersionApi

    name: str
    _runtime: Runtime

    # -- Nodes -------------------------------------------------------------------------------------

    def nodes(self, role: Literal["control-plane", "worker"] | None = None) -> Sequence[Node]:
        """
        Return its nodes, the control plane first.

        Args:
            role: Only these.

        Raises:
            NotFoundError: It was deleted.
        """
        found = [self._node(c) for c in state.find(self._runtime, self.name).containers]
        return [node for node in found if role is None or node.role == role]

    def node(self, name: str) -> Node:
        """
        Find one of its nodes.

        Args:
            name: As Kubernetes calls it; what follows the cluster's name will do.

        Raises:
            NotFoundError: There is none.
        """
        nodes = self.nodes()
        for node in nodes:
            if node.name in (name, f"{self.name}-{name}"):
                return node
        known = ", ".join(node.name for node in nodes)
        raise NotFoundError(f"cluster {self.name!r} has no node {name!r}", hint=f"it has: {known}")

    def _node(self, container: Container) -> Node:
        return Node._of(container, self._get_session)  # noqa: SLF001  # of this package

    # -- Its API -----------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> str:
        """
        A kubeconfig for this cluster alone, as text.
        """
        return self.kubeconfig_path.read_text()

    @property
    def kubeconfig_path(self) -> Path:
        """
        A file with that, private and of kina's own: `kubectl --kubeconfig`.
        """
        path = state.directory(self._runtime, self.name) / FILE
        if not path.exists():
            raise InvalidStateError(
                f"cluster {self.name!r} has no kubeconfig: its creation was cut short",
                hint="delete it, and create it again",
            )
        return path

    @property
    def server(self) -> str:
        """
        The API server's URL.
        """
        return self._get_session().credentials.server

    def _admin(self) -> dict[str, Any]:
        import yaml

        read: dict[str, Any] = yaml.safe_load(self.kubeconfig)
        return read

    @cached_property
    def _session(self) -> Session:
        where = state.directory(self._runtime, self.name)
        return Session(Credentials.store(self._admin(), where))

    def _get_session(self) -> Session:
        return self._session

    @cached_property
    def api_client(self) -> k8s.ApiClient:
        """
        A configured client of the official package.

        Raises:
            InvalidStateError: The cluster's creation was cut short.
        """
        return api_client(self._session.credentials)

    def __getattr__(self, name: str) -> Any:
        # Only for what is not there: the classes of the official client, made once.
        if name not in API_CLASSES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        from kubernetes import client

        made = self.__dict__[name] = getattr(client, API_CLASSES[name])(self.api_client)
        return made

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *API_CLASSES]

    def _forget(self) -> None:
        """
        Let go of connections: what they led to is gone.
        """
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()
        client = self.__dict__.pop("api_client", None)
        if client is not None:
            client.rest_client.pool_manager.clear()  # its own `close` leaves connections open
            client.close()
        for name in API_CLASSES:
            self.__dict__.pop(name, None)

    def apply(
        self,
        source: _apply.Source,
        *,
        namespace: str = "default",
        manager: str = "kina",
        force: bool = True,
        dry_run: bool = False,
        timeout: float = 120.0,
    ) -> Sequence[dict[str, Any]]:
        """
        Apply manifests on the server's side: namespaces and definitions first.

        Args:
            source: A file's or directory's path, an http(s) URL, YAML or JSON text, an object, or
                any number of these.
            namespace: For objects that name none and need one.
            manager: Who owns the fields that are set.
            force: Whether fields that others own are taken over.
            dry_run: Whether the server only says what it would do.
            timeout: Seconds that it may take.

        Returns:
            The objects as the server has them now.

        Raises:
            InvalidArgumentError: Some can't be read: then nothing was applied. Or the server
                refuses some: then the others were. All of them are named.
            NotFoundError: There is no such file.
            UnavailableError: The API server, or a URL, does not answer.
        """
        return _apply.apply(
            self._session,
            _apply.documents(source),
            Call(timeout),
            namespace=namespace,
            manager=manager,
            force=force,
            dry_run=dry_run,
        )

    def wait(
        self,
        reference: str,
        *,
        for_: str | None = None,
        namespace: str = "default",
        timeout: float = 120.0,
    ) -> dict[str, Any] | None:
        """
        Wait, by watching, until an object is as wanted. It need not exist yet.

        Args:
            reference: "kind/name": "deployment/shop", "pod/box", "crontabs.example.com/one".
            for_: "available", "ready", "complete", "exists", "delete", "condition=Name[=Status]",
                "jsonpath={.status.phase}=Running". When None, what the kind is usually waited
                for: ready, for a Job complete.
            namespace: Where it is, if its kind has namespaces.
            timeout: Seconds.

        Returns:
            The object; None when its absence was waited for.

        Raises:
            DeadlineExceededError: It did not get so in time; the message says how it is.
            InvalidStateError: It never will: a Job has failed.
            InvalidArgumentError: The reference, or what to wait for, can't be read.
            UnavailableError: The API server does not answer.
        """
        told = f"{timeout:g} s"
        return waiting.wait(
            self._session, reference, for_, Call(timeout), namespace=namespace, told=told
        )

    # -- Images and logs ---------------------------------------------------------------------------

    def load_image(
        self,
        image: Image | str | os.PathLike[str],
        *,
        nodes: Iterable[Node | str] | None = None,
        timeout: float | None = None,
    ) -> Sequence[str]:
        """
        Copy an image to nodes, to all at once. Nodes that have it are left alone.

        Args:
            image: An Image of any runtime; a reference in the cluster's runtime; one that begins
                with "docker-daemon:", of the engine that the docker command would ask; or the path
                of a Docker or OCI archive.
            nodes: Which; all when None.
            timeout: Seconds that it may take.

        Returns:
            The names of the nodes that it was copied to.

        Raises:
            NotFoundError: There is no such image or file.
            InvalidStateError: A node does not run.
            DataLossError: The archive is damaged.
            RuntimeUnavailableError: No engine answers, or the Docker SDK is not installed.
        """
        chosen_nodes = self.nodes() if nodes is None else [
            self.node(item) if isinstance(item, str) else item for item in nodes
        ]  # fmt: skip
        return loading.load(self._runtime, image, chosen_nodes, Call(timeout))

    def export_logs(self, directory: str | os.PathLike[str]) -> Path:
        """
        Write the logs of every node to a directory: the console, the journal, the kubelet's,
        containerd's and the pods'.

        Args:
            directory: Made where it is missing.

        Returns:
            It.

        Raises:
            NotFoundError: The cluster was deleted.
        """
        top = Path(directory)
        top.mkdir(parents=True, exist_ok=True)
        each(lambda node: export_node(node, top / node.name), self.nodes(), Call())
        return top
