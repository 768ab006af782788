"""
An sshd on loopback with keys and configuration of its own, and an ssh that knows it.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from support.registry import free_port

__all__ = ["SSHD", "sshd"]

# Each port is another machine, as far as clients can tell.
SERVER: Final = """\
ListenAddress 127.0.0.1:{port}
ListenAddress 127.0.0.1:{refusing}
ListenAddress 127.0.0.1:{unknown}
ListenAddress 127.0.0.1:{bare}
HostKey {top}/host
PidFile none
AuthorizedKeysFile {top}/client.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
Match LocalPort {refusing}
    AuthorizedKeysFile none
Match LocalPort {bare}
    SetEnv PATH=/nonexistent
"""
CLIENT: Final = """\
Host far.test
    HostName 127.0.0.1
    Port {port}
Host *
    IdentityFile {top}/client
    IdentitiesOnly yes
    UserKnownHostsFile {top}/known
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
"""


@attrs.frozen
class SSHD:
    """
    A server that runs.

    Attributes:
        path: A directory for PATH, whose ssh has the right configuration: ssh(1) looks for it in
            the home that /etc/passwd says.
        port: Lets the client's key in.
        refusing: Lets no key in.
        unknown: Has a host key that the client does not know.
        bare: Lets the client in, where its shell finds no docker.
    """

    path: Path
    port: int
    refusing: int
    unknown: int
    bare: int


@contextmanager
def sshd(top: Path) -> Iterator[SSHD]:
    """
    Run a server.
    """
    path = top / "bin"
    path.mkdir(parents=True)
    ports = {name: free_port() for name in ("port", "refusing", "unknown", "bare")}
    for key in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(top / key)]
        subprocess.run(command, check=True)
    (top / "server.conf").write_text(SERVER.format(top=top, **ports))
    (top / "client.conf").write_text(CLIENT.format(top=top, **ports))
    host = (top / "host.pub").read_text()
    known = [f"[127.0.0.1]:{ports[name]} {host}" for name in ("port", "refusing", "bare")]
    (top / "known").write_text("".join(known))
    ssh = path / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {shlex.quote(str(top))}/client.conf "$@"\n')
    ssh.chmod(0o755)
    # Where it separates its privileges; the service's start makes it otherwise.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (top / "log").open("wb") as log:
        process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", str(top / "server.conf")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _await(ports["port"], process, top / "log")
        yield SSHD(path, **ports)
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
            if probe.recv(4) == b"SSH-":
                return
        time.sleep(0.02)
    raise RuntimeError(f"sshd did not come up:\n{log.read_text()[-2000:]}")
