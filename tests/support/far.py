"""
An engine as another machine has it: in a network namespace of its own, spoken to by TCP with TLS.
No route leads from here to its bridges, and none of its loopback's ports is this machine's.
"""

from __future__ import annotations

import ipaddress
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import attrs
import trustme

from support.engines import Engine, engine

__all__ = ["Far", "far_engine", "issue"]

PORT: Final = 2376
BENCHMARKS: Final = ipaddress.IPv4Network("198.18.0.0/15")
"""What nobody has a route to."""


@attrs.frozen
class Far:
    """
    An engine that is far away.

    Attributes:
        engine: It. Its Unix socket can be connected to: only networks are apart.
        address: Its machine's.
        other: Another address of that machine, which its certificate does not have.
        authority: Has signed its certificate, and signs those of clients.
        certificates: A directory with a client's.
    """

    engine: Engine
    address: str
    other: str
    authority: trustme.CA
    certificates: Path

    @property
    def url(self) -> str:
        return f"tcp://{self.address}:{PORT}"


def issue(
    authority: trustme.CA, top: Path, *identities: str, expired: bool = False, trusts: object = None
) -> Path:
    """
    Make a directory with ca.pem, cert.pem and key.pem.

    Args:
        authority: Signs the certificate.
        top: The directory.
        identities: Whose it is: addresses and names.
        expired: Whether it was good until yesterday.
        trusts: Whose certificate ca.pem is, when another's.
    """
    top.mkdir(parents=True)
    now = datetime.now(UTC)
    times = {"not_before": now - timedelta(9), "not_after": now - timedelta(1)} if expired else {}
    made = authority.issue_cert(*(identities or ("client.test",)), **times)
    made.private_key_pem.write_to_path(top / "key.pem")
    for part in made.cert_chain_pems:
        part.write_to_path(top / "cert.pem", append=True)
    trusted = trusts if isinstance(trusts, trustme.CA) else authority
    trusted.cert_pem.write_to_path(top / "ca.pem")
    return top


def tls_options(certificates: Path, *addresses: str) -> list[str]:
    """
    Return what has dockerd listen with TLS, and want a client's certificate.
    """
    return [
        *(f"--host=tcp://{address}" for address in addresses),
        "--tlsverify", f"--tlscacert={certificates}/ca.pem", f"--tlscert={certificates}/cert.pem",
        f"--tlskey={certificates}/key.pem",
    ]  # fmt: skip


@contextmanager
def far_engine(top: Path) -> Iterator[Far]:
    """
    Run dockerd on another machine, as far as networks go.
    """
    word = secrets.token_hex(3)
    name, here, there = f"test-{word}", f"tst-{word}-a", f"tst-{word}-b"
    # Its machine has two addresses, ours one.
    net = ipaddress.IPv4Network((int(BENCHMARKS[0]) + secrets.randbelow(1 << 14) * 8, 29))
    ours, address, other = (str(net[index]) for index in (1, 2, 3))
    authority = trustme.CA()
    certificates = issue(authority, top / "server", address)
    try:
        for line in (
            f"netns add {name}",
            f"link add {here} type veth peer name {there} netns {name}",
            f"addr add {ours}/29 dev {here}",
            f"link set {here} up",
            f"-n {name} link set lo up",
            f"-n {name} addr add {address}/29 dev {there}",
            f"-n {name} addr add {other}/29 dev {there}",
            f"-n {name} link set {there} up",
        ):
            subprocess.run(["ip", *line.split()], check=True)
        with engine(
            "docker",
            top / "engine",
            # Not `ip netns exec`, which mounts another /sys: one without control groups.
            inside=["nsenter", f"--net=/run/netns/{name}"],
            options=tls_options(certificates, f"{address}:{PORT}", f"{other}:{PORT}"),
        ) as running:
            client = issue(authority, top / "client")
            yield Far(running, address, other, authority, client)
    finally:
        subprocess.run(["ip", "link", "del", here], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
