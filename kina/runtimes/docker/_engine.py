"""
An open engine: the SDK's client, connections of their own for what lasts, and the rules for both.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from kina.calls import Call, interruptible
from kina.errors import (
    DeadlineExceededError,
    InvalidStateError,
    OperationCancelledError,
    UnsupportedError,
)
from kina.runtimes.docker._connection import Exchange
from kina.runtimes.docker._endpoint import Endpoint, sdk
from kina.runtimes.docker._errors import translated

__all__ = ["Engine", "nanoseconds"]

T = TypeVar("T")

MINIMUM: Final = (1, 41)
"""Docker 20.10's API: the first with private cgroup namespaces and figures without a second's
wait."""
SECONDS: Final = 90
"""How long an engine may take for what does not last."""


class Engine:
    """
    What all parts of the runtime share.

    Args:
        endpoint: Where.

    Raises:
        RuntimeUnavailableError: Nobody answers.
        PermissionDeniedError: The socket is another user's.
        UnsupportedError: The engine is too old.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self._pid = endpoint, os.getpid()
        docker = sdk()
        call = Call(30)
        with Exchange(endpoint, call) as exchange:
            self.version: dict[str, Any] = exchange.ask("GET", "/version").json("the version")
        api = str(self.version.get("ApiVersion", "0.0"))
        if numbers(api) < MINIMUM:
            raise UnsupportedError(
                f"the engine at {endpoint.url} is too old: its API is {api}, its version "
                f"{self.version.get('Version')}",
                hint=f"kina needs API {'.'.join(map(str, MINIMUM))}: Docker 20.10 or Podman 4",
            )
        components = [part.get("Name", "") for part in self.version.get("Components") or ()]
        self.podman = any("podman" in name.lower() for name in components)
        # Nothing newer than what kina was tried with is asked for.
        self.api_version = min(api, "1.44", key=numbers)
        self._client: Any = None
        with translated(endpoint):
            from kina.runtimes.docker import _adapter

            self._client = docker.APIClient(
                base_url=_adapter.URL, version=self.api_version, timeout=SECONDS
            )
            self._client.mount("http://", _adapter.Adapter(endpoint))
        # What chooses among what is free, one at a time.
        self.choosing = threading.RLock()

    @property
    def closed(self) -> bool:
        """
        Whether it was closed.
        """
        return self._client is None

    def close(self) -> None:
        """
        Let go of its connections.
        """
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    @property
    def client(self) -> Any:
        """
        The SDK's client.

        Raises:
            InvalidStateError: The runtime was closed, or opened before a fork.
        """
        if self._client is None:
            raise InvalidStateError("this runtime is closed", hint="open one with kina.connect()")
        if self._pid != os.getpid():
            raise InvalidStateError(
                "this runtime was opened before os.fork()",
                hint="open one with kina.connect() in the child process",
            )
        return self._client

    @contextmanager
    def asking(self) -> Iterator[Any]:
        """
        Give the SDK's client, and raise kina's errors for its.
        """
        client = self.client
        with translated(self.endpoint):
            yield client

    def exchange(self, call: Call) -> Exchange:
        """
        Open a connection that a call ends.
        """
        _ = self.client  # closed or forked
        return Exchange(self.endpoint, call)

    def target(self, text: str) -> str:
        """
        Return a path with the API's version before it.
        """
        return f"/v{self.api_version}{text}"

    def bounded(self, function: Callable[[Call], T], call: Call | None) -> T:
        """
        Run a function that a call and Ctrl-C end.

        Args:
            function: Honours the call where it waits.
            call: Bounds it.
        """
        bound = call or Call()

        def run() -> T:
            check(bound)
            return function(bound)

        return interruptible(run, bound)


def check(call: Call) -> None:
    """
    Raise when a call is to end.
    """
    if call.cancelled:
        raise OperationCancelledError("the call was cancelled")
    if call.remaining == 0:
        raise DeadlineExceededError("it took longer than allowed", hint="allow more time")


def numbers(version: str) -> tuple[int, ...]:
    """
    Read "1.41".
    """
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])


_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def nanoseconds(text: str | None) -> int | None:
    """
    Read a moment of an engine's; None for the zero moment, which stands for none.
    """
    match = _MOMENT.fullmatch(text or "")
    if match is None or match[1].startswith("0001-"):
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    whole = datetime.fromisoformat(f"{match[1]}{zone}").astimezone(UTC)
    return int(whole.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0"))
