"""
Preflight: whether this machine can take the cluster, asked before anything is made.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from kina import kubeconfig
from kina._fields import Problems
from kina.bootstrap._action import Action, Context
from kina.config import Port
from kina.errors import ResourceExhaustedError, UnsupportedError

__all__ = ["PREFLIGHT", "has_ipvs"]

MIB: Final = 1 << 20
# Measured on nodes at rest, with room for pods.
CONTROL_PLANE_MEMORY: Final = 700 * MIB
WORKER_MEMORY: Final = 250 * MIB
NODE_DISK: Final = 1024 * MIB
NODE_INSTANCES: Final = 24
NODE_WATCHES: Final = 4096


def run(context: Context) -> None:
    """
    Raise everything that stands in the way, with what to do about each.
    """
    if context.merge:
        kubeconfig.check(context.kubeconfig)
    _check_ports(context)
    if sys.platform != "linux" or not context.runtime.local:
        return  # nodes have another machine, or virtual ones with kernels and limits of their own
    _check_proxy(context)
    reasons = [*_memory(context), *_disk(context), *_inotify(context)]
    if reasons:
        what = "; ".join(reason for reason, _ in reasons)
        fixes = "; ".join(dict.fromkeys(fix for _, fix in reasons))
        raise ResourceExhaustedError(f"this machine can't take the cluster: {what}", hint=fixes)


def _check_proxy(context: Context) -> None:
    """
    Refuse a mode that the kernel, which is the nodes' too, can't do: kube-proxy would use another
    one, and say so in its log alone.
    """
    if context.config.networking.kube_proxy_mode == "ipvs" and not has_ipvs():
        raise UnsupportedError(
            "networking.kubeProxyMode 'ipvs': this machine's kernel has no IPVS",
            hint="use 'iptables', or a kernel with CONFIG_IP_VS",
        )


def has_ipvs() -> bool:
    """
    Say whether the kernel has IPVS, built in, loaded or as a module that kube-proxy can load.
    """
    if Path("/proc/net/ip_vs").exists():
        return True
    listed = Path("/lib/modules", os.uname().release, "modules.dep")
    try:
        return "/ip_vs.ko" in listed.read_text()
    except OSError:
        return False


def _check_ports(context: Context) -> None:
    networking = context.config.networking
    wanted: list[tuple[str, Port]] = []
    if networking.api_server_port and not context.joining:
        port = Port(6443, networking.api_server_port, networking.api_server_address)
        wanted.append(("networking.api_server_port", port))
    for index, planned in enumerate(context.nodes):
        for number, port in enumerate(planned.config.extra_port_mappings):
            wanted.append((f"nodes[{index}].extra_port_mappings[{number}]", port))
    problems = Problems()
    counts = Counter((p.host_port, p.host_address, p.protocol) for _, p in wanted if p.host_port)
    for field, port in wanted:
        shown = f"{port.host_address}:{port.host_port}/{port.protocol}"
        if counts[port.host_port, port.host_address, port.protocol] > 1:
            problems.add(field, shown, "is published twice")
        elif port.host_port and context.runtime.local and (why := _taken(port)):
            problems.add(field, shown, why, f"see what has it: {_who_listens(port.host_port)}")
    problems.raise_any()


def _who_listens(port: int) -> str:
    return f"ss -lnp 'sport = {port}'" if sys.platform == "linux" else f"lsof -nP -i :{port}"


def _taken(port: Port) -> str | None:
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if port.protocol == "tcp":
            # What has just been closed lingers, and is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host_address, port.host_port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            if error.errno == errno.EADDRNOTAVAIL:
                return "is no address of this host"
            return None  # a privileged port, say: the runtime can judge that better
    return None


Reasons = list[tuple[str, str]]


def _memory(context: Context) -> Reasons:
    needed = sum(
        CONTROL_PLANE_MEMORY if item.config.role == "control-plane" else WORKER_MEMORY
        for item in context.nodes
    )
    available = _meminfo("MemAvailable")
    if available is None or available >= needed:
        return []
    reason = f"{available // MIB} MiB of memory are available, and {needed // MIB} are needed"
    return [(reason, "end other programs (ps aux --sort=-rss), or ask for fewer workers")]


def _meminfo(field: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines if line.startswith(f"{field}:"))
    return next((int(words[1]) * 1024 for words in found), None)


def _disk(context: Context) -> Reasons:
    home = Path(context.runtime.info().home)
    figures = os.statvfs(home)
    free, needed = figures.f_bavail * figures.f_frsize, NODE_DISK * len(context.nodes)
    if free >= needed:
        return []
    reason = f"{free // MIB} MiB are free in {os.fspath(home)!r}, and {needed // MIB} are needed"
    fix = "free some (kina.prune(images=True), df -h), or set KINA_HOME to another disk"
    return [(reason, fix)]


def _inotify(context: Context) -> Reasons:
    """
    The limits count for all of a user's processes, and a node's are root's.
    """
    reasons: Reasons = []
    used = _instances()
    nodes = len(context.nodes)
    for name, need, wish in (
        ("max_user_instances", used + nodes * NODE_INSTANCES, 1024),
        ("max_user_watches", nodes * NODE_WATCHES, 524288),
    ):
        limit = _limit(name)
        if limit is not None and limit < need:
            reason = f"fs.inotify.{name} is {limit}, and about {need} are needed"
            reasons.append((reason, f"run: sysctl -w fs.inotify.{name}={max(wish, 2 * need)}"))
    return reasons


def _limit(name: str) -> int | None:
    try:
        return int(Path("/proc/sys/fs/inotify", name).read_text())
    except (OSError, ValueError):
        return None


def _instances() -> int:
    """
    Count the inotify instances of this user's processes.
    """
    count = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if process.stat().st_uid != os.geteuid():
                continue
            links = [os.readlink(fd) for fd in (process / "fd").iterdir()]  # noqa: PTH115
        except OSError:
            continue  # it has ended, or is another's
        count += links.count("anon_inode:inotify")
    return count


PREFLIGHT: Final = Action("preflight", "Checking this machine", run)
