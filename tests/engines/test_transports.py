"""
Engines on other machines: by TCP with TLS, and by ssh. All that passes over such a connection; what
is said when one can't be made.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import kina
from kina.runtimes import Runtime
from kina.runtimes.docker._ssh import host_of
from support.containers import WAITS
from support.engines import engine
from support.far import PORT, Far, issue, tls_options
from support.leaks import wait_until
from support.registry import free_port
from support.sshd import SSHD, sshd

DATA = random.Random(6).randbytes(3 << 20)
"""More than any buffer on the way holds."""
IMAGE = "localhost/kina/far:test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHD]:
    with sshd(tmp_path_factory.mktemp("sshd") / "sshd") as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    What the docker command reads, without this machine's.
    """
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY",
                 "DOCKER_CERT_PATH", "KINA_RUNTIME", "KINA_BACKEND"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


def trust(far: Far, environment: pytest.MonkeyPatch) -> None:
    """
    Put the client's certificates in the environment.
    """
    environment.setenv("DOCKER_TLS_VERIFY", "1")
    environment.setenv("DOCKER_CERT_PATH", str(far.certificates))


def know(server: SSHD, environment: pytest.MonkeyPatch) -> None:
    """
    Have the ssh found first that knows the server.
    """
    environment.setenv("PATH", f"{server.path}:{os.environ['PATH']}")


