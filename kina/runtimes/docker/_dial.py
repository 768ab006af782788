"""
Connecting to an engine.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from kina.runtimes.docker._channels import Channel, Secure
from kina.runtimes.docker._errors import from_socket
from kina.runtimes.docker._ssh import Tunnel

if TYPE_CHECKING:
    from kina.runtimes.docker._endpoint import Endpoint

__all__ = ["CONNECT_SECONDS", "dial"]

CONNECT_SECONDS: Final = 15.0


def dial(endpoint: Endpoint, seconds: float = CONNECT_SECONDS) -> Channel:
    """
    Connect to an engine.

    Args:
        endpoint: Where.
        seconds: How long each step may take, and what comes after it until it is told otherwise.

    Raises:
        KinaError: It can't be reached, and why.
    """
    try:
        return _connect(endpoint, seconds)
    except OSError as error:
        raise from_socket(endpoint, error) from error


def _connect(endpoint: Endpoint, seconds: float) -> Channel:
    if endpoint.scheme == "ssh":
        return Tunnel(endpoint.url)
    if endpoint.scheme == "unix":
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        raw = socket.create_connection(endpoint.address, seconds)
    try:
        raw.settimeout(seconds)
        if endpoint.scheme == "unix":
            raw.connect(endpoint.path)
            return Channel(raw)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.tls is None:
            return Channel(raw)
        return Secure(raw, endpoint.tls.context(), endpoint.address[0])
    except BaseException:
        raw.close()
        raise
