"""
kubeadm's configuration, in the version that a Kubernetes reads.

Pure functions: facts in, text out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from kina.bootstrap.patches import Document, patched, patched_by_operations
from kina.clusterconfig import ClusterConfig, NodeConfig
from kina.errors import InvalidArgumentError, UnsupportedError

__all__ = ["ENDPOINT", "NodeFacts", "Version", "document"]

ENDPOINT: Final = "control-plane.kina"
"""
The name that nodes reach the control plane by. It is the same in every cluster, whose network
resolves it: nothing in a node's files names one cluster's address.
"""
PORT: Final = 6443
# A new cluster's controllers have more to ask for than they may by default, and wait a quarter of a
# second for each question.
_EAGER: Final = {"kube-api-qps": "100", "kube-api-burst": "200"}
# The kubelet refuses to give itself labels of these domains, but for a few.
_RESERVED: Final = re.compile(r"([^/]+\.)?(kubernetes|k8s)\.io/")


@attrs.frozen(order=True)
class Version:
    """
    A version of Kubernetes.
    """

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """
        Read "v1.20.2", with or without what follows.

        Raises:
            InvalidArgumentError: It is no version.
            UnsupportedError: It is older than kina works with.
        """
        match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text.strip(), re.ASCII)
        if match is None:
            raise InvalidArgumentError.at("version", text, "is no version of Kubernetes")
        version = cls(*map(int, match.groups()))
        if version < cls(1, 20, 0):
            raise UnsupportedError(f"Kubernetes {version} is too old", hint="1.20 is the oldest")
        return version

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"


@attrs.frozen(kw_only=True)
class NodeFacts:
    """
    What is known of a node when it is configured.

    Attributes:
        name: Its name in Kubernetes.
        address: Its address.
        version: The Kubernetes of its image.
        cgroup_driver: What its containerd was configured with.
        cgroup_v1: Whether its groups are of version 1.
        hosts: Further names and addresses that its API server is reached by.
    """

    name: str
    address: str
    version: Version
    cgroup_driver: str = "systemd"
    cgroup_v1: bool = False
    hosts: tuple[str, ...] = ()


def document(
    cluster: str, config: ClusterConfig, node: NodeConfig, facts: NodeFacts, token: str
) -> str:
    """
    Write a node's kubeadm configuration.

    Args:
        cluster: The cluster's name.
        config: What it should be.
        node: What the node should be.
        facts: What it is.
        token: Proves to the cluster who may join.

    Raises:
        UnsupportedError: This Kubernetes can't do something that was asked for.
        InvalidArgumentError: A patch does not fit the document that it is for.
    """
    import yaml

    version = _api_version(facts.version)
    documents = [_kubelet(config, facts)]
    if config.networking.kube_proxy_mode != "none":
        documents.append(_proxy(config, facts.version))
    if node.role == "control-plane":
        documents.insert(0, _init(cluster, config, node, facts, token, version))
        documents.insert(0, _cluster(cluster, config, facts, version))
    else:
        documents.insert(0, _join(cluster, node, facts, token, version))
    # In kind's order.
    for source in (config, node):
        documents = patched(documents, source.kubeadm_config_patches)
        documents = patched_by_operations(documents, source.kubeadm_config_patches_json6902)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _api_version(version: Version) -> str:
    if version < Version(1, 23, 0):
        word = "v1beta2"
    elif version < Version(1, 36, 0):
        word = "v1beta3"
    else:
        word = "v1beta4"
    return f"kubeadm.k8s.io/{word}"


def _arguments(version: str, arguments: Mapping[str, str]) -> Any:
    """
    Write a component's arguments: v1beta4 has a list where the others have a mapping.
    """
    if version.endswith("v1beta4"):
        return [{"name": name, "value": value} for name, value in arguments.items()]
    return dict(arguments)


def _gates(config: ClusterConfig) -> dict[str, str]:
    gates = ",".join(f"{k}={str(v).lower()}" for k, v in sorted(config.feature_gates.items()))
    return {"feature-gates": gates} if gates else {}


def _cluster(cluster: str, config: ClusterConfig, facts: NodeFacts, version: str) -> Document:
    networking = config.networking
    gates = _gates(config)
    server = dict(gates)
    # One control plane has nobody to be elected against: an election costs it seconds, and after a
    # restart the whole lease of the one that was.
    elected = {"leader-elect": "false"} | gates
    if config.runtime_config:
        pairs = config.runtime_config.items()
        server["runtime-config"] = ",".join(f"{key}={value}" for key, value in pairs)
    names = ["localhost", "127.0.0.1", networking.api_server_address, facts.name, facts.address]
    names += facts.hosts
    return {
        "apiVersion": version,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": str(facts.version),
        "clusterName": cluster,
        "controlPlaneEndpoint": f"{ENDPOINT}:{PORT}",
        "apiServer": {
            "certSANs": list(dict.fromkeys(n for n in names if n != "0.0.0.0")),  # noqa: S104
            "extraArgs": _arguments(version, server),
        },
        "controllerManager": {"extraArgs": _arguments(version, {**_EAGER, **elected})},
        "scheduler": {"extraArgs": _arguments(version, elected)},
        "networking": {
            "podSubnet": networking.pod_subnet,
            "serviceSubnet": networking.service_subnet,
        },
        **_keys(facts.version),
    }


def _keys(version: Version) -> Document:
    """
    Have kubeadm make elliptic keys, where it can: fifteen of RSA take seconds.
    """
    if version < Version(1, 31, 0):
        return {"featureGates": {"PublicKeysECDSA": True}}
    if version >= Version(1, 36, 0):
        return {"encryptionAlgorithm": "ECDSA-P256"}
    return {}  # the gate is on its way out, and the field is not in the documents yet


def _registration(
    cluster: str, node: NodeConfig, facts: NodeFacts, version: str, taints: Iterable[str] | None
) -> Document:
    arguments = {
        "node-ip": facts.address,
        "provider-id": f"kina://kina/{cluster}/{facts.name}",
    }
    own = own_labels(node.labels)
    if own:
        arguments["node-labels"] = ",".join(f"{key}={value}" for key, value in own.items())
    scheme = "" if version.endswith("v1beta2") else "unix://"
    registration: Document = {
        "name": facts.name,
        "criSocket": f"{scheme}/run/containerd/containerd.sock",
        "kubeletExtraArgs": _arguments(version, arguments),
    }
    if taints is not None:
        registration["taints"] = [_taint(taint) for taint in taints]
    return registration


def own_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """
    Return the labels that a kubelet may give to its node; the others are set through the API.
    """
    return {key: value for key, value in labels.items() if not _RESERVED.match(key)}


def _taint(text: str) -> Document:
    rest, _, effect = text.rpartition(":")
    key, _, value = rest.partition("=")
    return {"key": key, "value": value, "effect": effect}


def _init(
    cluster: str,
    config: ClusterConfig,
    node: NodeConfig,
    facts: NodeFacts,
    token: str,
    version: str,
) -> Document:
    taints = node.taints
    if taints is None and len(config.nodes) == 1:
        taints = ()  # a lone node runs everything
    return {
        "apiVersion": version,
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"token": token, "ttl": "1h0m0s"}],
        "localAPIEndpoint": {"advertiseAddress": facts.address, "bindPort": PORT},
        "nodeRegistration": _registration(cluster, node, facts, version, taints),
    }


DISCOVERY: Final = "/kind/discovery.conf"
"""Where a node that joins finds the API server's address and its authority's certificate."""


def _join(
    cluster: str,
    node: NodeConfig,
    facts: NodeFacts,
    token: str,
    version: str,
) -> Document:
    return {
        "apiVersion": version,
        "kind": "JoinConfiguration",
        "discovery": {"file": {"kubeConfigPath": DISCOVERY}, "tlsBootstrapToken": token},
        "nodeRegistration": _registration(cluster, node, facts, version, node.taints),
    }


def discovery(authority: str) -> str:
    """
    Write the file that a joining node trusts.

    Args:
        authority: The certificate, in base64.
    """
    import yaml

    server = {"server": f"https://{ENDPOINT}:{PORT}", "certificate-authority-data": authority}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "", "cluster": server}],
            "contexts": [],
            "users": [],
            "current-context": "",
        }
    )


def _kubelet(config: ClusterConfig, facts: NodeFacts) -> Document:
    none = dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%")
    kubelet: Document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": facts.cgroup_driver,
        "failSwapOn": False,
        # The disk is the host's, and the host's business.
        "evictionHard": none,
        "imageGCHighThresholdPercent": 100,
    }
    if config.feature_gates:
        kubelet["featureGates"] = dict(config.feature_gates)
    if facts.cgroup_v1 and facts.version >= Version(1, 35, 0):
        kubelet["failCgroupV1"] = False
    return kubelet


def _proxy(config: ClusterConfig, version: Version) -> Document:
    mode = config.networking.kube_proxy_mode
    if mode == "nftables" and version < Version(1, 29, 0):
        raise UnsupportedError(
            f"networking.kubeProxyMode 'nftables': Kubernetes {version} can't do that",
            hint="use 'iptables', or an image with 1.29 or newer",
        )
    proxy: Document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        # The limits of connection tracking are the host's: a node can't write them.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "clusterCIDR": config.networking.pod_subnet,
    }
    if config.feature_gates:
        proxy["featureGates"] = dict(config.feature_gates)
    return proxy
