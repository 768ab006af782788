"""
The keywords of `Container.run`, `Container.create` and `kina.run`, and the spec that they make.

They are declared once, as a `TypedDict` that the three take with `Unpack`: type checkers and
editors complete and check them. `accepts_options` writes them into the functions' signatures too,
for what looks at run time: `help()`, IPython's and Jupyter's tool tips.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, cast

import attrs

from kina._fields import Address, Problems, Strings, nearest
from kina._parsing import (
    parse_device,
    parse_dns,
    parse_mounts,
    parse_ports,
    parse_seccomp,
    parse_ulimits,
)
from kina._quantities import Quantity
from kina.config import (
    DNS,
    ContainerSpec,
    Device,
    Isolation,
    Mount,
    NamespaceMode,
    NamespacesSpec,
    NetworkAttachment,
    PodSpec,
    Port,
    PullPolicy,
    Resources,
    Rlimit,
    SandboxSpec,
    Seccomp,
)
from kina.errors import InvalidArgumentError

if TYPE_CHECKING:
    from kina.image import Image
    from kina.network import Network
    from kina.pod import Pod

__all__ = [
    "ContainerOptions",
    "PodOptions",
    "SandboxOptions",
    "accepts_options",
    "container_spec",
    "pod_spec",
    "resources_spec",
]

F = TypeVar("F", bound=Callable[..., Any])

PortLike = Port | int | str


class SandboxOptions(TypedDict, total=False):
    """
    What a container's surroundings can be told, or a pod: what its containers share.

    Attributes:
        hostname: The name when left out.
        ports: `Port(…)`, 80, "8080:80", "127.0.0.1::80/udp", or a mapping of container ports to
            host ports.
        network: A network or its name, several of them, "host", or "none"; the default network when
            left out.
        address: A fixed IPv4 address on the (one) network.
        aliases: Further names on the (one) network.
        dns: `DNS(…)`, or the servers' addresses.
        extra_hosts: Further lines of /etc/hosts: name to address.
        sysctls: Kernel parameters of the container's namespaces.
        shm_size: Of /dev/shm; 64 MiB when left out.
        pid_namespace, ipc_namespace, uts_namespace, cgroup_namespace: "private" or "host".
    """

    hostname: str
    ports: Iterable[PortLike] | Mapping[int | str, int | str | None]
    network: str | Network | NetworkAttachment | Sequence[str | Network | NetworkAttachment] | None
    address: Address
    aliases: Iterable[str]
    dns: DNS | Iterable[str]
    extra_hosts: Mapping[str, str]
    sysctls: Mapping[str, object]
    shm_size: Quantity
    pid_namespace: NamespaceMode
    ipc_namespace: NamespaceMode
    uts_namespace: NamespaceMode
    cgroup_namespace: NamespaceMode


class ContainerOptions(SandboxOptions, total=False):
    """
    What a container can be told, beside what `SandboxOptions` says; what is left out has the spec's
    default.

    Attributes:
        name: Unique; kina chooses one when it is left out.
        entrypoint: Replaces the image's; an empty list means none.
        env: On top of the image's: a mapping, or "KEY=value" strings.
        workdir: An absolute path in the container.
        user: "name", "uid", "name:group" or "uid:gid".
        groups: Supplementary groups, names or numbers.
        labels: What it is found by: a mapping, or "KEY=value" strings.
        cpus: CPUs' worth of time: 1.5, or "500m".
        cpu_weight: Relative share under contention, 1 to 10000, 100 being usual.
        cpuset: The CPUs to run on: "0-2,4".
        memory: A limit: bytes, "256Mi", "1.5G".
        memory_swap: Of memory and swap together; -1 for unlimited swap.
        pids: The most processes and threads.
        mounts: `Mount.bind(…)`, `Mount.volume(…)`, `Mount.tmpfs(…)`, or "/host:/there:ro",
            "volume:/there".
        cap_add, cap_drop: Capabilities, with or without CAP_, or "ALL".
        seccomp: "default", "unconfined", `Seccomp(…)`, or a custom profile as a mapping.
        ulimits: `Rlimit(…)`, or a mapping such as {"nofile": 1024} or {"nofile": (1024, 4096)}.
        devices: `Device(…)`, or "/dev/fuse", "/dev/sda:/dev/xvda:r".
        privileged: All capabilities and devices that there are.
        read_only: Whether the root file system can't be written.
        no_new_privileges: On when left out.
        init: A small process 1 that reaps orphans and forwards signals.
        tty: Whether its streams are one terminal.
        stdin: Whether standard input stays open, for `attach`.
        stop_signal: The image's, else TERM.
        stop_timeout: Between the stop signal and KILL: seconds, a timedelta, "1m30s".
        log_limit: Bytes of log that are kept.
        writable_cgroups: For what manages cgroups itself, as systemd does.
        remove: Whether it is deleted when it ends.
        pull: "missing" (the default), "always" or "never".
        isolation: "vm", a kernel of its own in a virtual machine, or "namespaces", the host's
            kernel. One that the runtime does not have is an error; what it has when left out.
        pod: A pod or its name, whose sandbox it shares: what `SandboxOptions` says is the pod's
            then.
    """

    name: str
    entrypoint: Sequence[str]
    env: Strings
    workdir: str
    user: str | int
    groups: Iterable[str]
    labels: Strings
    cpus: Quantity
    cpu_weight: int
    cpuset: str
    memory: Quantity
    memory_swap: Quantity
    pids: int
    mounts: Iterable[Mount | str]
    cap_add: Iterable[str]
    cap_drop: Iterable[str]
    seccomp: Literal["default", "unconfined"] | Seccomp | Mapping[str, Any]
    ulimits: Iterable[Rlimit] | Mapping[str, int | tuple[int, int]]
    devices: Iterable[Device | str]
    privileged: bool
    read_only: bool
    no_new_privileges: bool
    init: bool
    tty: bool
    stdin: bool
    stop_signal: str | int
    stop_timeout: Quantity | timedelta
    log_limit: Quantity
    writable_cgroups: bool
    remove: bool
    pull: PullPolicy
    isolation: Isolation
    pod: str | Pod


class PodOptions(SandboxOptions, total=False):
    """
    What a pod can be told, beside what `SandboxOptions` says.

    Attributes:
        labels: What it is found by: a mapping, or "KEY=value" strings.
        cpus: Of a pod that is a virtual machine: 1.5, or "500m".
        memory: Of a pod that is a virtual machine: bytes, "256Mi", "1.5G".
        isolation: "vm", a kernel of its own in a virtual machine, or "namespaces", the host's
            kernel. One that the runtime does not have is an error; what it has when left out.
    """

    labels: Strings
    cpus: Quantity
    memory: Quantity
    isolation: Isolation


# Keywords whose spec calls them otherwise.
_RENAMED: Final = {"tty": "terminal", "read_only": "read_only_root", "pull": "pull_policy"}
_RESOURCES: Final = frozenset(a.name for a in attrs.fields(Resources))
_NAMESPACES: Final = ("pid_namespace", "ipc_namespace", "uts_namespace", "cgroup_namespace")
# What other tools call these.
_FOREIGN: Final = {
    "volumes": "mounts",
    "volume": "mounts",
    "tmpfs": "mounts",
    "environment": "env",
    "working_dir": "workdir",
    "publish": "ports",
    "mem_limit": "memory",
    "cpuset_cpus": "cpuset",
    "rm": "remove",
    "auto_remove": "remove",
    "networks": "network",
    "network_mode": "network",
    "ip": "address",
    "add_host": "extra_hosts",
    "pids_limit": "pids",
    "terminal": "tty",
    "rlimits": "ulimits",
    "read_only_root": "read_only",
    "readonly": "read_only",
    "security_opt": "seccomp",
    "pull_policy": "pull",
}


def accepts_options(options: type) -> Callable[[F], F]:
    """
    Show the keywords of a `TypedDict` in the signature of a function that takes it with `Unpack`.
    """

    def show(function: F) -> F:
        signature = inspect.signature(function)
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=kind)
            for name, kind in options.__annotations__.items()
        ]
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shown = signature.replace(parameters=[*own, *keywords])
        cast(Any, function).__signature__ = shown
        return function

    return show


def container_spec(
    image: str | Image, command: Sequence[str] | None, options: Mapping[str, Any]
) -> ContainerSpec:
    """
    Make a spec of keywords.

    Args:
        image: What to run.
        command: Replaces the image's.
        options: ContainerOptions.

    Raises:
        InvalidArgumentError: Some can't be used; it names all of them.
    """
    problems = Problems()
    given = _known(options, ContainerOptions.__annotations__, problems)
    fields: dict[str, Any] = {"image": str(image) if is_image(image) else image}
    fields["command"] = command
    with problems.at(""):
        fields["resources"] = Resources(**_take(given, _RESOURCES))
    with problems.at(""):
        fields["sandbox"] = _sandbox(given)
    for name, parse in _PARSED.items():
        if name in given:
            with problems.at(name):
                fields["rlimits" if name == "ulimits" else name] = parse(given[name])
            del given[name]
    if isinstance(given.get("user"), int) and not isinstance(given["user"], bool):
        given["user"] = str(given["user"])
    fields |= {_RENAMED.get(name, name): value for name, value in given.items()}
    spoken = {field: name for name, field in _RENAMED.items()}
    try:
        spec = ContainerSpec(**fields)
    except InvalidArgumentError as error:
        for problem in error.problems:
            problems.found.append(problem._replace(field=spoken.get(problem.field, problem.field)))
    problems.raise_any()
    return spec


def pod_spec(name: str | None, options: Mapping[str, Any]) -> PodSpec:
    """
    Make a spec of keywords.

    Args:
        name: Unique; kina chooses one when None.
        options: PodOptions.

    Raises:
        InvalidArgumentError: Some can't be used; it names all of them.
    """
    problems = Problems()
    given = _known(options, PodOptions.__annotations__, problems)
    sandbox = SandboxSpec()
    with problems.at(""):
        sandbox = _sandbox(given)
    try:
        spec = PodSpec(name=name, sandbox=sandbox, **given)
    except InvalidArgumentError as error:
        problems.absorb("", error)
    problems.raise_any()
    return spec


def resources_spec(options: Mapping[str, Any]) -> Resources:
    """
    Make limits of keywords.

    Raises:
        InvalidArgumentError: Some can't be used; it names all of them.
    """
    return Resources(**options)


def is_image(value: object) -> bool:
    """
    Say whether something is a `kina.Image`, without importing that.
    """
    return hasattr(value, "reference") and hasattr(value, "digest")


def _known(
    options: Mapping[str, Any], keywords: Mapping[str, Any], problems: Problems
) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - keywords.keys():
        problems.add(name, None, "is not a known keyword", _suggestion(name, keywords))
        del given[name]
    return given


def _suggestion(name: str, keywords: Mapping[str, Any]) -> str | None:
    close = _FOREIGN.get(name) or nearest(name, [*keywords, *_FOREIGN])
    close = _FOREIGN.get(close or "", close)
    return f"did you mean {close!r}?" if close in keywords else None


def _take(given: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given.pop(name) for name in list(names) if name in given}


def _sandbox(given: dict[str, Any]) -> SandboxSpec:
    problems = Problems()
    fields = _take(given, ("hostname", "extra_hosts", "sysctls", "shm_size"))
    modes = {name.removesuffix("_namespace"): given.pop(name, "private") for name in _NAMESPACES}
    with problems.at(""):
        modes["network"], fields["networks"] = _networks(
            given.pop("network", None), given.pop("address", None), given.pop("aliases", ())
        )
    for name, parse in (("ports", parse_ports), ("dns", parse_dns)):
        if name in given:
            with problems.at(name):
                fields[name] = cast(Any, parse)(given.pop(name))
    with problems.at(""):
        try:
            fields["namespaces"] = NamespacesSpec(**modes)
        except InvalidArgumentError as error:
            raise InvalidArgumentError.of(
                [p._replace(field=f"{p.field}_namespace") for p in error.problems]
            ) from None
    try:
        sandbox = SandboxSpec(**fields)
    except InvalidArgumentError as error:
        problems.absorb("", error)
    problems.raise_any()
    return sandbox


def _networks(
    network: Any, address: Any, aliases: Any
) -> tuple[str, tuple[NetworkAttachment, ...]]:
    listed = [network] if isinstance(network, str) or not isinstance(network, Sequence) else network
    listed = [item for item in listed if item is not None]
    single = address is not None or bool(aliases)
    if listed in (["host"], ["none"]):
        if single:
            reason = f"there is no network to have it on with network={listed[0]!r}"
            raise InvalidArgumentError.at("address" if address else "aliases", address, reason)
        return listed[0], ()
    if single and len(listed) > 1:
        raise InvalidArgumentError.at(
            "address" if address else "aliases",
            address or aliases,
            "belongs to one network, and there are several",
            "pass network=[NetworkAttachment(name, address=…, aliases=…), …]",
        )
    if single and not listed:
        listed = ["default"]
    problems = Problems()
    attached: list[NetworkAttachment] = []
    for index, item in enumerate(listed):
        with problems.at("network" if len(listed) == 1 else f"network[{index}]"):
            attached.append(_attachment(item))
    if single and attached:
        with problems.at(""):
            attached[0] = attrs.evolve(
                attached[0],
                address=address or attached[0].address,
                aliases=tuple(aliases) or attached[0].aliases,
            )
    problems.raise_any()
    return "private", tuple(attached)


def _attachment(item: Any) -> NetworkAttachment:
    if isinstance(item, NetworkAttachment):
        return item
    name = item if isinstance(item, str) else getattr(item, "name", None)
    if not isinstance(name, str):
        raise InvalidArgumentError.at("", item, "must be a network or its name")
    return NetworkAttachment(name)


def _each(parse: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def parse_all(values: Any) -> tuple[Any, ...]:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise InvalidArgumentError.at("", values, "must be a list")
        problems = Problems()
        result = []
        for index, value in enumerate(values):
            with problems.at(f"[{index}]"):
                result.append(parse(value))
        problems.raise_any()
        return tuple(result)

    return parse_all


def _pod(value: Any) -> str:
    found = value if isinstance(value, str) else getattr(value, "id", None)
    if not isinstance(found, str):
        raise InvalidArgumentError.at("", value, "must be a pod or its name")
    return found


_PARSED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "mounts": parse_mounts,
    "devices": _each(parse_device),
    "ulimits": parse_ulimits,
    "seccomp": parse_seccomp,
    "pod": _pod,
}
