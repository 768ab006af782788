"""
Pods: several containers in one sandbox.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

import kina
from support.containers import LISTENS, WAITS, IsolationOf, ask
from support.registry import free_port
from support.scripts import check_python

# -- What containers share -------------------------------------------------------------------------


# As few execs as can be: a machine on Linux has streams for seven or eight.


def hosts(text: str) -> list[list[str]]:
    """
    Return the lines of a hosts file: an address and names.
    """
    return [line.split() for line in text.splitlines()]


def test_containers_share_address_host_name_and_loopback(pod: kina.Pod, busybox: str) -> None:
    first = pod.run(busybox, LISTENS, name="first")
    second = pod.run(busybox, WAITS, name="second")
    assert first.ip == second.ip == pod.ip
    for box in (first, second):
        told = box.exec(["sh", "-c", "hostname; cat /etc/hosts; ip -4 addr show eth0"]).stdout
        assert told.splitlines()[0] == "front"
        assert [pod.ip, "front"] in [line[:2] for line in hosts(told)]
        assert f"inet {pod.ip}/" in told
    asks = ["sh", "-c", "until nc 127.0.0.1 8080; do sleep 0.05; done"]
    assert second.exec(asks, stdin="", timeout=30).stdout == "served\n"
    assert ask(pod.ip, 8080) == "served\n"


NAMESPACES = ("net", "ipc", "uts", "pid", "mnt")


def shared_namespaces(*boxes: kina.Container) -> set[str]:
    """
    Say of which kinds all are in one namespace.
    """
    script = "".join(f"readlink /proc/self/ns/{kind};" for kind in NAMESPACES)
    names = [box.exec(["sh", "-c", script]).stdout.splitlines() for box in boxes]
    return {
        kind
        for kind, found in zip(NAMESPACES, zip(*names, strict=True), strict=True)
        if len(set(found)) == 1
    }


def test_they_share_network_and_shared_memory_and_no_files(pod: kina.Pod, busybox: str) -> None:
    first, second = (pod.run(busybox, WAITS) for _ in range(2))
    first.exec(["sh", "-c", "echo shared > /dev/shm/x; echo own > /tmp/x"], check=True)
    seen = second.exec(["sh", "-c", "cat /dev/shm/x; ls /tmp/x"])
    assert seen.stdout == "shared\n"
    assert seen.exit_code != 0
    shared = shared_namespaces(first, second)
    assert "net" in shared
    assert not {"pid", "mnt"} & shared


@pytest.mark.parametrize("kind", ["ipc", "uts"])
def test_they_share_a_namespace(pod: kina.Pod, busybox: str, kind: str) -> None:
    assert kind in shared_namespaces(*(pod.run(busybox, WAITS) for _ in range(2)))


def test_containers_come_and_go_in_a_pod(pod: kina.Pod, busybox: str) -> None:
    assert pod.containers == ()
    assert kina.run(busybox, ["hostname"], pod=pod).stdout == "front\n"
    created = kina.Container.create(busybox, WAITS, pod="front", name="created")
    running = pod.run(busybox, WAITS, name="running")
    assert pod.containers == (created, running)
    assert running.inspect().pod_id == pod.id
    assert created.state == "created"
    created.start()
    created.stop(timeout=0)
    assert running.state == "running"
    created.delete()
    assert pod.containers == (running,)
    assert ask_address(running) == pod.ip


def ask_address(box: kina.Container) -> str:
    return box.exec(["hostname", "-i"]).stdout.strip()


def test_a_pod_is_known_by_its_name_and_aliases(busybox: str) -> None:
    with (
        kina.Network.create("blue") as network,
        kina.Pod.create("api", network=network, aliases=["backend"]) as pod,
        kina.Container.run(busybox, WAITS, network=network) as other,
    ):
        pod.run(busybox, WAITS)
        for name in ("api", "backend"):
            assert pod.ip in other.exec(["nslookup", name]).stdout
        assert network.inspect().leases[pod.ip] == pod.id
        with pytest.raises(kina.InvalidStateError, match="api"):
            network.delete()


def test_the_pod_publishes_ports_for_its_containers(busybox: str) -> None:
    port = free_port()
    with kina.Pod.create(ports=[f"{port}:8080"]) as pod:
        pod.run(busybox, LISTENS)
        assert pod.ports[0].host_port == port
        assert ask("127.0.0.1", port) == "served\n"


def test_the_sandbox_is_as_the_pod_was_told(busybox: str) -> None:
    with kina.Pod.create(
        "told",
        hostname="host",
        dns=kina.DNS(servers=("10.1.2.3",), search=("example.org",)),
        extra_hosts={"db": "10.9.9.9"},
        sysctls={"net.core.somaxconn": 77},
        shm_size="1Mi",
        labels={"tier": "front"},
    ) as pod:
        box = pod.run(busybox, WAITS)
        assert box.exec(["hostname"]).stdout == "host\n"
        assert box.exec(["cat", "/proc/sys/net/core/somaxconn"]).stdout == "77\n"
        resolver = box.exec(["cat", "/etc/resolv.conf"]).stdout
        assert resolver == "nameserver 10.1.2.3\nsearch example.org\n"
        assert ["10.9.9.9", "db"] in hosts(box.exec(["cat", "/etc/hosts"]).stdout)
        assert "1024" in box.exec(["df", "-k", "/dev/shm"]).stdout
        assert pod.labels == {"tier": "front"}
        assert kina.Pod.get("told").inspect().spec.labels == {"tier": "front"}


@pytest.mark.parametrize("network", ["host", "none"])
def test_a_pod_without_a_network_of_its_own(busybox: str, network: str) -> None:
    with kina.Pod.create(network=network) as pod:
        links = kina.run(busybox, ["ls", "/sys/class/net"], pod=pod).stdout.split()
        assert (links == ["lo"]) == (network == "none")
        with pytest.raises(kina.InvalidStateError):
            _ = pod.ip


# -- Its life --------------------------------------------------------------------------------------


def test_stop_ends_all_and_start_brings_all_back(pod: kina.Pod, busybox: str) -> None:
    address = pod.ip
    boxes = [pod.run(busybox, WAITS) for _ in range(2)]
    boxes[0].exec(["touch", "/root/kept"], check=True)
    pod.stop(grace=0)
    assert pod.state == "stopped"
    assert [box.state for box in boxes] == ["stopped", "stopped"]
    pod.stop()
    pod.start()
    assert pod.state == "ready"
    assert [box.state for box in boxes] == ["running", "running"]
    assert pod.ip == boxes[1].ip == address
    assert ask_address(boxes[1]) == address
    assert boxes[0].exec(["ls", "/root/kept"]).exit_code == 0
    pod.start()  # what is up stays as it is


def test_a_container_that_starts_brings_its_pod_up(pod: kina.Pod, busybox: str) -> None:
    box = kina.Container.create(busybox, WAITS, pod=pod)
    pod.stop()
    box.start()
    assert pod.state == "ready"
    assert ask_address(box) == pod.ip


def test_delete_refuses_what_runs_unless_forced(busybox: str) -> None:
    pod = kina.Pod.create("doomed")
    box = pod.run(busybox, WAITS, name="member")
    with pytest.raises(kina.InvalidStateError, match="'member'"):
        pod.delete()
    assert box.state == "running"
    pod.delete(force=True)
    for call in (pod.inspect, pod.delete, pod.start, pod.stop, box.inspect):
        with pytest.raises(kina.NotFoundError):
            call()
    assert kina.Pod.list() == []


def test_stopped_containers_go_with_their_pod(busybox: str) -> None:
    with kina.Pod.create() as pod:
        box = pod.run(busybox, ["true"])
        assert box.wait(timeout=20) == 0
        pod.delete()
    with pytest.raises(kina.NotFoundError):
        box.inspect()


def test_another_program_sees_it(pod: kina.Pod, busybox: str) -> None:
    pod.run(busybox, WAITS)
    told = check_python("import kina; print(kina.Pod.get('front').containers[0].state)")
    assert told == "running\n"


def test_pods_tell_events(busybox: str) -> None:
    since = datetime.now(UTC)
    with kina.Pod.create("told") as pod:
        pod.stop()
        pod.start()
    found = [
        event.action
        for event in kina.events(since=since, until=datetime.now(UTC), kinds=["pod"])
        if event.name == "told"
    ]
    assert found == ["create", "stop", "start", "delete"]


# -- Wrong and at once -----------------------------------------------------------------------------


def test_what_cannot_be_is_said(pod: kina.Pod, busybox: str) -> None:
    with pytest.raises(kina.AlreadyExistsError, match="front"):
        kina.Pod.create("front")
    with pytest.raises(kina.NotFoundError, match="pod 'nobody'"):
        kina.Container.create(busybox, pod="nobody")
    with pytest.raises(kina.InvalidArgumentError, match="ports: is the pod's"):
        kina.Container.create(busybox, pod=pod, ports=[80])
    with pytest.raises(kina.InvalidArgumentError, match="hostname: is the pod's"):
        pod.run(busybox, hostname="other")
    with pytest.raises(kina.InvalidArgumentError, match="must be a pod or its name"):
        kina.Container.create(busybox, pod=3)  # type: ignore[arg-type]
    with pytest.raises(kina.InvalidArgumentError, match="did you mean 'network'"):
        kina.Pod.create(networks=["x"])  # type: ignore[call-arg]
    with pytest.raises(kina.NotFoundError):
        kina.Pod.create(network="nowhere")
    assert [each.name for each in kina.Pod.list()] == ["front"]
    assert pod.containers == ()


def test_a_size_and_an_isolation_that_cannot_be_are_refused(isolation: IsolationOf) -> None:
    size = {"cpus": 0.5} if isolation.own == "vm" else {"memory": "1Gi"}
    for options in (size, {"isolation": isolation.other}):
        with pytest.raises(kina.UnsupportedError) as caught:
            kina.Pod.create(**options)  # type: ignore[arg-type]
        assert caught.value.hint
    assert kina.Pod.list() == []


def test_a_port_that_is_taken_leaves_nothing(busybox: str) -> None:
    port = free_port()
    with kina.Pod.create(ports=[f"{port}:80"]):
        with pytest.raises(kina.KinaError, match=str(port)):
            kina.Pod.create("late", ports=[f"{port}:80"])
        assert len(kina.Pod.list()) == 1


def in_parallel(*calls: Callable[[], object]) -> list[str]:
    results: list[str] = []

    def attempt(call: Callable[[], object]) -> None:
        try:
            call()
            results.append("done")
        except kina.KinaError as failure:
            results.append(type(failure).__name__)

    threads = [threading.Thread(target=attempt, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


def test_containers_start_in_one_pod_at_once(pod: kina.Pod, busybox: str) -> None:
    pod.stop()
    boxes = [kina.Container.create(busybox, WAITS, pod=pod) for _ in range(4)]
    assert in_parallel(*(box.start for box in boxes)) == ["done"] * 4
    assert {ask_address(box) for box in boxes} == {pod.ip}


def test_stop_and_start_at_once_leave_one_truth(pod: kina.Pod, busybox: str) -> None:
    box = kina.Container.create(busybox, WAITS, pod=pod)
    for _ in range(3):
        in_parallel(box.start, lambda: pod.stop(grace=0))
        states = (pod.state, box.state)
        assert states in (("ready", "running"), ("stopped", "stopped"), ("stopped", "created")), (
            states
        )
        pod.stop(grace=0)


def test_only_one_pod_of_a_name_is_made(busybox: str) -> None:
    results = in_parallel(*[lambda: kina.Pod.create("raced")] * 4)
    assert results == ["AlreadyExistsError"] * 3 + ["done"]
    kina.Pod.get("raced").delete()


def test_prune_takes_stopped_pods_without_containers(pod: kina.Pod, busybox: str) -> None:
    kina.Container.create(busybox, WAITS, pod=pod, name="member")
    idle = kina.Pod.create("idle")
    idle.stop()
    assert kina.prune(containers=False).pods == ()
    pod.stop()
    # "member" never ran, and goes; then its pod is empty.
    result = kina.prune()
    assert result.containers == ("member",)
    assert sorted(result.pods) == ["front", "idle"]
    assert kina.Pod.list() == []
