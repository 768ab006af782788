"""
The runtime, and whether it is usable here.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from kina.calls import Call
from kina.errors import InvalidStateError, KinaError, NotFoundError
from kina.requests import ContainerFilter, EventFilter, PruneRequest, RuntimeOptions
from kina.runtimes.base import Reach, Runtime
from kina.runtimes.docker import _reach
from kina.runtimes.docker._brought import Brought, engine_key
from kina.runtimes.docker._containers import Containers
from kina.runtimes.docker._endpoint import Endpoint, find, sdk
from kina.runtimes.docker._engine import Engine
from kina.runtimes.docker._events import events
from kina.runtimes.docker._images import Images
from kina.runtimes.docker._networks import Networks
from kina.runtimes.docker._pods import Pods
from kina.runtimes.docker._processes import Processes
from kina.runtimes.docker._records import Records
from kina.runtimes.docker._volumes import Volumes
from kina.status import Check, PruneResult, Report, RuntimeInfo

__all__ = ["DockerRuntime", "examine"]


def examine(url: str | None = None) -> Report:
    """
    Say whether Docker mode is usable here. Asks the engine for its version, and changes nothing.
    """
    checks: list[Check] = []
    try:
        docker = sdk()
        checks.append(_ok("docker SDK", f"version {docker.__version__}"))
        endpoint = find(url)
        checks.append(_ok("engine's address", f"{endpoint.url}, by {endpoint.source}"))
        engine = Engine(endpoint)
    except KinaError as error:
        name = ("docker SDK", "engine's address", "engine")[len(checks)]
        failed = Check(name=name, state="failed", reason=error.message, fix=error.hint)
        if failed.fix is None:
            failed = Check(
                name=name,
                state="failed",
                reason=error.message,
                fix="what does its log say?",
            )
        return Report(backend="docker", usable=False, checks=(*checks, failed))
    with_version = f"{_name(engine)} {engine.version.get('Version')}, API {engine.api_version}"
    engine.close()
    return Report(backend="docker", usable=True, checks=(*checks, _ok("engine", with_version)))


def _ok(name: str, reason: str) -> Check:
    return Check(name=name, state="ok", reason=reason)


def _name(engine: Engine) -> str:
    return "Podman" if engine.podman else "Docker"


class DockerRuntime(Runtime):
    """
    Any engine that speaks Docker's API.

    Args:
        endpoint: Where it is.
        options: Where kina keeps what is its own: locks and kubeconfigs of clusters.
        direct: Whether this program reaches containers' addresses; found out when None.

    Raises:
        RuntimeUnavailableError: The SDK is not installed, or nobody answers.
        PermissionDeniedError: The socket is another user's.
        UnsupportedError: The engine is too old.
    """

    name = "docker"

    def __init__(
        self, endpoint: Endpoint, options: RuntimeOptions, direct: bool | None = None
    ) -> None:
        self._direct = _reach.told(direct)
        self._engine = Engine(endpoint)
        self.local = endpoint.local
        self._home = options.home or _default_home()
        self._key: str | None = None
        records = Records(self._engine)
        self.images: Images = Images(self._engine, Brought(Path(self._home), self._engine_key))
        self.networks: Networks = Networks(self._engine, records)
        self.pods: Pods = Pods()
        self.volumes: Volumes = Volumes(self._engine)
        self.containers: Containers = Containers(self._engine, self.images, self.networks, records)
        self.processes: Processes = Processes(self._engine, self.containers)

    def __repr__(self) -> str:
        if self.closed:
            return "<kina runtime 'docker', closed>"
        return f"<kina runtime 'docker', {_name(self._engine)} at {self._engine.endpoint.url!r}>"

    def _engine_key(self) -> str:
        if self._key is None:
            with self._engine.asking() as client:
                found = client.info()
            self._key = engine_key(str(found.get("Name")), str(found.get("DockerRootDir")))
        return self._key

    def info(self) -> RuntimeInfo:
        with self._engine.asking() as client:
            found = client.info()
        return RuntimeInfo(
            backend="podman" if self._engine.podman else "docker",
            version=str(self._engine.version.get("Version")),
            home=self._home,
            run_directory="",
            oci_runtime=str(found.get("DefaultRuntime") or ""),
            cgroups=f"v{found.get('CgroupVersion') or '1'}",
            platform=f"{self._engine.version.get('Os')}/{self._engine.version.get('Arch')}",
        )

    def reach(self, network: str) -> Reach:
        direct = self._direct
        if direct is None:
            # The names of Podman's bridges are anybody's, and so no proof on another machine.
            named = not self._engine.podman
            direct = (named or self.local) and _reach.has_bridge(
                self.networks.get(network), named=named
            )
        return Reach() if direct else self._published

    @cached_property
    def _published(self) -> Reach:
        return _reach.published(self._engine.endpoint)

    def events(self, filter: EventFilter, fd: int, call: Call | None = None) -> None:
        self._engine.bounded(lambda bound: events(self._engine, filter, fd, bound), call)

    def prune(self, request: PruneRequest, call: Call | None = None) -> PruneResult:
        return self._engine.bounded(lambda _: self._prune(request), call)

    def _prune(self, request: PruneRequest) -> PruneResult:
        removed: dict[str, list[str]] = {"containers": [], "networks": [], "volumes": []}
        if request.containers:
            wanted = ContainerFilter(labels=request.labels, states=("created", "stopped"))
            for status in self.containers.list(wanted):
                with suppress(NotFoundError, InvalidStateError):
                    self.containers.delete(status.id, force=False)
                    removed["containers"].append(status.name)
        for wanted_kind, kind in ((request.networks, "networks"), (request.volumes, "volumes")):
            if wanted_kind:
                part: Any = getattr(self, kind)
                for status in part.list():
                    if not matches(status.labels, request.labels):
                        continue
                    with suppress(NotFoundError, InvalidStateError):
                        part.delete(status.id)
                        removed[kind].append(status.name)
        images, reclaimed = self.images.prune() if request.images else ((), 0)
        return PruneResult(
            containers=tuple(removed["containers"]),
            images=images,
            networks=tuple(removed["networks"]),
            volumes=tuple(removed["volumes"]),
            reclaimed=reclaimed,
        )

    def close(self) -> None:
        self._engine.close()

    @property
    def closed(self) -> bool:
        return self._engine.closed


def matches(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    """
    Say whether labels are those that are wanted.
    """
    return all(key in labels and value in ("", labels[key]) for key, value in wanted.items())


def _default_home() -> str:
    if sys.platform == "darwin":
        return str(Path.home() / "Library/Application Support/kina")
    if os.geteuid() == 0:
        return "/var/lib/kina"
    data = os.environ.get("XDG_DATA_HOME")
    return str(Path(data) / "kina" if data else Path.home() / ".local/share/kina")
