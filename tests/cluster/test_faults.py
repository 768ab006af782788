"""
What can go wrong with a cluster from outside: its machine, its disk, its configuration.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support.leaks import Host
from support.manifests import web_server
from support.reboot import pull_the_plug

pytestmark = [pytest.mark.timeout(600, method="signal"), pytest.mark.slow]

QUICK = 60.0
"""Seconds, where kubeadm alone waits for four minutes."""

KUBELET = """
kind: InitConfiguration
nodeRegistration: {kubeletExtraArgs: {no-such-flag: "1"}}
"""
SERVER = """
kind: ClusterConfiguration
apiServer: {extraArgs: {no-such-flag: "1"}}
"""


@pytest.mark.parametrize(("patch", "who"), [(KUBELET, "kubelet"), (SERVER, "kube-apiserver")])
def test_what_ends_as_soon_as_it_is_started_is_told_soon(
    patch: str, who: str, node_image: str, leaves_nothing: None
) -> None:
    config = kina.ClusterConfig(kubeadm_config_patches=[patch])
    begun = time.monotonic()
    with pytest.raises(kina.BootstrapError, match=f"waits in vain: (the )?{who} ends") as caught:
        kina.Cluster.create("vain", image=node_image, config=config, progress=False)
    assert time.monotonic() - begun < QUICK
    assert (caught.value.action, caught.value.node) == ("init", "vain-control-plane")
    assert any(who in line and "no-such-flag" in line for line in caught.value.logs)


def test_what_did_not_come_up_is_kept_on_request(node_image: str, leaves_nothing: None) -> None:
    config = kina.ClusterConfig(kubeadm_config_patches=[KUBELET])
    with pytest.raises(kina.BootstrapError) as caught:
        kina.Cluster.create("kept", image=node_image, config=config, retain=True, progress=False)
    assert any("was kept" in note for note in caught.value.__notes__)
    cluster = kina.Cluster.get("kept")
    assert cluster.status().state == "incomplete"
    assert "no-such-flag" in cluster.nodes()[0].logs("kubelet")
    with pytest.raises(kina.InvalidStateError, match="its creation was cut short"):
        _ = cluster.kubeconfig
    cluster.delete()


def test_a_machine_that_is_too_small_is_told_with_what_to_do(
    node_image: str, leaves_nothing: None
) -> None:
    with pytest.raises(kina.ResourceExhaustedError, match="can't take the cluster") as caught:
        kina.Cluster.create("huge", workers=250, image=node_image, progress=False)
    assert "MiB of memory are available" in str(caught.value)
    assert caught.value.hint is not None
    assert "ask for fewer workers" in caught.value.hint


def test_a_registry_that_is_not_there_is_told_with_what_to_do(runtime: Runtime) -> None:
    with pytest.raises(kina.UnavailableError) as caught:
        kina.Cluster.create("far", image="127.0.0.1:1/node:1", progress=False)
    assert "kina.build_node_image() makes a node image" in str(caught.value)
    assert kina.Cluster.list() == []
    assert [network.name for network in kina.Network.list() if "far" in network.name] == []


def test_after_a_reboot_a_cluster_comes_back_as_it_was(
    node_image: str, shop_image: str, host: Host, kina_home: Path, leaves_nothing: None
) -> None:
    cluster = kina.Cluster.create("rebooted", workers=1, image=node_image, progress=False)
    try:
        cluster.load_image(shop_image)
        cluster.apply(web_server("kept", "echo kept"))
        cluster.wait("deployment/kept", timeout=60)
        before = [(node.name, node.ip) for node in cluster.nodes()]

        pull_the_plug(host)

        with kina.connect(home=kina_home):
            cluster = kina.Cluster.get("rebooted")
            assert cluster.status().state == "stopped"
            cluster.start()
            assert [(node.name, node.ip) for node in cluster.nodes()] == before
            cluster.wait("deployment/kept", timeout=120)
            assert cluster.status().state == "running"
            cluster.delete()
    finally:
        if kina.Cluster.list():
            kina.Cluster.get("rebooted").delete()


@pytest.fixture
def small(runtime: Runtime, node_image: str, tmp_path: Path) -> Iterator[Runtime]:
    """
    A runtime with a node's image on a disk where little is left.
    """
    archive, disk = tmp_path / "node.tar", tmp_path / "disk"
    kina.Image.save(node_image, archive, format="oci")
    disk.mkdir()
    size = archive.stat().st_size * 4 + (1200 << 20)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "kina-test", disk], check=True)
    try:
        with kina.connect(home=disk / "home") as opened:
            kina.Image.load(archive, reference=node_image)
            archive.unlink()
            yield opened
            assert kina.Container.list() == []
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(directory: Path) -> Path:
    """
    Fill a disk.
    """
    filler = directory / "filler"
    with filler.open("wb") as file:
        figures = os.statvfs(directory)
        os.posix_fallocate(file.fileno(), 0, figures.f_bavail * figures.f_frsize)
    return filler


def test_a_disk_that_is_or_gets_full_is_the_error(small: Runtime, node_image: str) -> None:
    disk = Path(small.info().home).parent
    filler = fill(disk)
    with pytest.raises(kina.ResourceExhaustedError, match="MiB are free in") as early:
        kina.Cluster.create("full", image=node_image, kubeconfig=False, progress=False)
    assert early.value.hint is not None
    assert "KINA_HOME" in early.value.hint
    filler.unlink()

    def full(event: kina.ProgressEvent) -> None:
        if (event.action, event.state) == ("init", "running"):
            fill(disk)

    with pytest.raises(kina.BootstrapError, match=r"(?i)no space left") as caught:
        kina.Cluster.create("full", image=node_image, kubeconfig=False, progress=full)
    assert (caught.value.action, caught.value.node) == ("init", "full-control-plane")
    assert kina.Cluster.list() == []
    filler.unlink()
