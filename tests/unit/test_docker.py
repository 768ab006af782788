"""
Docker mode without an engine: where it looks for one, and what it says when there is none.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kina
from kina.bootstrap.nodes import _published
from kina.config import Port
from kina.runtimes.base import Reach
from kina.runtimes.docker import find
from kina.runtimes.docker._connection import _Body
from kina.runtimes.docker._engine import nanoseconds
from kina.runtimes.docker._errors import from_answer
from kina.runtimes.docker._logs import _last
from kina.runtimes.docker._names import full, host_name
from kina.runtimes.docker._signals import VALID, number
from kina.runtimes.docker._ssh import _socket, _words
from kina.runtimes.docker._streams import HEADER, Demultiplexer


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A configuration of the docker command that is this test's alone.
    """
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
                 "KINA_RUNTIME", "KINA_BACKEND"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "docker"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    monkeypatch.setenv("HOME", str(tmp_path))
    return directory


@pytest.fixture
def context(docker_config: Path) -> Callable[..., None]:
    """
    Makes contexts as `docker context create` does.
    """

    def make(name: str, host: str, *, tls: bool = False, **more: object) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()
        meta = docker_config / "contexts/meta" / key
        meta.mkdir(parents=True)
        document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, **more}}}
        (meta / "meta.json").write_text(json.dumps(document))
        if tls:
            certificates = docker_config / "contexts/tls" / key / "docker"
            certificates.mkdir(parents=True)
            for file in ("ca.pem", "cert.pem", "key.pem"):
                (certificates / file).touch()

    return make


def test_a_url_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///from/the/environment")
    assert find("unix:///given").url == "unix:///given"
    assert find().url == "unix:///from/the/environment"
    assert find().source == "DOCKER_HOST"


def test_contexts_are_read_as_the_docker_command_reads_them(
    docker_config: Path, context: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    context("far", "ssh://me@far.example")
    context("near", "unix:///near.sock")
    (docker_config / "config.json").write_text(json.dumps({"currentContext": "near"}))
    assert find().url == "unix:///near.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert find().url == "ssh://me@far.example"
    monkeypatch.setenv("DOCKER_HOST", "unix:///host.sock")
    assert find().url == "unix:///host.sock"


@pytest.mark.parametrize(
    ("more", "checked"),
    [({}, True), ({"SkipTLSVerify": False}, True), ({"SkipTLSVerify": True}, False)],
)
def test_a_contexts_certificate_is_checked_unless_it_says_otherwise(
    context: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, object],
    checked: bool,
) -> None:
    context("safe", "tcp://far.example:2376", tls=True, **more)
    monkeypatch.setenv("DOCKER_CONTEXT", "safe")
    tls = find().tls
    assert tls is not None
    assert tls.verify is checked


