"""
A Kubernetes cluster with a worker: an image loaded, an application applied and reached.

    cluster.py [NODE_IMAGE]

Without an image of a node, the one that `kina.build_node_image()` makes, which takes minutes once.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from kubernetes.stream import stream

import kina

BUSYBOX = Path("/bin/busybox")
SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: localhost/shop:1
        command: [/bin/sh, -c, "hostname > /index.html; exec httpd -f -h /"]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  type: NodePort
  selector: {app: shop}
  ports: [{port: 80, nodePort: 30080}]
"""


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """
    Say what is done and how long it took.
    """
    print(f"{what} …", flush=True)
    start = time.perf_counter()
    yield
    print(f"{'':58}{time.perf_counter() - start:8.1f} s", flush=True)


def make_image() -> kina.Image:
    """
    Make an image of busybox.
    """
    with tempfile.TemporaryDirectory() as directory:
        programs = Path(directory, "bin")
        programs.mkdir()
        shutil.copy(BUSYBOX, programs)
        for name in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
            if name != "busybox":
                (programs / name).symlink_to("busybox")
        return kina.Image.from_rootfs(directory, "localhost/shop:1", env={"PATH": "/bin"})


def fetch(url: str) -> str:
    """
    Ask until there is an answer: each node hears of a Service in its own time.
    """
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode().strip())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def show(cluster: kina.Cluster, image: kina.Image) -> None:
    """
    Run an application in a cluster, and reach it in every way.
    """
    with timed("Load the application's image into every node"):
        print("    loaded into:", *cluster.load_image(image))
    with timed("Apply the manifests, and wait until the application is available"):
        cluster.apply(SHOP)
        cluster.wait("deployment/shop", for_="available", timeout=60)
    pods = cluster.core_v1.list_namespaced_pod("default").items
    with timed("From this machine, through a port of each node"):
        for node in cluster.nodes():
            print(f"    {node.name}:30080 answers: {fetch(f'http://{node.ip}:30080/')}")
    with timed("From pod to pod, through the pods' addresses"):
        first, *others = pods
        for pod in others:
            said = stream(
                cluster.core_v1.connect_get_namespaced_pod_exec,
                first.metadata.name,
                "default",
                command=["wget", "-q", "-O", "-", f"http://{pod.status.pod_ip}/"],
                stdout=True,
                stderr=True,
            )
            print(f"    {pod.status.pod_ip} on {pod.spec.node_name} answers: {said.strip()}")


def run(node_image: str | kina.Image) -> None:
    """
    Bring a cluster up, use it, and delete it.
    """
    shop = make_image()
    start = time.perf_counter()
    with timed("Create a cluster"):
        # By default it has a context in ~/.kube/config; an example leaves that alone.
        cluster = kina.Cluster.create("example", workers=1, image=node_image, kubeconfig=False)
    with cluster:
        show(cluster, shop)
        with timed("Delete it"):
            cluster.delete()
    shop.delete()
    spent = sorted(cluster.timings.items(), key=lambda item: -item[1])
    print("Creating took longest at:", *(f"{name} {seconds:.1f} s" for name, seconds in spent[:4]))
    print(f"All of it took {time.perf_counter() - start:.1f} s.")


if __name__ == "__main__":
    run(sys.argv[1] if len(sys.argv) > 1 else kina.build_node_image())
