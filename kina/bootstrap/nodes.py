"""
Nodes: the containers, until systemd says that each has booted. The control plane's comes first;
the workers' follow while it starts.
"""

from __future__ import annotations

import ipaddress
import re
import time
from pathlib import Path
from typing import Any, Final

import attrs

from kina._streams import Lines, Reading
from kina.bootstrap import shipped
from kina.bootstrap._action import Action, Context, Planned, on
from kina.bootstrap.kubeadm import ENDPOINT, PORT, NodeFacts, Version
from kina.calls import Call
from kina.config import DNS, Mount, NetworkAttachment, Port
from kina.container import Container
from kina.errors import DeadlineExceededError, InvalidStateError
from kina.node import Labels, Node
from kina.node import run as in_node
from kina.options import container_spec
from kina.requests import LogRequest
from kina.runtimes.base import Reach, Runtime, Streams

__all__ = ["NODES", "await_boot", "make"]

BOOT_SECONDS: Final = 60.0
_MULTI_USER: Final = re.compile(r"Reached target .*Multi-User System")


def run(context: Context) -> None:
    """
    Make the control plane's.
    """
    make(context, context.control_plane, "nodes")


def make(context: Context, planned: Planned, action: str) -> None:
    """
    Make a node's container, and look at what its image brings.
    """
    with on(planned, action):
        if planned.node is None:
            spec = container_spec(planned.image, None, _options(context, planned))
            status = context.runtime.containers.create(spec, context.call)
            container = Container._of(context.runtime, status)  # noqa: SLF001  # of this package
            planned.node = Node._of(container, context.get_session)  # noqa: SLF001
        before = time.time_ns()
        started = context.runtime.containers.start(planned.node.container.id, context.call)
        container = Container._of(context.runtime, started)  # noqa: SLF001
        planned.node = Node._of(container, context.get_session)  # noqa: SLF001
        await_boot(planned.node, before, context.call)
        _look(context, planned)


def _options(context: Context, planned: Planned) -> dict[str, Any]:
    """
    Say how a node runs: the contract of kindest/node.
    """
    config = planned.config
    plane = config.role == "control-plane"
    networking, reach = context.config.networking, context.reach
    ports = list(config.extra_port_mappings)
    env = {"container": "docker"}
    if networking.disable_default_cni:
        env["KINA_DISABLE_DEFAULT_CNI"] = "1"  # Debian's image has its own without a manifest
    aliases: tuple[str, ...] = (planned.name,)
    if plane:
        ports.append(Port(PORT, networking.api_server_port, networking.api_server_address))
        env["KUBECONFIG"] = "/etc/kubernetes/admin.conf"
        aliases = (*aliases, ENDPOINT)
    options: dict[str, Any] = {
        "name": planned.name,
        "hostname": planned.name,
        "labels": {
            Labels.CLUSTER: context.name,
            Labels.ROLE: config.role,
            Labels.NODE: planned.name,
        },
        "network": NetworkAttachment(context.network, aliases=aliases),
        "privileged": True,
        "seccomp": "unconfined",
        "no_new_privileges": False,
        "writable_cgroups": True,
        "tty": True,
        "env": env,
        "mounts": [
            Mount.tmpfs("/tmp"),  # noqa: S108  # the node's
            Mount.tmpfs("/run"),
            Mount.volume(None, "/var"),
            *_modules(context.runtime),
            *config.extra_mounts,
        ],
        "ports": [_published(port, reach) for port in ports],
        "cpus": config.cpus,
        "memory": config.memory,
        "stop_timeout": 20,
        "pull": "never",
    }
    if networking.dns_search is not None:
        options["dns"] = DNS(search=networking.dns_search)
    return options


def _published(port: Port, reach: Reach) -> Port:
    """
    Have a port of this machine's loopback, where the nodes are on another machine, published there
    at the address that this one reaches.
    """
    wanted, there = map(ipaddress.IPv4Address, (port.host_address, reach.address))
    if wanted.is_loopback and not there.is_loopback:
        return attrs.evolve(port, host_address=reach.address)
    return port


def _modules(runtime: Runtime) -> list[Mount]:
    """
    Share the kernel's modules, where it is this machine's: whether another has any, nobody can say.
    """
    if not runtime.local:
        return []
    where = Path("/lib/modules")
    return [Mount.bind(where, "/lib/modules", read_only=True)] if where.is_dir() else []


def await_boot(node: Node, since_ns: int, call: Call) -> None:
    """
    Follow a node's console until systemd has reached its target.

    Args:
        node: The node.
        since_ns: A moment just before its start: the log has earlier boots, too.
        call: Bounds it.

    Raises:
        DeadlineExceededError: It did not within a minute.
        InvalidStateError: The node has ended.
    """
    container = node.container
    left = call.remaining
    limit = Call(BOOT_SECONDS if left is None else min(BOOT_SECONDS, left))
    wanted = LogRequest(follow=True, since_ns=since_ns)
    seen: list[str] = []
    with call.cancelling(limit.cancel):
        reading = Reading(
            lambda fd, inner: container.runtime.containers.logs(
                container.id, wanted, Streams(-1, fd, fd), inner
            ),
            limit,
        )
        try:
            with reading as chunks:
                for raw in Lines(chunks):
                    line = raw.decode(errors="replace").strip()
                    if _MULTI_USER.search(line):
                        return
                    seen.append(line)
        except DeadlineExceededError:
            last = "\n  ".join(seen[-10:])
            raise DeadlineExceededError(
                f"node {node.name!r} has not booted after {BOOT_SECONDS:.0f} s:\n  {last}"
            ) from None
    last = "\n  ".join(seen[-10:])
    raise InvalidStateError(f"node {node.name!r} has ended while it booted:\n  {last}")


def _look(context: Context, planned: Planned) -> None:
    node, reach = planned.there, context.reach
    told = in_node(node, ["sh", "-c", shipped.LOOK], context.call).stdout
    found = shipped.parse(told)
    planned.manifests = found.manifests
    planned.containerd = found.containerd
    planned.facts = NodeFacts(
        name=planned.name,
        address=node.ip,
        version=Version.parse(found.version),
        cgroup_driver=shipped.cgroup_driver(found.containerd),
        cgroup_v1=found.cgroup_v1,
        hosts=() if reach.direct else (reach.host, reach.address),
    )


NODES: Final = Action("nodes", "Booting the control plane", run)
