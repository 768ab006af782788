"""
A cluster with a worker: its API, an application, images, nodes that come and go.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import yaml

import kina
from support.leaks import wait_until
from support.manifests import node_port, web_server

pytestmark = [pytest.mark.timeout(900, method="signal"), pytest.mark.slow]

ADMIN = {"KUBECONFIG": "/etc/kubernetes/admin.conf"}


def fetch(url: str) -> str:
    """
    Ask until there is an answer: a node's kube-proxy hears of a Service when it hears of it.
    """
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode().strip()
        except OSError as failure:  # urllib's own errors are such too
            error = failure
            time.sleep(0.1)
    raise error


def reaches(node: kina.Node, address: str) -> bool:
    """
    Whether a node reaches a pod's server: routes come when the node hears of the other.
    """
    connect = f"exec 3<>/dev/tcp/{address}/80; echo ok"
    return node.exec(["timeout", "5", "bash", "-c", connect]).stdout == "ok\n"


@pytest.fixture(scope="module")
def shop(cluster: kina.Cluster, shop_image: str) -> kina.Cluster:
    cluster.load_image(shop_image)
    cluster.apply([web_server("shop", "hostname"), node_port("shop")])
    cluster.wait("deployment/shop", timeout=60)
    return cluster


def test_every_action_was_timed(cluster: kina.Cluster) -> None:
    timings = list(cluster.timings)
    assert timings[:5] == ["preflight", "image", "network", "nodes", "configuration"]
    assert set(timings[5:7]) == {"init", "workers"}
    assert set(timings[7:10]) == {"cni", "storage", "join"}
    assert timings[10:] == ["ready", "kubeconfig"]


def test_it_is_what_was_asked_for(cluster: kina.Cluster) -> None:
    status = cluster.status()
    assert (status.state, status.api) == ("running", True)
    assert [(node.name, node.role, node.ready) for node in status.nodes] == [
        ("shared-control-plane", "control-plane", True),
        ("shared-worker", "worker", True),
    ]
    node = cluster.node("worker")
    assert (node.ready, node.running, node.role) == (True, True, "worker")
    assert node.version == status.nodes[1].version
    assert node.exec(["hostname"]).stdout.strip() == node.name
    assert (node.stats().memory_bytes or 0) > 0
    assert "kubelet" in node.logs("kubelet", tail=50)


def test_another_process_finds_it_by_name(cluster: kina.Cluster) -> None:
    code = (
        "import kina; c = kina.Cluster.get('shared');"
        "print([c.name for c in kina.Cluster.list()], len(c.core_v1.list_node().items))"
    )
    seen = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert seen.stdout.strip() == "['shared'] 2"


def test_the_users_kubeconfig_has_it(cluster: kina.Cluster, kubeconfig: Path) -> None:
    read = yaml.safe_load(kubeconfig.read_text())
    assert read["current-context"] == "kina-shared"
    assert read["clusters"][0]["cluster"]["server"] == cluster.server
    assert yaml.safe_load(cluster.kubeconfig)["contexts"] == read["contexts"]
    assert cluster.kubeconfig_path.stat().st_mode & 0o777 == 0o600


def test_the_official_client_works_and_its_global_state_is_untouched(cluster: kina.Cluster) -> None:
    from kubernetes.client import Configuration

    before = Configuration.get_default_copy().host
    assert len(cluster.core_v1.list_node().items) == 2
    assert cluster.apps_v1.list_namespaced_daemon_set("kube-system").items
    assert cluster.api_client is cluster.core_v1.api_client
    assert Configuration.get_default_copy().host == before


def test_an_application_is_reached_by_pods_nodes_and_names(shop: kina.Cluster) -> None:
    pods = shop.core_v1.list_namespaced_pod("default", label_selector="app=shop").items
    assert {pod.spec.node_name for pod in pods} == {"shared-control-plane", "shared-worker"}
    names = {pod.metadata.name for pod in pods}
    for node in shop.nodes():
        assert fetch(f"http://{node.ip}:30080/") in names
        for pod in pods:
            # From either node to the pods of both.
            address = pod.status.pod_ip
            assert wait_until(partial(reaches, node, address), seconds=30, pause=0.2)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "ask"},
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "OnFailure",  # the name is known when it is known
                    "containers": [
                        {
                            "name": "ask",
                            "image": "localhost/shop:test",
                            "command": ["wget", "-q", "-O", "-", "http://shop.default.svc/"],
                        }
                    ],
                }
            }
        },
    }
    shop.apply(job)
    shop.wait("job/ask", timeout=60)
    (asked,) = shop.core_v1.list_namespaced_pod("default", label_selector="job-name=ask").items
    assert shop.core_v1.read_namespaced_pod_log(asked.metadata.name, "default").strip() in names
    shop.batch_v1.delete_namespaced_job("ask", "default", propagation_policy="Foreground")
    assert shop.wait("job/ask", for_="delete", timeout=60) is None


def test_a_claim_is_bound_and_its_content_stays(shop: kina.Cluster) -> None:
    shop.apply(
        """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
  containers:
  - name: writer
    image: localhost/shop:test
    command: [sh, -c, "echo kept >> /data/file; cat /data/file; sleep 600"]
    volumeMounts: [{name: data, mountPath: /data}]
