"""
What can go wrong while a cluster comes up, and what is left then: nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kina
from kina import bootstrap
from kina.bootstrap.preflight import has_ipvs
from support.leaks import Host, Snapshot, assert_nothing_leaked, wait_until

pytestmark = [pytest.mark.timeout(600, method="signal"), pytest.mark.slow]

# Creates a cluster with a worker, and says each action as it begins.
CREATE = """
import sys, kina
def say(event):
    if event.state == "running":
        # One write: some begin at the same time, in threads of their own.
        sys.stdout.write(event.action + "\\n")
        sys.stdout.flush()
kina.Cluster.create(sys.argv[1], image=sys.argv[2], workers=1, progress=say)
"""


def actions() -> list[str]:
    """
    All that there are, as the code lists them. Debian's image brings no DNS of its own.
    """
    steps = [step if isinstance(step, tuple) else (step,) for step in bootstrap.CREATE]
    return [action.name for step in steps for action in step if action.name != "dns"]


def begin(name: str, image: str, action: str) -> subprocess.Popen[str]:
    """
    Begin to create a cluster in another process, and return when it is at an action.
    """
    command = [sys.executable, "-c", CREATE, name, image]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == action:
            return process
    _, complaint = process.communicate()
    raise AssertionError(f"it never came to {action}: {complaint}")


@pytest.mark.parametrize("action", actions())
def test_what_a_killed_creation_left_is_deleted(
    action: str, node_image: str, host: Host, kubeconfig: Path
) -> None:
    before = Snapshot.take(host, rules=True)
    process = begin("killed", node_image, action)
    time.sleep(0.1)  # into the middle of it
    process.kill()
    process.communicate()
    if kina.Cluster.list() and kina.Cluster.get("killed").status().state != "running":
        assert kina.Cluster.get("killed").status().state == "incomplete"
        with pytest.raises(kina.AlreadyExistsError, match="what was left of a cluster"):
            kina.Cluster.create("killed", image=node_image, progress=False)
    for cluster in kina.Cluster.list():
        cluster.delete()
    assert kina.Cluster.list() == []
    assert "killed" not in (kubeconfig.read_text() if kubeconfig.exists() else "")
    kina.prune()
    assert_nothing_leaked(host, before, rules=True)


@pytest.mark.parametrize("action", ["nodes", "init", "workers", "join", "ready", "kubeconfig"])
def test_an_interrupted_creation_undoes_itself(
    action: str, node_image: str, host: Host, kubeconfig: Path
) -> None:
    before = Snapshot.take(host, rules=True)
    process = begin("stopped", node_image, action)
    time.sleep(0.02 if action == "kubeconfig" else 0.3)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    if action == "kubeconfig" and kina.Cluster.list():
        # The last action is short: it was done by then, and the program on its way out.
        assert kina.Cluster.get("stopped").status().state == "running"
        kina.Cluster.get("stopped").delete()
    else:
        assert "KeyboardInterrupt" in complaint
    assert kina.Cluster.list() == []
    assert "stopped" not in (kubeconfig.read_text() if kubeconfig.exists() else "")
    assert_nothing_leaked(host, before, rules=True)


def test_a_name_is_free_again_after_a_kill(node_image: str, leaves_nothing: None) -> None:
    process = begin("again", node_image, "cni")
    process.kill()
    process.communicate()
    kina.Cluster.get("again").delete()
    with kina.Cluster.create("again", image=node_image, progress=False) as cluster:
        assert cluster.status().state == "running"


def test_a_node_that_dies_meanwhile_is_the_error(node_image: str, leaves_nothing: None) -> None:
    def kill(event: kina.ProgressEvent) -> None:
        if (event.action, event.state) == ("init", "running"):
            kina.Container.get("dying-control-plane").kill("KILL")

    with pytest.raises(kina.BootstrapError) as caught:
        kina.Cluster.create("dying", image=node_image, progress=kill)
    assert (caught.value.action, caught.value.node) == ("init", "dying-control-plane")


def test_a_kubeadm_failure_tells_its_lines(node_image: str, leaves_nothing: None) -> None:
    patch = "kind: ClusterConfiguration\nnetworking: {serviceSubnet: nonsense}\n"
    config = kina.ClusterConfig(kubeadm_config_patches=[patch])
    with pytest.raises(
        kina.BootstrapError, match=r"init on bad-control-plane: .*kubeadm"
    ) as caught:
        kina.Cluster.create("bad", image=node_image, config=config, progress=False)
    assert any("serviceSubnet" in line for line in caught.value.logs)


def test_an_image_that_is_not_a_nodes_is_refused(shop_image: str, leaves_nothing: None) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="is not a node image"):
        kina.Cluster.create("wrong", image=shop_image, progress=False)


def test_a_port_in_use_is_found_before_anything_is_made(
    node_image: str, leaves_nothing: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(kina.InvalidArgumentError, match="is in use"):
            kina.Cluster.create(
                "ports", image=node_image, ports=[f"127.0.0.1:{port}:80"], progress=False
            )


def test_a_proxy_that_the_kernel_can_not_do_is_refused_and_else_used(
    node_image: str, leaves_nothing: None
) -> None:
    config = kina.ClusterConfig(networking=kina.Networking(kube_proxy_mode="ipvs"))
    if not has_ipvs():
        with pytest.raises(kina.UnsupportedError, match="kubeProxyMode 'ipvs'") as refused:
            kina.Cluster.create("ipvs", image=node_image, config=config, progress=False)
        assert "iptables" in str(refused.value.hint)
        return
    with kina.Cluster.create("ipvs", image=node_image, config=config, progress=False) as cluster:
        links = cluster.nodes()[0].exec(["ip", "link", "show", "kube-ipvs0"], timeout=60)
        assert links.exit_code == 0


def test_a_broken_kubeconfig_is_found_before_anything_is_made(
    node_image: str, leaves_nothing: None, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text("clusters: [\n")
    with pytest.raises(kina.InvalidStateError, match="is broken, and was left as it is"):
        kina.Cluster.create("config", image=node_image, kubeconfig=path, progress=False)
    assert path.read_text() == "clusters: [\n"


@pytest.mark.parametrize("name", ["", "Upper", "../up", "x" * 44])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="can't be a cluster's name"):
        kina.Cluster.create(name, progress=False)


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(kina.NotFoundError, match="there is no cluster 'none'"):
        kina.Cluster.get("none")


def test_two_programs_do_not_make_the_same_cluster(node_image: str, leaves_nothing: None) -> None:
    process = begin("twice", node_image, "nodes")
    with pytest.raises(kina.ConflictError, match="another program is changing cluster 'twice'"):
        kina.Cluster.create("twice", image=node_image, progress=False)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert wait_until(lambda: not kina.Cluster.list())
