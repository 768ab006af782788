from __future__ import annotations

from typing import Any

import pytest
import yaml

from kina.bootstrap import shipped
from kina.bootstrap._action import telling
from kina.bootstrap.kubeadm import NodeFacts, Version, discovery, document
from kina.bootstrap.patches import merged
from kina.clusterconfig import ClusterConfig, JSONPatch, Networking, NodeConfig
from kina.errors import InvalidArgumentError, InvalidStateError, UnsupportedError

TOKEN = "abcdef.0123456789abcdef"


def facts(version: str = "v1.20.2", **more: Any) -> NodeFacts:
    return NodeFacts(
        name="dev-control-plane", address="10.90.1.2", version=Version.parse(version), **more
    )


def documents(
    config: ClusterConfig | None = None, node: NodeConfig | None = None, **more: Any
) -> dict[str, Any]:
    config = config or ClusterConfig()
    text = document("dev", config, node or config.nodes[0], facts(**more), TOKEN)
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.20.2", "v1beta2"),
        ("v1.22.17", "v1beta2"),
        ("v1.23.0", "v1beta3"),
        ("v1.35.9", "v1beta3"),
        ("v1.36.0", "v1beta4"),
        ("v1.40.1-alpha.1+abc", "v1beta4"),
    ],
)
def test_each_kubernetes_gets_the_version_it_reads(version: str, expected: str) -> None:
    for role, kinds in (
        ("control-plane", ("ClusterConfiguration", "InitConfiguration")),
        ("worker", ("JoinConfiguration",)),
    ):
        found = documents(node=NodeConfig(role=role), version=version)  # type: ignore[arg-type]
        assert [found[k]["apiVersion"] for k in kinds] == [f"kubeadm.k8s.io/{expected}"] * len(
            kinds
        )


def test_the_certificate_is_for_every_way_to_the_api() -> None:
    config = ClusterConfig(networking=Networking(api_server_address="192.0.2.7"))
    names = documents(config)["ClusterConfiguration"]["apiServer"]["certSANs"]
    assert names == ["localhost", "127.0.0.1", "192.0.2.7", "dev-control-plane", "10.90.1.2"]
    everywhere = ClusterConfig(networking=Networking(api_server_address="0.0.0.0"))
    assert "0.0.0.0" not in documents(everywhere)["ClusterConfiguration"]["apiServer"]["certSANs"]


def test_the_control_plane_is_reached_by_a_name_that_is_not_the_clusters() -> None:
    assert documents()["ClusterConfiguration"]["controlPlaneEndpoint"] == "control-plane.kina:6443"
    file = yaml.safe_load(discovery("Q0E="))
    assert file["clusters"][0]["cluster"]["server"] == "https://control-plane.kina:6443"


