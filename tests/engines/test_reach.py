"""
Whether containers' addresses are reached from here.
"""

from __future__ import annotations

import pytest

import kina
from kina.runtimes import Runtime
from support.far import Far


def test_containers_of_another_machine_are_reached_by_published_ports_alone(
    far: Far, docker: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(far.certificates))
    here = kina.Network.create("reached", subnet="10.123.45.0/24", runtime=docker)
    with kina.connect("docker", url=far.url) as opened:
        # Of the same subnet: that this machine has the gateway's address proves nothing.
        there = kina.Network.create("reached", subnet=here.subnet, runtime=opened)
        try:
            assert docker.reach(here.name) == (True, "127.0.0.1", "127.0.0.1")
            assert opened.reach(there.name) == (False, far.address, far.address)
            with kina.connect("docker", url=far.engine.url) as local:
                assert local.reach(there.name) == (False, "127.0.0.1", "127.0.0.1")
            monkeypatch.setenv("KINA_DOCKER_DIRECT", "1")
            with kina.connect("docker", url=far.url) as said:
                assert said.reach(there.name).direct
            with kina.connect("docker", url=far.url, direct=False) as said:
                assert not said.reach(there.name).direct
        finally:
            there.delete()
            here.delete()


def test_what_is_said_of_it_is_checked(docker: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINA_DOCKER_DIRECT", "perhaps")
    with pytest.raises(kina.InvalidArgumentError, match="KINA_DOCKER_DIRECT 'perhaps'"):
        kina.connect("docker")
    with pytest.raises(kina.InvalidArgumentError, match="direct True"):
        kina.connect("native", direct=True)
    with pytest.raises(kina.NotFoundError, match="nowhere"):
        docker.reach("nowhere")
