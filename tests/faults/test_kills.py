"""
kill -9 of a container's helpers, of its init, and of everything at once as a reboot does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from support.containers import WAITS
from support.leaks import Host, wait_until
from support.library import library_path
from support.reboot import pull_the_plug


def pid_of(host: Host, program: str, identifier: str) -> int:
    found = [
        pid for pid, command in host.processes().items()
        if program in command.split(" ")[0] and identifier in command
    ]  # fmt: skip
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def box(busybox: str) -> Iterator[kina.Container]:
    with kina.Container.run(busybox, WAITS, name="victim") as container:
        yield container


def test_without_its_supervisor_a_container_runs_unsupervised(
    box: kina.Container, host: Host
) -> None:
    os.kill(pid_of(host, "conmon", box.id), signal.SIGKILL)
    assert wait_until(lambda: box.inspect().unsupervised)
    assert box.state == "running"
    assert box.exec(["echo", "alive"]).stdout == "alive\n"
    (listed,) = kina.Container.list()
    assert listed._known.unsupervised
    box.kill()
    assert wait_until(lambda: box.state == "stopped")
    ended = box.exit
    assert ended is not None
    assert (ended.exit_code, ended.reason) == (None, "lost")
    with pytest.raises(kina.InvalidStateError, match="nobody saw") as caught:
        box.wait(timeout=5)
    assert "supervisor" in (caught.value.hint or "")
    box.start()
    assert not box.inspect().unsupervised


def test_notice_of_an_earlier_run_waits_for_the_word_on_the_last_one(
    box: kina.Container, host: Host
) -> None:
    """
    A supervisor may get to its notice when the next run has just ended, and its own supervisor has
    not said how yet.
    """
    supervisor = pid_of(host, "conmon", box.id)
    os.kill(supervisor, signal.SIGSTOP)
    box.kill()
    late = subprocess.Popen([library_path().parent / "kina-exit", "exited", str(host.home), box.id])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            late.wait(0.5)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert late.wait(10) == 0
    assert box.wait(timeout=10) == 137


def test_an_unsupervised_container_can_be_stopped_and_deleted(
    box: kina.Container, host: Host
) -> None:
    os.kill(pid_of(host, "conmon", box.id), signal.SIGKILL)
    assert box.stop(timeout=5).state == "stopped"
    box.start()
    os.kill(pid_of(host, "conmon", box.id), signal.SIGKILL)
    box.delete(force=True)
    assert kina.Container.list() == []


def test_a_wait_ends_when_supervisor_and_container_die(box: kina.Container, host: Host) -> None:
    import threading

    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(box.wait(timeout=30))
        except kina.KinaError as failure:
            outcome.append(failure)

    thread = threading.Thread(target=wait)
    thread.start()
    pid = box.inspect().pid
    assert pid is not None
    os.kill(pid_of(host, "conmon", box.id), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    thread.join(15)
    assert not thread.is_alive()
    assert isinstance(outcome[0], kina.InvalidStateError)


def test_killing_the_init_ends_the_container_with_its_code(box: kina.Container, host: Host) -> None:
    pid = box.inspect().pid
    assert pid is not None
    with box.exec_stream(["sleep", "100"]) as process:
        os.kill(pid, signal.SIGKILL)
        assert box.wait(timeout=10) == 137
        assert process.wait(timeout=10) == 137
    assert box.exit is not None
    assert box.exit.reason == "signaled"
    assert wait_until(lambda: not host.mounts())


def test_a_killed_name_server_is_revived(busybox: str, host: Host) -> None:
    with kina.Container.run(busybox, WAITS, name="named-one") as one:
        for pid, command in host.processes().items():
            if "dnsmasq" in command:
                os.kill(pid, signal.SIGKILL)
        with kina.Container.run(busybox, WAITS, name="named-two"):
            done = one.exec(["nslookup", "named-two"], timeout=20)
            assert done.exit_code == 0, done.stdout
            assert one.exec(["nslookup", "named-one"], timeout=20).exit_code == 0


# -- A reboot --------------------------------------------------------------------------------------


def test_after_a_reboot_everything_is_found_and_comes_back(
    busybox: str, host: Host, kina_home: Path
) -> None:
    with (
        kina.Network.create("rebooted") as network,
        kina.Volume.create("rebooted") as volume,
    ):
        first = kina.Container.run(
            busybox, WAITS, name="first", network="rebooted", ports=[80], mounts=["rebooted:/data"]
        )
        second = kina.Container.run(busybox, WAITS, name="second", network="rebooted")
        first.exec(["sh", "-c", "echo kept | tee /data/f > /root/f"], check=True)
        addresses, ports = (first.ip, second.ip), first.ports
        default = kina.Network.get("default").id

        pull_the_plug(host)

        with kina.connect(home=kina_home):
            for box in kina.Container.list():
                assert box.state == "stopped"
                assert box.exit is not None
                assert (box.exit.exit_code, box.exit.reason) == (None, "lost")
            first, second = kina.Container.get("first"), kina.Container.get("second")
            assert (first.ip, second.ip) == addresses
            first.start()
            second.start()
            assert (first.ip, second.ip) == addresses
            assert first.ports == ports
            assert first.exec(["cat", "/data/f", "/root/f"]).stdout == "kept\nkept\n"
            assert second.exec(["nslookup", "first"], timeout=20).exit_code == 0
            assert str(addresses[0]) in first.exec(["ip", "-o", "addr"]).stdout
            assert kina.Network.get("default").id == default
            with kina.Container.run(busybox, WAITS) as other:
                assert other.ip
            first.delete(force=True)
            second.delete(force=True)
        assert network.inspect().leases == {}
        assert volume.inspect().used_by == ()


def test_after_a_reboot_delete_and_prune_need_no_start(
    busybox: str, host: Host, kina_home: Path
) -> None:
    kina.Container.run(busybox, WAITS, name="gone", ports=[80])
    kina.Container.run(busybox, WAITS, name="pruned")
    pull_the_plug(host)
    with kina.connect(home=kina_home):
        kina.Container.get("gone").delete()
        assert kina.prune(networks=False).containers == ("pruned",)
        assert kina.Container.list() == []


def test_a_record_that_cannot_be_read_is_reported_and_hides_no_other(
    busybox: str, host: Host
) -> None:
    with kina.Container.create(busybox, WAITS, name="healthy"):
        broken = host.home / "containers" / "0123456789abcdef"
        broken.mkdir()
        (broken / "record.json").write_text('{"half": ')
        try:
            with pytest.raises(kina.DataLossError, match="0123456789abcdef") as caught:
                kina.Container.get("0123456789abcdef")
            assert caught.value.hint
            assert kina.Container.get("healthy").state == "created"
            assert "healthy" in [box.name for box in kina.Container.list()]
        finally:
            shutil.rmtree(broken)
