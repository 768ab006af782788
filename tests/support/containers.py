"""
What tests run in containers.
"""

from __future__ import annotations

import socket
import time
from typing import Final

import attrs

from kina.config import Isolation


@attrs.frozen
class IsolationOf:
    """
    What a runtime isolates containers with.

    Attributes:
        own: What it has.
        other: What it refuses.
    """

    own: Isolation
    other: Isolation


WAITS: Final = ["sh", "-c", "trap 'exit 0' TERM; sleep inf & wait"]
"""A command that waits for ever, and ends at once when asked to."""


def prints(*expressions: str) -> list[str]:
    """
    Return a command that prints what the shell makes of each expression, a line each.
    """
    return ["sh", "-c", "; ".join(f"echo {expression}" for expression in expressions)]


LISTENS = ["sh", "-c", "while :; do echo served | nc -l -p 8080; done"]
"""Serves one word on port 8080."""


def ask(address: str, port: int) -> str:
    """
    Return what a server says first.

    While it does not listen, who forwards to it takes connections and ends them.
    """
    for _ in range(100):
        try:
            with socket.create_connection((address, port), timeout=5) as there:
                if said := there.recv(100):
                    return said.decode()
        except (ConnectionRefusedError, ConnectionResetError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"nobody listens at {address}:{port}")
