"""
A container's status, out of what the engine says.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from kina import wire
from kina.config import ContainerSpec, Resources
from kina.runtimes.docker._engine import nanoseconds
from kina.runtimes.docker._names import DIGEST, OURS, SPEC
from kina.runtimes.docker._networks import engine_name
from kina.runtimes.docker._records import addresses_of, ports_of
from kina.runtimes.docker._signals import VALID
from kina.runtimes.docker._spec import PERIOD, resource_config
from kina.status import Address, ContainerStatus, ExitReason, ExitStatus, State

__all__ = ["container_status", "exit_status", "state_of"]

_STATES: Final[dict[str, State]] = {
    "created": "created",
    "configured": "created",
    "initialized": "created",
    "running": "running",
    "restarting": "running",
    "stopping": "running",
    "paused": "paused",
    "exited": "stopped",
    "stopped": "stopped",
    "removing": "deleting",
    "dead": "deleting",
}


def state_of(document: Any) -> State:
    """
    Return an inspected container's state.
    """
    return _STATES.get(document["State"]["Status"], "stopped")


def container_status(document: Any, *, with_spec: bool) -> ContainerStatus:
    """
    Make a status of an inspected container.
    """
    labels = document["Config"].get("Labels") or {}
    spec = wire.from_json(ContainerSpec, labels[SPEC])
    state = state_of(document)
    alive = state in ("running", "paused")
    found = document["State"]
    return ContainerStatus(
        id=document["Id"],
        name=document["Name"].lstrip("/"),
        image=spec.image,
        image_digest=labels.get(DIGEST, ""),
        state=state,
        pid=(found.get("Pid") or None) if alive else None,
        exit=exit_status(document) if state == "stopped" else None,
        created_at_ns=nanoseconds(document["Created"]) or 0,
        started_at_ns=nanoseconds(found.get("StartedAt")),
        hostname=document["Config"].get("Hostname") or "",
        addresses=_addresses(labels, document),
        ports=ports_of(labels),
        labels={key: value for key, value in labels.items() if not key.startswith(OURS)}
        if not spec.labels
        else dict(spec.labels),
        spec=attrs.evolve(spec, resources=_resources(spec.resources, document["HostConfig"]))
        if with_spec
        else None,
    )


def _addresses(labels: dict[str, str], document: Any) -> tuple[Address, ...]:
    endpoints = document["NetworkSettings"].get("Networks") or {}
    return tuple(
        attrs.evolve(
            address,
            mac=(endpoints.get(engine_name(address.network)) or {}).get("MacAddress") or "",
        )
        for address in addresses_of(labels)
    )


def exit_status(document: Any) -> ExitStatus:
    """
    Say how an inspected container's last run ended.
    """
    found = document["State"]
    code = int(found.get("ExitCode") or 0)
    reason: ExitReason = "exited"
    if found.get("OOMKilled"):
        reason = "oom"
    elif code - 128 in VALID:
        # An engine tells a signal's end by the code alone.
        reason = "signaled"
    return ExitStatus(
        exit_code=code, reason=reason, finished_at_ns=nanoseconds(found.get("FinishedAt")) or 0
    )


def _resources(wanted: Resources, host: Any) -> Resources:
    """
    Return the limits in force: those of the spec, where no update has changed them.
    """
    config = resource_config(wanted)
    now: dict[str, Any] = {}
    if (memory := host.get("Memory") or 0) != config.get("Memory", 0):
        now["memory"] = memory or None
    if (pids := max(0, host.get("PidsLimit") or 0)) != config.get("PidsLimit", 0):
        now["pids"] = pids or None
    if (cpuset := host.get("CpusetCpus") or "") != config.get("CpusetCpus", ""):
        now["cpuset"] = cpuset or None
    if (shares := host.get("CpuShares") or 0) != config.get("CpuShares", 0):
        now["cpu_weight"] = max(1, shares * 100 // 1024) if shares else None
    if (quota := max(0, host.get("CpuQuota") or 0)) != config.get("CpuQuota", 0):
        now["cpus"] = quota / (host.get("CpuPeriod") or PERIOD) if quota else None
    return attrs.evolve(wanted, **now)