def test_arguments_are_written_as_the_version_has_them() -> None:
    config = ClusterConfig(
        feature_gates={"B": False, "A": True}, runtime_config={"api/all": "true"}
    )
    old = documents(config)["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert old == {"feature-gates": "A=true,B=false", "runtime-config": "api/all=true"}
    new = documents(config, version="v1.36.0")["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert new == [{"name": name, "value": value} for name, value in old.items()]


def test_the_gates_are_in_every_component() -> None:
    found = documents(ClusterConfig(feature_gates={"A": True}))
    for component in ("apiServer", "controllerManager", "scheduler"):
        arguments = found["ClusterConfiguration"][component]["extraArgs"]
        assert arguments["feature-gates"] == "A=true"
    assert found["KubeletConfiguration"]["featureGates"] == {"A": True}
    assert found["KubeProxyConfiguration"]["featureGates"] == {"A": True}


def test_only_a_lone_control_plane_runs_everything() -> None:
    assert documents()["InitConfiguration"]["nodeRegistration"]["taints"] == []
    several = documents(ClusterConfig().with_workers(1))
    assert "taints" not in several["InitConfiguration"]["nodeRegistration"]


def test_taints_and_labels_are_given_at_registration_where_a_kubelet_may() -> None:
    node = NodeConfig(
        role="worker",
        taints=["dedicated=db:NoExecute", "alone:NoSchedule"],
        labels={"tier": "first", "node-role.kubernetes.io/db": ""},
    )
    registration = documents(node=node)["JoinConfiguration"]["nodeRegistration"]
    assert registration["taints"] == [
        {"key": "dedicated", "value": "db", "effect": "NoExecute"},
        {"key": "alone", "value": "", "effect": "NoSchedule"},
    ]
    assert registration["kubeletExtraArgs"]["node-labels"] == "tier=first"
    assert registration["kubeletExtraArgs"]["node-ip"] == "10.90.1.2"


def test_the_kubelet_uses_containerds_cgroup_driver() -> None:
    assert documents(cgroup_driver="cgroupfs")["KubeletConfiguration"]["cgroupDriver"] == "cgroupfs"


def test_cgroup_v1_is_allowed_where_it_must_be_asked_for() -> None:
    assert (
        documents(version="v1.36.0", cgroup_v1=True)["KubeletConfiguration"]["failCgroupV1"]
        is False
    )
    assert (
        "failCgroupV1" not in documents(version="v1.20.2", cgroup_v1=True)["KubeletConfiguration"]
    )
    assert "failCgroupV1" not in documents(version="v1.36.0")["KubeletConfiguration"]


def test_there_is_no_proxy_where_none_is_wanted() -> None:
    config = ClusterConfig(networking=Networking(kube_proxy_mode="none"))
    assert "KubeProxyConfiguration" not in documents(config)


def test_nftables_needs_a_kubernetes_that_knows_it() -> None:
    config = ClusterConfig(networking=Networking(kube_proxy_mode="nftables"))
    with pytest.raises(UnsupportedError, match="nftables"):
        documents(config)
    assert documents(config, version="v1.31.0")["KubeProxyConfiguration"]["mode"] == "nftables"


def test_patches_change_the_documents_of_their_kind() -> None:
    config = ClusterConfig(
        kubeadm_config_patches=[
            "kind: KubeletConfiguration\nmaxPods: 7\nfailSwapOn: null\n",
            "kind: ClusterConfiguration\napiServer:\n  extraArgs: {v: '4'}\n",
        ],
        nodes=[NodeConfig(kubeadm_config_patches=[{"kind": "KubeletConfiguration", "maxPods": 8}])],
    )
    found = documents(config)
    assert found["KubeletConfiguration"]["maxPods"] == 8
    assert "failSwapOn" not in found["KubeletConfiguration"]
    assert found["ClusterConfiguration"]["apiServer"]["extraArgs"] == {"v": "4"}
    assert found["ClusterConfiguration"]["apiServer"]["certSANs"]


def test_a_patch_of_arguments_fits_either_version() -> None:
    mapping = "kind: ClusterConfiguration\napiServer:\n  extraArgs: {v: '4'}\n"
    config = ClusterConfig(kubeadm_config_patches=[mapping], runtime_config={"api/all": "true"})
    new = documents(config, version="v1.36.0")["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert new == [{"name": "runtime-config", "value": "api/all=true"}, {"name": "v", "value": "4"}]
    listed = "kind: ClusterConfiguration\napiServer:\n  extraArgs: [{name: v, value: '4'}]\n"
    config = ClusterConfig(kubeadm_config_patches=[listed], runtime_config={"api/all": "true"})
    old = documents(config)["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert old == {"runtime-config": "api/all=true", "v": "4"}


def test_json_patches_change_documents_of_their_kind_and_version() -> None:
    def named(name: str, version: str | None) -> JSONPatch:
        operation = {"op": "add", "path": "/apiServer/certSANs/-", "value": name}
        return JSONPatch(kind="ClusterConfiguration", version=version, patch=[operation])

    config = ClusterConfig(
        kubeadm_config_patches=["kind: ClusterConfiguration\napiServer: {certSANs: [merged]}\n"],
        kubeadm_config_patches_json6902=[named("any", None), named("newer", "v1beta3")],
        nodes=[NodeConfig(kubeadm_config_patches_json6902=[named("node", "v1beta2")])],
    )

    def names(version: str) -> Any:
        return documents(config, version=version)["ClusterConfiguration"]["apiServer"]["certSANs"]

    assert names("v1.20.2") == ["merged", "any", "node"]
    assert names("v1.24.0") == ["merged", "any", "newer"]


def test_a_json_patch_that_does_not_fit_is_named() -> None:
    patch = JSONPatch(kind="KubeletConfiguration", patch="[{op: remove, path: /nowhere}]")
    config = ClusterConfig(kubeadm_config_patches_json6902=[patch])
    with pytest.raises(InvalidArgumentError, match="nowhere") as caught:
        documents(config)
    assert caught.value.problems[0].field == "kubeadm_config_patches_json6902[0].patch"


def test_keys_are_elliptic_where_kubeadm_can() -> None:
    old, between, new = (
        documents(version=version)["ClusterConfiguration"]
        for version in ("v1.30.0", "v1.32.0", "v1.36.1")
    )
    assert old["featureGates"] == {"PublicKeysECDSA": True}
    assert new["encryptionAlgorithm"] == "ECDSA-P256"
    for configuration, absent in (
        (between, "featureGates"),
        (between, "encryptionAlgorithm"),
        (old, "encryptionAlgorithm"),
        (new, "featureGates"),
    ):
        assert absent not in configuration


def test_a_lone_control_plane_holds_no_elections() -> None:
    found = documents(ClusterConfig(feature_gates={"A": True}))["ClusterConfiguration"]
    for component in ("controllerManager", "scheduler"):
        assert found[component]["extraArgs"]["leader-elect"] == "false"
    assert "leader-elect" not in found["apiServer"]["extraArgs"]


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    # RFC 7386, appendix A
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_are_as_the_standard_says(target: Any, patch: Any, expected: Any) -> None:
    assert merged(target, patch) == expected


@pytest.mark.parametrize("text", ["", "1.20", "latest"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        Version.parse(text)


def test_old_versions_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="too old"):
        Version.parse("v1.19.16")


TOLD = """v1.20.2

---kina containerd
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true

---kina cgroup-v1

---kina file default-cni.yaml
kind: A
---
kind: B

---kina file default-storage.yaml
kind: C
"""


def test_what_an_image_brings_is_understood() -> None:
    found = shipped.parse(TOLD)
    assert found.version == "v1.20.2"
    assert found.cgroup_v1
    assert set(found.manifests) == {"default-cni.yaml", "default-storage.yaml"}
    assert [item["kind"] for item in yaml.safe_load_all(found.manifests["default-cni.yaml"])] == [
        "A",
        "B",
    ]
    assert shipped.cgroup_driver(found.containerd) == "systemd"
    assert shipped.cgroup_driver("version = 2\n") == "cgroupfs"


def test_an_image_without_a_version_is_not_a_nodes() -> None:
    with pytest.raises(InvalidStateError, match="not a node image"):
        shipped.parse("\n---kina containerd\n")


def test_containerds_configuration_is_patched() -> None:
    import tomllib

    base = shipped.parse(TOLD).containerd
    patch = '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/certs"\n'
    result = tomllib.loads(shipped.patched(base, (patch,)))
    plugin = result["plugins"]["io.containerd.grpc.v1.cri"]
    assert plugin["registry"] == {"config_path": "/etc/certs"}
    assert plugin["containerd"]["runtimes"]["runc"]["options"] == {"SystemdCgroup": True}


KUBEADM = """
[init] Using Kubernetes version: v1.20.2
serviceSubnet: Invalid value: "nonsense": couldn't parse subnet
To see the stack trace of this error execute with --v=5 or higher
"""
KUBELET = """
I1124 08:44:37.803777     112 server.go:416] failed is a word of information here
F1124 08:44:05.522166     244 server.go:269] failed to run Kubelet: cgroup-root doesn't exist
k8s.io/kubernetes/vendor/k8s.io/klog/v2.Fatal(...)
time="2026-11-24T09:29:41Z" level=info msg="with config {error: none}"
"""


def test_the_telling_lines_of_a_log_are_found() -> None:
    assert telling(KUBEADM) == ['serviceSubnet: Invalid value: "nonsense": couldn\'t parse subnet']
    assert [line.partition("] ")[2] for line in telling(KUBELET)] == [
        "failed to run Kubelet: cgroup-root doesn't exist"
    ]
    assert telling("one\ntwo\nthree\n", 2) == ["two", "three"]
