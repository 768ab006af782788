"""
Registries on loopback: Debian's real one, and one that misbehaves.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import select
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from support.images import OCI_MANIFEST, Handmade

USERNAME: Final = "kina"
PASSWORD: Final = "correct horse"
# bcrypt of PASSWORD: the registry takes nothing else, and Debian has no small program that makes
# one.
HTPASSWD: Final = "kina:$2b$05$KoFZ2Du.f1dxGCxMBTr3P.PECp2XWx0pECy85zQkmeVwW16Gwm1DS\n"


def free_port() -> int:
    """
    Return a port of loopback that nothing listens on now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@attrs.define
class Registry:
    """
    A registry that runs.
    """

    host: str

    def reference(self, name: str) -> str:
        return f"{self.host}/{name}"


@contextlib.contextmanager
def docker_registry(directory: Path, *, authenticated: bool = False) -> Iterator[Registry]:
    """
    Run Debian's docker-registry.
    """
    directory.mkdir(parents=True)
    port = free_port()
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if authenticated:
        (directory / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "kina", "path": str(directory / "htpasswd")}}
    # YAML is a superset of JSON.
    (directory / "config.yml").write_text(json.dumps(config))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _await(f"http://127.0.0.1:{port}/v2/", process, directory / "log")
            yield Registry(f"127.0.0.1:{port}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            return  # it wants credentials: it is there
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"docker-registry did not come up: {log.read_text()}")


@attrs.define
class HostileRegistry(Registry):
    """
    Serves one image under several names, each with a fault of its own:

    good, missing, denied, forbidden, broken (500), stall (a blob that stops halfway),
    stall-manifest, wrong-digest, truncated, garbage (a manifest that is none), slow (a blob in
    small pieces).
    """

    image: Handmade
    stalled: threading.Event = attrs.field(factory=threading.Event)
    """Set when a client has been brought to a halt."""
    closing: threading.Event = attrs.field(factory=threading.Event)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer()

    def _answer(self) -> None:
        hostile = self.server.hostile
        if self.path == "/v2/":
            self._send(200, b"{}", "application/json")
            return
        _, _, name, what, key = self.path.split("/", 4)
        if name in ("missing", "denied", "forbidden", "broken"):
            self._refuse(name)
        elif what == "manifests":
            self._manifest(name, hostile)
        elif what == "blobs" and key in hostile.image.blobs:
            self._blob(name, hostile, key)
        else:
            self._send(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}', "application/json")

    def _refuse(self, name: str) -> None:
        status, code = {
            "missing": (404, "MANIFEST_UNKNOWN"),
            "denied": (401, "UNAUTHORIZED"),
            "forbidden": (403, "DENIED"),
            "broken": (500, "UNKNOWN"),
        }[name]
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        self._send(status, body, "application/json")

    def _manifest(self, name: str, hostile: HostileRegistry) -> None:
        if name == "stall-manifest":
            self._stall()
        elif name == "garbage":
            self._send(200, b'{"schemaVersion":"two"}', OCI_MANIFEST)
        else:
            self._send(200, hostile.image.manifest, OCI_MANIFEST)

    def _blob(self, name: str, hostile: HostileRegistry, key: str) -> None:
        data = hostile.image.blobs[key]
        layer = key in hostile.image.layer_digests
        half = len(data) // 2
        if name == "wrong-digest" and layer:
            data = data[:half] + bytes([data[half] ^ 0xFF]) + data[half + 1 :]
            self._send(200, data, "application/octet-stream")
        elif name == "truncated" and layer:
            self._send(200, data[:half], "application/octet-stream", length=len(data))
        elif name == "stall" and layer:
            self._send(200, data[:half], "application/octet-stream", length=len(data))
            self._stall()
        elif name == "slow" and layer:
            self._send(200, b"", "application/octet-stream", length=len(data))
            step = max(1, len(data) // 20)
            for start in range(0, len(data), step):
                self.wfile.write(data[start : start + step])
                self.wfile.flush()
                hostile.closing.wait(0.1)
        else:
            self._send(200, data, "application/octet-stream")

    def _stall(self) -> None:
        self.wfile.flush()
        self.server.hostile.stalled.set()
        # Until the client gives up.
        while not self.server.hostile.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def _send(self, status: int, body: bytes, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    hostile: HostileRegistry

    def handle_error(self, request: object, address: object) -> None:
        pass  # clients that go away in the middle are what this is for


@contextlib.contextmanager
def hostile_registry(image: Handmade) -> Iterator[HostileRegistry]:
    """
    Run a registry that misbehaves.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    hostile = HostileRegistry(f"127.0.0.1:{server.server_address[1]}", image)
    server.hostile = hostile
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="hostile-registry")
    thread.start()
    try:
        yield hostile
    finally:
        hostile.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
