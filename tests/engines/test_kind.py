"""
What kind makes of the image that kina builds: it keeps the contract of kindest/node.
"""

from __future__ import annotations

from pathlib import Path

import kubernetes
import pytest

import kina
from kina.runtimes import Runtime
from support.engines import Engine
from support.kind import Kind
from support.leaks import wait_until

pytestmark = [pytest.mark.timeout(600, method="signal"), pytest.mark.slow]


def ready(core: kubernetes.client.CoreV1Api) -> list[str]:
    return [
        condition.status
        for node in core.list_node().items
        for condition in node.status.conditions
        if condition.type == "Ready"
    ]


def test_kind_makes_a_cluster_of_it(dockerd: Engine, docker: Runtime, tmp_path: Path) -> None:
    image = kina.build_node_image(progress=False).copy(docker)
    kind = Kind(tmp_path / "kind", dockerd.url, image.reference)
    try:
        kind.create(workers=1)
        with kubernetes.config.new_client_from_config(str(kind.kubeconfig)) as client:
            core = kubernetes.client.CoreV1Api(client)
            nodes = core.list_node().items
            assert {node.metadata.name.rpartition("kind-")[2] for node in nodes} == {
                "control-plane", "worker"}  # fmt: skip
            # kind itself waits for the control plane alone.
            assert wait_until(lambda: ready(core) == ["True", "True"], 60)
        # It is kind's, and none of kina's business.
        assert kina.Cluster.list(runtime=docker) == []
    finally:
        kind.delete()
    assert [box.name for box in kina.Container.list(runtime=docker)] == []
