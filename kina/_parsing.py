"""
Reads the short forms that people write for ports, mounts, devices and the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kina._fields import Problems
from kina.config import DNS, Device, Mount, Port, Rlimit, Seccomp
from kina.errors import InvalidArgumentError

__all__ = [
    "parse_device",
    "parse_dns",
    "parse_mount",
    "parse_mounts",
    "parse_port",
    "parse_ports",
    "parse_seccomp",
    "parse_ulimits",
]

_PORT = re.compile(
    r"(?:(?:(?P<address>[0-9.]+|\[[^]]*\]|localhost):)?(?P<host>[0-9]*):)?(?P<container>[0-9]+)"
    r"(?:/(?P<protocol>[a-z]+))?",
    re.ASCII,
)
_PORT_HINT = "write 80, '8080:80', '127.0.0.1::80/udp' or a kina.Port"
_MOUNT_HINT = "write '/host:/there:ro', 'volume:/there' or a kina.Mount"


def parse_port(value: Port | int | str) -> Port:
    """
    Read one published port.

    Args:
        value: A port of the container (a free one of the host's is chosen), or
            "[[address:][host port]:]container port[/tcp|/udp]".

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(value, Port):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Port(value)
    match = _PORT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidArgumentError.at("", value, "is not a port", _PORT_HINT)
    address = match["address"] or "127.0.0.1"
    return Port(
        match["container"],
        match["host"] or 0,
        "127.0.0.1" if address == "localhost" else address,
        match["protocol"] or "tcp",  # type: ignore[arg-type]  # Port says which there are
    )


def parse_ports(
    value: Iterable[Port | int | str] | Mapping[int | str, Any] | Port | int | str,
) -> tuple[Port, ...]:
    """
    Read published ports.

    Args:
        value: A list of them, or a mapping of container ports ("80/udp", 80) to host ports (None: a
            free one).

    Raises:
        InvalidArgumentError: Some are not ports, or two want one port of the host.
    """
    if isinstance(value, Port | int | str):
        value = [value]
    if not isinstance(value, Iterable):
        raise InvalidArgumentError.at("", value, "must be a list of ports", _PORT_HINT)
    problems = Problems()
    ports: list[Port] = []
    items: Iterable[Any] = value.items() if isinstance(value, Mapping) else value
    for index, item in enumerate(items):
        where = f"[{item[0]!r}]" if isinstance(value, Mapping) else f"[{index}]"
        with problems.at(where):
            ports.append(_published(*item) if isinstance(value, Mapping) else parse_port(item))
    _check_clashes(ports, problems)
    problems.raise_any()
    return tuple(ports)


def _published(container: int | str, host: Any) -> Port:
    if host is None:
        return parse_port(container)
    if isinstance(host, bool) or not isinstance(host, int | str):
        raise InvalidArgumentError.at("", host, "is not a port", _PORT_HINT)
    return parse_port(f"{host}:{container}")


def _check_clashes(ports: list[Port], problems: Problems) -> None:
    seen: set[tuple[str, int, str]] = set()
    for port in ports:
        key = (port.protocol, port.host_port, port.host_address)
        if port.host_port and key in seen:
            problems.add("", f"{port.host_address}:{port.host_port}", "is published twice")
        seen.add(key)


def _parts(value: object) -> list[str]:
    return value.split(":") if isinstance(value, str) else []


def parse_mount(value: Mount | str) -> Mount:
    """
    Read one mount.

    Args:
        value: "source:target[:options]", where the source is a path of the host (it begins with
            "/", "." or "~") or a volume's name, and the options are of "ro", "rw" and those of
            mount(8); or "target": an anonymous volume.

    Raises:
        InvalidArgumentError: It is not one.
    """
    if isinstance(value, Mount):
        return value
    parts = _parts(value)
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgumentError.at("", value, "is not a mount", _MOUNT_HINT)
    if len(parts) == 1:
        return Mount.volume(None, parts[0])
    source, target = parts[0], parts[1]
    words = parts[2].split(",") if len(parts) == 3 else []
    read_only = "ro" in words
    options = [word for word in words if word not in ("ro", "rw", "nocopy")]
    if source[0] in "/.~":
        return Mount.bind(source, target, read_only=read_only, options=options)
    if options:
        raise InvalidArgumentError.at("", value, "a volume takes 'ro', 'rw' and 'nocopy'")
    return Mount.volume(source, target, read_only=read_only, copy_up="nocopy" not in words)


def parse_mounts(value: Iterable[Mount | str]) -> tuple[Mount, ...]:
    """
    Read mounts.

    Raises:
        InvalidArgumentError: Some are not.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidArgumentError.at("", value, "must be a list of mounts", _MOUNT_HINT)
    problems = Problems()
    mounts: list[Mount] = []
    for index, item in enumerate(value):
        with problems.at(f"[{index}]"):
            mounts.append(parse_mount(item))
    problems.raise_any()
    return tuple(mounts)


def parse_device(value: Device | str) -> Device:
    """
    Read one device: "source[:target][:permissions]".

    Raises:
        InvalidArgumentError: It is not one.
    """
    if isinstance(value, Device):
        return value
    parts = _parts(value)
    if not 1 <= len(parts) <= 3 or not all(parts):
        hint = "write '/dev/fuse', '/dev/sda:/dev/xvda:r' or a kina.config.Device"
        raise InvalidArgumentError.at("", value, "is not a device", hint)
    source, *rest = parts
    target = rest.pop(0) if rest and rest[0].startswith("/") else None
    if len(rest) > 1:
        raise InvalidArgumentError.at("", value, "is not a device")
    return Device(source, target, rest[0] if rest else "rwm")


def parse_ulimits(value: Any) -> tuple[Rlimit, ...]:
    """
    Read limits of setrlimit(2).

    Args:
        value: `Rlimit`s, or a mapping of names to a limit, or to a soft and a hard one.

    Raises:
        InvalidArgumentError: They are neither.
    """
    problems = Problems()
    limits: list[Rlimit] = []
    if isinstance(value, Mapping):
        for name, limit in value.items():
            with problems.at(f"[{name!r}]"):
                both = limit if isinstance(limit, tuple | list) else (limit, limit)
                if len(both) != 2:
                    raise InvalidArgumentError.at("", limit, "must be (soft, hard)")
                limits.append(Rlimit(name, both[0], both[1]))
    else:
        hint = "such as {'nofile': (1024, 4096)}"
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise InvalidArgumentError.at("", value, "must be a mapping or Rlimits", hint)
        for index, item in enumerate(value):
            if isinstance(item, Rlimit):
                limits.append(item)
            else:
                problems.add(f"[{index}]", item, "must be an Rlimit", hint)
    problems.raise_any()
    return tuple(limits)


def parse_seccomp(value: Any) -> Seccomp:
    """
    Read which system calls are allowed: a profile's name, or a custom profile.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(value, Seccomp):
        return value
    if isinstance(value, Mapping):
        import json

        return Seccomp("custom", json.dumps(value))
    return Seccomp(value)


def parse_dns(value: DNS | Iterable[str]) -> DNS:
    """
    Read how names are resolved: a `DNS`, or the servers' addresses.

    Raises:
        InvalidArgumentError: It is neither.
    """
    return value if isinstance(value, DNS) else DNS(servers=value)
