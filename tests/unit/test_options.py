"""
Keywords to specs: short forms, and everything that is wrong said at once.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kina
from kina._parsing import parse_device, parse_mount, parse_port, parse_ports, parse_ulimits
from kina.config import Device, Mount, NetworkAttachment, Port, Rlimit, Seccomp
from kina.errors import InvalidArgumentError
from kina.options import ContainerOptions, container_spec


def spec(**options: Any) -> kina.ContainerSpec:
    return container_spec("busybox", ["true"], options)


def problems(**options: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgumentError) as caught:
        spec(**options)
    return {problem.field: problem.reason for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (80, Port(80)),
        ("80", Port(80)),
        ("8080:80", Port(80, 8080)),
        (":80", Port(80)),
        ("127.0.0.1::80/udp", Port(80, 0, "127.0.0.1", "udp")),
        ("0.0.0.0:8080:80/tcp", Port(80, 8080, "0.0.0.0", "tcp")),
        ("localhost:1:2", Port(2, 1, "127.0.0.1")),
        (Port(7), Port(7)),
    ],
)
def test_ports(written: Any, expected: Port) -> None:
    assert expected == parse_port(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "a",
        "0",
        "65536",
        "80:65536",
        "1.2.3.4.5:1:2",
        "80/sctp",
        "1:2:3",
        -1,
        0,
        True,
        None,
        1.5,
    ],
)
def test_what_is_no_port_is_refused(written: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_port(written)


@given(
    container=st.integers(1, 65535),
    host=st.integers(0, 65535),
    address=st.ip_addresses(v=4).map(str),
    protocol=st.sampled_from(["tcp", "udp"]),
)
def test_a_port_written_out_is_the_port(
    container: int, host: int, address: str, protocol: Any
) -> None:
    written = f"{address}:{host}:{container}/{protocol}"
    assert Port(container, host, address, protocol) == parse_port(written)


def test_ports_as_a_mapping_of_container_ports_to_host_ports() -> None:
    assert (Port(80, 8080), Port(53, 0, protocol="udp")) == parse_ports({80: 8080, "53/udp": None})


def test_a_host_port_is_published_once() -> None:
    assert {"ports"} == problems(ports=["1:2", "1:3"]).keys()
    assert len(spec(ports=["1:2", "1:2/udp"]).sandbox.ports) == 2


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("/src:/dst:ro", Mount("bind", "/dst", "/src", read_only=True)),
        ("/src:/dst", Mount("bind", "/dst", "/src")),
        ("/src:/dst:ro,noexec", Mount("bind", "/dst", "/src", True, ("noexec",))),
        ("vol:/data", Mount("volume", "/data", "vol")),
        ("vol:/data:nocopy", Mount("volume", "/data", "vol", copy_up=False)),
        ("/data", Mount("volume", "/data")),
        (Mount.tmpfs("/x", size="64Mi"), Mount("tmpfs", "/x", size=64 << 20)),
    ],
)
def test_mounts(written: Any, expected: Mount) -> None:
    assert expected == parse_mount(written)


@pytest.mark.parametrize(
    "written", ["", ":", "a:", ":/b", "/a:b", "vol:/x:exec", "/a:/b:ro:z", 3, None, "/a:/b\0"]
)
def test_what_is_no_mount_is_refused(written: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_mount(written)


@given(st.text(max_size=20))
def test_any_text_is_a_mount_or_an_error(text: str) -> None:
    try:
        target = parse_mount(text).target
    except InvalidArgumentError:
        return
    assert target.startswith("/")


def test_one_place_is_mounted_once() -> None:
    assert {"mounts[1]"} == problems(mounts=["/a:/x", "vol:/x/"]).keys()


def test_relative_bind_sources_count_from_here(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path}/src" == parse_mount("./src:/dst").source


def test_devices_and_limits() -> None:
    assert Device("/dev/sda", "/dev/xvda", "r") == parse_device("/dev/sda:/dev/xvda:r")
    assert Device("/dev/fuse", None, "rw") == parse_device("/dev/fuse:rw")
    assert (Rlimit("nofile", 1024, 4096), Rlimit("nproc", 9)) == parse_ulimits(
        {"nofile": (1024, 4096), "nproc": 9}
    )
    assert {"ulimits['nofile'].soft"} == problems(ulimits={"nofile": (2, 1)}).keys()


def test_env_is_a_mapping_or_strings() -> None:
    assert spec(env=["A=1", "B=x=y"]).env == {"A": "1", "B": "x=y"}
    assert spec(env={"PORT": 80}).env == {"PORT": "80"}
    assert {"env[1]", "env"} >= problems(env=["A=1", "B"]).keys()


def test_networks() -> None:
    assert spec().sandbox.networks == ()
    assert (NetworkAttachment("a"), NetworkAttachment("b")) == spec(
        network=["a", "b"]
    ).sandbox.networks
    assert (NetworkAttachment("default", "10.0.0.9", ("db",)),) == spec(
        address="10.0.0.9", aliases=["db"]
    ).sandbox.networks
    host = spec(network="host").sandbox
    assert (host.namespaces.network, host.networks) == ("host", ())
    assert {"address"} == problems(network=["a", "b"], address="10.0.0.9").keys()
    assert {"ports"} == problems(network="none", ports=[80]).keys()


def test_seccomp() -> None:
    assert Seccomp("unconfined") == spec(seccomp="unconfined").seccomp
    assert (
        Seccomp("custom", '{"defaultAction": "X"}') == spec(seccomp={"defaultAction": "X"}).seccomp
    )
    assert {"seccomp.profile"} == problems(seccomp="lax").keys()


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems(memory="lots", cpus=-1, ports=["x"], tty=1, hostname="", name="", mounts=[3])
    assert {"memory", "cpus", "ports[0]", "tty", "hostname", "name", "mounts[0]"} == found.keys()


def test_an_unknown_keyword_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(InvalidArgumentError, match=r"volumes.*did you mean 'mounts'"):
        spec(volumes=[])
    with pytest.raises(InvalidArgumentError, match=r"memry.*did you mean 'memory'"):
        spec(memry=1)


def test_a_command_is_a_list_and_the_hint_writes_it() -> None:
    with pytest.raises(InvalidArgumentError, match=r"\['sleep', '10'\]"):
        container_spec("busybox", "sleep 10", {})


def test_text_that_c_cannot_carry_is_refused() -> None:
    assert {"name"} == problems(name="a\0b").keys()
    assert {"env['A']"} == problems(env={"A": "\udc80"}).keys()


@pytest.mark.parametrize(
    "function", [kina.run, kina.Container.run, kina.Container.create], ids=lambda f: f.__qualname__
)
def test_keywords_show_in_signatures(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    assert ContainerOptions.__annotations__.keys() <= parameters.keys()
    assert "options" not in parameters


def test_isolation_is_one_of_two_words() -> None:
    assert container_spec("busybox", None, {"isolation": "vm"}).isolation == "vm"
    assert container_spec("busybox", None, {}).isolation is None
    with pytest.raises(InvalidArgumentError, match=r"isolation 'hypervisor'.*'vm', 'namespaces'"):
        container_spec("busybox", None, {"isolation": "hypervisor"})
