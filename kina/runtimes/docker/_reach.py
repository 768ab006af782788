"""
How this program reaches an engine's containers: at their own addresses, or by published ports.

Where an engine is in a virtual machine (Docker Desktop), in another network namespace (rootless) or
on another machine, its bridges are none of this machine's interfaces. So that is what is looked
for, whatever the engine is called and however it is spoken to.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING

from kina.errors import InvalidArgumentError, RuntimeUnavailableError
from kina.runtimes.base import Reach
from kina.runtimes.docker._ssh import host_of

if TYPE_CHECKING:
    from kina.runtimes.docker._endpoint import Endpoint
    from kina.status import NetworkStatus

__all__ = ["has_bridge", "published", "told"]

VARIABLE = "KINA_DOCKER_DIRECT"


def told(direct: bool | None) -> bool | None:
    """
    Return what was said about it, by an argument or else by the environment.

    Raises:
        InvalidArgumentError: The variable is neither 0 nor 1.
    """
    text = os.environ.get(VARIABLE, "")
    if direct is not None or not text:
        return direct
    if text not in ("0", "1"):
        raise InvalidArgumentError.at(VARIABLE, text, "must be 0 or 1", "unset it to find out")
    return text == "1"


def has_bridge(network: NetworkStatus, *, named: bool) -> bool:
    """
    Say whether a network's bridge is this machine's.

    Args:
        network: It.
        named: Whether its interface is known by name: Docker's have the network's id in it, and so
            no other engine has one of the same.
    """
    if named and network.interface not in {name for _, name in socket.if_nameindex()}:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((network.gateway, 0))
        except OSError:
            return False
    return True


def published(endpoint: Endpoint) -> Reach:
    """
    Say where an engine's published ports are, for a program out of reach of its containers.

    Raises:
        RuntimeUnavailableError: Its host has no IPv4 address.
    """
    if endpoint.local:
        return Reach(direct=False)
    host = host_of(endpoint.url) if endpoint.scheme == "ssh" else endpoint.address[0]
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise RuntimeUnavailableError(
            f"the engine's host {host!r} has no IPv4 address: {error.strerror}",
            hint="published ports are IPv4's: use a name or an address that has one",
        ) from None
    address = str(found[0][4][0])
    if ipaddress.IPv4Address(address).is_loopback:
        return Reach(direct=False)
    return Reach(direct=False, host=host, address=address)