"""
    )
    shop.wait("pod/writer", timeout=60)
    shop.wait("pvc/data", timeout=10)
    assert shop.core_v1.read_namespaced_pod_log("writer", "default") == "kept\n"
    shop.core_v1.delete_namespaced_pod("writer", "default")
    shop.wait("pod/writer", for_="delete")
    shop.core_v1.delete_namespaced_persistent_volume_claim("data", "default")
    shop.wait("pvc/data", for_="delete")


STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [{key: node-role.kubernetes.io/master, operator: Exists}]
      containers:
      - name: db
        image: localhost/shop:test
        command: [sh, -c, "hostname >> /data/index.html; exec httpd -f -h /data"]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


def test_replicas_of_a_stateful_set_keep_their_names_and_claims(shop: kina.Cluster) -> None:
    shop.apply(STATEFUL)
    shop.wait("statefulset/db", timeout=90)
    shop.core_v1.delete_namespaced_pod("db-1", "default")
    shop.wait("pod/db-1", for_="delete")
    shop.wait("statefulset/db", timeout=90)
    url = "http://db-1.db.default.svc.cluster.local/"
    assert in_pod(shop, "db-0", "wget", "-q", "-O", "-", url).split() == ["db-1", "db-1"]
    kubectl(shop, "delete", "statefulset/db", "service/db")
    for name in ("db-0", "db-1"):
        shop.wait(f"pod/{name}", for_="delete")
        shop.core_v1.delete_namespaced_persistent_volume_claim(f"data-{name}", "default")
        shop.wait(f"pvc/data-{name}", for_="delete")


def kubectl(cluster: kina.Cluster, *words: str) -> str:
    """
    Run the node's kubectl, which asks the API server as any other would.
    """
    plane = cluster.node("control-plane")
    return plane.exec(["kubectl", *words], env=ADMIN, timeout=60, check=True).stdout


def in_pod(cluster: kina.Cluster, pod: str, *command: str) -> str:
    return kubectl(cluster, "exec", pod, "--", *command)


TOLD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: told}
data: {colour: "blue", file.txt: "of a map\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: told}
stringData: {password: "of a secret"}
---
apiVersion: v1
kind: Pod
metadata: {name: told}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: map, configMap: {name: told}}
  - {name: secret, secret: {secretName: told, defaultMode: 0400}}
  containers:
  - name: told
    image: localhost/shop:test
    command: [sh, -c, "echo $COLOUR; exec httpd -f -p 8080 -h /map"]
    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: told, key: colour}}}
    volumeMounts: [{name: map, mountPath: /map}, {name: secret, mountPath: /secret}]
"""


FORWARD = r"""
kubectl port-forward pod/told 18080:8080 >/dev/null &
until exec 3<>/dev/tcp/127.0.0.1/18080; do sleep 0.1; done 2>/dev/null
printf 'GET /file.txt HTTP/1.0\r\n\r\n' >&3
cat <&3
kill %1
"""


def test_what_kubectl_does_with_a_pod_works_through_the_api(shop: kina.Cluster) -> None:
    shop.apply(TOLD)
    shop.wait("pod/told", timeout=60)
    assert kubectl(shop, "logs", "told") == "blue\n"
    assert in_pod(shop, "told", "cat", "/map/file.txt", "/secret/password") == (
        "of a map\nof a secret"
    )
    plane = shop.node("control-plane")
    answer = plane.exec(["bash", "-c", FORWARD], env=ADMIN, timeout=30, check=True).stdout
    assert answer.endswith("of a map\n")
    plane.copy_to(b"there and back", "/root/sent")
    kubectl(shop, "cp", "/root/sent", "told:/tmp/sent")
    kubectl(shop, "cp", "told:/tmp/sent", "/root/received")
    assert plane.exec(["cat", "/root/received"]).stdout == "there and back"
    kubectl(shop, "delete", "pod/told", "configmap/told", "secret/told")
    shop.wait("pod/told", for_="delete")


