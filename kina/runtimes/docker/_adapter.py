"""
The SDK's requests over kina's own connections: one way to an engine, whose failures say why, and
on which no proxy of the environment is met.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

from docker.transport.basehttpadapter import BaseHTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from kina.runtimes.docker._channels import Channel
from kina.runtimes.docker._dial import dial

if TYPE_CHECKING:
    from kina.runtimes.docker._endpoint import Endpoint

__all__ = ["URL", "Adapter"]

URL = "http://engine:2375"
"""What the SDK is told; the adapter knows better."""


class _Connection(HTTPConnection):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("engine")
        self._endpoint = endpoint

    def connect(self) -> None:
        channel = dial(self._endpoint)
        channel.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        self.sock: Any = channel

    def getresponse(self) -> Any:
        channel = self.sock
        try:
            return super().getresponse()
        except (OSError, http.client.HTTPException):
            if isinstance(channel, Channel) and (why := channel.explain()) is not None:
                raise why from None
            raise


class _Pool(HTTPConnectionPool):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("engine", maxsize=10)
        self._endpoint = endpoint

    def _new_conn(self) -> Any:
        return _Connection(self._endpoint)


class Adapter(BaseHTTPAdapter):  # type: ignore[misc]  # the SDK has no types
    """
    What a session of `requests` sends its requests with.

    Args:
        endpoint: Where.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = _Pool(endpoint)
        super().__init__()

    def get_connection(self, url: str, proxies: Any = None) -> HTTPConnectionPool:  # noqa: ARG002
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002
        return str(request.path_url)

    def close(self) -> None:
        self._pool.close()
        super().close()
