"""
A container's figures from the kernel, where this program sees the engine's processes.

An engine's own take a second each on dockerd 20.10, and lack what its API has no place for: kills
for want of memory on both, packets and what of the memory can be had back on Podman 4.3.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from kina._figures import Figure

__all__ = ["figures_of"]

UNLIMITED: Final = 1 << 62
"""At least so much memory is no limit, on cgroup v1."""


def figures_of(document: Any) -> tuple[dict[str, int], Figure] | None:
    """
    Return what can be read of an inspected container; None when it has just ended.
    """
    process = Path(f"/proc/{document['State']['Pid']}")
    try:
        groups = _groups(process, document["Id"])
        found = _read_v2(groups[""]) if "memory" not in groups else _read_v1(groups)
        found |= _network((process / "net/dev").read_text())
    except (OSError, KeyError, ValueError):
        return None
    valid = Figure(0)
    for figure, names in _NEEDED.items():
        if all(name in found for name in names):
            valid |= figure
    return found, valid


_NEEDED: Final[dict[Figure, tuple[str, ...]]] = {
    Figure.CPU: ("cpu_ns",),
    Figure.CPU_MODES: ("cpu_user_ns", "cpu_system_ns"),
    Figure.MEMORY: ("memory_bytes", "memory_working_set_bytes"),
    Figure.MEMORY_LIMIT: ("memory_limit_bytes",),
    Figure.PIDS: ("pids",),
    Figure.PIDS_LIMIT: ("pids_limit",),
    Figure.NETWORK: ("network_rx_bytes", "network_tx_bytes"),
    Figure.BLOCK_IO: ("block_read_bytes", "block_write_bytes"),
    Figure.OOM_KILLS: ("oom_kills",),
}


@cache
def _hierarchies() -> dict[str, Path]:
    """
    Return where each controller is mounted; cgroup v2 under no name.
    """
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup2":
            found.setdefault("", Path(before.split()[4]))
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, Path(before.split()[4]))
    return found


def _groups(process: Path, identifier: str) -> dict[str, Path]:
    """
    Return a container's control groups: what its processes make of them is beneath.
    """
    found = {}
    for line in (process / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        end = path.find("/", path.index(identifier)) if identifier in path else -1
        for controller in controllers.split(","):
            if controller in _hierarchies() and identifier in path:
                top = _hierarchies()[controller]
                found[controller] = top / path[: end if end > 0 else None].lstrip("/")
    return found


def _read_v1(groups: dict[str, Path]) -> dict[str, int]:
    memory = groups["memory"]
    usage = _whole(memory / "memory.usage_in_bytes")
    found = {
        "cpu_ns": _whole(groups["cpuacct"] / "cpuacct.usage"),
        "cpu_user_ns": _whole(groups["cpuacct"] / "cpuacct.usage_user"),
        "cpu_system_ns": _whole(groups["cpuacct"] / "cpuacct.usage_sys"),
        **_memory(usage, _keyed(memory / "memory.stat").get("total_inactive_file", 0)),
        **_limited("pids", groups["pids"]),
    }
    if (limit := _whole(memory / "memory.limit_in_bytes")) < UNLIMITED:
        found["memory_limit_bytes"] = limit
    if (kills := _keyed(memory / "memory.oom_control").get("oom_kill")) is not None:
        found["oom_kills"] = kills
    if "blkio" in groups:
        lines = (groups["blkio"] / "blkio.throttle.io_service_bytes_recursive").read_text()
        words = [line.split() for line in lines.splitlines()]
        for kind in ("Read", "Write"):
            found[f"block_{kind.lower()}_bytes"] = sum(
                int(each[2]) for each in words if len(each) == 3 and each[1] == kind
            )
    return found


def _read_v2(group: Path) -> dict[str, int]:
    cpu = _keyed(group / "cpu.stat")
    found = {
        "cpu_ns": cpu["usage_usec"] * 1000,
        "cpu_user_ns": cpu["user_usec"] * 1000,
        "cpu_system_ns": cpu["system_usec"] * 1000,
        **_memory(
            _whole(group / "memory.current"),
            _keyed(group / "memory.stat").get("inactive_file", 0),
        ),
        **_limited("pids", group),
        "oom_kills": _keyed(group / "memory.events")["oom_kill"],
    }
    limit = (group / "memory.max").read_text().strip()
    if limit != "max":
        found["memory_limit_bytes"] = int(limit)
    pairs = [word.partition("=") for word in (group / "io.stat").read_text().split()]
    for name, key in (("rbytes", "block_read_bytes"), ("wbytes", "block_write_bytes")):
        found[key] = sum(int(value) for word, _, value in pairs if word == name)
    return found


def _memory(usage: int, inactive: int) -> dict[str, int]:
    return {"memory_bytes": usage, "memory_working_set_bytes": usage - min(usage, inactive)}


def _limited(name: str, group: Path) -> dict[str, int]:
    found = {name: _whole(group / f"{name}.current")}
    limit = (group / f"{name}.max").read_text().strip()
    return found if limit == "max" else {**found, f"{name}_limit": int(limit)}


def _network(text: str) -> dict[str, int]:
    """
    Sum up every interface but the loopback; nothing without any.
    """
    found: dict[str, int] = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            continue
        fields = rest.split()
        for key, index in (("rx_bytes", 0), ("rx_packets", 1), ("tx_bytes", 8), ("tx_packets", 9)):
            found[f"network_{key}"] = found.get(f"network_{key}", 0) + int(fields[index])
    return found


def _whole(path: Path) -> int:
    return int(path.read_text())


def _keyed(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