def test_a_rolling_update_replaces_every_pod_and_can_be_undone(shop: kina.Cluster) -> None:
    def pods() -> set[str]:
        listed = shop.core_v1.list_namespaced_pod("default", label_selector="app=shop").items
        return {pod.metadata.name for pod in listed if pod.metadata.deletion_timestamp is None}

    before = pods()
    container = {"name": "shop", "env": [{"name": "EDITION", "value": "second"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    shop.apps_v1.patch_namespaced_deployment("shop", "default", patch)
    shop.wait("deployment/shop", timeout=60)
    after = pods()
    assert len(after) == 2
    assert not before & after
    assert in_pod(shop, min(after), "sh", "-c", "echo $EDITION") == "second\n"
    kubectl(shop, "rollout", "undo", "deployment/shop")
    shop.wait("deployment/shop", timeout=60)
    assert in_pod(shop, min(pods()), "sh", "-c", "echo $EDITION") == "\n"


def test_an_image_that_is_there_is_not_copied_again(shop: kina.Cluster, shop_image: str) -> None:
    assert shop.load_image(shop_image) == []


def test_an_archive_is_loaded(cluster: kina.Cluster, shop_image: str, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    kina.Image.save(kina.Image.get(shop_image).tag("localhost/archived:1"), path, format="docker")
    assert len(cluster.load_image(path)) == 2
    listed = cluster.node("worker").exec(["ctr", "-n", "k8s.io", "images", "ls", "-q"]).stdout
    assert "localhost/archived:1" in listed
    kina.Image.get("localhost/archived:1").delete()
    (tmp_path / "broken.tar").write_bytes(path.read_bytes()[:4096])
    with pytest.raises(kina.DataLossError):
        cluster.load_image(tmp_path / "broken.tar")


def test_all_that_the_server_refuses_is_named_and_the_rest_applied(cluster: kina.Cluster) -> None:
    sources = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fine"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bad"}, "spec": {}},
        {"apiVersion": "apps/v1", "kind": "Deploymint", "metadata": {"name": "x"}},
        {"apiVersion": "shop.example/v1", "kind": "Shop", "metadata": {"name": "x"}},
    ]
    with pytest.raises(kina.InvalidArgumentError) as caught:
        cluster.apply(sources)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["[1] Service/bad", "[2] Deploymint/x", "[3] Shop/x"]
    assert "did you mean 'Deployment'?" in str(caught.value)
    assert cluster.core_v1.read_namespaced_config_map("fine", "default").metadata.name == "fine"
    cluster.core_v1.delete_namespaced_config_map("fine", "default")


def test_a_definition_and_an_object_of_it_are_applied_together(cluster: kina.Cluster) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.test.kina"},
        "spec": {
            "group": "test.kina",
            "scope": "Namespaced",
            "names": {"kind": "Lamp", "plural": "lamps", "singular": "lamp"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
    lamp = {"apiVersion": "test.kina/v1", "kind": "Lamp", "metadata": {"name": "one"}}
    first, second = cluster.apply([lamp, definition])
    assert (first["kind"], second["kind"]) == ("CustomResourceDefinition", "Lamp")
    assert cluster.wait("lamp/one", for_="exists") is not None
    cluster.apiextensions_v1.delete_custom_resource_definition("lamps.test.kina")


def test_a_wait_that_fails_says_how_things_are(cluster: kina.Cluster) -> None:
    with pytest.raises(kina.DeadlineExceededError, match=r"after 0\.3 s: it does not exist"):
        cluster.wait("deployment/none", timeout=0.3)
    with pytest.raises(kina.InvalidArgumentError, match="did you mean 'deployment'"):
        cluster.wait("deploymen/none")
    with pytest.raises(kina.InvalidArgumentError, match="write 'kind/name'"):
        cluster.wait("deployment")


def test_a_node_joins_is_drained_and_goes(shop: kina.Cluster) -> None:
    node = shop.add_node(kina.NodeConfig(role="worker", labels={"disk": "ssd"}), progress=False)
    assert (node.name, node.ready) == ("shared-worker2", True)
    assert shop.core_v1.read_node(node.name).metadata.labels["disk"] == "ssd"
    shop.load_image("localhost/shop:test")
    patch = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}
    shop.apps_v1.patch_namespaced_deployment("shop", "default", patch)
    shop.wait("deployment/shop", timeout=60)
    patch["spec"]["template"]["spec"]["nodeSelector"] = {"disk": None}  # type: ignore[dict-item]
    shop.apps_v1.patch_namespaced_deployment("shop", "default", patch)
    shop.remove_node(node)
    assert [item.name for item in shop.nodes()] == ["shared-control-plane", "shared-worker"]
    assert len(shop.core_v1.list_node().items) == 2
    shop.wait("deployment/shop", timeout=60)
    with pytest.raises(kina.InvalidArgumentError, match="is the control plane"):
        shop.remove_node("control-plane")


def test_it_stops_and_starts_with_its_addresses_and_workloads(shop: kina.Cluster) -> None:
    before = [(node.name, node.ip) for node in shop.nodes()]
    shop.stop(grace=3)
    assert shop.status().state == "stopped"
    with pytest.raises(kina.InvalidStateError, match="does not run"):
        shop.add_node(progress=False)
    shop.start()
    assert [(node.name, node.ip) for node in shop.nodes()] == before
    assert shop.status().state == "running"
    shop.wait("deployment/shop", timeout=90)


def test_logs_are_exported(cluster: kina.Cluster, tmp_path: Path) -> None:
    top = cluster.export_logs(tmp_path / "logs")
    for node in cluster.nodes():
        found = {path.name for path in (top / node.name).iterdir()}
        assert {"serial.log", "journal.log", "kubelet.log", "containerd.log", "pods"} <= found


def test_a_name_is_taken_once(cluster: kina.Cluster, node_image: str) -> None:
    with pytest.raises(kina.AlreadyExistsError, match="there is a cluster 'shared'"):
        kina.Cluster.create("shared", image=node_image, progress=False)
    assert cluster.status().state == "running"
