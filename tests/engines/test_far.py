"""
A cluster whose nodes are on another machine.
"""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest
import yaml

import kina
from kina.runtimes import Runtime
from support.far import Far
from support.leaks import wait_until
from support.manifests import node_port

pytestmark = [pytest.mark.timeout(600, method="signal"), pytest.mark.slow]

SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: shop, labels: {app: shop}}
spec:
  containers:
  - name: shop
    image: localhost/kina/far-shop:test
    imagePullPolicy: Never
    command: [sh, -c, "mkdir /www; echo far > /www/index.html; exec httpd -f -h /www"]
"""


def page(address: str, port: int) -> str:
    """
    Return what is served, or nothing while nobody serves.
    """
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_a_cluster_out_of_reach_comes_through_published_ports(
    far: Far, runtime: Runtime, rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(far.certificates))
    built = kina.build_node_image(progress=False)
    with (
        kina.connect("docker", url=far.url, home=runtime.info().home) as opened,
        socket.create_server(("127.0.0.1", 0)) as taken,  # here, which is not there
    ):
        wanted = int(taken.getsockname()[1])
        image = built.copy(opened)
        shop = kina.Image.from_rootfs(rootfs, "localhost/kina/far-shop:test", command=["sh"])
        with kina.Cluster.create(
            "far",
            workers=1,
            image=image.reference,
            config=kina.ClusterConfig(networking=kina.Networking(api_server_port=wanted)),
            ports=["30080"],
            progress=False,
        ) as cluster:
            # The nodes' own addresses lead nowhere from here.
            assert not opened.reach("kina-far").direct
            assert page(cluster.node("control-plane").ip, 30080) == ""
            server = cluster.server
            assert server == f"https://{far.address}:{wanted}"
            read = yaml.safe_load(config.read_text())
            assert read["clusters"][0]["cluster"]["server"] == server
            status = cluster.status()
            assert (status.state, status.api) == ("running", True)
            assert len(cluster.load_image(shop)) == 2
            cluster.apply([SHOP, node_port("shop")])
            cluster.wait("pod/shop", timeout=60)
            (port,) = (p for p in cluster.node("control-plane").container.ports
                       if p.container_port == 30080)  # fmt: skip
            assert port.host_address == far.address
            assert wait_until(lambda: page(far.address, port.host_port) == "far\n", 30)
            cluster.export_logs(tmp_path / "logs")
            assert (tmp_path / "logs/far-worker").is_dir()
            cluster.stop()
            assert cluster.status().state == "stopped"
            cluster.start()
            assert cluster.server == server
            assert len(cluster.core_v1.list_node().items) == 2
            assert wait_until(lambda: page(far.address, port.host_port) == "far\n", 60)
            node = cluster.add_node(progress=False)
            assert node.ready
        assert kina.Cluster.list() == []
        assert kina.Container.list() == []
    assert "far" not in config.read_text()
