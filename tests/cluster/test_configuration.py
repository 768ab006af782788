"""
Two clusters that are made at once, from a thread and from another process, of every field that a
configuration can have.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
import yaml

import kina
from support.leaks import Host, Snapshot, assert_nothing_leaked

pytestmark = [pytest.mark.timeout(600, method="signal"), pytest.mark.slow]

FULL = """
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: full
nodes:
- role: control-plane
  labels: {{tier: first, node-role.kubernetes.io/odd: ""}}
  extraPortMappings:
  - {{containerPort: 30080, hostPort: {port}, listenAddress: 127.0.0.1, protocol: TCP}}
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration:
      kubeletExtraArgs: {{v: "3"}}
- role: worker
  image: {image}
  labels: {{disk: ssd}}
  taints: ["dedicated=db:NoSchedule"]
  cpus: 1.5
  memory: 1Gi
  extraMounts:
  - {{hostPath: {mounted}, containerPath: /data, readOnly: true}}
  kubeadmConfigPatchesJSON6902:
  - kind: JoinConfiguration
    patch: '[{{"op": "add", "path": "/nodeRegistration/kubeletExtraArgs/max-pods", "value": "33"}}]'
networking:
  ipFamily: ipv4
  apiServerAddress: 127.0.0.1
  apiServerPort: {api_port}
  podSubnet: 10.200.0.0/16
  serviceSubnet: 10.201.0.0/16
  kubeProxyMode: iptables
  dnsSearch: [example.test]
featureGates: {{EphemeralContainers: true}}
runtimeConfig: {{"batch/v2alpha1": "true"}}
kubeadmConfigPatches:
- |
  kind: ClusterConfiguration
  apiServer:
    extraArgs: {{event-ttl: 2h}}
kubeadmConfigPatchesJSON6902:
- group: kubeadm.k8s.io
  version: v1beta2
  kind: ClusterConfiguration
  patch: |
    - op: add
      path: /apiServer/certSANs/-
      value: full.example.test
containerdConfigPatches:
- |-
  [plugins."io.containerd.grpc.v1.cri"]
    max_container_log_line_size = 4321
"""
BARE = """
import sys, kina
networking = kina.Networking(disable_default_cni=True, kube_proxy_mode="none")
config = kina.ClusterConfig(networking=networking)
made = kina.Cluster.create("bare", image=sys.argv[1], config=config, progress=False)
print(made.name)
"""


@attrs.frozen
class Both:
    """
    The clusters, and what the first was told.
    """

    full: kina.Cluster
    bare: kina.Cluster
    config: kina.ClusterConfig


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def both(node_image: str, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    before = Snapshot.take(host, rules=True)
    mounted = tmp_path_factory.mktemp("mounted")
    (mounted / "file").write_text("of the host\n")
    text = FULL.format(image=node_image, mounted=mounted, port=free_port(), api_port=free_port())
    other = subprocess.Popen(
        [sys.executable, "-c", BARE, node_image], stdout=subprocess.PIPE, text=True
    )
    made: list[kina.Cluster] = []
    try:
        made.append(kina.Cluster.create(config=text, image=node_image, progress=False))
        told, _ = other.communicate(timeout=300)
        assert told.strip() == "bare"
        made.append(kina.Cluster.get("bare"))
        yield Both(full=made[0], bare=made[1], config=kina.ClusterConfig.read(text))
    finally:
        if other.poll() is None:
            other.kill()
            other.wait()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda cluster: cluster.delete(), made or kina.Cluster.list()))
    assert_nothing_leaked(host, before, rules=True)


def test_both_are_there_and_in_the_kubeconfig(both: Both, kubeconfig: Path) -> None:
    assert [cluster.name for cluster in kina.Cluster.list()] == ["bare", "full"]
    contexts = yaml.safe_load(kubeconfig.read_text())["contexts"]
    assert {"kina-bare", "kina-full"} <= {context["name"] for context in contexts}
    assert {node.status.node_info.kubelet_version for node in both.full.core_v1.list_node().items}
    assert both.bare.status().api


def test_nodes_have_their_labels_taints_and_sizes(both: Both) -> None:
    plane, worker = both.full.core_v1.list_node().items
    assert plane.metadata.labels["tier"] == "first"
    assert "node-role.kubernetes.io/odd" in plane.metadata.labels
    assert worker.metadata.labels["disk"] == "ssd"
    assert [(t.key, t.value, t.effect) for t in worker.spec.taints] == [
        ("dedicated", "db", "NoSchedule")
    ]
    assert worker.status.capacity["pods"] == "33"
    spec = both.full.node("worker").container.inspect().spec
    assert spec is not None
    assert (spec.resources.cpus, spec.resources.memory) == (1.5, 1 << 30)


def test_a_directory_of_the_host_is_mounted_and_a_port_published(both: Both) -> None:
    worker = both.full.node("worker")
    assert worker.exec(["cat", "/data/file"]).stdout == "of the host\n"
    assert worker.exec(["touch", "/data/new"]).exit_code != 0
    (wanted,) = both.config.nodes[0].extra_port_mappings
    ports = both.full.node("control-plane").container.ports
    assert wanted.host_port in {port.host_port for port in ports}


def test_networks_are_as_asked_for(both: Both) -> None:
    for node in both.full.core_v1.list_node().items:
        assert node.spec.pod_cidr.startswith("10.200.")
    assert both.full.core_v1.read_namespaced_service("kubernetes", "default").spec.cluster_ip == (
        "10.201.0.1"
    )
    asked = both.config.networking.api_server_port
    assert both.full.server == f"https://127.0.0.1:{asked}"
    resolv = both.full.node("worker").exec(["cat", "/etc/resolv.conf"]).stdout
    assert "example.test" in resolv


def test_components_were_told(both: Both) -> None:
    plane, worker = both.full.node("control-plane"), both.full.node("worker")
    manifest = plane.exec(["cat", "/etc/kubernetes/manifests/kube-apiserver.yaml"]).stdout
    for argument in (
        "--event-ttl=2h",
        "--feature-gates=EphemeralContainers=true",
        "--runtime-config=batch/v2alpha1=true",
    ):
        assert argument in manifest
    assert (
        "batch/v2alpha1"
        in plane.exec(
            ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "api-versions"], check=True
        ).stdout.split()
    )
    assert "--v=3" in plane.exec(["cat", "/var/lib/kubelet/kubeadm-flags.env"]).stdout
    for node in (plane, worker):
        config = yaml.safe_load(node.exec(["cat", "/var/lib/kubelet/config.yaml"]).stdout)
        assert config["featureGates"] == {"EphemeralContainers": True}
        toml = node.exec(["cat", "/etc/containerd/config.toml"]).stdout
        assert "max_container_log_line_size = 4321" in toml


def test_a_json_patch_has_changed_the_certificate(both: Both) -> None:
    address = (both.full.node("control-plane").ip, 6443)
    authority = both.full.node("control-plane").exec(["cat", "/etc/kubernetes/pki/ca.crt"]).stdout
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="full.example.test") as secure,
    ):
        assert secure.getpeercert()


def test_a_bare_cluster_waits_for_a_network_of_the_users(both: Both) -> None:
    (node,) = both.bare.core_v1.list_node().items
    conditions = {condition.type: condition for condition in node.status.conditions}
    assert conditions["Ready"].status == "False"
    assert "cni" in conditions["Ready"].message
    listed = both.bare.apps_v1.list_namespaced_daemon_set("kube-system").items
    assert "kube-proxy" not in {item.metadata.name for item in listed}
