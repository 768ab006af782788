"""
What is otherwise on Podman, whose service answers Docker's API: tried with Debian's 4.3.1, whose
source has the causes that are given here (in pkg/api/handlers/compat, unless another is named).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from kina.calls import Call
from kina.config import ContainerSpec
from kina.errors import NotFoundError, UnsupportedError
from kina.runtimes.docker._connection import path
from kina.runtimes.docker._engine import Engine

__all__ = [
    "BRIDGE",
    "adapted",
    "first_manifest",
    "mac_of",
    "mounted",
    "networks",
    "no_update",
    "untag",
]

LIBPOD: Final = "/v4.0.0/libpod"
"""Before Podman's own functions, on the same socket."""
SCRATCH: Final = {"/tmp": "mode=1777", "/var/tmp": "mode=1777", "/run": "mode=755"}  # noqa: S108
"""Where it mounts a tmpfs that can be written when the root is to be read-only."""
GIVEN: Final = "seccomp="
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # not listened on
BRIDGE: Final = "com.docker.network.bridge.name"


@contextmanager
def adapted(
    engine: Engine, config: dict[str, Any], spec: ContainerSpec
) -> Iterator[dict[str, Any]]:
    """
    Give the document that creates a container, as the engine understands it.

    Raises:
        UnsupportedError: It can't do that.
    """
    if not engine.podman:
        yield config
        return
    host = dict(config["HostConfig"])
    if spec.sandbox.namespaces.cgroup == "host":
        # CgroupnsMode is read nowhere: containers.conf decides.
        raise UnsupportedError(
            "cgroup namespace 'host': Podman's Docker API has no choice of it",
            hint='cgroupns = "host" in the engine\'s containers.conf, or the native runtime',
        )
    host.setdefault("PidsLimit", -1)  # else containers.conf's, 2048
    if not spec.privileged:
        # What is named gets to users other than root, too; Podman's own set is kina's.
        host["CapAdd"] = sorted({f"{_plain(name)}" for name in spec.cap_add})
        host["CapDrop"] = sorted({f"{_plain(name)}" for name in spec.cap_drop})
    if spec.read_only_root:
        # ReadOnlyTmpFS is always true: what it would mount there, it leaves out for these.
        taken = {mount.target.rstrip("/") for mount in spec.mounts}
        scratch = {place: f"ro,{mode}" for place, mode in SCRATCH.items() if place not in taken}
        host["Tmpfs"] = {**scratch, **host["Tmpfs"]}
    # netavark 1.4 would forward what is sent to that address.
    host["PortBindings"] = {
        port: [{**each, "HostIp": each["HostIp"].replace(EVERYWHERE, "")} for each in bindings]
        for port, bindings in host["PortBindings"].items()
    }
    bare = [m for m in host["Mounts"] if m.get("VolumeOptions", {}).get("NoCopy") and m["Source"]]
    # A mount's VolumeOptions are not read.
    host["Mounts"] = [mount for mount in host["Mounts"] if mount not in bare]
    host["Binds"] = [
        f"{m['Source']}:{m['Target']}:nocopy{',ro' if m['ReadOnly'] else ''}" for m in bare
    ]
    with tempfile.NamedTemporaryFile(prefix="kina-", suffix=".json") as file:
        host["SecurityOpt"] = [_by_path(engine, each, file) for each in host["SecurityOpt"]]
        yield {**config, "HostConfig": host}


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _by_path(engine: Engine, option: str, file: Any) -> str:
    """
    Return a security option with the path of a profile, which Podman reads once, for its content.
    """
    if not option.startswith(f"{GIVEN}{{"):
        return option
    if not engine.endpoint.local:
        raise UnsupportedError(
            "seccomp: Podman reads a profile from its own machine",
            hint="seccomp='default' or 'unconfined', or run kina beside the engine",
        )
    file.write(option.removeprefix(GIVEN).encode())
    file.flush()
    return f"{GIVEN}{file.name}"


def mac_of(engine: Engine, address: str) -> str | None:
    """
    Return a hardware address for a container's address, as dockerd makes it: Podman's is another
    one after each start.
    """
    if not engine.podman:
        return None
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def networks(engine: Engine) -> list[dict[str, Any]]:
    """
    Return all networks as Docker's API has them, with the names of their bridges.

    Not through that API: whoever lists networks there takes their isolation from each other away
    (`delete(options, IsolateOption)`, of a map that the network itself has).
    """
    with engine.exchange(Call(60)) as exchange:
        found = exchange.ask("GET", f"{LIBPOD}/networks/json").json("the networks")
    return [
        {
            "Name": each["name"],
            "Id": each["id"],
            "Created": each.get("created"),
            "Internal": each.get("internal"),
            "Labels": each.get("labels") or {},
            "Options": {**(each.get("options") or {}), BRIDGE: each.get("network_interface")},
            "IPAM": {
                "Config": [
                    {"Subnet": subnet["subnet"], "Gateway": subnet.get("gateway")}
                    for subnet in each.get("subnets") or ()
                ]
            },
        }
        for each in found or ()
    ]


def first_manifest(engine: Engine, identifier: str) -> str | None:
    """
    Return the digest of the manifest with which an image first came to Podman.

    It gives all of an image's manifests to each of its names (libimage, RepoDigests). What was
    loaded or built here, pushed and pulled has two, and no registry has the first.
    """
    if not engine.podman:
        return None
    with engine.exchange(Call(60)) as exchange:
        asked = f"{LIBPOD}{path('images', identifier.removeprefix('sha256:'), 'json')}"
        return str(exchange.ask("GET", asked).json("the image").get("Digest") or "") or None


def no_update() -> UnsupportedError:
    """
    Say why limits can't be changed: 4.3 has no such function in Docker's API, and its own forgets
    them at the next start.
    """
    return UnsupportedError(
        "update: this engine can't change limits of a container",
        hint="delete the container and create it with other limits, or use the native runtime",
    )


@contextmanager
def mounted(engine: Engine, identifier: str) -> Iterator[str]:
    """
    Have the root of a container mounted, and give the place.
    """
    target = f"{LIBPOD}{path('containers', identifier)}"
    with engine.exchange(Call(60)) as exchange:
        answer = exchange.ask("POST", f"{target}/mount").text("the mount")
    try:
        yield answer.strip().strip('"')  # it is not always JSON
    finally:
        with suppress(NotFoundError), engine.exchange(Call(60)) as exchange:
            exchange.ask("POST", f"{target}/unmount").text("the unmount")


def untag(engine: Engine, identifier: str, names: list[str]) -> None:
    """
    Take names from an image that containers use: deleting it by force would delete them (libimage).
    """
    for name in names:
        repository, _, tag = name.rpartition(":")
        target = f"{LIBPOD}{path('images', identifier.removeprefix('sha256:'), 'untag')}"
        with engine.exchange(Call(60)) as exchange:
            exchange.ask("POST", target, query={"repo": repository, "tag": tag})
