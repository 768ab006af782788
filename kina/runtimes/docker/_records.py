"""
What kina's containers on an engine keep: addresses, ports, networks, as their labels say.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from typing import Any, Final

import attrs

from kina.config import Port
from kina.errors import AlreadyExistsError, InvalidArgumentError, ResourceExhaustedError
from kina.runtimes.docker._engine import Engine
from kina.runtimes.docker._names import ADDRESSES, PORTS, SPEC
from kina.status import Address

__all__ = ["Kept", "Records"]

ATTEMPTS: Final = 100
"""How many free ports of the host are tried."""


@attrs.frozen(kw_only=True)
class Kept:
    """
    What one container keeps over stop and start.
    """

    id: str
    name: str
    addresses: tuple[Address, ...]
    ports: tuple[Port, ...]
    labels: dict[str, str]


def addresses_of(labels: dict[str, str]) -> tuple[Address, ...]:
    """
    Read the addresses that a container's label has.
    """
    return tuple(
        Address(network=n, network_id=i, address=a, prefix_length=p, gateway=g, mac="")
        for n, i, a, p, g in json.loads(labels.get(ADDRESSES) or "[]")
    )


def ports_of(labels: dict[str, str]) -> tuple[Port, ...]:
    """
    Read the published ports that a container's label has.
    """
    return tuple(Port(*values) for values in json.loads(labels.get(PORTS) or "[]"))


def label_values(addresses: tuple[Address, ...], ports: tuple[Port, ...]) -> dict[str, str]:
    """
    Write both.
    """
    kept = [[a.network, a.network_id, a.address, a.prefix_length, a.gateway] for a in addresses]
    published = [[p.container_port, p.host_port, p.host_address, p.protocol] for p in ports]
    return {ADDRESSES: json.dumps(kept), PORTS: json.dumps(published)}


@attrs.frozen
class Records:
    """
    Reads the labels of all of kina's containers.
    """

    engine: Engine

    def all(self) -> list[Kept]:
        """
        Return what each container keeps.
        """
        with self.engine.asking() as client:
            found = client.containers(all=True, filters={"label": [SPEC]})
        return [self._kept(document) for document in found]

    def _kept(self, document: Any) -> Kept:
        labels = document.get("Labels") or {}
        return Kept(
            id=document["Id"],
            name=(document.get("Names") or [document["Id"]])[0].lstrip("/"),
            addresses=addresses_of(labels),
            ports=ports_of(labels),
            labels=labels,
        )

    def leases(self) -> dict[str, dict[str, str]]:
        """
        Return each network's addresses in use, with their containers' ids.
        """
        found: dict[str, dict[str, str]] = {}
        for kept in self.all():
            for address in kept.addresses:
                found.setdefault(address.network_id, {})[address.address] = kept.id
        return found

    def users_of(self, network: str) -> list[str]:
        """
        Return the names of a network's containers.
        """
        return [
            kept.name for kept in self.all() if network in {a.network_id for a in kept.addresses}
        ]


def choose_address(
    network: str, subnet: str, gateway: str, wanted: str | None, taken: dict[str, str]
) -> str:
    """
    Return an address that is free, or the one that is wanted.

    Raises:
        InvalidArgumentError: It is none of the network's.
        AlreadyExistsError: Somebody has it.
        ResourceExhaustedError: None is free.
    """
    hosts = ipaddress.IPv4Network(subnet)
    if wanted is not None:
        address = ipaddress.IPv4Address(wanted)
        edges = (hosts.network_address, hosts.broadcast_address)
        if address not in hosts or address in edges or wanted == gateway:
            raise InvalidArgumentError.at(
                "address", wanted, f"can't be a container's on network {network!r} ({subnet})"
            )
        if wanted in taken:
            raise AlreadyExistsError(
                f"address {wanted} of network {network!r} is container {taken[wanted][:12]}'s",
                hint="a stopped container keeps its address: delete it, or choose another",
            )
        return wanted
    for address in hosts.hosts():
        if str(address) != gateway and str(address) not in taken:
            return str(address)
    raise ResourceExhaustedError(
        f"network {network!r} ({subnet}) has no address left",
        hint="delete containers, or make a larger network",
    )


def choose_ports(wanted: tuple[Port, ...], kept: list[Kept], *, local: bool) -> tuple[Port, ...]:
    """
    Return the ports with a free one of the host for each 0.

    Raises:
        AlreadyExistsError: A container has one.
    """
    taken = [(port, each.name) for each in kept for port in each.ports]
    chosen: list[Port] = []
    for port in wanted:
        if port.host_port == 0:
            port = _free_port(port, [p for p, _ in taken] + chosen, local=local)
        for other, name in taken:
            if clash(port, other):
                raise AlreadyExistsError(
                    f"port {port.host_port} of the host is container {name!r}'s",
                    hint="a stopped container keeps its ports: delete it, or choose another, "
                    "or 0 for a free one",
                )
        chosen.append(port)
    return tuple(chosen)


def clash(one: Port, other: Port) -> bool:
    """
    Say whether two ports can't both be published.
    """
    everywhere = "0.0.0.0"  # noqa: S104  # compared, not listened on
    return (one.host_port, one.protocol) == (other.host_port, other.protocol) and (
        one.host_address == other.host_address
        or everywhere in (one.host_address, other.host_address)
    )


def _free_port(port: Port, taken: list[Port], *, local: bool) -> Port:
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    for _ in range(ATTEMPTS):
        with socket.socket(socket.AF_INET, kind) as probe:
            # Another machine's ports can't be tried: what is free here is a guess there.
            probe.bind((port.host_address if local else "127.0.0.1", 0))
            found = attrs.evolve(port, host_port=int(probe.getsockname()[1]))
        if not any(clash(found, other) for other in taken):
            return found
    raise ResourceExhaustedError(f"no port of the host is free for {port.container_port}")
