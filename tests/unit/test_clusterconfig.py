from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kina import wire
from kina.clusterconfig import ClusterConfig, Networking, NodeConfig
from kina.config import Mount, Port
from kina.errors import InvalidArgumentError, NotFoundError, UnsupportedError

KIND = """
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: shop
nodes:
- role: control-plane
  image: kindest/node:v1.30.0
  labels: {tier: first}
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration:
      kubeletExtraArgs:
        v: "4"
  extraPortMappings:
  - containerPort: 80
    hostPort: 8080
    listenAddress: "127.0.0.1"
    protocol: TCP
  - containerPort: 53
    hostPort: -1
    protocol: UDP
- role: worker
  taints: ["dedicated=db:NoSchedule"]
  cpus: 1.5
  memory: 1Gi
  extraMounts:
  - hostPath: /srv
    containerPath: /data
    readOnly: true
    propagation: HostToContainer
networking:
  ipFamily: ipv4
  apiServerAddress: 127.0.0.1
  apiServerPort: 6443
  podSubnet: 10.200.0.0/16
  serviceSubnet: 10.201.0.0/16
  disableDefaultCNI: true
  kubeProxyMode: ipvs
  dnsSearch: [example.com]
featureGates: {EphemeralContainers: true}
runtimeConfig: {"api/all": "true"}
kubeadmConfigPatchesJSON6902:
- group: kubeadm.k8s.io
  version: v1beta3
  kind: ClusterConfiguration
  patch: |
    - op: add
      path: /apiServer/certSANs/-
      value: dev.example
containerdConfigPatches:
- |-
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
"""


def test_everything_that_kind_can_say_is_read() -> None:
    config = ClusterConfig.read(KIND)
    plane, worker = config.nodes
    assert config.name == "shop"
    assert plane.image == "kindest/node:v1.30.0"
    assert plane.labels == {"tier": "first"}
    assert plane.extra_port_mappings == (
        Port(80, 8080, "127.0.0.1", "tcp"),
        Port(53, 0, "0.0.0.0", "udp"),
    )
    assert worker == NodeConfig(
        role="worker",
        taints=["dedicated=db:NoSchedule"],
        cpus=1.5,
        memory=1 << 30,
        extra_mounts=[Mount.bind("/srv", "/data", read_only=True, options=["rslave"])],
    )
    assert config.networking == Networking(
        pod_subnet="10.200.0.0/16",
        service_subnet="10.201.0.0/16",
        api_server_port=6443,
        disable_default_cni=True,
        kube_proxy_mode="ipvs",
        dns_search=["example.com"],
    )
    assert config.feature_gates == {"EphemeralContainers": True}
    assert config.runtime_config == {"api/all": "true"}
    assert "certs.d" in config.containerd_config_patches[0]
    (patch,) = config.kubeadm_config_patches_json6902
    assert (patch.group, patch.version, patch.kind) == (
        "kubeadm.k8s.io",
        "v1beta3",
        "ClusterConfiguration",
    )
    assert patch.operations() == [
        {"op": "add", "path": "/apiServer/certSANs/-", "value": "dev.example"}
    ]


def test_what_is_written_is_read_back_the_same() -> None:
    config = ClusterConfig.read(KIND)
    assert ClusterConfig.read(config.to_yaml()) == config


def test_it_survives_being_recorded() -> None:
    config = ClusterConfig.read(KIND)
    assert wire.from_json(ClusterConfig, wire.to_json(config)) == config


def test_a_usual_cluster_is_written_in_three_lines() -> None:
    assert ClusterConfig().to_yaml().splitlines() == [
        "kind: Cluster",
        "apiVersion: kind.x-k8s.io/v1alpha4",
        "nodes:",
        "- role: control-plane",
    ]


HEAD = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
BROKEN = """
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plan
  extraPortMapings: []
- role: worker
  extraMounts:
  - hostpath: /srv
    containerPath: data
  extraPortMappings:
  - containerPort: 99999
    protocol: SCTP
networking:
  podSubnet: 10.0.0.300/16
  ipFamily: dual
kubeadmConfigPatchesJSON6902:
- {}
- {kind: KubeletConfig, patch: "[{op: ad, path: /a}]"}
featureGates: {A: maybe}
"""


