"""
The image that is built from Debian's parts: by itself, and as a node of a real cluster.

The first build compiles Kubernetes; it is kept where builds are kept by default, as users' are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina import Mount
from kina.nodeimage.builder import INPUTS_LABEL, VERSION_LABEL
from kina.nodeimage.layers import Layer, LayeredImage, write_archive
from kina.runtimes import Runtime
from support.images import PLATFORM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600, method="signal")]

CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: {version}
controlPlaneEndpoint: {address}:6443
networking: {{podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/16}}
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {address}, bindPort: 6443}}
nodeRegistration:
  criSocket: unix:///run/containerd/containerd.sock
  taints: []
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {{maxPerCore: 0}}
"""

APPLICATION = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: front.default.svc.cluster.local}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1234}
      containers:
      - name: db
        image: test/busybox:1
        command: [sh, -c, "echo started >>/data/index.html; exec httpd -f -p 8080 -h /data"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
"""


@pytest.fixture(scope="module")
def image(runtime: Runtime) -> kina.Image:
    return kina.build_node_image(progress=False)


@pytest.fixture(scope="module")
def node(image: kina.Image) -> Iterator[kina.Container]:
    """
    A cluster of one node, with an application's image in it.
    """
    with kina.Container.run(
        image,
        hostname="node",
        privileged=True,
        seccomp="unconfined",
        no_new_privileges=False,
        tty=True,
        writable_cgroups=True,
        env={"KUBECONFIG": "/etc/kubernetes/admin.conf"},
        mounts=[Mount.tmpfs("/run"), Mount.tmpfs("/tmp"), Mount.volume(None, "/var")],
    ) as container:
        eventually(lambda: "Server" in ask(container, "ctr version"), 30)
        version = ask(container, "cat /kind/version")
        config = CONFIG.format(version=version, address=container.ip)
        container.copy_to(config.encode(), "/kind/kubeadm.conf")
        ask(container, "kubeadm init --config=/kind/kubeadm.conf --skip-phases=preflight")
        ask(container, "kubectl apply -f /kind/manifests/default-cni.yaml")
        ask(container, "kubectl apply -f /kind/manifests/default-storage.yaml")
        yield container


@pytest.fixture(scope="module")
def application(node: kina.Container, tmp_path_factory: pytest.TempPathFactory) -> kina.Container:
    archive = tmp_path_factory.mktemp("images") / "busybox.tar"
    applets = ("sh", "httpd", "wget", "nslookup", "cat")
    files = {f"bin/{name}": Path("/bin/busybox") for name in applets}
    layer = Layer(Path("/"), files=files)
    write_archive([LayeredImage("docker.io/test/busybox:1", (layer,))], PLATFORM, archive)
    node.copy_to(archive, "/root/busybox.tar")
    ask(node, "ctr -n k8s.io images import /root/busybox.tar")
    node.copy_to(APPLICATION.encode(), "/root/application.yaml")
    ask(node, "kubectl apply -f /root/application.yaml")
    ask(node, "kubectl rollout status statefulset/db --timeout=120s")
    ask(node, "kubectl --namespace kube-system rollout status deployment/coredns --timeout=60s")
    return node


def ask(container: kina.Container, command: str) -> str:
    return str(container.exec(["sh", "-c", command]).stdout)


def eventually(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():  # type: ignore[operator]
                return
        except kina.ExecError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def inside(container: kina.Container, command: str) -> str:
    return ask(container, f"kubectl exec db-0 -- sh -c '{command}'")


def test_labels_say_what_it_is_made_of(image: kina.Image) -> None:
    labels = image.config.labels
    assert image.reference.endswith(labels[VERSION_LABEL])
    assert labels["dev.kina.nodeimage.source"] == "debian"
    assert "containerd=" in labels["dev.kina.nodeimage.packages"]
    assert image.config.stop_signal in ("SIGRTMIN+3", "RTMIN+3")


def test_the_same_inputs_are_built_already(image: kina.Image) -> None:
    events: list[kina.ProgressEvent] = []
    again = kina.build_node_image(progress=events.append)
    assert again == image
    assert again.config.labels[INPUTS_LABEL] == image.config.labels[INPUTS_LABEL]
    assert [event for event in events if event.action == "build"] == []


def test_another_version_than_the_sources_is_an_error(image: kina.Image) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="kubernetes_version"):
        kina.build_node_image(kubernetes_version="1.99.0", progress=False)


def test_a_node_becomes_ready_as_soon_as_it_is_there(node: kina.Container) -> None:
    ready = "kubectl get nodes -o jsonpath='{.items[0].status.conditions[-1:].status}'"
    eventually(lambda: ask(node, ready) == "True", 15)


def test_kubeadm_finds_all_its_images(node: kina.Container) -> None:
    wanted = ask(node, "kubeadm config images list --kubernetes-version $(cat /kind/version)")
    present = ask(node, "ctr -n k8s.io images ls -q").split()
    assert {name for name in wanted.split() if "/" in name} <= set(present)
    pulled = json.loads(ask(node, "kubectl get events -A -o json"))["items"]
    assert [event for event in pulled if event["reason"] == "Pulling"] == []


def test_services_have_names(application: kina.Container) -> None:
    assert "10.96." in inside(application, "nslookup front.default.svc.cluster.local")
    assert "started" in inside(application, "wget -qO- http://front")
    assert "started" in inside(application, "wget -qO- http://alias")
    assert "started" in inside(
        application, "wget -qO- http://db-0.db.default.svc.cluster.local:8080"
    )
    records = inside(application, "nslookup -type=srv _http._tcp.db.default.svc.cluster.local")
    assert "8080 db-0.db.default.svc.cluster.local" in records
    assert "kubernetes.default.svc" in inside(application, "nslookup 10.96.0.1")


def test_what_is_not_there_has_no_name(application: kina.Container) -> None:
    # Debian's nslookup ends well all the same.
    said = inside(application, "nslookup nowhere.default.svc.cluster.local || true")
    assert "NXDOMAIN" in said


def test_a_claim_survives_its_pod_and_goes_with_the_claim(application: kina.Container) -> None:
    before = inside(application, "cat /data/index.html").split()
    ask(application, "kubectl delete pod db-0 --wait=true")
    ask(application, "kubectl rollout status statefulset/db --timeout=60s")
    assert inside(application, "cat /data/index.html").split() == [*before, "started"]
    ask(application, "kubectl delete statefulset db; kubectl delete pvc data-db-0 --wait=true")
    eventually(lambda: ask(application, "kubectl get pv -o name") == "", 30)
    eventually(lambda: ask(application, "ls /var/local-path-provisioner") == "", 10)


def test_nothing_has_failed_in_the_node(node: kina.Container) -> None:
    assert ask(node, "systemctl --failed --no-legend --plain") == ""
