"""
What is wanted: the specs that cross the runtime boundary, as frozen attrs classes.

They mirror the documents that `kina.h` names, field by field. Each accepts what people write
("256Mi", "1m30s"), holds the plain value, and raises everything that is wrong with it as one
`InvalidArgumentError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Literal

import attrs

from kina import _fields as f
from kina._fields import Problems, Spec
from kina._quantities import Quantity

__all__ = [
    "DNS",
    "ContainerSpec",
    "Device",
    "ImageConfig",
    "Mount",
    "NamespacesSpec",
    "NetworkAttachment",
    "NetworkSpec",
    "PodSpec",
    "Port",
    "ProcessSpec",
    "Resources",
    "Rlimit",
    "SandboxSpec",
    "Seccomp",
    "VolumeSpec",
]

MIB = 1 << 20

Protocol = Literal["tcp", "udp"]
MountType = Literal["bind", "volume", "tmpfs"]
PullPolicy = Literal["missing", "always", "never"]
Isolation = Literal["vm", "namespaces"]
NamespaceMode = Literal["private", "host"]
NetworkMode = Literal["private", "host", "none"]
SeccompProfile = Literal["default", "unconfined", "custom"]


def _protocol(value: Protocol) -> Protocol:
    return f.deferred(lambda word: f.choice(word, "tcp", "udp"), value)


def _mount_type(value: MountType) -> MountType:
    return f.deferred(lambda word: f.choice(word, "bind", "volume", "tmpfs"), value)


def _pull_policy(value: PullPolicy) -> PullPolicy:
    return f.deferred(lambda word: f.choice(word, "missing", "always", "never"), value)


def _isolation(value: Isolation | None) -> Isolation | None:
    if value is None:
        return None
    return f.deferred(lambda word: f.choice(word, "vm", "namespaces"), value)


def _mode(value: NamespaceMode) -> NamespaceMode:
    return f.deferred(lambda word: f.choice(word, "private", "host"), value)


def _network_mode(value: NetworkMode) -> NetworkMode:
    return f.deferred(lambda word: f.choice(word, "private", "host", "none"), value)


def _profile(value: SeccompProfile) -> SeccompProfile:
    return f.deferred(lambda word: f.choice(word, "default", "unconfined", "custom"), value)


@attrs.frozen
class Port(Spec):
    """
    A port of a container, published on the host.

    Attributes:
        container_port: The port in the container.
        host_port: The host's; 0 is a free one of kina's choice, kept for the container's life.
        host_address: An IPv4 address of the host; 0.0.0.0 means every one.
        protocol: tcp or udp.
    """

    container_port: int = attrs.field(converter=f.to_port)
    host_port: int = attrs.field(default=0, converter=f.to_port)
    host_address: str = attrs.field(default="127.0.0.1", converter=f.to_address)
    protocol: Protocol = attrs.field(default="tcp", converter=_protocol)

    def _check(self, problems: Problems) -> None:
        if self.container_port == 0:
            problems.add("container_port", 0, "must be 1 to 65535")


@attrs.frozen
class Mount(Spec):
    """
    Something mounted in a container. Made by `bind`, `volume` and `tmpfs`.

    Attributes:
        type: bind, volume or tmpfs.
        target: An absolute path in the container.
        source: A path of the host (bind); a volume's name (volume; None: an anonymous one that is
            deleted with the container).
        read_only: Whether it can't be written.
        options: Further mount options, as mount(8) spells them.
        size: Bytes (tmpfs).
        copy_up: Whether an empty volume is first filled with what the image has at the target.
    """

    type: MountType = attrs.field(converter=_mount_type)
    target: str = attrs.field(converter=f.to_path)
    source: str | None = attrs.field(default=None, converter=f.to_optional_text)
    read_only: bool = attrs.field(default=False, converter=f.to_flag)
    options: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    size: int | None = attrs.field(default=None, converter=f.to_optional_bytes)
    copy_up: bool = attrs.field(default=True, converter=f.to_flag)

    def _check(self, problems: Problems) -> None:
        if self.type == "bind" and not (self.source or "").startswith("/"):
            problems.add("source", self.source, "must be an absolute path of the host")
        if self.type == "tmpfs" and self.source is not None:
            problems.add("source", self.source, "a tmpfs has none")
        if self.type != "tmpfs" and self.size is not None:
            problems.add("size", self.size, "only a tmpfs has one")

    @classmethod
    def bind(
        cls,
        source: str | PathLike[str],
        target: str,
        *,
        read_only: bool = False,
        options: Iterable[str] = (),
    ) -> Mount:
        """
        Mount a file or directory of the host.

        Args:
            source: Its path; a relative one counts from the current directory.
            target: An absolute path in the container.
            read_only: Whether the container can't write to it.
            options: Further mount options, as mount(8) spells them.

        Raises:
            InvalidArgumentError: A path is not one.
        """
        from pathlib import Path

        # Not resolved: a symbolic link is the user's way of naming what it points to at the time.
        path = str(Path(source).expanduser().absolute())
        return cls("bind", target, path, read_only=read_only, options=options)

    @classmethod
    def volume(
        cls, name: str | None, target: str, *, read_only: bool = False, copy_up: bool = True
    ) -> Mount:
        """
        Mount a volume.

        Args:
            name: The volume's; it is made when there is none. None: an anonymous one.
            target: An absolute path in the container.
            read_only: Whether the container can't write to it.
            copy_up: Whether an empty volume is first filled with what the image has at the target.

        Raises:
            InvalidArgumentError: The name or the path is not one.
        """
        return cls("volume", target, name, read_only=read_only, copy_up=copy_up)

    @classmethod
    def tmpfs(
        cls, target: str, *, size: Quantity | None = None, options: Iterable[str] = ()
    ) -> Mount:
        """
        Mount an empty directory in memory.

        Args:
            target: An absolute path in the container.
            size: Its limit: bytes, or a quantity such as "64Mi".
            options: Further mount options, as mount(8) spells them.

        Raises:
            InvalidArgumentError: The path or the size is not one.
        """
        return cls("tmpfs", target, size=size, options=options)


@attrs.frozen
class NetworkAttachment(Spec):
    """
    A network that a container is on.

    Attributes:
        network: The network's name or id.
        address: A fixed IPv4 address inside the network's subnet.
        aliases: Further names of the container on this network.
    """

    network: str = attrs.field(converter=f.to_text)
    address: str | None = attrs.field(default=None, converter=f.to_optional_address)
    aliases: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)


@attrs.frozen
class DNS(Spec):
    """
    How a container resolves names; see resolv.conf(5).

    Attributes:
        servers: Addresses; none means the network's own resolver, which knows the containers'
            names.
        search: Domains that are tried for short names.
        options: Resolver options such as "ndots:5".
    """

    servers: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    search: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    options: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)

    def _check(self, problems: Problems) -> None:
        for index, server in enumerate(self.servers):
            with problems.at(f"servers[{index}]"):
                f.parse_address(server)


@attrs.frozen
class Seccomp(Spec):
    """
    Which system calls a container may make.

    Attributes:
        profile: default (what Podman and CRI-O use), unconfined or custom.
        json: With custom, the profile's text, in Docker's or the OCI runtime specification's form.
    """

    profile: SeccompProfile = attrs.field(default="default", converter=_profile)
    json: str | None = attrs.field(default=None, converter=f.to_optional_text)

    def _check(self, problems: Problems) -> None:
        if (self.profile == "custom") != (self.json is not None):
            problems.add("json", self.json, "goes with profile 'custom', and only with it")


@attrs.frozen
class Rlimit(Spec):
    """
    A limit of setrlimit(2).

    Attributes:
        type: "nofile", "nproc" and so on: lower case, without RLIMIT_.
        soft: The limit.
        hard: What the soft one can be raised to; the same when None.
    """

    type: str = attrs.field(converter=f.to_text)
    soft: int = attrs.field(converter=f.to_count)
    hard: int = attrs.field(
        default=attrs.Factory(lambda self: self.soft, takes_self=True), converter=f.to_count
    )

    def _check(self, problems: Problems) -> None:
        if self.soft > self.hard:
            problems.add("soft", self.soft, f"must not be above the hard limit {self.hard}")


@attrs.frozen
class Device(Spec):
    """
    A device of the host that a container may use.

    Attributes:
        source: A device node on the host.
        target: Where it appears in the container; the same path when None.
        permissions: Any of r, w and m.
    """

    source: str = attrs.field(converter=f.to_path)
    target: str | None = attrs.field(default=None, converter=f.to_optional_path)
    permissions: str = attrs.field(default="rwm", converter=f.to_text)

    def _check(self, problems: Problems) -> None:
        if not set(self.permissions) <= set("rwm"):
            problems.add("permissions", self.permissions, "must be made of r, w and m")


@attrs.frozen(kw_only=True)
class Resources(Spec):
    """
    Limits; None means unlimited in a spec and unchanged in an update.

    Attributes:
        cpus: CPUs' worth of time.
        cpu_weight: Relative share under contention, 1 to 10000, 100 being usual.
        cpuset: The CPUs to run on, such as "0-2,4".
        memory: Bytes.
        memory_swap: Bytes of memory and swap together; -1 for unlimited swap.
        pids: The most processes and threads.
    """

    cpus: float | None = attrs.field(default=None, converter=f.to_cpus)
    cpu_weight: int | None = attrs.field(default=None, converter=f.to_weight)
    cpuset: str | None = attrs.field(default=None, converter=f.to_optional_text)
    memory: int | None = attrs.field(default=None, converter=f.to_optional_bytes)
    memory_swap: int | None = attrs.field(default=None, converter=f.to_swap)
    pids: int | None = attrs.field(default=None, converter=f.to_optional_count)

    def _check(self, problems: Problems) -> None:
        if self.memory == 0:
            problems.add("memory", 0, "must be above 0", "leave it out for no limit")
        swap = self.memory_swap
        if swap is not None and swap != -1 and self.memory is not None and swap < self.memory:
            problems.add("memory_swap", swap, "counts memory and swap: not less than memory")


@attrs.frozen(kw_only=True)
class NamespacesSpec(Spec):
    """
    Which of the host's namespaces a sandbox shares.
    """

    network: NetworkMode = attrs.field(default="private", converter=_network_mode)
    pid: NamespaceMode = attrs.field(default="private", converter=_mode)
    ipc: NamespaceMode = attrs.field(default="private", converter=_mode)
    uts: NamespaceMode = attrs.field(default="private", converter=_mode)
    cgroup: NamespaceMode = attrs.field(default="private", converter=_mode)


@attrs.frozen(kw_only=True)
class SandboxSpec(Spec):
    """
    What a container's surroundings should be: what the members of a pod share.

    Attributes:
        hostname: The container's name, cut to what a host name may be, when None.
        networks: None: the default network. Only with a private network namespace.
        ports: Published ports.
        dns: How names are resolved.
        extra_hosts: Further lines of /etc/hosts: name to address.
        sysctls: Kernel parameters of the sandbox's namespaces.
        shm_size: Bytes of /dev/shm.
        namespaces: Which of the host's namespaces are shared.
    """

    hostname: str | None = attrs.field(default=None, converter=f.to_optional_text)
    networks: tuple[NetworkAttachment, ...] = attrs.field(default=(), converter=tuple)
    ports: tuple[Port, ...] = attrs.field(default=(), converter=tuple)
    dns: DNS = attrs.field(factory=DNS)
    extra_hosts: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    sysctls: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    shm_size: int = attrs.field(default=64 * MIB, converter=f.to_bytes)
    namespaces: NamespacesSpec = attrs.field(factory=NamespacesSpec)

    def _check(self, problems: Problems) -> None:
        for name, address in self.extra_hosts.items():
            with problems.at(f"extra_hosts[{name!r}]"):
                f.parse_address(address)
        mode = self.namespaces.network
        if mode != "private" and (self.networks or self.ports):
            what = "networks" if self.networks else "ports"
            problems.add(what, None, f"have no meaning with the network namespace {mode!r}")


@attrs.frozen(kw_only=True)
class PodSpec(Spec):
    """
    What a pod should be: a sandbox that several containers share.

    Attributes:
        name: Unique; kina chooses one when None.
        isolation: "vm" or "namespaces"; what the runtime has when None.
        sandbox: What its containers share.
        cpus: Of a pod that is a virtual machine.
        memory: Bytes, of a pod that is a virtual machine.
        labels: What it is known by.
    """

    schema: int = 1
    name: str | None = attrs.field(default=None, converter=f.to_optional_text)
    isolation: Isolation | None = attrs.field(default=None, converter=_isolation)
    sandbox: SandboxSpec = attrs.field(factory=SandboxSpec)
    cpus: float | None = attrs.field(default=None, converter=f.to_cpus)
    memory: int | None = attrs.field(default=None, converter=f.to_optional_bytes)
    labels: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)


@attrs.frozen(kw_only=True)
class ContainerSpec(Spec):
    """
    What a container should be. Field names follow the OCI specifications and Kubernetes.

    `kina.Container.run` and `create` make one from keywords; `kina.options.ContainerOptions` says
    what they mean.
    """

    schema: int = 1
    name: str | None = attrs.field(default=None, converter=f.to_optional_text)
    image: str = attrs.field(converter=f.to_text)
    pull_policy: PullPolicy = attrs.field(default="missing", converter=_pull_policy)
    pod: str | None = attrs.field(default=None, converter=f.to_optional_text)
    isolation: Isolation | None = attrs.field(default=None, converter=_isolation)
    sandbox: SandboxSpec = attrs.field(factory=SandboxSpec)
    entrypoint: tuple[str, ...] | None = attrs.field(default=None, converter=f.to_optional_strings)
    command: tuple[str, ...] | None = attrs.field(default=None, converter=f.to_optional_strings)
    env: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    workdir: str | None = attrs.field(default=None, converter=f.to_optional_path)
    user: str | None = attrs.field(default=None, converter=f.to_optional_text)
    groups: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    labels: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    terminal: bool = attrs.field(default=False, converter=f.to_flag)
    stdin: bool = attrs.field(default=False, converter=f.to_flag)
    init: bool = attrs.field(default=False, converter=f.to_flag)
    privileged: bool = attrs.field(default=False, converter=f.to_flag)
    read_only_root: bool = attrs.field(default=False, converter=f.to_flag)
    no_new_privileges: bool = attrs.field(default=True, converter=f.to_flag)
    cap_add: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    cap_drop: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    seccomp: Seccomp = attrs.field(factory=Seccomp)
    rlimits: tuple[Rlimit, ...] = attrs.field(default=(), converter=tuple)
    devices: tuple[Device, ...] = attrs.field(default=(), converter=tuple)
    mounts: tuple[Mount, ...] = attrs.field(default=(), converter=tuple)
    resources: Resources = attrs.field(factory=Resources)
    stop_signal: str | None = attrs.field(default=None, converter=f.to_signal)
    stop_timeout: float = attrs.field(default=10.0, converter=f.to_seconds)
    log_limit: int = attrs.field(default=64 * MIB, converter=f.to_bytes)
    writable_cgroups: bool = attrs.field(default=False, converter=f.to_flag)
    remove: bool = attrs.field(default=False, converter=f.to_flag)

    def _check(self, problems: Problems) -> None:
        targets: dict[str, int] = {}
        for index, mount in enumerate(self.mounts):
            target = mount.target.rstrip("/") or "/"
            if target in targets:
                problems.add(
                    f"mounts[{index}]", mount.target, f"mounts[{targets[target]}] is there"
                )
            targets.setdefault(target, index)


@attrs.frozen(kw_only=True)
class ProcessSpec(Spec):
    """
    A further process in a running container.

    Attributes:
        args: The program and its arguments.
        env: On top of the container's.
        workdir: The container's when None.
        user: "name", "uid", "name:group" or "uid:gid"; the container's when None.
        terminal: Whether its streams are one terminal.
        privileged: Whether it has all the capabilities there are.
        timeout_ms: When the process and its children are killed.
    """

    args: tuple[str, ...] = attrs.field(converter=f.to_strings)
    env: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    workdir: str | None = attrs.field(default=None, converter=f.to_optional_path)
    user: str | None = attrs.field(default=None, converter=f.to_optional_text)
    terminal: bool = attrs.field(default=False, converter=f.to_flag)
    privileged: bool = attrs.field(default=False, converter=f.to_flag)
    timeout_ms: int | None = None

    def _check(self, problems: Problems) -> None:
        if not self.args or not self.args[0]:
            problems.add("args", list(self.args), "must begin with a program", "such as ['true']")


@attrs.frozen(kw_only=True)
class NetworkSpec(Spec):
    """
    What a network should be.

    Attributes:
        name: Unique.
        subnet: "10.90.1.0/24"; a free one of kina's choice when None.
        gateway: The first address of the subnet when None.
        internal: Whether there is no way to the outside.
        mtu: Bytes; the host's when None.
        labels: What it is known by.
    """

    name: str = attrs.field(converter=f.to_text)
    subnet: str | None = attrs.field(default=None, converter=f.to_optional_text)
    gateway: str | None = attrs.field(default=None, converter=f.to_optional_address)
    internal: bool = attrs.field(default=False, converter=f.to_flag)
    mtu: int | None = attrs.field(default=None, converter=f.to_optional_count)
    labels: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)


@attrs.frozen(kw_only=True)
class VolumeSpec(Spec):
    """
    What a volume should be.

    Attributes:
        name: kina chooses one when None.
        labels: What it is known by.
    """

    name: str | None = attrs.field(default=None, converter=f.to_optional_text)
    labels: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)


@attrs.frozen(kw_only=True)
class ImageConfig(Spec):
    """
    How containers of an image run, unless they say otherwise.

    Attributes:
        entrypoint: The program.
        command: Its arguments, or the program where there is no entrypoint.
        env: Environment variables.
        workdir: The current directory.
        user: "name", "uid", "name:group" or "uid:gid".
        labels: What it is known by.
        exposed_ports: "80/tcp".
        volumes: Paths.
        stop_signal: A signal's name or number.
    """

    entrypoint: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    command: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    env: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    workdir: str = attrs.field(default="", converter=f.to_plain_text)
    user: str = attrs.field(default="", converter=f.to_plain_text)
    labels: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    exposed_ports: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    volumes: tuple[str, ...] = attrs.field(default=(), converter=f.to_strings)
    stop_signal: str = attrs.field(default="", converter=f.to_plain_text)
