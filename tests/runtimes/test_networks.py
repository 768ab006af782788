"""
Addresses, names, ports, and the ways between containers, the host and the outside.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

import kina
from support.containers import WAITS
from support.leaks import wait_until
from support.registry import free_port

Run = Callable[..., kina.Container]
SERVE = ["sh", "-c", "while :; do echo from $HOSTNAME | nc -l -p 80; done"]
ECHO_UDP = [
    "perl",
    "-e",
    """
    socket(S, 2, 2, 17) and bind(S, pack("S n a4 x8", 2, 5353, "\\0" x 4)) or die $!;
    send(S, $data, 0, $peer) while $peer = recv(S, $data, 9000, 0);
    """,
]


@pytest.fixture
def run(run_with_ping: Run) -> Run:
    return run_with_ping


def read_from(address: str, port: int, seconds: float = 10) -> bytes:
    """
    Connect, as soon as somebody listens, and read to the end.
    """
    answer = b""

    def connected() -> bool:
        nonlocal answer
        try:
            with socket.create_connection((address, port), timeout=2) as connection:
                chunks = []
                while chunk := connection.recv(4096):
                    chunks.append(chunk)
                answer = b"".join(chunks)
        except OSError:
            return False
        return bool(answer)

    assert wait_until(connected, seconds=seconds, pause=0.05), f"{address}:{port} does not answer"
    return answer


def pings(box: kina.Container, target: str) -> bool:
    return box.exec(["ping", "-c", "1", "-W", "2", target]).exit_code == 0


def test_each_container_has_an_address_of_its_own(run: Run) -> None:
    one, two = run(), run()
    assert one.ip != two.ip
    (address,) = one.inspect().addresses
    network = kina.Network.get(address.network)
    assert ipaddress.ip_address(address.address) in ipaddress.ip_network(network.subnet)
    assert address.gateway == network.gateway
    assert network.inspect().leases[address.address] == one.id
    inside = one.exec(["ip", "-o", "addr", "show", "eth0"]).stdout
    assert f"inet {address.address}/{address.prefix_length}" in inside
    assert address.mac in one.exec(["cat", "/sys/class/net/eth0/address"]).stdout


def test_the_default_network_collides_with_no_route_of_the_host(run: Run) -> None:
    run()
    subnet = ipaddress.ip_network(kina.Network.get("default").subnet)
    bridge = kina.Network.get("default").inspect().interface
    routes = subprocess.run(
        ["ip", "-4", "route"], capture_output=True, text=True, check=True
    ).stdout
    for line in routes.splitlines():
        target = line.split()[0]
        if target == "default" or f"dev {bridge}" in line:
            continue
        assert not subnet.overlaps(ipaddress.ip_network(target, strict=False)), line


def test_the_host_reaches_each_by_its_address(run: Run) -> None:
    box = run(SERVE, hostname="served")
    assert read_from(str(box.ip), 80) == b"from served\n"


def test_containers_reach_each_other_by_address_name_and_hostname(run: Run) -> None:
    server = run(name="a-server", hostname="its-host")
    client = run(name="a-client")
    for target in (str(server.ip), "a-server", "its-host"):
        assert pings(client, target), target
    assert pings(server, "a-client")
    assert pings(client, "a-client")


def test_a_name_goes_with_its_container_and_comes_back(run: Run) -> None:
    server, client = run(name="comes-and-goes"), run()
    assert pings(client, "comes-and-goes")
    server.stop()
    assert client.exec(["nslookup", "comes-and-goes"]).exit_code != 0
    server.start()
    assert pings(client, "comes-and-goes")


def test_an_unknown_name_is_not_found_quickly(run: Run) -> None:
    done = run().exec(["nslookup", "no-such-container"], timeout=20)
    assert done.exit_code != 0


@contextmanager
def outside() -> Iterator[tuple[str, int]]:
    """
    A machine beyond the host, which has no way back to containers except by the host's own address.
    """
    commands = [
        "ip netns add kt-outside",
        "ip link add kt-out0 type veth peer name eth0 netns kt-outside",
        "ip addr add 198.51.100.1/24 dev kt-out0",
        "ip link set kt-out0 up",
        "ip -n kt-outside addr add 198.51.100.2/24 dev eth0",
        "ip -n kt-outside link set eth0 up",
        "ip -n kt-outside link set lo up",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        server = subprocess.Popen(
            ["ip", "netns", "exec", "kt-outside", "busybox", "sh", "-c",
             "while :; do echo outside | busybox nc -l -p 8080; done"],
            process_group=0,
        )  # fmt: skip
        try:
            yield "198.51.100.2", 8080
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    finally:
        subprocess.run(["ip", "netns", "del", "kt-outside"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", "kt-out0"], capture_output=True, check=False)


def test_containers_reach_the_outside_through_the_host(run: Run) -> None:
    box = run()
    with outside() as (address, port):
        fetch = ["sh", "-c", f"nc -w 3 {address} {port} < /dev/null"]
        assert wait_until(lambda: box.exec(fetch).stdout == "outside\n", seconds=10)


def test_an_internal_network_has_no_way_out(run: Run) -> None:
    with kina.Network.create("inward", internal=True) as network, outside() as (address, port):
        one, two = run(network="inward"), run(network="inward", name="inner")
        assert pings(one, "inner")
        assert one.exec(["nc", "-w", "1", address, str(port)]).exit_code != 0
        for box in (one, two):
            box.delete(force=True)
        assert network.inspect().internal


def test_networks_are_separate(run: Run) -> None:
    with kina.Network.create("left"), kina.Network.create("right"):
        one, two = run(network="left", name="on-left"), run(network="right", name="on-right")
        assert not pings(one, str(two.ip))
        assert one.exec(["nslookup", "on-right"]).exit_code != 0
        one.delete(force=True)
        two.delete(force=True)


def test_a_container_can_be_on_several_networks(run: Run) -> None:
    with kina.Network.create("first"), kina.Network.create("second"):
        both = run(network=["first", "second"], name="both")
        alone = run(network="second")
        addresses = both.inspect().addresses
        assert [address.network for address in addresses] == ["first", "second"]
        assert both.ip == addresses[0].address
        assert pings(alone, "both")
        links = both.exec(["ls", "/sys/class/net"]).stdout.split()
        assert {"eth0", "eth1"} <= set(links)
        for box in (both, alone):
            box.delete(force=True)


def test_a_fixed_address_and_aliases(run: Run) -> None:
    with kina.Network.create("fixed", subnet="10.213.7.0/24", gateway="10.213.7.1") as network:
        assert (network.subnet, network.gateway) == ("10.213.7.0/24", "10.213.7.1")
        box = run(network="fixed", address="10.213.7.77", aliases=["db", "db.example"])
        client = run(network="fixed")
        assert box.ip == "10.213.7.77"
        for name in ("db", "db.example"):
            assert pings(client, name)
        with pytest.raises(kina.KinaError, match=r"10\.213\.7\.77") as caught:
            run(network="fixed", address="10.213.7.77")
        assert isinstance(
            caught.value,
            kina.AlreadyExistsError | kina.ResourceExhaustedError | kina.InvalidArgumentError,
        )
        box.stop()
        # A stopped container keeps what it has.
        with pytest.raises(kina.KinaError, match=r"10\.213\.7\.77"):
            run(network="fixed", address="10.213.7.77")
        for each in (box, client):
            each.delete(force=True)


@pytest.mark.parametrize("address", ["10.213.8.5", "10.213.7.1", "10.213.7.0", "10.213.7.255"])
def test_an_address_that_cannot_be_names_the_field(run: Run, address: str) -> None:
    with kina.Network.create("picky", subnet="10.213.7.0/24"):
        with pytest.raises(kina.InvalidArgumentError, match="address") as caught:
            run(network="picky", address=address)
        assert address in str(caught.value)


def test_addresses_run_out_with_a_clear_error(busybox: str) -> None:
    with kina.Network.create("tiny", subnet="10.213.9.0/29"), ExitStack() as stack:
        for _ in range(5):
            box = kina.Container.create(busybox, network="tiny")
            stack.enter_context(box)
        with pytest.raises(kina.ResourceExhaustedError, match="tiny") as caught:
            kina.Container.create(busybox, network="tiny")
        assert caught.value.hint
        address = box.ip
        box.delete()
        # What is deleted frees its address.
        assert stack.enter_context(kina.Container.create(busybox, network="tiny")).ip == address


def test_an_ipv6_subnet_is_not_supported_yet(runtime: object) -> None:
    with pytest.raises(kina.UnsupportedError, match="subnet"):
        kina.Network.create("six", subnet="fd00::/64")


def test_no_network_is_loopback_only(run: Run) -> None:
    box = run(network="none")
    assert box.ip is None
    assert box.exec(["ls", "/sys/class/net"]).stdout.split() == ["lo"]
    assert pings(box, "127.0.0.1")


def test_the_hosts_network_can_be_shared(run: Run) -> None:
    port = free_port()
    box = run(["sh", "-c", f"echo shared | nc -l -p {port}"], network="host")
    assert read_from("127.0.0.1", port) == b"shared\n"
    assert box.wait(timeout=10) == 0


# -- Published ports -------------------------------------------------------------------------------


def test_a_port_is_published_on_loopback(run: Run) -> None:
    port = free_port()
    box = run(SERVE, hostname="web", ports=[f"{port}:80"])
    assert read_from("127.0.0.1", port) == b"from web\n"
    (published,) = box.ports
    assert (published.host_port, published.container_port) == (port, 80)
    assert published.host_address == "127.0.0.1"


def test_a_free_port_is_chosen_and_kept(run: Run) -> None:
    box = run(SERVE, ports=[80])
    (published,) = box.ports
    assert published.host_port > 0
    assert read_from("127.0.0.1", published.host_port)
    box.stop(timeout=0).start()
    assert box.ports == (published,)
    assert read_from("127.0.0.1", published.host_port)


def test_a_port_on_a_given_address(run: Run) -> None:
    port = free_port()
    run(SERVE, hostname="elsewhere", ports=[kina.Port(80, port, host_address="127.0.0.77")])
    assert read_from("127.0.0.77", port) == b"from elsewhere\n"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        pass


def test_a_port_on_every_address(run: Run) -> None:
    port = free_port()
    box = run(SERVE, hostname="everywhere", ports=[f"0.0.0.0:{port}:80"])
    gateway = box.inspect().addresses[0].gateway
    for address in ("127.0.0.1", gateway):
        assert read_from(address, port) == b"from everywhere\n"


def test_a_udp_port_is_published(run: Run) -> None:
    port = free_port()
    run(ECHO_UDP, ports=[f"{port}:5353/udp"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)

        def echoed() -> bool:
            client.sendto(b"ping", ("127.0.0.1", port))
            try:
                return client.recv(100) == b"ping"
            except TimeoutError:
                return False

        assert wait_until(echoed, seconds=10)


def test_a_taken_port_names_itself(run: Run) -> None:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        port = mine.getsockname()[1]
        with pytest.raises(kina.KinaError, match=str(port)) as caught:
            run(ports=[f"{port}:80"])
    assert isinstance(
        caught.value, kina.AlreadyExistsError | kina.ResourceExhaustedError | kina.InvalidStateError
    )
    assert caught.value.hint


def test_two_containers_cannot_publish_the_same_port(run: Run) -> None:
    port = free_port()
    box = run(ports=[f"{port}:80"])
    with pytest.raises(kina.KinaError, match=str(port)):
        run(ports=[f"{port}:80"])
    box.stop()
    # A stopped container keeps its port.
    with pytest.raises(kina.KinaError, match=str(port)):
        run(ports=[f"{port}:80"])
    box.delete()
    run(SERVE, ports=[f"{port}:80"])
    assert read_from("127.0.0.1", port)


def test_a_published_port_is_free_again_after_delete(run: Run) -> None:
    port = free_port()
    run(SERVE, ports=[f"{port}:80"]).delete(force=True)
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", port))


# -- Names -----------------------------------------------------------------------------------------


def test_dns_and_hosts_are_as_told(run: Run) -> None:
    box = run(
        dns=kina.DNS(servers=["192.0.2.53"], search=["example.test"], options=["ndots:3"]),
        extra_hosts={"db": "10.1.2.3", "cache": "10.1.2.4"},
        name="resolved",
    )
    resolv = box.exec(["cat", "/etc/resolv.conf"]).stdout
    assert "nameserver 192.0.2.53" in resolv
    assert "search example.test" in resolv
    assert "ndots:3" in resolv
    hosts = [line.split() for line in box.exec(["cat", "/etc/hosts"]).stdout.splitlines()]
    assert ["10.1.2.3", "db"] in hosts
    assert any(line[0] == str(box.ip) and "resolved" in line[1:] for line in hosts if line)
    assert ["127.0.0.1", "localhost"] in hosts


def test_the_networks_resolver_is_used_by_default(run: Run) -> None:
    box = run()
    gateway = box.inspect().addresses[0].gateway
    assert f"nameserver {gateway}" in box.exec(["cat", "/etc/resolv.conf"]).stdout


# -- The networks themselves -----------------------------------------------------------------------


def test_networks_are_created_found_listed_and_deleted(runtime: object) -> None:
    network = kina.Network.create("mine", labels={"a": "b"}, mtu=1400)
    assert network.labels == {"a": "b"}
    assert network.inspect().mtu == 1400
    assert kina.Network.get("mine") == network == kina.Network.get(network.id[:6])
    assert network in kina.Network.list()
    assert network.subnet in repr(network)
    assert "mine" in network._repr_html_()
    with pytest.raises(kina.AlreadyExistsError, match="mine"):
        kina.Network.create("mine")
    network.delete()
    with pytest.raises(kina.NotFoundError, match="mine"):
        kina.Network.get("mine")
    with pytest.raises(kina.NotFoundError):
        network.delete()


def test_the_mtu_reaches_the_container(run: Run) -> None:
    with kina.Network.create("small-frames", mtu=1300):
        box = run(network="small-frames")
        assert box.exec(["cat", "/sys/class/net/eth0/mtu"]).stdout == "1300\n"
        box.delete(force=True)


def test_subnets_do_not_overlap(runtime: object) -> None:
    with (
        kina.Network.create("net-a") as a,
        kina.Network.create("net-b") as b,
        kina.Network.create("net-c", subnet="10.213.0.0/24"),
    ):
        assert not ipaddress.ip_network(a.subnet).overlaps(ipaddress.ip_network(b.subnet))
        with pytest.raises(kina.KinaError, match="subnet") as caught:
            kina.Network.create("net-d", subnet="10.213.0.128/25")
        assert "10.213.0" in str(caught.value)


def test_a_network_in_use_cannot_be_deleted(run: Run) -> None:
    with kina.Network.create("busy") as network:
        box = run(network="busy", name="on-busy")
        with pytest.raises(kina.InvalidStateError, match="busy") as caught:
            network.delete()
        assert "on-busy" in str(caught.value)
        box.stop()
        with pytest.raises(kina.InvalidStateError):
            network.delete()
        box.delete()


def test_an_unknown_network_is_not_found_before_anything_is_made(run: Run) -> None:
    with pytest.raises(kina.NotFoundError, match="no-such-network"):
        run(network="no-such-network")


def test_prune_deletes_unused_networks_only(run: Run) -> None:
    kina.Network.create("unused")
    with kina.Network.create("needed"):
        box = run(network="needed")
        pruned = kina.Network.prune().networks
        assert "unused" in pruned
        assert "needed" not in pruned
        box.delete(force=True)
    # The default network is made again when it is needed.
    run().delete(force=True)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"subnet": "10.0.0.0"}, "subnet"),
        ({"subnet": "10.0.0.0/33"}, "subnet"),
        ({"subnet": "10.0.0.5/24"}, "subnet"),
        ({"subnet": "10.0.0.0/31"}, "subnet"),
        ({"subnet": "10.0.0.0/30"}, "subnet"),
        ({"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}, "gateway"),
        ({"subnet": "10.0.0.0/24", "gateway": "10.0.0.0"}, "gateway"),
        ({"gateway": "x"}, "gateway"),
        ({"mtu": 0}, "mtu"),
        ({"mtu": 100000}, "mtu"),
    ],
)
def test_bad_networks_name_the_field(
    runtime: object, options: dict[str, object], field: str
) -> None:
    with pytest.raises(kina.InvalidArgumentError, match=field):
        kina.Network.create("bad", **options)  # type: ignore[arg-type]
    assert "bad" not in [network.name for network in kina.Network.list()]


def test_many_containers_come_up_at_once(busybox: str) -> None:
    made: list[kina.Container] = []
    failures: list[BaseException] = []

    def make(number: int) -> None:
        try:
            made.append(
                kina.Container.run(busybox, WAITS, name=f"many-{number}", cap_add=["NET_RAW"])
            )
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert failures == []
        assert len({box.ip for box in made}) == 10
        assert pings(made[0], "many-9")
        assert pings(made[9], str(made[0].ip))
    finally:
        for box in made:
            box.delete(force=True)
