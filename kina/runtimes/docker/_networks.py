"""
Networks of an engine, and the addresses on them.

The engine's own choice of an address is for a run; kina's are for a container's life. So every
network of kina's has a subnet that kina chose, every container an address that kina chose, and the
containers' labels are the leases.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from kina.calls import Call
from kina.config import NetworkSpec
from kina.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidStateError,
    NotFoundError,
    ResourceExhaustedError,
    UnsupportedError,
)
from kina.runtimes.docker._engine import Engine, nanoseconds
from kina.runtimes.docker._names import KIND, NETWORK
from kina.runtimes.docker._podman import BRIDGE, networks
from kina.runtimes.docker._records import Records
from kina.status import NetworkStatus

__all__ = ["DEFAULT", "Networks"]

DEFAULT: Final = "default"
POOL: Final = ipaddress.IPv4Network("10.91.0.0/16")
MTU: Final = "com.docker.network.driver.mtu"


@attrs.frozen
class Networks:
    """
    The boundary's networks.
    """

    engine: Engine
    records: Records

    def create(self, spec: NetworkSpec, call: Call | None = None) -> NetworkStatus:
        checked(spec)
        return self.engine.bounded(lambda _: self._create(spec), call)

    def _create(self, spec: NetworkSpec) -> NetworkStatus:
        with self.engine.choosing:
            taken = self._all()
            for document in taken:
                if engine_name(spec.name) == document["Name"]:
                    hint = None if KIND in labels_of(document) else "it is not kina's"
                    raise AlreadyExistsError(f"network {spec.name!r} exists already", hint=hint)
            if spec.subnet is not None:
                return self._make(spec, ipaddress.IPv4Network(spec.subnet), taken)
            for subnet in POOL.subnets(new_prefix=24):
                if not any(subnet.overlaps(other) for other in self._used(taken)):
                    return self._make(spec, subnet, taken)
        raise ResourceExhaustedError(
            f"no subnet is free in {POOL}", hint="delete networks, or pass subnet="
        )

    def _make(
        self, spec: NetworkSpec, subnet: ipaddress.IPv4Network, taken: Iterable[Any]
    ) -> NetworkStatus:
        for document in taken:
            for other in subnets_of(document):
                if subnet.overlaps(other):
                    raise InvalidArgumentError.at(
                        "subnet", str(subnet), f"overlaps {other} of {document['Name']!r}"
                    )
        gateway = spec.gateway or str(subnet.network_address + 1)
        options = {} if spec.mtu is None else {MTU: str(spec.mtu)}
        with self.engine.asking() as client:
            made = client.create_network(
                engine_name(spec.name),
                driver="bridge",
                options=options,
                ipam={
                    "Driver": "default",
                    "Config": [{"Subnet": str(subnet), "Gateway": gateway}],
                },
                check_duplicate=True,
                internal=spec.internal,
                labels={**spec.labels, KIND: "network", NETWORK: spec.name},
            )
        return self.get(made["Id"])

    def _used(self, taken: Iterable[Any]) -> Iterator[ipaddress.IPv4Network]:
        for document in taken:
            yield from subnets_of(document)
        if self.engine.endpoint.local:
            yield from host_routes()

    def _all(self) -> list[Any]:
        if self.engine.podman:
            return networks(self.engine)
        with self.engine.asking() as client:
            return list(client.networks())

    def ours(self) -> list[Any]:
        """
        Return the documents of kina's networks.
        """
        return [document for document in self._all() if KIND in labels_of(document)]

    def get(self, reference: str) -> NetworkStatus:
        return self.status(self.find(reference), self.records.leases())

    def find(self, reference: str) -> Any:
        """
        Return the document of one network.
        """
        ours = self.ours()
        for document in ours:
            if reference in (name_of(document), document["Id"]):
                return document
        found = [d for d in ours if len(reference) >= 4 and d["Id"].startswith(reference)]
        if len(found) == 1:
            return found[0]
        raise NotFoundError(
            f"there is no network {reference!r}", hint="kina.Network.list() says which there are"
        )

    def list(self) -> tuple[NetworkStatus, ...]:
        leases = self.records.leases()
        return tuple(self.status(document, leases) for document in self.ours())

    def ensure(self, name: str) -> Any:
        """
        Return a network's document; the default one is made when it is missing.
        """
        with self.engine.choosing:
            try:
                return self.find(name)
            except NotFoundError:
                if name != DEFAULT:
                    raise
                self._create(NetworkSpec(name=DEFAULT))
                return self.find(name)

    def delete(self, reference: str, call: Call | None = None) -> None:
        self.engine.bounded(lambda _: self._delete(reference), call)

    def _delete(self, reference: str) -> None:
        document = self.find(reference)
        users = self.records.users_of(document["Id"])
        if users:
            raise InvalidStateError(
                f"network {name_of(document)!r} is used by {', '.join(sorted(users))}",
                hint="delete them first",
            )
        with self.engine.asking() as client:
            client.remove_network(document["Id"])

    def status(self, document: Any, leases: dict[str, dict[str, str]]) -> NetworkStatus:
        """
        Make a status of an engine's document.
        """
        subnet = subnets_of(document)[0]
        configured = document["IPAM"]["Config"][0]
        options = document.get("Options") or {}
        labels = labels_of(document)
        return NetworkStatus(
            id=document["Id"],
            name=name_of(document),
            subnet=str(subnet),
            gateway=configured.get("Gateway") or str(subnet.network_address + 1),
            internal=bool(document.get("Internal")),
            mtu=int(options.get(MTU) or options.get("mtu") or 1500),
            interface=options.get(BRIDGE) or f"br-{document['Id'][:12]}",
            labels={k: v for k, v in labels.items() if k not in (KIND, NETWORK)},
            created_at_ns=nanoseconds(document.get("Created")) or 0,
            leases=leases.get(document["Id"], {}),
        )


def engine_name(name: str) -> str:
    """
    Return what a network is called on the engine.
    """
    return "kina-default" if name == DEFAULT else name


def name_of(document: Any) -> str:
    """
    Return what a network is called in kina.
    """
    return str(labels_of(document).get(NETWORK) or document["Name"])


def labels_of(document: Any) -> dict[str, str]:
    """
    Return an object's labels.
    """
    return document.get("Labels") or {}


def subnets_of(document: Any) -> list[ipaddress.IPv4Network]:
    """
    Return the IPv4 subnets of a network.
    """
    configured = (document.get("IPAM") or {}).get("Config") or ()
    return [
        ipaddress.IPv4Network(each["Subnet"], strict=False)
        for each in configured
        if "." in (each.get("Subnet") or "")
    ]


def host_routes() -> list[ipaddress.IPv4Network]:
    """
    Return what the host has routes to, the default route aside.
    """
    found = []
    try:
        lines = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:  # not Linux
        return []
    for line in lines:
        _, destination, _, _, _, _, _, mask, *_ = line.split()
        address, bits = (
            int.from_bytes(bytes.fromhex(word), "little") for word in (destination, mask)
        )
        if bits:
            found.append(ipaddress.IPv4Network((address, bits.bit_count())))
    return found


def checked(spec: NetworkSpec) -> None:
    """
    Refuse what a network can't be.

    Raises:
        InvalidArgumentError: It names the field.
        UnsupportedError: IPv6.
    """
    if spec.mtu is not None and not 68 <= spec.mtu <= 65535:
        raise InvalidArgumentError.at("mtu", spec.mtu, "must be 68 to 65535")
    if spec.subnet is None:
        if spec.gateway is not None:
            raise InvalidArgumentError.at("gateway", spec.gateway, "needs a subnet")
        return
    if ":" in spec.subnet:
        raise UnsupportedError(f"subnet {spec.subnet!r}: IPv6 is not supported yet")
    try:
        subnet = ipaddress.IPv4Network(spec.subnet)
    except ValueError as error:
        raise InvalidArgumentError.at(
            "subnet", spec.subnet, f"is no subnet: {error}", "such as 10.90.1.0/24"
        ) from None
    if subnet.prefixlen > 29 or "/" not in spec.subnet:
        raise InvalidArgumentError.at("subnet", spec.subnet, "is too small", "/29 at least")
    if spec.gateway is not None and ipaddress.IPv4Address(spec.gateway) not in list(subnet.hosts()):
        raise InvalidArgumentError.at("gateway", spec.gateway, f"is no address of {subnet}")
