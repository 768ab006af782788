"""
What a cluster should be. `kina.clusteryaml` reads and writes it as kind's configuration files.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import attrs

from kina import _fields as f
from kina._fields import Problems, Spec
from kina.config import Mount, Port
from kina.errors import InvalidArgumentError

__all__ = ["ClusterConfig", "ConfigLike", "JSONPatch", "Networking", "NodeConfig", "check_name"]

Role = Literal["control-plane", "worker"]
ProxyMode = Literal["iptables", "ipvs", "nftables", "none"]

# A node's name is <cluster>-control-plane: a host name has 63 characters, less the longest ending.
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,41}[a-z0-9])?", re.ASCII)
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_DOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def check_name(value: str) -> str:
    """
    Take a cluster's name.

    Raises:
        InvalidArgumentError: It can't be one.
    """
    if not NAME.fullmatch(f.parse_text(value)) or ".." in value:
        hint = "lower case letters, digits, '-' and '.', at most 43, such as 'dev'"
        raise InvalidArgumentError.at("", value, "can't be a cluster's name", hint)
    return value


def _qualified(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not _DOMAIN.fullmatch(prefix)):
        raise InvalidArgumentError.at("", value, "can't be a label's name")
    return value


def _labels(value: Mapping[str, object] | Iterable[str] | None) -> dict[str, str]:
    labels = f.parse_mapping(value)
    problems = Problems()
    for key, item in labels.items():
        with problems.at(f"[{key!r}]"):
            _qualified(key)
            if item and not _LABEL_NAME.fullmatch(item):
                raise InvalidArgumentError.at("", item, "can't be a label's value")
    problems.raise_any()
    return labels


def _taint(value: str) -> str:
    key, _, effect = value.rpartition(":")
    name, _, content = key.partition("=")
    if effect not in _EFFECTS or (content and not _LABEL_NAME.fullmatch(content)):
        hint = f"write 'key=value:Effect' or 'key:Effect'; effects are {', '.join(_EFFECTS)}"
        raise InvalidArgumentError.at("", value, "is not a taint", hint)
    _qualified(name)
    return value


def _taints(value: Iterable[str]) -> tuple[str, ...]:
    problems = Problems()
    taints = f.parse_strings(value)
    for index, taint in enumerate(taints):
        with problems.at(f"[{index}]"):
            _taint(taint)
    problems.raise_any()
    return taints


def _patch(value: object) -> str:
    """
    Take a patch of a kubeadm document: YAML with a kind.
    """
    import yaml

    if isinstance(value, Mapping):
        value = yaml.safe_dump(dict(value), sort_keys=False)
    text = f.parse_name(cast(str, value))
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidArgumentError.at("", value, f"is not YAML: {error}") from None
    if not isinstance(read, dict) or not isinstance(read.get("kind"), str):
        hint = "begin with 'kind: ClusterConfiguration' or another of kubeadm's documents"
        raise InvalidArgumentError.at("", value, "must be a mapping with a kind", hint)
    with_field = Problems()
    with with_field.at("kind"):
        _patched_kind(read["kind"])
    with_field.raise_any()
    return text


def _patched_kind(value: str) -> str:
    if f.parse_text(value) not in PATCHED:
        close = f.nearest(value, PATCHED)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(PATCHED)}"
        raise InvalidArgumentError.at("", value, "is not in the configuration", hint)
    return value


def _operations(value: object) -> str:
    """
    Take the operations of a JSON patch: a list, or YAML or JSON that is one.
    """
    import json

    import yaml
    from jsonpatch import InvalidJsonPatch, JsonPatch
    from jsonpointer import JsonPointerException

    if isinstance(value, list | tuple):
        value = json.dumps(list(value))
    text = f.parse_name(cast(str, value))
    hint = "write a list such as [{op: add, path: /clusterName, value: dev}]"
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidArgumentError.at("", value, f"is not YAML: {error}") from None
    if not isinstance(read, list) or not all(isinstance(item, Mapping) for item in read):
        raise InvalidArgumentError.at("", value, "must be a list of operations", hint)
    try:
        JsonPatch(read)
    except (InvalidJsonPatch, JsonPointerException, TypeError) as error:
        raise InvalidArgumentError.at("", value, f"is no JSON patch: {error}", hint) from None
    return text


PATCHED: Final = (
    "ClusterConfiguration",
    "InitConfiguration",
    "JoinConfiguration",
    "KubeletConfiguration",
    "KubeProxyConfiguration",
)
"""The kinds of documents that patches can be for."""


def _toml(value: str) -> str:
    import tomllib

    text = f.parse_name(value)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgumentError.at("", value, f"is not TOML: {error}") from None
    return text


def _each(parse: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidArgumentError.at("", value, "must be a list")
    problems = Problems()
    found: list[Any] = []
    for index, item in enumerate(value):
        with problems.at(f"[{index}]"):
            found.append(parse(item))
    problems.raise_any()
    return tuple(found)


def _subnet(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        hint = "write one such as '10.244.0.0/16'"
        raise InvalidArgumentError.at("", value, "is not an IPv4 subnet", hint) from None
    return str(network)


def _flags(value: Mapping[str, bool]) -> dict[str, bool]:
    if not isinstance(value, Mapping):
        raise InvalidArgumentError.at("", value, "must be a mapping of names to true or false")
    problems = Problems()
    for key, item in value.items():
        with problems.at(f"[{key!r}]"):
            f.parse_name(key)
            if not isinstance(item, bool):
                raise InvalidArgumentError.at("", item, "must be true or false")
    problems.raise_any()
    return dict(value)


# Converters of attrs fields: plain functions, as mypy reads a converter's type from.
def _to_role(value: Role) -> Role:
    return f.deferred(lambda word: f.choice(word, "control-plane", "worker"), value)


def _to_mode(value: ProxyMode) -> ProxyMode:
    return f.deferred(lambda word: f.choice(word, "iptables", "ipvs", "nftables", "none"), value)


def _to_name(value: str | None) -> str | None:
    return None if value is None else f.deferred(check_name, value)


def _to_labels(value: Mapping[str, object] | Iterable[str] | None) -> dict[str, str]:
    return f.deferred(_labels, value)


def _to_taints(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else f.deferred(_taints, value)


def _to_patches(value: Iterable[str | Mapping[str, Any]]) -> tuple[str, ...]:
    return f.deferred(lambda items: _each(_patch, items), value)


def _to_toml(value: Iterable[str]) -> tuple[str, ...]:
    return f.deferred(lambda items: _each(_toml, items), value)


def _to_subnet(value: str) -> str:
    return f.deferred(_subnet, value)


def _to_flags(value: Mapping[str, bool]) -> dict[str, bool]:
    return f.deferred(_flags, value)


def _to_mounts(value: Iterable[Mount]) -> tuple[Mount, ...]:
    return f.deferred(lambda items: f.sequence(Mount, items, "mounts"), value)


def _to_ports(value: Iterable[Port]) -> tuple[Port, ...]:
    return f.deferred(lambda items: f.sequence(Port, items, "ports"), value)


def _to_kind(value: str) -> str:
    return f.deferred(_patched_kind, value)


def _to_operations(value: object) -> str:
    return f.deferred(_operations, value)


@attrs.frozen(kw_only=True)
class JSONPatch(Spec):
    """
    A JSON patch (RFC 6902) of one of kubeadm's documents.

    ```python
    JSONPatch(
        kind="ClusterConfiguration",
        patch=[{"op": "add", "path": "/apiServer/certSANs/-", "value": "dev.example"}],
    )
    ```

    Attributes:
        kind: The document's.
        patch: The operations: a list, or YAML or JSON.
        group: The document's API group; any when None.
        version: The document's version of it; any when None. What is for another version than a
            cluster's Kubernetes has is not applied.
    """

    kind: str = attrs.field(converter=_to_kind)
    patch: str = attrs.field(converter=_to_operations)
    group: str | None = attrs.field(default=None, converter=f.to_optional_text)
    version: str | None = attrs.field(default=None, converter=f.to_optional_text)

    def operations(self) -> list[dict[str, Any]]:
        """
        Return the operations.
        """
        import yaml

        read: list[dict[str, Any]] = yaml.safe_load(self.patch)
        return read

    def is_for(self, api_version: str, kind: str) -> bool:
        """
        Say whether it is for a document.
        """
        group, _, version = api_version.rpartition("/")
        return kind == self.kind and self.group in (None, group) and self.version in (None, version)


def _to_json_patches(value: Iterable[JSONPatch]) -> tuple[JSONPatch, ...]:
    return f.deferred(lambda items: f.sequence(JSONPatch, items, "JSON patches"), value)


@attrs.frozen(kw_only=True)
class NodeConfig(Spec):
    """
    What a node should be.

    Attributes:
        role: control-plane or worker.
        image: A node image; the cluster's when None.
        labels: The Kubernetes node's.
        taints: "key=value:Effect". None: none on a worker and on a lone node, Kubernetes' usual
            one on a control plane that has workers.
        extra_mounts: What the node mounts, such as `Mount.bind(…)`.
        extra_port_mappings: Ports of the node that are published on the host.
        kubeadm_config_patches: Merge patches of kubeadm's documents: YAML, each with its kind.
        kubeadm_config_patches_json6902: JSON patches of them, applied after those.
        cpus: CPUs' worth of time, a real limit; None for none.
        memory: Bytes, a real limit; None for none.
    """

    role: Role = attrs.field(default="control-plane", converter=_to_role)
    image: str | None = attrs.field(default=None, converter=f.to_optional_text)
    labels: dict[str, str] = attrs.field(factory=dict, converter=_to_labels)
    taints: tuple[str, ...] | None = attrs.field(default=None, converter=_to_taints)
    extra_mounts: tuple[Mount, ...] = attrs.field(default=(), converter=_to_mounts)
    extra_port_mappings: tuple[Port, ...] = attrs.field(default=(), converter=_to_ports)
    kubeadm_config_patches: tuple[str, ...] = attrs.field(default=(), converter=_to_patches)
    kubeadm_config_patches_json6902: tuple[JSONPatch, ...] = attrs.field(
        default=(), converter=_to_json_patches
    )
    cpus: float | None = attrs.field(default=None, converter=f.to_cpus)
    memory: int | None = attrs.field(default=None, converter=f.to_optional_bytes)

    def _check(self, problems: Problems) -> None:
        least = 512 << 20 if self.role == "control-plane" else 256 << 20
        if self.memory is not None and self.memory < least:
            problems.add("memory", self.memory, f"must be at least {least >> 20}Mi for this role")


def _to_nodes(value: Iterable[NodeConfig]) -> tuple[NodeConfig, ...]:
    return f.deferred(lambda items: f.sequence(NodeConfig, items, "nodes"), value)


@attrs.frozen(kw_only=True)
class Networking(Spec):
    """
    The addresses of a cluster.

    Attributes:
        pod_subnet: Of all pods; each node gets a part.
        service_subnet: Of Services.
        api_server_address: The host's address that the API server is published on. 127.0.0.1 is
            this machine's; where the nodes are on another, its address as this one reaches it.
        api_server_port: The port there; 0 for a free one.
        disable_default_cni: Whether the image's CNI is left out: nodes get ready when another one
            is installed.
        kube_proxy_mode: iptables, ipvs, nftables, or none for no kube-proxy.
        dns_search: Search domains of the nodes; the host network's when None.
    """

    pod_subnet: str = attrs.field(default="10.244.0.0/16", converter=_to_subnet)
    service_subnet: str = attrs.field(default="10.96.0.0/16", converter=_to_subnet)
    api_server_address: str = attrs.field(default="127.0.0.1", converter=f.to_address)
    api_server_port: int = attrs.field(default=0, converter=f.to_port)
    disable_default_cni: bool = attrs.field(default=False, converter=f.to_flag)
    kube_proxy_mode: ProxyMode = attrs.field(default="iptables", converter=_to_mode)
    dns_search: tuple[str, ...] | None = attrs.field(default=None, converter=f.to_optional_strings)

    def _check(self, problems: Problems) -> None:
        pods = ipaddress.IPv4Network(self.pod_subnet)
        services = ipaddress.IPv4Network(self.service_subnet)
        if pods.overlaps(services):
            reason = f"overlaps the pods' {self.pod_subnet}"
            problems.add("service_subnet", self.service_subnet, reason)
        if pods.prefixlen > 24:
            problems.add(
                "pod_subnet", self.pod_subnet, "is too small: a node takes a /24", "such as a /16"
            )
        if services.prefixlen > 28 or services.prefixlen < 12:
            problems.add("service_subnet", self.service_subnet, "must be a /12 to a /28")


@attrs.frozen(kw_only=True)
class ClusterConfig(Spec):
    """
    What a cluster should be.

    ```python
    config = ClusterConfig.read("kind.yaml")
    cluster = kina.Cluster.create("dev", config=config)
    ```

    Attributes:
        name: The cluster's; `Cluster.create` can say it instead.
        nodes: One control plane, and any number of workers.
        networking: Addresses.
        feature_gates: Kubernetes' feature gates, in every component.
        runtime_config: The API server's --runtime-config.
        kubeadm_config_patches: Merge patches of kubeadm's documents on every node.
        kubeadm_config_patches_json6902: JSON patches of them, applied after those.
        containerd_config_patches: TOML that is merged into containerd's configuration.
    """

    name: str | None = attrs.field(default=None, converter=_to_name)
    nodes: tuple[NodeConfig, ...] = attrs.field(
        factory=lambda: (NodeConfig(),), converter=_to_nodes
    )
    networking: Networking = attrs.field(factory=Networking)
    feature_gates: dict[str, bool] = attrs.field(factory=dict, converter=_to_flags)
    runtime_config: dict[str, str] = attrs.field(factory=dict, converter=f.to_mapping)
    kubeadm_config_patches: tuple[str, ...] = attrs.field(default=(), converter=_to_patches)
    kubeadm_config_patches_json6902: tuple[JSONPatch, ...] = attrs.field(
        default=(), converter=_to_json_patches
    )
    containerd_config_patches: tuple[str, ...] = attrs.field(default=(), converter=_to_toml)

    def _check(self, problems: Problems) -> None:
        planes = [i for i, node in enumerate(self.nodes) if node.role == "control-plane"]
        if not planes:
            hint = "give one node the role control-plane"
            problems.add("nodes", None, "there is no control plane", hint)
        for index in planes[1:]:
            problems.add(
                f"nodes[{index}].role",
                "control-plane",
                "several control planes are not supported yet",
                "keep one control plane, and make the others workers",
            )

    def with_workers(self, count: int) -> ClusterConfig:
        """
        Return the same with further workers.

        Args:
            count: How many.

        Raises:
            InvalidArgumentError: The count is negative.
        """
        problems = Problems()
        with problems.at("workers"):
            f.parse_integer(count, 0, 250)
        problems.raise_any()
        return attrs.evolve(self, nodes=(*self.nodes, *[NodeConfig(role="worker")] * count))

    @classmethod
    def read(cls, source: ConfigLike) -> ClusterConfig:
        """
        Read kind's configuration (kind.x-k8s.io/v1alpha4), with kina's additions.

        Args:
            source: A file's path, the text itself, or the mapping that it would be.

        Raises:
            InvalidArgumentError: Some of it can't be used. It names every wrong field by its path.
            NotFoundError: There is no such file.
        """
        from kina.clusteryaml import read

        return read(source)

    def to_yaml(self) -> str:
        """
        Write it as kind's configuration; fields that are as usual are left out.

        Raises:
            UnsupportedError: kind's format has no words for something.
        """
        from kina.clusteryaml import write

        return write(self)


ConfigLike: TypeAlias = ClusterConfig | str | os.PathLike[str] | Mapping[str, Any]