@pytest.fixture
def trusting(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(far, monkeypatch)


@pytest.fixture
def logged_in(server: SSHD, monkeypatch: pytest.MonkeyPatch) -> None:
    know(server, monkeypatch)


def ssh_url(far: Far, port: int) -> str:
    return f"ssh://root@127.0.0.1:{port}{far.engine.socket}"


@pytest.fixture(scope="module", params=["tls", "ssh"])
def connected(
    request: pytest.FixtureRequest, far: Far, server: SSHD, rootfs: Path, runtime: Runtime
) -> Iterator[Runtime]:
    """
    Docker mode on the far engine, with an image; the native runtime stays the one in use.
    """
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "tls":
            trust(far, environment)
        else:
            know(server, environment)
        url = far.url if request.param == "tls" else ssh_url(far, server.port)
        opened = kina.connect("docker", url=url)
        native = kina.connect("native", home=runtime.info().home)
        kina.Image.from_rootfs(rootfs, IMAGE, command=["sh"], env={"PATH": "/bin"}, runtime=opened)
        yield opened
        native.close()
        opened.close()


@pytest.fixture
def there(connected: Runtime, logged_in: None) -> Iterator[Runtime]:
    """
    The same, for a test that makes containers.
    """
    yield connected
    for box in kina.Container.list(runtime=connected):
        box.delete(force=True)


@pytest.fixture
def box(there: Runtime) -> kina.Container:
    return kina.Container.run(IMAGE, WAITS, runtime=there)


def test_a_run_reads_its_input_to_the_end(there: Runtime) -> None:
    done = kina.run(IMAGE, ["sha256sum"], input=DATA, runtime=there)
    assert done.stdout.split()[0] == hashlib.sha256(DATA).hexdigest()


def test_an_exec_reads_to_the_end_while_it_writes(box: kina.Container) -> None:
    assert box.exec(["cat"], stdin=DATA, text=False).stdout == DATA


def test_what_comes_after_the_end_of_input_is_read(box: kina.Container) -> None:
    command = "wc -c; head -c 1000000 /dev/zero | tr '\\0' x; exit 3"
    done = box.exec(["sh", "-c", command], stdin=b"twelve bytes")
    assert (done.exit_code, done.stdout) == (3, "12\n" + "x" * 1_000_000)


def test_input_and_nothing_else_is_attached(there: Runtime) -> None:
    # A container's own input does not end: others may attach to it.
    command = ["sh", "-c", f"head -c {len(DATA)} | sha256sum > /sum; exec sleep inf"]
    box = kina.Container.run(IMAGE, command, stdin=True, runtime=there)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as out:
            out.write(DATA)

    thread = threading.Thread(target=write)
    thread.start()
    box.attach(reading, None, None)
    thread.join()
    os.close(reading)
    expected = hashlib.sha256(DATA).hexdigest()
    assert wait_until(lambda: expected in box.exec(["cat", "/sum"]).stdout, 10)


def test_a_timeout_ends_an_exec_there(box: kina.Container) -> None:
    with pytest.raises(kina.DeadlineExceededError):
        box.exec(["sleep", "1000"], timeout=0.5)
    assert "sleep 1000" not in box.exec(["ps"]).stdout


def test_copies_logs_and_figures_pass(there: Runtime, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    box = kina.Container.run(IMAGE, ["sh", "-c", "echo begun; exec sleep inf"], runtime=there)
    box.copy_to(tmp_path / "data", "/data")
    box.copy_from("/data", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == DATA
    assert next(iter(box.logs(follow=True))) == "begun"
    assert (box.stats().memory_bytes or 0) > 0


def test_many_calls_at_once_pass(there: Runtime, box: kina.Container) -> None:
    found: list[str] = []

    def ask(number: int) -> None:
        found.append(box.exec(["cat"], stdin=f"{number}\n").stdout)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"{number}\n" for number in range(6)]


# -- What can go wrong -----------------------------------------------------------------------------


@pytest.mark.usefixtures("trusting")
def test_a_certificate_of_another_name_is_not_trusted(far: Far) -> None:
    with pytest.raises(kina.RuntimeUnavailableError, match="not trusted") as caught:
        kina.connect("docker", url=f"tcp://{far.other}:{PORT}")
    assert "a name or an address that the certificate has" in (caught.value.hint or "")


@pytest.mark.usefixtures("trusting")
def test_an_authority_that_did_not_sign_is_not_trusted(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = issue(far.authority, tmp_path / "certificates", trusts=trustme.CA())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(stranger))
    with pytest.raises(kina.RuntimeUnavailableError, match="not trusted") as caught:
        kina.connect("docker", url=far.url)
    assert f"{stranger}/ca.pem" in (caught.value.hint or "")


@pytest.mark.usefixtures("trusting")
def test_without_a_clients_certificate_it_says_where_to_put_one(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(kina.UnauthenticatedError, match="wants a client's certificate") as caught:
        kina.connect("docker", url=far.url)
    assert str(tmp_path) in (caught.value.hint or "")


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("expired", [False, True])
def test_a_clients_certificate_that_is_refused_is_named(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expired: bool
) -> None:
    signer = far.authority if expired else trustme.CA()
    bad = issue(signer, tmp_path / "bad", expired=expired, trusts=far.authority)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(bad))
    with pytest.raises(kina.UnauthenticatedError, match=f"refuses the certificate '{bad}/cert.pem"):
        kina.connect("docker", url=far.url)


@pytest.mark.usefixtures("trusting")
def test_an_engine_whose_certificate_has_expired_is_not_trusted(far: Far, tmp_path: Path) -> None:
    expired = issue(far.authority, tmp_path / "server", "127.0.0.1", expired=True)
    address = f"127.0.0.1:{free_port()}"
    with (
        engine("docker", tmp_path / "engine", options=tls_options(expired, address)),
        pytest.raises(kina.RuntimeUnavailableError, match="expired") as caught,
    ):
        kina.connect("docker", url=f"tcp://{address}")
    assert "renew" in (caught.value.hint or "")


def test_an_engine_that_wants_tls_says_so(far: Far) -> None:
    with pytest.raises(kina.RuntimeUnavailableError, match="HTTPS") as caught:
        kina.connect("docker", url=far.url)
    assert "DOCKER_TLS_VERIFY=1" in (caught.value.hint or "")


@pytest.mark.usefixtures("trusting")
def test_a_server_without_tls_is_told_from_one_with_it() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as plain:
        thread = threading.Thread(target=plain.serve_forever)
        thread.start()
        try:
            with pytest.raises(kina.RuntimeUnavailableError, match="no TLS") as caught:
                kina.connect("docker", url=f"tcp://127.0.0.1:{plain.server_port}")
        finally:
            plain.shutdown()
            thread.join()
    assert "2375" in (caught.value.hint or "")


@pytest.mark.usefixtures("trusting")
def test_a_key_with_a_password_asks_nobody(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives import serialization

    own = issue(far.authority, tmp_path / "own")
    key = serialization.load_pem_private_key((own / "key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (own / "key.pem").write_bytes(locked)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(own))
    with pytest.raises(kina.InvalidArgumentError, match="DOCKER_CERT_PATH") as caught:
        kina.connect("docker", url=far.url)
    assert "password" in (caught.value.hint or "")


def test_a_context_brings_its_certificates(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "docker/contexts"
    key = hashlib.sha256(b"far").hexdigest()
    meta = top / "meta" / key / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": far.url, "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": "far", "Endpoints": {"docker": endpoint}}))
    issue(far.authority, top / "tls" / key / "docker")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with kina.connect("docker") as opened:
        assert opened.info().backend == "docker"
    (top / "tls" / key / "docker/key.pem").unlink()
    with pytest.raises(kina.InvalidArgumentError, match="context 'far'"):
        kina.connect("docker")


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize(
    ("port", "kind", "match", "hint"),
    [
        ("unknown", kina.UnauthenticatedError, "does not know the machine's host key", "by hand"),
        ("refusing", kina.UnauthenticatedError, "ssh is refused: .*Permission denied", "ssh-add"),
        ("bare", kina.RuntimeUnavailableError, "no docker command", "PATH"),
    ],
)
def test_ssh_that_leads_nowhere_says_why(
    far: Far, server: SSHD, port: str, kind: type[kina.KinaError], match: str, hint: str
) -> None:
    with pytest.raises(kind, match=match) as caught:
        kina.connect("docker", url=ssh_url(far, getattr(server, port)))
    assert hint in (caught.value.hint or "")


@pytest.mark.usefixtures("logged_in")
def test_a_machine_without_an_engine_says_so(server: SSHD) -> None:
    with pytest.raises(kina.RuntimeUnavailableError, match="docker command on that machine says"):
        kina.connect("docker", url=f"ssh://root@127.0.0.1:{server.port}/nonexistent.sock")


@pytest.mark.usefixtures("logged_in")
def test_a_host_key_that_changed_is_not_accepted(far: Far, server: SSHD) -> None:
    known = server.path.parent / "known"
    before = known.read_text()
    other = (server.path.parent / "client.pub").read_text()
    known.write_text(f"[127.0.0.1]:{server.port} {other}")
    try:
        with pytest.raises(kina.UnauthenticatedError, match="is not the one that ssh knows"):
            kina.connect("docker", url=ssh_url(far, server.port))
    finally:
        known.write_text(before)


def test_without_ssh_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(kina.RuntimeUnavailableError, match="ssh is not installed") as caught:
        kina.connect("docker", url="ssh://root@far.example")
    assert "openssh-client" in (caught.value.hint or "")


@pytest.mark.usefixtures("logged_in")
def test_the_users_ssh_configuration_counts(far: Far) -> None:
    url = f"ssh://root@far.test{far.engine.socket}"
    with kina.connect("docker", url=url) as opened:
        assert opened.info().backend == "docker"
    # Where its published ports are.
    assert host_of(url) == "127.0.0.1"
