"""
kind's configuration files (kind.x-k8s.io/v1alpha4): read into a `ClusterConfig`, and written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from kina import _fields as f
from kina._fields import Problems
from kina.clusterconfig import ClusterConfig, ConfigLike, JSONPatch, Networking, NodeConfig
from kina.config import Mount, Port
from kina.errors import InvalidArgumentError, NotFoundError, UnsupportedError

__all__ = ["API_VERSION", "load_yaml", "read", "write"]

API_VERSION: Final = "kind.x-k8s.io/v1alpha4"

Parse = Callable[[Any], Any]
_PROPAGATION: Final = {"None": (), "HostToContainer": ("rslave",), "Bidirectional": ("rshared",)}


def read(source: ConfigLike) -> ClusterConfig:
    """
    Read a configuration from a file, from text or from a mapping.
    """
    if isinstance(source, ClusterConfig):
        return source
    if isinstance(source, Mapping):
        return _cluster(source)
    where, text = _text(source)
    try:
        content = load_yaml(text)
        if not isinstance(content, Mapping):
            raise InvalidArgumentError.at("", content, "must be a mapping", "see kind's examples")
        return _cluster(content)
    except InvalidArgumentError as error:
        if where is None:
            raise
        raise InvalidArgumentError.of(
            [p._replace(field=f"{where}: {p.field}".rstrip(": ")) for p in error.problems]
        ) from None


def _text(source: str | os.PathLike[str]) -> tuple[str | None, str]:
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return None, source
    if not isinstance(source, str | os.PathLike):
        raise InvalidArgumentError.at("config", source, "must be a ClusterConfig or a file")
    path = Path(source).expanduser()
    try:
        return os.fspath(source), path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"config {os.fspath(source)!r}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError.at("config", os.fspath(source), str(error)) from None


def load_yaml(text: str) -> Any:
    """
    Read one YAML document. A key that is there twice is an error, not the last one's.

    Raises:
        InvalidArgumentError: It is broken; the message names line and column.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(
            self, node: yaml.MappingNode, deep: bool = False
        ) -> dict[Hashable, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value!r} is there twice", key.start_mark
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidArgumentError.at("", None, f"is not YAML: {_told(error)}") from None