def test_a_context_that_does_not_check_needs_no_files(
    context: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    context("loose", "tcp://far.example:2376", SkipTLSVerify=True)
    context("plain", "tcp://far.example:2375")
    monkeypatch.setenv("DOCKER_CONTEXT", "loose")
    tls = find().tls
    assert tls is not None
    assert not tls.verify
    monkeypatch.setenv("DOCKER_CONTEXT", "plain")
    # The environment's TLS is none of a context's business.
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert find().tls is None


def test_a_context_that_is_damaged_names_its_file(
    docker_config: Path, context: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    context("near", "unix:///near.sock")
    (meta,) = docker_config.glob("contexts/meta/*/meta.json")
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    for text in ("{", "[]", '{"Endpoints": {}}', '{"Endpoints": {"docker": {}}}'):
        meta.write_text(text)
        with pytest.raises(kina.InvalidArgumentError, match=str(meta)):
            find()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"DOCKER_CERT_PATH": "/certificates"}, None),
        ({"DOCKER_TLS": "1"}, (False, "own")),
        ({"DOCKER_TLS_VERIFY": "1"}, (True, "own")),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certificates"}, (True, "/certificates")),
        ({"DOCKER_TLS_VERIFY": "", "DOCKER_TLS": ""}, None),
    ],
)
def test_tls_is_as_the_docker_command_reads_it(
    docker_config: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    expected: tuple[bool, str] | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tls = find("tcp://far.example:2376").tls
    if expected is None:
        assert tls is None
        return
    assert tls is not None
    directory = docker_config if expected[1] == "own" else Path(expected[1])
    assert (tls.verify, tls.directory) == (expected[0], directory)


def test_a_context_that_is_not_there_is_not_found(
    context: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    context("near", "unix:///near.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "nera")
    with pytest.raises(kina.NotFoundError, match="nera") as caught:
        kina.connect("docker")
    assert "docker context" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "unix://", "host:2375", "tcp://host", "tcp://host:x", "tcp://:1", "ssh://:22",
     "ssh://h:x", ""],
)  # fmt: skip
def test_a_url_that_is_none_names_the_field(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not url:
        monkeypatch.setenv("DOCKER_HOST", "nonsense")
    with pytest.raises(kina.InvalidArgumentError, match="DOCKER_HOST" if not url else "url"):
        find(url or None)


def test_without_the_sdk_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(kina.RuntimeUnavailableError) as caught:
        kina.connect("docker")
    assert "kina[docker]" in (caught.value.hint or "")
    report = kina.doctor().reports[1]
    assert not report.usable
    assert "kina[docker]" in (report.checks[-1].fix or "")


def test_without_a_socket_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(kina.RuntimeUnavailableError, match="no such socket") as caught:
        kina.connect("docker", url=f"unix://{tmp_path}/none.sock")
    assert caught.value.hint


def test_a_socket_without_a_listener_says_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(kina.RuntimeUnavailableError, match="does not answer"):
        kina.connect("docker", url=f"unix://{tmp_path}/dead.sock")


@pytest.mark.parametrize(
    ("url", "words", "socket_there"),
    [
        ("ssh://far", ["--", "far"], []),
        ("ssh://me@far:2222", ["-l", "me", "-p", "2222", "--", "far"], []),
        ("ssh://far/run/own.sock", ["--", "far"], ["--host", "unix:///run/own.sock"]),
        ("ssh://far/run/$(id)", ["--", "far"], ["--host", "'unix:///run/$(id)'"]),
        ("ssh://-oProxyCommand=id", ["--", "-oproxycommand=id"], []),
    ],
)
def test_ssh_is_told_where_to_go(url: str, words: list[str], socket_there: list[str]) -> None:
    assert _words(url) == words
    assert _socket(url) == socket_there


def test_a_port_of_loopback_is_published_where_it_is_reached() -> None:
    far = Reach(direct=False, host="far.example", address="192.0.2.7")
    ports = [Port(80, 8080), Port(80, 8080, "0.0.0.0"), Port(80, 8080, "192.0.2.9")]
    assert [_published(port, Reach()) for port in ports] == ports
    assert [_published(port, Reach(direct=False)) for port in ports] == ports
    assert [_published(port, far).host_address for port in ports] == [
        "192.0.2.7", "0.0.0.0", "192.0.2.9"
    ]  # fmt: skip


@contextmanager
def answering(path: Path, body: bytes) -> Iterator[str]:
    """
    Something that gives one answer to one request.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(body)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"unix://{path}"
        thread.join()


def test_an_engine_too_old_says_its_version(tmp_path: Path) -> None:
    document = json.dumps({"Version": "17.03", "ApiVersion": "1.27"}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(document)
    with (
        answering(tmp_path / "old.sock", head + document) as url,
        pytest.raises(kina.UnsupportedError, match=r"17\.03") as caught,
    ):
        kina.connect("docker", url=url)
    assert "20.10" in (caught.value.hint or "")


def test_what_is_no_engine_is_unavailable(tmp_path: Path) -> None:
    with (
        answering(tmp_path / "odd.sock", b"SSH-2.0-odd\r\n") as url,
        pytest.raises(kina.UnavailableError),
    ):
        kina.connect("docker", url=url)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3", "docker.io/library/alpine:3"),
        ("someone/app", "docker.io/someone/app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("127.0.0.1:5000/a/b:1.0", "127.0.0.1:5000/a/b:1.0"),
        (f"a.example/b@sha256:{'0' * 64}", f"a.example/b@sha256:{'0' * 64}"),
    ],
)
def test_references_are_spelled_fully(given: str, expected: str) -> None:
    assert full(given) == expected
    assert full(expected) == expected


@pytest.mark.parametrize("given", ["", "UPPER", "a b", "../x", "a:b:c", "x@sha256:1"])
def test_malformed_references_are_refused(given: str) -> None:
    with pytest.raises(kina.InvalidArgumentError):
        full(given)


def test_a_host_name_is_made_of_a_name() -> None:
    assert host_name("Odd_Name") == "odd-name"
    assert len(host_name("x" * 300)) == 63


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_bodies_are_found_in_pieces_of_any_size(size: int) -> None:
    wire = b"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
    body, got = _Body(chunked=True, length=None), b""
    for start in range(0, len(wire), size):
        body.feed(wire[start : start + size])
        while body.ready and (piece := body.take()):
            got += piece
    assert got == b"hello world"
    assert body.ready
    assert body.take() == b""


@pytest.mark.parametrize("size", [1, 5, 9, 100])
def test_streams_are_told_apart_in_pieces_of_any_size(size: int) -> None:
    sent = [(1, b"out"), (2, b"error"), (1, b""), (1, b"more")]
    wire = b"".join(HEADER.pack(stream, len(data)) + data for stream, data in sent)
    pieces = Demultiplexer(terminal=False)
    found = [p for i in range(0, len(wire), size) for p in pieces.feed(wire[i : i + size])]
    assert found == sent


def test_the_last_lines_are_kept_whole() -> None:
    pieces = [(1, b"a\nb"), (2, b"b\n"), (1, b"c\nd\n")]
    assert _last(pieces, 2) == [(1, b"c\nd\n")]
    assert b"".join(data for _, data in _last(pieces, 3)) == b"bb\nc\nd\n"
    assert _last([(1, b"x\ny")], 1) == [(1, b"y")]


def test_moments_keep_their_nanoseconds() -> None:
    assert nanoseconds("1970-01-01T00:00:01.000000002Z") == 1_000_000_002
    assert nanoseconds("1970-01-01T01:00:01+01:00") == 10**9
    assert nanoseconds("0001-01-01T00:00:00Z") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("HUP", 1), ("SIGBUS", 7), ("USR1", 10), ("SIGUSR2", 12), ("CHLD", 17), ("SYS", 31)),
        *(("9", 9), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("RTMAX", 64)),
    ],
)
def test_signals_have_linuxs_numbers(name: str, expected: int) -> None:
    assert number(name) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="the others' numbers are not Linux's")
def test_all_of_linuxs_signals_are_known() -> None:
    import signal

    assert {int(each) for each in signal.valid_signals()} == VALID
    for each in signal.Signals:
        assert number(each.name) == each.value


@pytest.mark.parametrize(
    "name", ["", "0", "65", "NONE", "TERM+1", "RTMIN+31", "RTMAX-x", "RTMIN-1"]
)
def test_what_is_no_signal_is_refused_by_name(name: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="is not a signal"):
        number(name)


def test_podmans_word_for_what_is_being_removed_is_not_found() -> None:
    said = {"message": "container ab does not exist in database: no such container"}
    assert type(from_answer(500, json.dumps(said))) is kina.NotFoundError
