"""
Containers of an engine.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import attrs

from kina.calls import SLICE, Call
from kina.config import ContainerSpec, NetworkAttachment, Resources
from kina.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
    NotFoundError,
    PermissionDeniedError,
)
from kina.requests import ContainerFilter, LogRequest
from kina.runtimes.base import Streams
from kina.runtimes.docker import _logs, _statistics
from kina.runtimes.docker._connection import path
from kina.runtimes.docker._engine import Engine, check
from kina.runtimes.docker._files import Files
from kina.runtimes.docker._images import Images
from kina.runtimes.docker._names import DIGEST, KIND, SPEC, host_name
from kina.runtimes.docker._networks import DEFAULT, Networks, engine_name, name_of, subnets_of
from kina.runtimes.docker._podman import adapted, mac_of, no_update
from kina.runtimes.docker._records import Records, choose_address, choose_ports, label_values
from kina.runtimes.docker._spec import container_config, resource_config, signal_name
from kina.runtimes.docker._status import container_status, exit_status, state_of
from kina.runtimes.docker._streams import join
from kina.status import Address, ContainerStatus, ExitStatus

__all__ = ["Containers"]

ATTEMPTS = 20
"""How often an address is chosen again that another program has chosen at the same time."""


@attrs.frozen
class Containers:
    """
    The boundary's containers.
    """

    engine: Engine
    images: Images
    networks: Networks
    records: Records

    # -- Making ------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec, call: Call | None = None) -> ContainerStatus:
        return self.engine.bounded(
            lambda bound: container_status(
                self.inspect(self._create(spec, bound, {})), with_spec=True
            ),
            call,
        )

    def _create(self, spec: ContainerSpec, call: Call, changes: dict[str, Any]) -> str:
        """
        Create a container on its networks, and return its id.
        """
        image = self.images.provide(spec.image, spec.pull_policy, call)
        if not (spec.entrypoint or spec.command or self.images.runs(image)):
            raise InvalidArgumentError.at(
                "command", None, f"is needed: image {spec.image!r} has none", "pass one"
            )
        self._ensure_volumes(spec)
        for _ in range(ATTEMPTS):
            check(call)
            with self.engine.choosing:
                made, addresses = self._create_once(spec, image, changes)
            if not addresses or self._alone(made, addresses):
                return made
            self._remove(made)
        raise ConflictError(
            "other programs choose the same addresses again and again", hint="try it again"
        )

    def _create_once(
        self, spec: ContainerSpec, image: Any, changes: dict[str, Any]
    ) -> tuple[str, tuple[Address, ...]]:
        attached = self._attachments(spec)
        kept = self.records.all() if attached or spec.sandbox.ports else []
        leases: dict[str, dict[str, str]] = {}
        for each in kept:
            for a in each.addresses:
                leases.setdefault(a.network_id, {})[a.address] = each.id
        addresses = tuple(
            self._address(document, attachment, leases) for document, attachment in attached
        )
        local = self.engine.endpoint.local
        ports = choose_ports(spec.sandbox.ports, kept, local=local)
        bindings: dict[str, Any] = {}
        for port in ports:
            bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(
                {"HostIp": port.host_address, "HostPort": str(port.host_port)}
            )
        digest = self.images.digest_of(image, spec.image)
        labels = {**label_values(addresses, ports), DIGEST: digest}
        config = container_config(spec, labels, bindings, local=local) | changes
        config["Image"] = image["Id"] if spec.image.startswith("sha256:") else spec.image
        mode = spec.sandbox.namespaces.network
        host = spec.sandbox.hostname or host_name(spec.name or "")
        if mode == "private":
            config["HostConfig"]["NetworkMode"] = engine_name(attached[0][1].network)
            config["NetworkingConfig"] = {
                "EndpointsConfig": {
                    engine_name(attached[0][1].network): endpoint(
                        self.engine, addresses[0].address, spec.name, host, attached[0][1]
                    )
                }
            }
        else:
            config["HostConfig"]["NetworkMode"] = mode
        if (spec.sandbox.hostname or spec.name) and not self._shares_names(spec):
            config["Hostname"] = host
        with adapted(self.engine, config, spec) as document:
            made = self._engine_create(document, spec.name)
        try:
            for (network, attachment), address in list(zip(attached, addresses, strict=True))[1:]:
                with self.engine.asking() as client:
                    client.connect_container_to_network(
                        made,
                        network["Id"],
                        ipv4_address=address.address,
                        aliases=aliases_of(spec.name, host, attachment),
                        mac_address=mac_of(self.engine, address.address),
                    )
        except BaseException:
            self._remove(made)
            raise
        return made, addresses

    def _shares_names(self, spec: ContainerSpec) -> bool:
        """
        Say whether the host's name is the container's too.
        """
        modes = spec.sandbox.namespaces
        return modes.uts == "host" or (modes.network == "host" and spec.sandbox.hostname is None)

    def _attachments(self, spec: ContainerSpec) -> list[tuple[Any, NetworkAttachment]]:
        if spec.sandbox.namespaces.network != "private":
            return []
        wanted = spec.sandbox.networks or (NetworkAttachment(DEFAULT),)
        found = [(self.networks.ensure(each.network), each) for each in wanted]
        return [(d, attrs.evolve(each, network=name_of(d))) for d, each in found]

    def _address(
        self, document: Any, attachment: NetworkAttachment, leases: dict[str, dict[str, str]]
    ) -> Address:
        status = self.networks.status(document, leases)
        chosen = choose_address(
            status.name,
            status.subnet,
            status.gateway,
            attachment.address,
            leases.get(status.id, {}),
        )
        return Address(
            network=status.name,
            network_id=status.id,
            address=chosen,
            prefix_length=subnets_of(document)[0].prefixlen,
            gateway=status.gateway,
            mac="",
        )

    def _alone(self, made: str, addresses: tuple[Address, ...]) -> bool:
        """
        Say whether no other program has chosen an address at the same time.
        """
        ours = {(a.network_id, a.address) for a in addresses}
        return not any(
            ours & {(a.network_id, a.address) for a in kept.addresses}
            for kept in self.records.all()
            if kept.id != made
        )

    def _engine_create(self, config: dict[str, Any], name: str | None) -> str:
        try:
            with self.engine.asking() as client:
                return str(client.create_container_from_config(config, name=name)["Id"])
        except (InvalidStateError, AlreadyExistsError) as error:
            if name is None or not self._engine_has(name):
                raise
            ours = self._is_ours(name)
            raise AlreadyExistsError(
                f"container {name!r} exists already",
                hint="delete it, or choose another name"
                if ours
                else "it is not kina's: choose another name, or remove it with the engine's tools",
            ) from error

    def _engine_has(self, name: str) -> bool:
        with suppress(NotFoundError), self.engine.asking() as client:
            client.inspect_container(name)
            return True
        return False

    def _is_ours(self, name: str) -> bool:
        with suppress(NotFoundError):
            self.inspect(name)
            return True
        return False

    def _ensure_volumes(self, spec: ContainerSpec) -> None:
        for mount in spec.mounts:
            if mount.type == "volume" and mount.source:
                with self.engine.asking() as client:
                    # An engine answers the volume that is there already, with its own labels.
                    client.create_volume(mount.source, labels={KIND: "volume"})

    # -- Finding -----------------------------------------------------------------------------------

    def inspect(self, reference: str) -> Any:
        """
        Return the engine's document of a container of kina's.
        """
        missing = NotFoundError(
            f"there is no container {reference!r}",
            hint="kina.Container.list() says which there are",
        )
        if not reference or "/" in reference or reference in (".", ".."):
            raise missing
        try:
            with self.engine.asking() as client:
                document = client.inspect_container(reference)
        except NotFoundError:
            raise missing from None
        except KinaError as error:
            if "multiple" in error.message or "more than one" in error.message:
                raise InvalidArgumentError.at(
                    "reference", reference, "begins several ids", "give more of it"
                ) from error
            raise
        named = document["Name"].lstrip("/") == reference or document["Id"] == reference
        if not named and len(reference) < 4:
            raise missing
        if SPEC not in (document["Config"].get("Labels") or {}):
            missing.hint = "the engine has one of that name, which kina did not make"
            raise missing
        return document

    def get(self, reference: str) -> ContainerStatus:
        return container_status(self.inspect(reference), with_spec=True)

    def list(self, filter: ContainerFilter) -> tuple[ContainerStatus, ...]:
        wanted = [SPEC, *(f"{k}={v}" if v else k for k, v in filter.labels.items())]
        with self.engine.asking() as client:
            documents = client.containers(all=True, filters={"label": wanted})
        found = []
        for document in documents:
            name = (document.get("Names") or [""])[0].lstrip("/")
            if filter.names and not any(
                n == name or (len(n) >= 4 and document["Id"].startswith(n)) for n in filter.names
            ):
                continue
            with suppress(NotFoundError):
                found.append(container_status(self.inspect(document["Id"]), with_spec=False))
        return tuple(
            sorted(
                (s for s in found if not filter.states or s.state in filter.states),
                key=lambda status: status.created_at_ns,
            )
        )

    # -- Its life ----------------------------------------------------------------------------------

    def start(self, reference: str, call: Call | None = None) -> ContainerStatus:
        return self.engine.bounded(lambda _: self._start(reference), call)

    def _start(self, reference: str) -> ContainerStatus:
        document = self.inspect(reference)
        name = document["Name"].lstrip("/")
        if state_of(document) in ("running", "paused"):
            raise InvalidStateError(f"container {name!r} runs already", hint="stop it first")
        try:
            with self.engine.asking() as client:
                client.start(document["Id"])
        except KinaError as error:
            raise self._why(document["Id"], name, error) from error
        return self.get(document["Id"])

    def _why(self, identifier: str, name: str, error: KinaError) -> KinaError:
        """
        Tell a command that can't be run, by the exit code that the engine keeps of it.
        """
        with suppress(NotFoundError):
            code = int(self.inspect(identifier)["State"].get("ExitCode") or 0)
            return start_error(f"container {name!r}", code, error)
        return error

    def stop(
        self, reference: str, timeout: float | None = None, call: Call | None = None
    ) -> ContainerStatus:
        return self.engine.bounded(lambda bound: self._stop(reference, timeout, bound), call)

    def _stop(self, reference: str, timeout: float | None, call: Call) -> ContainerStatus:
        document = self.inspect(reference)
        status = container_status(document, with_spec=True)
        if status.state not in ("running", "paused"):
            return status
        assert status.spec is not None
        seconds = status.spec.stop_timeout if timeout is None else timeout
        with suppress(InvalidStateError, NotFoundError):  # it has just ended by itself
            if status.state == "paused":
                with self.engine.asking() as client:
                    client.unpause(status.id)
            if seconds > 0:
                word = document["Config"].get("StopSignal") or "TERM"
                self.signal(status.id, word)
            if seconds <= 0 or not self.await_end(status.id, call, seconds):
                self.signal(status.id, "KILL")
                self.await_end(status.id, call, None)
        return self.get(status.id)

    def signal(self, identifier: str, word: str) -> None:
        """
        Send a signal to process 1.
        """
        with self.engine.asking() as client:
            client.kill(identifier, signal=signal_name(word))

    def await_end(self, identifier: str, call: Call, seconds: float | None) -> bool:
        """
        Wait until a container does not run, and say whether that came in time.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        bound = Call(call.remaining if seconds is None else seconds)
        query = {"condition": "not-running"}
        target = self.engine.target(path("containers", identifier, "wait"))
        with call.cancelling(bound.cancel), self.engine.exchange(bound) as exchange:
            try:
                exchange.ask("POST", target, query=query, what=f"the end of {identifier[:12]}")
                exchange.json(f"the end of container {identifier[:12]}")
            except KinaError:
                check(call)
                if deadline is not None and time.monotonic() >= deadline - SLICE:
                    return False
                raise
        return True

    def pause(self, reference: str, call: Call | None = None) -> ContainerStatus:
        return self.engine.bounded(lambda _: self._freeze(reference, freeze=True), call)

    def resume(self, reference: str, call: Call | None = None) -> ContainerStatus:
        return self.engine.bounded(lambda _: self._freeze(reference, freeze=False), call)

    def _freeze(self, reference: str, *, freeze: bool) -> ContainerStatus:
        document = self.inspect(reference)
        state, name = state_of(document), document["Name"].lstrip("/")
        if state not in ("running", "paused"):
            raise InvalidStateError(f"container {name!r} is not running", hint="start it")
        if freeze and state == "paused":
            raise InvalidStateError(f"container {name!r} is paused already")
        if not freeze and state == "running":
            raise InvalidStateError(f"container {name!r} is not paused")
        with self.engine.asking() as client:
            (client.pause if freeze else client.unpause)(document["Id"])
        return self.get(document["Id"])

    def update(
        self, reference: str, resources: Resources, call: Call | None = None
    ) -> ContainerStatus:
        return self.engine.bounded(lambda _: self._update(reference, resources), call)

    def _update(self, reference: str, resources: Resources) -> ContainerStatus:
        document = self.inspect(reference)
        config = resource_config(resources)
        try:
            # The SDK's own knows no limit of processes.
            with self.engine.exchange(Call(60)) as exchange:
                target = self.engine.target(path("containers", document["Id"], "update"))
                exchange.ask("POST", target, document=config).json("the update")
        except NotFoundError:
            if self.engine.podman:
                raise no_update() from None
            raise
        except KinaError as error:
            if "cpuset" in error.message.lower() or (
                resources.cpuset is not None and "cpus" in error.message.lower()
            ):
                raise InvalidArgumentError.at(
                    "cpuset", resources.cpuset, f"can't be used: {error.message}"
                ) from error
            raise
        return self.get(document["Id"])

    def delete(self, reference: str, force: bool, call: Call | None = None) -> None:
        self.engine.bounded(lambda _: self._delete(reference, force), call)

    def _delete(self, reference: str, force: bool) -> None:
        document = self.inspect(reference)
        if not force and state_of(document) in ("running", "paused"):
            name = document["Name"].lstrip("/")
            raise InvalidStateError(
                f"container {name!r} is running", hint="stop it first, or delete(force=True)"
            )
        self._remove(document["Id"])
        self.images.sweep(document["Image"])

    def _remove(self, identifier: str) -> None:
        """
        Delete a container with its anonymous volumes; one that goes by itself is waited for.
        """
        try:
            with self.engine.asking() as client:
                client.remove_container(identifier, v=True, force=True)
        except InvalidStateError:  # its removal is in progress
            deadline = time.monotonic() + 20
            while self._engine_has(identifier) and time.monotonic() < deadline:
                time.sleep(0.01)

    # -- Bytes -------------------------------------------------------------------------------------

    def run(self, spec: ContainerSpec, streams: Streams, call: Call | None = None) -> ExitStatus:
        return self.engine.bounded(lambda bound: self._run(spec, streams, bound), call)

    def _run(self, spec: ContainerSpec, streams: Streams, call: Call) -> ExitStatus:
        fed = streams.stdin >= 0
        changes = {"OpenStdin": fed, "StdinOnce": fed, "AttachStdin": fed}
        spec = attrs.evolve(spec, remove=False)
        identifier = self._create(spec, call, changes)
        try:
            query = {"stream": 1, "stdin": int(fed), "stdout": 1, "stderr": 1}
            target = self.engine.target(path("containers", identifier, "attach"))
            with self.engine.exchange(call) as exchange:
                try:
                    # Podman makes the process ready at this, and says here what is wrong with it.
                    exchange.ask("POST", target, query=query, upgrade=True)
                    with self.engine.asking() as client:
                        client.start(identifier)
                except KinaError as error:
                    raise self._why(identifier, spec.name or identifier[:12], error) from error
                join(exchange, streams, terminal=spec.terminal, what=f"{spec.image!r}")
            self.await_end(identifier, call, None)
            return exit_status(self.inspect(identifier))
        finally:
            with suppress(NotFoundError):
                self._remove(identifier)

    def logs(
        self, reference: str, request: LogRequest, streams: Streams, call: Call | None = None
    ) -> None:
        def read(bound: Call) -> None:
            document = self.inspect(reference)
            _logs.logs(self.engine, document, request, streams, bound)

        self.engine.bounded(read, call)

    def attach(self, reference: str, streams: Streams, call: Call | None = None) -> None:
        def attach(bound: Call) -> None:
            document = self.running(reference)
            # What is on its way to another machine when the connection is closed may get lost:
            # without output to send, an engine ends it when the container has all input.
            far = not (self.engine.endpoint.local or self.engine.podman)
            alone = far and streams.stdin >= 0 and streams.stdout < 0 and streams.stderr < 0
            output = int(not alone)
            query = {
                "stream": 1,
                "stdin": int(streams.stdin >= 0),
                "stdout": output,
                "stderr": output,
            }
            target = self.engine.target(path("containers", document["Id"], "attach"))
            with self.engine.exchange(bound) as exchange:
                exchange.ask("POST", target, query=query, upgrade=True)
                terminal = bool(document["Config"].get("Tty"))
                join(exchange, streams, terminal=terminal, what="attach", lone_input=not alone)

        self.engine.bounded(attach, call)

    def running(self, reference: str) -> Any:
        """
        Return the document of a container that runs.
        """
        document = self.inspect(reference)
        if state_of(document) != "running":
            name = document["Name"].lstrip("/")
            raise InvalidStateError(f"container {name!r} is not running", hint="start it")
        return document

    def copy_in(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        Files(self.engine, self.inspect).copy_in(reference, path, fd, call)

    def copy_out(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        Files(self.engine, self.inspect).copy_out(reference, path, fd, call)

    def statistics(
        self,
        reference: str,
        interval_ns: int,
        buffer: Any,
        capacity: int,
        call: Call | None = None,
    ) -> int:
        def sample(bound: Call) -> int:
            document = self.inspect(reference)
            return _statistics.fill(self.engine, document, interval_ns, buffer, capacity, bound)

        return self.engine.bounded(sample, call)


def start_error(what: str, code: int, error: KinaError) -> KinaError:
    """
    Make an error of a command that did not start, by the exit code that stands for it.
    """
    if error.hint is not None:
        return error  # the words said what it is
    lower = error.message.lower()
    if code not in (126, 127) and "executable file not found" in lower:
        code = 127
    elif code not in (126, 127) and "permission denied" in lower:
        code = 126
    details = {"exitCode": str(code)}
    if code == 127:
        return NotFoundError(
            f"{what}: there is no such command: {error.message}",
            hint="is it in the image, and in its PATH?",
            details=details,
        )
    if code == 126:
        return PermissionDeniedError(
            f"{what}: its command can't be executed: {error.message}",
            hint="is it a program, with the execute bit?",
            details=details,
        )
    return error


def endpoint(
    engine: Engine, address: str, name: str | None, host: str, attachment: NetworkAttachment
) -> dict[str, Any]:
    """
    Make what attaches a container to a network.
    """
    made: dict[str, Any] = {
        "IPAMConfig": {"IPv4Address": address},
        "Aliases": aliases_of(name, host, attachment),
    }
    if mac := mac_of(engine, address):
        made["MacAddress"] = mac
    return made


def aliases_of(name: str | None, host: str, attachment: NetworkAttachment) -> list[str]:
    """
    Return the names that a container has on a network.
    """
    return list(dict.fromkeys([*attachment.aliases, *([name] if name else []), host]))