def test_all_that_is_wrong_is_said_at_once_with_its_path_and_the_nearest_name() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ClusterConfig.read(BROKEN)
    found = {problem.field: problem for problem in caught.value.problems}
    assert set(found) == {
        "nodes[0].role",
        "nodes[0].extraPortMapings",
        "nodes[1].extraMounts[0].hostpath",
        "nodes[1].extraMounts[0].hostPath",
        "nodes[1].extraMounts[0].containerPath",
        "nodes[1].extraPortMappings[0].containerPort",
        "nodes[1].extraPortMappings[0].protocol",
        "networking.podSubnet",
        "networking.ipFamily",
        "kubeadmConfigPatchesJSON6902[0].kind",
        "kubeadmConfigPatchesJSON6902[0].patch",
        "kubeadmConfigPatchesJSON6902[1].kind",
        "kubeadmConfigPatchesJSON6902[1].patch",
        "featureGates['A']",
    }
    assert found["nodes[0].extraPortMapings"].hint == "did you mean 'extraPortMappings'?"
    assert found["nodes[1].extraMounts[0].hostpath"].hint == "did you mean 'hostPath'?"
    assert found["nodes[0].role"].hint == "did you mean 'control-plane'?"
    assert (
        found["kubeadmConfigPatchesJSON6902[1].kind"].hint == "did you mean 'KubeletConfiguration'?"
    )
    assert "is no JSON patch" in found["kubeadmConfigPatchesJSON6902[1].patch"].reason
    assert "not supported" in found["networking.ipFamily"].reason


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("kind: Cluster\nnodes: []\n", "apiVersion", "is missing"),
        ("kind: Pod\napiVersion: kind.x-k8s.io/v1alpha4\n", "kind", "must be 'Cluster'"),
        ("kind: Cluster\napiVersion: kind.x-k8s.io/v1\n", "apiVersion", "not a version"),
        ("kind: Cluster\nkind: Cluster\n", "", "is there twice (line 2, column 1)"),
        ("kind: [\n", "", "is not YAML"),
        ("- a\n- b\n", "", "must be a mapping"),
        (
            HEAD + "nodes:\n- role: control-plane\n- role: control-plane\n",
            "nodes[1].role",
            "several control planes are not supported yet",
        ),
        (
            HEAD + "nodes:\n- role: worker\n",
            "nodes",
            "there is no control plane",
        ),
        (
            HEAD + "nodes: {}\n",
            "nodes",
            "must be a list",
        ),
        (
            HEAD + "kubeadmConfigPatches: ['kind: Pod']\n",
            "kubeadmConfigPatches[0].kind",
            "is not in the configuration",
        ),
        (
            HEAD + "containerdConfigPatches: ['= 1']\n",
            "containerdConfigPatches[0]",
            "is not TOML",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ClusterConfig.read(text)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert reason in problem.reason


def test_a_files_errors_begin_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "kind.yaml"
    path.write_text(HEAD + "node: []\n")
    with pytest.raises(InvalidArgumentError, match=r"kind\.yaml: node: is not a known field"):
        ClusterConfig.read(path)
    with pytest.raises(NotFoundError, match="no such file"):
        ClusterConfig.read(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {"a b": "c"}},
        {"labels": {"a": "c d"}},
        {"taints": ["dedicated=db"]},
        {"taints": ["a=b:Sometimes"]},
        {"memory": "100Mi"},
        {"cpus": 0},
        {"role": "master"},
    ],
)
def test_a_nodes_values_are_checked(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError):
        NodeConfig(**fields)  # type: ignore[arg-type]


def test_subnets_may_not_overlap() -> None:
    with pytest.raises(InvalidArgumentError, match="overlaps the pods'"):
        Networking(pod_subnet="10.96.0.0/12")


def test_a_mount_that_kind_has_no_words_for_is_not_written() -> None:
    node = NodeConfig(extra_mounts=[Mount.tmpfs("/cache")])
    with pytest.raises(UnsupportedError, match="/cache"):
        ClusterConfig(nodes=[node]).to_yaml()


def test_workers_are_added() -> None:
    assert [node.role for node in ClusterConfig().with_workers(2).nodes] == [
        "control-plane",
        "worker",
        "worker",
    ]
    with pytest.raises(InvalidArgumentError, match="workers"):
        ClusterConfig().with_workers(-1)


@pytest.mark.parametrize("name", ["dev", "a", "my.cluster-2", "x" * 43])
def test_good_names(name: str) -> None:
    assert ClusterConfig(name=name).name == name


@pytest.mark.parametrize("name", ["", "Dev", "-a", "a-", "a_b", "x" * 44, "a..b", "../etc", "ä"])
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        ClusterConfig(name=name)


NODES = st.builds(
    NodeConfig,
    role=st.just("worker"),
    labels=st.dictionaries(
        st.from_regex(r"[a-z]{1,9}", fullmatch=True),
        st.from_regex(r"[a-z0-9]{0,9}", fullmatch=True),
    ),
    taints=st.none() | st.lists(st.just("a=b:NoSchedule"), max_size=1),
    cpus=st.none() | st.integers(1, 64),
    memory=st.none() | st.integers(1 << 28, 1 << 40),
    extra_port_mappings=st.lists(
        st.builds(
            Port, st.integers(1, 65535), st.integers(0, 65535), st.just("127.0.0.1"),
            st.sampled_from(["tcp", "udp"]),
        ),
        max_size=3,
    ),
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(NODES, max_size=3), st.booleans(), st.integers(0, 65535))
def test_any_configuration_survives_kinds_form(
    workers: list[NodeConfig], cni: bool, port: int
) -> None:
    config = ClusterConfig(
        nodes=[NodeConfig(), *workers],
        networking=Networking(disable_default_cni=cni, api_server_port=port),
    )
    assert ClusterConfig.read(config.to_yaml()) == config
