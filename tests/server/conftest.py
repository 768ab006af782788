from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support.images import make_rootfs
from support.leaks import Host, Snapshot, assert_nothing_leaked
from support.server import CONNECTIONS, Server


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """
    A runtime through the socket, with a home of its own.
    """
    home = tmp_path_factory.mktemp("server-home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KINA_HOME", str(home))
        # Of the session's runtime, the last may be Docker's.
        environment.setenv("KINA_RUNTIME", "native")
        environment.setenv("KINA_BACKEND", "remote")
        with kina.connect() as opened:
            yield opened
            kina.prune(containers=True, images=True, networks=True, volumes=True)
            server = Server.of(opened)
    server.stop()
    assert not server.socket.exists()


@pytest.fixture
def server(remote: Runtime) -> Server:
    """
    The server of that runtime; it runs.
    """
    kina.Volume.list()
    return Server.of(remote)


@pytest.fixture(scope="module")
def image(remote: Runtime, tmp_path_factory: pytest.TempPathFactory) -> str:
    rootfs = make_rootfs(tmp_path_factory.mktemp("rootfs") / "tree")
    reference = "localhost/kina/served:test"
    kina.Image.from_rootfs(rootfs, reference, command=["sh"], env={"PATH": "/bin"})
    assert kina.run(reference, ["true"]).exit_code == 0
    return reference


@pytest.fixture(autouse=True)
def _clean(remote: Runtime, image: str, server: Server) -> Iterator[None]:
    """
    Every test leaves the host as it was; the server's process itself may be another one.
    """
    found = remote.info()
    host = Host(Path(found.home), Path(found.run_directory), connections=CONNECTIONS)
    before = Snapshot.take(host)
    yield
    kina.Volume.list()
    before.processes[Server.of(remote).pid] = "the server"
    assert_nothing_leaked(host, before)
