"""
A cluster whose nodes are an engine's containers.
"""

from __future__ import annotations

from pathlib import Path

import docker as sdk
import pytest

import kina
from kina.client import Credentials, Session
from kina.runtimes import Runtime
from support.engines import Engine
from support.leaks import wait_until

pytestmark = [pytest.mark.timeout(600, method="signal"), pytest.mark.slow]


def test_a_cluster_on_an_engine_lives_as_a_native_one_does(
    dockerd: Engine,
    docker: Runtime,
    runtime: Runtime,
    there: str,
    busybox: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    # The image that was built for the native runtime.
    image = kina.build_node_image(progress=False).copy(docker)
    client = sdk.DockerClient(base_url=dockerd.url)
    kinds = client.containers.create(
        there, ["true"], name="kind-control-plane",
        labels={"io.x-k8s.kind.cluster": "kind", "io.x-k8s.kind.role": "control-plane"},
    )  # fmt: skip
    try:
        with kina.Cluster.create(
            "engine", workers=1, image=image.reference, progress=False, runtime=docker
        ) as cluster:
            assert [each.name for each in kina.Cluster.list(runtime=docker)] == ["engine"]
            assert cluster.status().state == "running"
            addresses = {node.name: node.ip for node in cluster.nodes()}
            assert len(addresses) == 2
            assert len(cluster.core_v1.list_node().items) == 2
            # In reach, as was found out; the published port is what leads there where it isn't.
            plane = cluster.node("control-plane")
            assert cluster.server == f"https://{plane.ip}:6443"
            (api,) = (p for p in plane.container.ports if p.container_port == 6443)
            here = f"https://127.0.0.1:{api.host_port}"
            published = Session(Credentials(here, cluster.kubeconfig_path.parent))
            assert "gitVersion" in published.get("/version")
            published.close()
            monkeypatch.setenv("DOCKER_HOST", dockerd.url)
            assert len(cluster.load_image(f"docker-daemon:{there}")) == 2
            assert cluster.load_image(kina.Image.get(there, runtime=docker)) == []
            with pytest.raises(kina.NotFoundError, match="localhost/absent:1"):
                cluster.load_image("docker-daemon:localhost/absent:1")
            native = kina.Image.get(busybox, runtime=runtime).tag("localhost/kina/native:test")
            assert len(cluster.load_image(native)) == 2  # from one runtime into another's nodes
            listed = cluster.node("worker").exec(["ctr", "-n", "k8s.io", "images", "ls", "-q"])
            assert {there, native.reference} <= set(listed.stdout.split())
            native.delete()
            cluster.stop()
            cluster.start()
            assert {node.name: node.ip for node in cluster.nodes()} == addresses
            assert wait_until(lambda: len(cluster.core_v1.list_node().items) == 2, 60)
        assert kina.Cluster.list(runtime=docker) == []
        assert kina.Container.list(runtime=docker) == []
        assert not [v for v in kina.Volume.list(runtime=docker) if v.anonymous]
        kinds.reload()
    finally:
        kinds.remove()
        client.close()