def _told(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return (
        problem if mark is None else f"{problem} (line {mark.line + 1}, column {mark.column + 1})"
    )


# -- Reading ---------------------------------------------------------------------------------------


@attrs.frozen
class _Kind:
    """
    What a mapping of the file is made into.

    Attributes:
        make: Takes the fields by their Python names.
        fields: Name in the file to name in Python, and how its value is read; without a name in
            Python the value is only looked at.
        refused: Name in the file to why it is not supported.
    """

    make: Callable[..., Any]
    fields: Mapping[str, tuple[str, Parse]]
    refused: Mapping[str, str] = attrs.field(factory=dict)

    def read(self, value: object) -> Any:
        """
        Make it, or raise everything that is wrong with it.
        """
        if not isinstance(value, Mapping):
            raise InvalidArgumentError.at("", value, "must be a mapping")
        problems = Problems()
        given: dict[str, Any] = {}
        for key, item in value.items():
            name = str(key)
            if name in self.refused:
                if item not in (None, False, [], {}, ""):
                    problems.add(name, item, f"is not supported: {self.refused[name]}")
            elif name not in self.fields:
                problems.add(name, None, "is not a known field", self._suggestion(name))
            elif item is not None:
                field, parse = self.fields[name]
                with problems.at(name):
                    read = parse(item)
                    if field:
                        given[field] = read
        try:
            made = self.make(**given)
        except InvalidArgumentError as error:
            for problem in error.problems:
                problems.found.append(problem._replace(field=self._spelled(problem.field)))
        problems.raise_any()
        return made

    def _suggestion(self, name: str) -> str:
        known = {key.lower(): key for key in (*self.fields, *self.refused)}
        close = f.nearest(name, known)
        return f"did you mean {known[close]!r}?" if close else f"known: {', '.join(self.fields)}"

    def _spelled(self, field: str) -> str:
        first, *rest = field.replace("[", ".[", 1).split(".")
        names = {python: name for name, (python, _) in self.fields.items()}
        tail = "".join(part if part.startswith("[") else f".{part}" for part in rest)
        return f"{names.get(first, first)}{tail}"


def _same(value: Any) -> Any:
    return value


def _list(kind: _Kind) -> Parse:
    def parse(value: object) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise InvalidArgumentError.at("", value, "must be a list")
        problems = Problems()
        items: list[Any] = []
        for index, item in enumerate(value):
            with problems.at(f"[{index}]"):
                items.append(kind.read(item))
        problems.raise_any()
        return items

    return parse


def _only(word: str, why: str) -> Parse:
    def parse(value: object) -> None:
        if value != word:
            raise InvalidArgumentError.at("", value, f"is not supported: {why}")

    return parse


def _required(value: object, name: str) -> None:
    if value is None:
        raise InvalidArgumentError.at(name, None, "is missing")


def _mount(
    host_path: str | None = None,
    container_path: str | None = None,
    read_only: bool = False,
    propagation: str = "None",
) -> Mount:
    problems = Problems()
    for value, name in ((host_path, "hostPath"), (container_path, "containerPath")):
        with problems.at(""):
            _required(value, name)
    with problems.at("propagation"):
        f.choice(propagation, *_PROPAGATION)
    problems.raise_any()
    assert host_path is not None
    assert container_path is not None
    try:
        return Mount.bind(
            host_path, container_path, read_only=read_only, options=_PROPAGATION[propagation]
        )
    except InvalidArgumentError as error:
        names = {"source": "hostPath", "target": "containerPath", "read_only": "readOnly"}
        raise InvalidArgumentError.of(
            [p._replace(field=names.get(p.field, p.field)) for p in error.problems]
        ) from None


def _protocol(value: object) -> str:
    if value == "SCTP":
        raise InvalidArgumentError.at("", value, "is not supported: only TCP and UDP are")
    return f.choice(str(value), "TCP", "UDP").lower()


def _port(
    container_port: int | None = None,
    host_port: int = 0,
    host_address: str = "0.0.0.0",  # noqa: S104  # kind's
    protocol: Any = "tcp",
) -> Port:
    _required(container_port, "containerPort")
    assert container_port is not None
    # kind's -1 is the engine's choice, as is 0.
    return Port(container_port, 0 if host_port == -1 else host_port, host_address, protocol)


def _json_patch(kind: str | None = None, patch: Any = None, **more: str) -> JSONPatch:
    problems = Problems()
    for value, name in ((kind, "kind"), (patch, "patch")):
        with problems.at(""):
            _required(value, name)
    problems.raise_any()
    assert kind is not None
    return JSONPatch(kind=kind, patch=patch, **more)


_MOUNT: Final = _Kind(
    _mount,
    {
        "hostPath": ("host_path", f.parse_name),
        "containerPath": ("container_path", f.parse_path),
        "readOnly": ("read_only", _same),
        "propagation": ("propagation", _same),
    },
    {"selinuxRelabel": "kina does not relabel files of the host"},
)
_PORT: Final = _Kind(
    _port,
    {
        "containerPort": ("container_port", _same),
        "hostPort": ("host_port", _same),
        "listenAddress": ("host_address", _same),
        "protocol": ("protocol", _protocol),
    },
)
_JSON_PATCH: Final = _Kind(
    _json_patch,
    {
        "group": ("group", _same),
        "version": ("version", _same),
        "kind": ("kind", _same),
        "patch": ("patch", _same),
    },
)
_JSON6902: Final = ("kubeadm_config_patches_json6902", _list(_JSON_PATCH))
_NODE: Final = _Kind(
    NodeConfig,
    {
        "role": ("role", _same),
        "image": ("image", _same),
        "labels": ("labels", _same),
        "taints": ("taints", _same),
        "extraMounts": ("extra_mounts", _list(_MOUNT)),
        "extraPortMappings": ("extra_port_mappings", _list(_PORT)),
        "kubeadmConfigPatches": ("kubeadm_config_patches", _same),
        "kubeadmConfigPatchesJSON6902": _JSON6902,
        "cpus": ("cpus", _same),
        "memory": ("memory", _same),
    },
)
_NETWORKING: Final = _Kind(
    Networking,
    {
        "ipFamily": ("", _only("ipv4", "kina's networks are IPv4")),
        "podSubnet": ("pod_subnet", _same),
        "serviceSubnet": ("service_subnet", _same),
        "apiServerAddress": ("api_server_address", _same),
        "apiServerPort": ("api_server_port", _same),
        "disableDefaultCNI": ("disable_default_cni", _same),
        "kubeProxyMode": ("kube_proxy_mode", _same),
        "dnsSearch": ("dns_search", _same),
    },
)


def _nodes(value: object) -> list[Any]:
    # kind takes none at all for one control plane.
    return _list(_NODE)(value) or [NodeConfig()]


def _known_version(value: object) -> None:
    if value != API_VERSION:
        hint = f"kina reads {API_VERSION}"
        raise InvalidArgumentError.at("", value, "is not a version that kina reads", hint)


def _known_kind(value: object) -> None:
    if value != "Cluster":
        raise InvalidArgumentError.at("", value, "must be 'Cluster'")


_CLUSTER: Final = _Kind(
    ClusterConfig,
    {
        "apiVersion": ("", _known_version),
        "kind": ("", _known_kind),
        "name": ("name", _same),
        "nodes": ("nodes", _nodes),
        "networking": ("networking", _NETWORKING.read),
        "featureGates": ("feature_gates", _same),
        "runtimeConfig": ("runtime_config", _same),
        "kubeadmConfigPatches": ("kubeadm_config_patches", _same),
        "kubeadmConfigPatchesJSON6902": _JSON6902,
        "containerdConfigPatches": ("containerd_config_patches", _same),
    },
    {
        "containerdConfigPatchesJSON6902": "write it as TOML, in containerdConfigPatches",
    },
)


def _cluster(content: Mapping[str, Any]) -> ClusterConfig:
    problems = Problems()
    for name in ("kind", "apiVersion"):
        if content.get(name) is None:
            hint = f"begin with 'kind: Cluster' and 'apiVersion: {API_VERSION}'"
            problems.add(name, None, "is missing", hint)
    made: list[ClusterConfig] = []
    with problems.at(""):
        made.append(_CLUSTER.read(content))
    problems.raise_any()
    return made[0]


# -- Writing ---------------------------------------------------------------------------------------


def write(config: ClusterConfig) -> str:
    """
    Write a configuration, leaving out what is as usual.
    """
    import yaml

    document = {"kind": "Cluster", "apiVersion": API_VERSION} | _plain(config, _CLUSTER)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _plain(value: Any, kind: _Kind) -> dict[str, Any]:
    usual = type(value)()
    result: dict[str, Any] = {}
    for name, (field, _) in kind.fields.items():
        item = getattr(value, field) if field else None
        if item is None or (item == getattr(usual, field) and field not in ("role", "nodes")):
            continue
        result[name] = _written(item)
    return result


def _written(item: Any) -> Any:
    if isinstance(item, tuple):
        return [_written(each) for each in item]
    if isinstance(item, NodeConfig):
        return _plain(item, _NODE)
    if isinstance(item, Networking):
        return _plain(item, _NETWORKING)
    if isinstance(item, JSONPatch):
        return {
            name: value
            for name in ("group", "version", "kind", "patch")
            if (value := getattr(item, name)) is not None
        }
    if isinstance(item, Mount):
        return _written_mount(item)
    if isinstance(item, Port):
        return {
            "containerPort": item.container_port,
            "hostPort": item.host_port,
            "listenAddress": item.host_address,
            "protocol": item.protocol.upper(),
        }
    return dict(item) if isinstance(item, Mapping) else item


def _written_mount(mount: Mount) -> dict[str, Any]:
    words = {options: word for word, options in _PROPAGATION.items()}
    if mount.type != "bind" or mount.options not in words:
        raise UnsupportedError(
            f"kind's format has no words for the mount at {mount.target!r}",
            hint="it knows bind mounts, with no options but propagation",
        )
    fields = {"hostPath": mount.source, "containerPath": mount.target}
    extra = {"readOnly": True} if mount.read_only else {}
    if mount.options:
        return fields | extra | {"propagation": words[mount.options]}
    return fields | extra
