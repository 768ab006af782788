"""
A container's spec, as the engine's API wants it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kina import wire
from kina._fields import nearest
from kina.config import ContainerSpec, Mount, Resources
from kina.errors import InvalidArgumentError, UnsupportedError
from kina.runtimes.docker._names import SPEC
from kina.runtimes.docker._pods import no_pods

__all__ = ["container_config", "resource_config"]

CAPABILITIES: Final = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "SETFCAP",
)  # fmt: skip
"""The native runtime's: fewer than Docker's."""
KNOWN: Final = frozenset(
    (
        *CAPABILITIES, "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF",
        "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER", "LEASE",
        "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BROADCAST",
        "NET_RAW", "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_NICE",
        "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    )
)  # fmt: skip
SYSCTLS: Final = re.compile(
    r"net\..+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\..+"
)
PROPAGATION: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
PERIOD: Final = 100_000
"""Microseconds over which CPU time is counted."""


def container_config(
    spec: ContainerSpec, labels: Mapping[str, str], ports: Mapping[str, Any], *, local: bool
) -> dict[str, Any]:
    """
    Make the document that creates a container.

    Args:
        spec: What is wanted.
        labels: kina's own, besides those of the spec.
        ports: Published ports, as the engine spells them.
        local: Whether paths of the host can be looked at here.

    Raises:
        InvalidArgumentError: A value can't be used.
        UnsupportedError: An engine can't do that.
    """
    if spec.pod is not None:
        raise no_pods()
    if spec.isolation == "vm":
        raise UnsupportedError(
            "isolation 'vm': a Docker engine isolates with namespaces",
            hint="use kina.connect(backend='vm'), or KINA_BACKEND=vm",
        )
    host = _host_config(spec, local=local)
    host["PortBindings"] = dict(ports)
    config: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{key}={value}" for key, value in spec.env.items()],
        "Labels": {**spec.labels, **labels, SPEC: wire.to_json(spec)},
        "Tty": spec.terminal,
        "OpenStdin": spec.stdin,
        "ExposedPorts": {port: {} for port in ports},
        "HostConfig": host,
    }
    if spec.command is not None:
        config["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        config["Entrypoint"] = list(spec.entrypoint) or [""]
    optional = {
        "WorkingDir": spec.workdir,
        "User": spec.user,
        "StopSignal": spec.stop_signal and signal_name(spec.stop_signal),
    }
    return config | {key: value for key, value in optional.items() if value is not None}


def signal_name(signal: str) -> str:
    """
    Spell a signal as Docker does.
    """
    return signal if signal.isdigit() or signal.startswith("SIG") else f"SIG{signal}"


def _host_config(spec: ContainerSpec, *, local: bool) -> dict[str, Any]:
    sandbox, modes = spec.sandbox, spec.sandbox.namespaces
    if spec.writable_cgroups and not spec.privileged:
        raise UnsupportedError(
            "writable_cgroups: a Docker engine gives them to privileged containers only",
            hint="privileged=True, or the native runtime",
        )
    host: dict[str, Any] = {
        "AutoRemove": spec.remove,
        "Init": spec.init,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only_root,
        "GroupAdd": list(spec.groups),
        "SecurityOpt": _security(spec),
        "Ulimits": [
            {"Name": limit.type, "Soft": limit.soft, "Hard": limit.hard} for limit in spec.rlimits
        ],
        "Devices": _devices(spec, local=local),
        "Sysctls": _sysctls(sandbox.sysctls),
        "ShmSize": sandbox.shm_size,
        "Dns": list(sandbox.dns.servers),
        "DnsSearch": list(sandbox.dns.search),
        "DnsOptions": list(sandbox.dns.options),
        "ExtraHosts": [f"{name}:{address}" for name, address in sandbox.extra_hosts.items()],
        "CgroupnsMode": modes.cgroup,
        "PidMode": "host" if modes.pid == "host" else "",
        "IpcMode": "host" if modes.ipc == "host" else "private",
        "UTSMode": "host" if modes.uts == "host" else "",
        # Two files, the older of which goes when the newer is full.
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(max(1024, spec.log_limit // 2)), "max-file": "2"},
        },
        **_capabilities(spec),
        **_mounts(spec, local=local),
        **resource_config(spec.resources),
    }
    return host


def resource_config(resources: Resources) -> dict[str, Any]:
    """
    Make the limits of an engine's container; what is None is left out.
    """
    config: dict[str, Any] = {}
    if resources.cpus is not None:
        config |= {"CpuPeriod": PERIOD, "CpuQuota": max(1000, round(resources.cpus * PERIOD))}
    if resources.cpu_weight is not None:
        # cgroup v2's weights, of which 100 is usual, as v1's shares, of which 1024 is.
        config["CpuShares"] = max(2, resources.cpu_weight * 1024 // 100)
    if resources.cpuset is not None:
        config["CpusetCpus"] = resources.cpuset
    if resources.memory is not None:
        config |= {"Memory": resources.memory, "MemorySwap": -1}
    if resources.memory_swap is not None:
        config["MemorySwap"] = resources.memory_swap
    if resources.pids is not None:
        config["PidsLimit"] = resources.pids
    return config


def _capability(field: str, word: str) -> str:
    name = word.upper().removeprefix("CAP_")
    if name != "ALL" and name not in KNOWN:
        close = nearest(name, [known.lower() for known in KNOWN])
        raise InvalidArgumentError.at(
            field, word, "is no capability", close and f"did you mean {close.upper()!r}?"
        )
    return name


def _capabilities(spec: ContainerSpec) -> dict[str, Any]:
    added = {_capability("cap_add", word) for word in spec.cap_add}
    dropped = {_capability("cap_drop", word) for word in spec.cap_drop}
    if spec.privileged:
        return {}
    if "ALL" in added:
        return {"CapAdd": ["ALL"], "CapDrop": sorted(dropped - {"ALL"})}
    kept = set() if "ALL" in dropped else set(CAPABILITIES) - dropped
    return {"CapDrop": ["ALL"], "CapAdd": sorted(kept | added)}


def _security(spec: ContainerSpec) -> list[str]:
    options = ["no-new-privileges"] if spec.no_new_privileges else []
    if spec.seccomp.profile == "unconfined" or (
        spec.privileged and spec.seccomp.profile == "default"
    ):
        options.append("seccomp=unconfined")
    elif spec.seccomp.profile == "custom":
        options.append(f"seccomp={spec.seccomp.json}")
    return options


def _devices(spec: ContainerSpec, *, local: bool) -> list[dict[str, str]]:
    for device in spec.devices:
        path = Path(device.source)
        if local and not (path.is_char_device() or path.is_block_device()):
            raise InvalidArgumentError.at("devices", device.source, "is no device of the host")
    return [
        {
            "PathOnHost": device.source,
            "PathInContainer": device.target or device.source,
            "CgroupPermissions": device.permissions,
        }
        for device in spec.devices
    ]


def _sysctls(given: Mapping[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not SYSCTLS.fullmatch(name):
            raise InvalidArgumentError.at(
                f"sysctls[{name!r}]", value, "is not one of a container's own namespaces",
                "net.*, fs.mqueue.*, and System V's of kernel.*",
            )  # fmt: skip
    return dict(given)


def _mounts(spec: ContainerSpec, *, local: bool) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = []
    memory: dict[str, str] = {}
    for index, mount in enumerate(spec.mounts):
        if ".." in mount.target.split("/") or not mount.target.strip("/."):
            raise InvalidArgumentError.at(
                f"mounts[{index}].target", mount.target, "can't be mounted at", "such as /data"
            )
        if mount.type == "tmpfs":
            memory[mount.target] = _tmpfs(mount)
        else:
            mounts.append(_mount(mount, f"mounts[{index}]", local=local))
    return {"Mounts": mounts, "Tmpfs": memory}


def _tmpfs(mount: Mount) -> str:
    options = ["rw", "exec", *mount.options]
    if mount.size is not None:
        options.append(f"size={mount.size}")
    if mount.read_only:
        options.append("ro")
    if "noexec" in mount.options:
        options.remove("exec")
    return ",".join(options)


def _mount(mount: Mount, field: str, *, local: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Type": mount.type,
        "Target": mount.target,
        "ReadOnly": mount.read_only or "ro" in mount.options,
    }
    if mount.type == "volume":
        made |= {"Source": mount.source or "", "VolumeOptions": {"NoCopy": not mount.copy_up}}
        return made
    made["Source"] = mount.source
    if local and not os.path.lexists(str(mount.source)):
        raise InvalidArgumentError.at(
            f"{field}.source", mount.source, "is not on the host", "make it first"
        )
    options = [word for word in mount.options if word not in ("ro", "rw", "bind", "rbind")]
    for word in options:
        if word not in PROPAGATION:
            raise UnsupportedError(
                f"{field}.options {word!r}: a Docker engine has no such option for a bind mount",
                hint="the native runtime has all of mount(8)'s",
            )
        made["BindOptions"] = {"Propagation": word}
    return made
