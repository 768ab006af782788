"""
What every test has: a time limit, and for those that make containers a runtime whose state is
theirs alone.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support import differences
from support.containers import IsolationOf
from support.engines import ENGINES, engine
from support.images import make_rootfs
from support.leaks import EngineHost, Host, Snapshot, assert_nothing_leaked
from support.server import CONNECTIONS

TESTS = Path(__file__).parent
TIMEOUT = 60
"""Seconds that a test may take unless it says otherwise."""
SLOW = {"vm": 300}
"""Backends that need more of them: each container boots a machine, which may be emulated."""
NEED_ROOT = ("abi", "runtimes", "pods", "faults", "nodeimage", "cluster", "server", "engines")


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore Ctrl-C, and programs that tests start and
    # interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        part = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if part not in NEED_ROOT:
            continue
        differences.mark(item)
        if item.get_closest_marker("timeout") is None:
            callspec = getattr(item, "callspec", None)
            backend = callspec.params.get("runtime", "") if callspec is not None else ""
            # By signal: the test fails and those after it are run.
            item.add_marker(pytest.mark.timeout(SLOW.get(backend, TIMEOUT), method="signal"))
        if part != "abi" or "opened" in item.fixturenames or "home" in item.fixturenames:
            item.add_marker(pytest.mark.root)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The tree of a small system.
    """
    return make_rootfs(tmp_path_factory.mktemp("rootfs") / "tree")


@pytest.fixture(scope="session")
def kina_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    A KINA_HOME of this session, and of the programs that it starts.
    """
    home = tmp_path_factory.mktemp("kina-home")
    before = os.environ.get("KINA_HOME")
    os.environ["KINA_HOME"] = str(home)
    yield home
    if before is None:
        del os.environ["KINA_HOME"]
    else:
        os.environ["KINA_HOME"] = before


# What is to pass the same tests: the native runtime in this process and through a socket, and
# Docker mode on two engines.
BACKENDS = ("oci", "remote", *ENGINES)
# By hand, others in their place: KINA_TEST_BACKENDS=vm
CHOSEN = tuple(os.environ.get("KINA_TEST_BACKENDS", "").replace(",", " ").split()) or BACKENDS
# Parts of the tests that pass on several; Docker's API has no pods.
CONFORMING = {"runtimes": CHOSEN, "pods": tuple(name for name in CHOSEN if name not in ENGINES)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Give the conformance tests every backend, and all others that use a runtime the first.
    """
    if "runtime" in metafunc.fixturenames:
        path = metafunc.definition.path
        part = path.parent.name if path.parent.parent == TESTS else ""
        backends = CONFORMING.get(part, BACKENDS[:1])
        metafunc.parametrize("runtime", backends, indirect=True, scope="session")


@pytest.fixture(scope="session")
def runtime(
    request: pytest.FixtureRequest, kina_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    """
    An open runtime, which everything uses. At the session's end nothing of it may be left.
    """
    # Python's own helper for processes that tests start: it stays, so it is to be there before.
    resource_tracker.ensure_running()
    if request.param in ENGINES:
        yield from _on_engine(request.param, kina_home, tmp_path_factory)
        return
    with pytest.MonkeyPatch.context() as environment:
        # Programs that the tests start go the same way.
        environment.setenv("KINA_BACKEND", request.param)
        with kina.connect("native", home=kina_home) as opened:
            host = host_of(opened)
            before = Snapshot.take(host, rules=True)
            yield opened
            assert_no_containers()
            assert_nothing_leaked(host, before, rules=True)
        assert_nothing_leaked(host, before, rules=True)


def _on_engine(
    name: str, kina_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    """
    Docker mode on an engine of this session's.
    """
    with (
        engine(name, tmp_path_factory.mktemp(name) / "engine") as running,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("KINA_RUNTIME", "docker")
        environment.setenv("KINA_BACKEND", "oci")  # what the doctor looks at natively
        environment.setenv("DOCKER_HOST", running.url)
        with kina.connect("docker", home=kina_home) as opened:
            yield opened
            assert_no_containers()


def assert_no_containers() -> None:
    """
    Delete everything, and fail with the names of containers that tests have left.
    """
    left = kina.Container.list()
    for container in left:
        container.delete(force=True)
    kina.prune(images=True, networks=True, volumes=True)
    assert [container.name for container in left] == []


def host_of(runtime: Runtime) -> Host:
    if runtime.name == "docker":
        return EngineHost(Path("/nonexistent"), Path("/nonexistent"), connections=10)
    found = runtime.info()
    connections = CONNECTIONS if os.environ["KINA_BACKEND"] in ("remote", "vm") else 0
    return Host(Path(found.home), Path(found.run_directory), connections=connections)


@pytest.fixture(scope="session")
def host(runtime: Runtime) -> Host:
    """
    Where the runtime keeps things.
    """
    return host_of(runtime)


@pytest.fixture(scope="session")
def isolation(runtime: Runtime) -> IsolationOf:
    """
    What containers are isolated with, and what is refused.
    """
    if runtime.name != "docker" and os.environ["KINA_BACKEND"] == "vm":
        return IsolationOf("vm", "namespaces")
    return IsolationOf("namespaces", "vm")


@pytest.fixture(scope="session")
def busybox(runtime: Runtime, rootfs: Path) -> str:
    """
    An image of a small system that runs a shell. It has been used, so that everything made once is
    there.
    """
    reference = "localhost/kina/busybox:test"
    kina.Image.from_rootfs(rootfs, reference, command=["sh"], env={"PATH": "/bin"})
    assert kina.run(reference, ["true"]).exit_code == 0
    return reference


@pytest.fixture(scope="session")
def service(runtime: Runtime, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """
    An image whose configuration has everything that one can have.
    """
    tree = tmp_path_factory.mktemp("service") / "tree"
    shutil.copytree(rootfs, tree, symlinks=True)
    (tree / "tmp").chmod(0o1777)
    os.chown(tree / "home/app", 1000, 1000)
    (tree / "srv/inner").mkdir(parents=True)
    (tree / "srv/hello.txt").write_text("hello from the image\n")
    (tree / "srv/inner/run").write_text("#!/bin/sh\n")
    (tree / "srv/inner/run").chmod(0o750)
    for path in (tree / "srv", *(tree / "srv").rglob("*")):
        os.chown(path, 1000, 1000)
    reference = "localhost/kina/service:test"
    kina.Image.from_rootfs(
        tree,
        reference,
        entrypoint=["sh", "-c"],
        command=["trap 'exit 12' USR1; while :; do sleep 0.05; done"],
        env={"PATH": "/bin", "GREETING": "hello"},
        workdir="/home/app",
        user="app",
        labels={"made.by": "kina", "kind": "service"},
        exposed_ports=["80/tcp", "53/udp"],
        volumes=["/srv"],
        stop_signal="USR1",
    )
    assert kina.run(reference, ["true"]).exit_code == 0
    return reference


@pytest.fixture
def nothing_leaks(host: Host, busybox: str, service: str) -> Iterator[None]:
    """
    Compares the host before and after a test.
    """
    before = Snapshot.take(host)
    yield
    assert_nothing_leaked(host, before)


@pytest.fixture(scope="module")
def no_rules_leak(host: Host, busybox: str, service: str) -> Iterator[None]:
    """
    Compares packet filter rules before and after a module: reading them takes a process.
    """
    before = Snapshot.take(host, rules=True)
    yield
    assert_nothing_leaked(host, before, rules=True)
