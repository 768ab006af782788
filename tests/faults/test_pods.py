"""
Pods: kill -9 at every step of what one goes through, after which delete removes everything and a
new pod of that name works; and a reboot.
"""

from __future__ import annotations

import signal

import pytest

import kina
from support.containers import LISTENS, WAITS, ask
from support.leaks import Host
from support.reboot import pull_the_plug
from support.registry import free_port
from support.scripts import run_python
from support.steps import steps

PROGRAM = """
import sys
import kina
image = sys.argv[1]
pod = kina.Pod.create("victim", ports=["18080:80"])
pod.run(image, ["sleep", "inf"])
pod.stop(grace=0)
pod.start()
pod.delete(force=True)
"""


@pytest.mark.parametrize("step", steps("pod"))
def test_a_crash_leaves_what_delete_removes(busybox: str, step: str) -> None:
    done = run_python(PROGRAM, busybox, env={"KINA_CRASH_AFTER": step})
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    for pod in kina.Pod.list():
        assert pod.name == "victim"
        pod.delete(force=True)
    kina.prune()
    with kina.Pod.create("victim", ports=["18080:80"]) as again:
        again.run(busybox, WAITS)


@pytest.mark.parametrize("step", steps("pod"))
def test_prune_finishes_what_a_crash_left(busybox: str, step: str) -> None:
    run_python(PROGRAM, busybox, env={"KINA_CRASH_AFTER": step})
    kina.prune()
    for pod in kina.Pod.list():
        assert pod.state in ("ready", "stopped")
        pod.delete(force=True)


def test_a_pod_comes_back_after_a_reboot(host: Host, busybox: str) -> None:
    with kina.Pod.create("lasting", ports=[f"{free_port()}:8080"]) as pod:
        box = pod.run(busybox, LISTENS)
        address, port = pod.ip, pod.ports[0].host_port
        pull_the_plug(host)
        assert pod.state == "stopped"
        assert box.state == "stopped"
        pod.start()
        assert (pod.ip, box.ip) == (address, address)
        assert ask("127.0.0.1", port) == "served\n"
