"""
A cluster's API: plain HTTP for kina's own needs, and the official client's objects for yours.

What kina does itself (apply, wait, drain) speaks HTTP through urllib3: the official client takes
half a second to import. No global state of that client is touched.
"""

from __future__ import annotations

import base64
import json
import math
import os
import socket
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import attrs

from kina.calls import Call
from kina.errors import (
    CLASSES,
    Code,
    DeadlineExceededError,
    KinaError,
    OperationCancelledError,
    UnavailableError,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["API_CLASSES", "Credentials", "Session", "api_client"]

API_CLASSES: Final[Mapping[str, str]] = {
    "core_v1": "CoreV1Api",
    "apps_v1": "AppsV1Api",
    "batch_v1": "BatchV1Api",
    "networking_v1": "NetworkingV1Api",
    "rbac_v1": "RbacAuthorizationV1Api",
    "storage_v1": "StorageV1Api",
    "policy_v1": "PolicyV1Api",
    "autoscaling_v2": "AutoscalingV2Api",
    "discovery_v1": "DiscoveryV1Api",
    "apiextensions_v1": "ApiextensionsV1Api",
    "custom_objects": "CustomObjectsApi",
    "version": "VersionApi",
}
"""The attributes of a `Cluster`, and the classes of the official client that they are made of."""

WATCH_SECONDS: Final = 5
"""How long one watch lasts before it is asked for again: see `kina.calls.SLICE`."""

_CODES: Final = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    409: Code.ABORTED,
    410: Code.OUT_OF_RANGE,
    415: Code.UNIMPLEMENTED,
    422: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


@attrs.frozen
class Credentials:
    """
    Where an API server is, and what proves who one is.

    Attributes:
        server: Its URL.
        directory: Where ca.crt, client.crt and client.key are.
    """

    server: str
    directory: Path

    @property
    def authority(self) -> str:
        """
        The file of the certificate that signed the server's.
        """
        return str(self.directory / "ca.crt")

    @property
    def certificate(self) -> str:
        """
        The file of the client's certificate.
        """
        return str(self.directory / "client.crt")

    @property
    def key(self) -> str:
        """
        The file of the client's key.
        """
        return str(self.directory / "client.key")

    @classmethod
    def store(cls, config: Mapping[str, Any], directory: Path) -> Credentials:
        """
        Write what a kubeconfig holds to files, for libraries that take nothing else.

        Args:
            config: What `kina.kubeconfig.rewrite` made.
            directory: For these alone; made where it is missing.
        """
        where, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        parts = {
            "ca.crt": where["certificate-authority-data"],
            "client.crt": user["client-certificate-data"],
            "client.key": user["client-key-data"],
        }
        for name, data in parts.items():
            write_private(directory / name, base64.b64decode(data))
        return cls(where["server"], directory)


def write_private(path: Path, content: bytes) -> None:
    """
    Write a file at once, for its owner's eyes only.
    """
    fd, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(content)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


class Session:
    """
    An API server, spoken to in JSON.

    Args:
        credentials: Where, and as whom.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._pool = _pool(credentials)
        self.resources: dict[str, list[dict[str, Any]]] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        call: Call | None = None,
    ) -> Any:
        """
        Send a request, and return what is answered.

        Args:
            method: GET, POST and so on.
            path: From the root: "/api/v1/nodes".
            body: What is sent as JSON.
            content_type: Of the body.
            query: Parameters.
            call: Bounds it.

        Raises:
            UnavailableError: The server does not answer.
            DeadlineExceededError: The call's time is over.
            KinaError: The server refused; the class says how.
        """
        with self._open(method, path, body, content_type, query, call) as response:
            return _answer(response, path)

    def get(self, path: str, call: Call | None = None, **query: str) -> Any:
        """
        Read an object or a list; see `request`.
        """
        return self.request("GET", path, query=query, call=call)

    def observe(self, path: str, call: Call, **query: str) -> Iterator[dict[str, dict[str, Any]]]:
        """
        Yield a collection's objects by namespace/name: as they are, and after each change.

        Args:
            path: Of the collection.
            call: Bounds it. At its deadline the iteration ends.
            query: fieldSelector and so on.

        Raises:
            KinaError: As `request`.
        """
        while True:
            listed = self.get(path, call, **query)
            objects = {_key(item): item for item in listed.get("items", [])}
            yield objects
            version = listed["metadata"]["resourceVersion"]
            while version:
                if call.remaining == 0:
                    return
                version = yield from self._changes(path, call, query, objects, version)

    def _changes(
        self,
        path: str,
        call: Call,
        query: Mapping[str, str],
        objects: dict[str, dict[str, Any]],
        version: str,
    ) -> Generator[dict[str, dict[str, Any]], None, str]:
        """
        Follow a collection for a while, and return the version to go on from; "" to list again.
        """
        left = call.remaining
        seconds = max(1, min(WATCH_SECONDS, WATCH_SECONDS if left is None else math.ceil(left)))
        asked = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        asked |= {"resourceVersion": version, "allowWatchBookmarks": "true"}
        with self._open("GET", path, None, "", asked, call) as response:
            if response.status == 410:
                return ""
            if response.status >= 400:
                _answer(response, path)
            for line in _lines(response, call):
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "ERROR":
                    if item.get("code") == 410:
                        return ""
                    raise _error(item.get("code", 500), item, path)
                version = item["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    objects.pop(_key(item), None)
                elif event["type"] != "BOOKMARK":
                    objects[_key(item)] = item
                else:
                    continue
                yield objects
        return version

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: object,
        content_type: str,
        query: Mapping[str, str] | None,
        call: Call | None,
    ) -> Iterator[BaseHTTPResponse]:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        left = None if call is None else call.remaining
        if left is not None and left <= 0:
            raise DeadlineExceededError(f"no time was left to ask the API server for {path}")
        url = f"{self.credentials.server}{path}" + (f"?{urlencode(query)}" if query else "")
        seconds = min(60.0, left or 60.0) + 1.0
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if body else {})
        response: BaseHTTPResponse | None = None
        try:
            response = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=Timeout(connect=min(10.0, seconds), read=seconds),
                preload_content=False,
                retries=False,
            )
            with _cancelling(response, call):
                yield response
        except HTTPError as error:
            if call is not None and call.cancelled:
                raise OperationCancelledError(f"the request for {path} was cancelled") from None
            raise UnavailableError(
                f"the API server at {self.credentials.server} does not answer: {error}",
                hint="cluster.status() says which nodes run",
            ) from error
        finally:
            if response is not None:
                # One that was read to its end is back in the pool already.
                response.close()

    def close(self) -> None:
        """
        Close its connections.
        """
        self._pool.clear()


def _pool(credentials: Credentials) -> PoolManager:
    from urllib3 import PoolManager

    return PoolManager(
        maxsize=8,
        ca_certs=credentials.authority,
        cert_file=credentials.certificate,
        key_file=credentials.key,
    )


@contextmanager
def _cancelling(response: BaseHTTPResponse, call: Call | None) -> Iterator[None]:
    """
    Have a read of the response end when the call is cancelled.
    """
    connection = response.connection
    transport = getattr(connection, "sock", None)
    if call is None or transport is None:
        yield
        return

    def hang_up() -> None:
        with suppress(OSError):  # it is closed already
            transport.shutdown(socket.SHUT_RDWR)

    with call.cancelling(hang_up):
        yield


def _lines(response: BaseHTTPResponse, call: Call) -> Iterator[bytes]:
    rest = b""
    while chunk := response.read1(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
    if call.cancelled:
        raise OperationCancelledError("the watch was cancelled")


def _key(item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _answer(response: BaseHTTPResponse, path: str) -> Any:
    content = response.read()
    try:
        read = json.loads(content) if content else None
    except ValueError:
        read = content.decode(errors="replace")  # /readyz, /version of proxies
    if response.status < 400:
        return read
    raise _error(response.status, read, path)


def _error(status: int, answer: Any, path: str) -> KinaError:
    told = answer.get("message") if isinstance(answer, dict) else answer
    code = _CODES.get(status, Code.UNKNOWN)
    details = {"status": str(status), "path": path}
    if isinstance(answer, dict) and answer.get("reason"):
        details["reason"] = str(answer["reason"])
    return CLASSES[code](str(told or f"HTTP {status}"), code=code, details=details)


def api_client(credentials: Credentials) -> ApiClient:
    """
    Make a client of the official package, for this cluster and nothing else.

    Args:
        credentials: Where, and as whom.
    """
    from kubernetes.client import ApiClient, Configuration

    configuration = Configuration(host=credentials.server)
    configuration.ssl_ca_cert = credentials.authority
    configuration.cert_file = credentials.certificate
    configuration.key_file = credentials.key
    return ApiClient(configuration)
