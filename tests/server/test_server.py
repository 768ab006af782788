"""
The server and the programs that use it: who may, what goes with whom, what a death leaves.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support.leaks import wait_until
from support.scripts import check_python, python
from support.server import Server
from support.steps import steps
from support.strangers import as_nobody

CONNECT = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
except PermissionError:
    print("refused by the file system")
else:
    # Whatever it would say: the server speaks first.
    print(connection.recv(65536)[8:].decode())
    print(connection.recv(1))
"""


# -- Who may ---------------------------------------------------------------------------------------


def test_nothing_of_it_can_be_read_by_another_user(server: Server) -> None:
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    for path in server.directory.iterdir():
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600, path
    assert as_nobody(CONNECT, server.socket) == "refused by the file system\n"


def test_another_user_is_refused_by_the_server_too(server: Server) -> None:
    opened = [server.directory, *list(server.directory.parents)[:-2], server.socket]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in opened}
    try:
        for path in opened:
            path.chmod(0o777)
        answer, end = as_nobody(CONNECT, server.socket).splitlines()
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    failure = json.loads(answer)
    assert failure["code"] == 7  # PERMISSION_DENIED
    assert "65534" in failure["message"]
    assert failure["hint"]
    assert end == "b''"


def test_it_does_not_name_secrets_on_its_command_line(server: Server, remote: Runtime) -> None:
    arguments = Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")
    options = json.loads(arguments[1])
    assert options["home"] == remote.info().home
    assert set(options) <= {"home", "ociRuntime", "libexec", "unpackLimit"}


# -- Programs that go ------------------------------------------------------------------------------


def test_a_short_run_ends_with_the_program_that_asked_for_it(image: str) -> None:
    program = "import sys, kina; kina.run(sys.argv[1], ['sleep', '300'], name='orphaned')"
    with python(program, image) as process:
        assert wait_until(lambda: kina.Container.list(states="running") != [], seconds=20)
        process.kill()
        process.wait()
        assert wait_until(lambda: kina.Container.list() == [], seconds=10)


def test_a_short_run_ends_with_its_program_also_when_a_fork_keeps_the_socket(image: str) -> None:
    program = """
        import os, sys, threading, time, kina
        threading.Thread(target=kina.run, args=(sys.argv[1], ["sleep", "300"]), daemon=True).start()
        while not kina.Container.list(states="running"): time.sleep(0.05)
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    """
    with python(program, image, env={"PYTHONWARNINGS": "ignore"}) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        try:
            assert wait_until(lambda: kina.Container.list() == [], seconds=10)
        finally:
            os.kill(child, 9)


def test_a_process_in_a_container_ends_with_the_program_that_started_it(image: str) -> None:
    program = """
        import sys, kina
        process = kina.Container.get(sys.argv[1]).exec_stream(["sleep", "4242"])
        print("started", flush=True)
        process.wait()
    """
    with kina.Container.run(image, ["sleep", "600"]) as box:

        def sleeps() -> bool:
            return "4242" in box.exec(["ps"]).stdout

        with python(program, box.id) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            assert sleeps()
            process.kill()
            process.wait()
            assert wait_until(lambda: not sleeps(), seconds=10)
        assert box.state == "running"


def test_a_closed_runtime_ends_no_process(image: str, remote: Runtime) -> None:
    program = """
        import sys, kina
        with kina.connect() as runtime:
            box = kina.Container.get(sys.argv[1])
            kept = box.exec_stream(["sh", "-c", "sleep 1; touch /tmp/lived"])
        with kina.connect():
            import time
            box = kina.Container.get(sys.argv[1])
            until = time.monotonic() + 10
            while box.exec(["test", "-e", "/tmp/lived"], check=False).exit_code:
                assert time.monotonic() < until
    """
    with kina.Container.run(image, ["sleep", "600"]) as box:
        check_python(program, box.id, env={"PYTHONWARNINGS": "ignore"})


# -- A server that goes ----------------------------------------------------------------------------


def test_an_exec_that_its_server_dies_under_is_unavailable_and_ended(
    image: str, server: Server
) -> None:
    with kina.Container.run(image, ["sleep", "600"]) as box:
        caught: list[BaseException] = []

        def execute() -> None:
            try:
                box.exec(["sleep", "4243"])
            except kina.KinaError as error:
                caught.append(error)

        thread = threading.Thread(target=execute)
        thread.start()
        assert wait_until(lambda: "4243" in box.exec(["ps"]).stdout, seconds=10)
        server.kill()
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert isinstance(caught[0], kina.UnavailableError)
        assert "kina-vmd" in str(caught[0])
        assert box.state == "running"
        assert wait_until(lambda: "4243" not in box.exec(["ps"]).stdout, seconds=10)


def life(image: str) -> None:
    box = kina.Container.create(image, ["sleep", "600"], name="mortal")
    box.start()
    box.stop(timeout=0)
    box.delete()


@pytest.mark.parametrize("step", steps("create", "start", "stop", "end", "delete"))
def test_killed_at_any_step_of_a_container_s_life(
    image: str, server: Server, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """
    Whoever asked is told, the next call starts it anew, and what is left can be used or deleted.
    """
    monkeypatch.setenv("KINA_CRASH_AFTER", step)
    server.kill()
    with pytest.raises(kina.UnavailableError) as caught:
        life(image)
    assert caught.value.hint is not None
    monkeypatch.delenv("KINA_CRASH_AFTER")
    server.kill()  # it may have been started once more by what failed
    for box in kina.Container.list():
        assert box.name == "mortal"
        box.delete(force=True)
    assert kina.Container.list() == []
    kina.prune(containers=False, networks=False)
    life(image)


def test_it_keeps_nothing_of_the_calls_that_it_performed(image: str, server: Server) -> None:
    def use() -> None:
        assert kina.run(image, ["echo", "x"]).stdout == "x\n"
        with kina.Container.run(image, ["sleep", "600"]) as box:
            assert box.exec(["true"]).exit_code == 0
            with pytest.raises(kina.KinaError):
                box.exec(["sleep", "60"], timeout=0.2)
            box.stats()
        with pytest.raises(kina.NotFoundError):
            kina.Container.get("nobody")

    use()
    before = server.descriptors
    for _ in range(5):
        use()
    assert wait_until(lambda: server.descriptors <= before), (server.descriptors, before)
    assert wait_until(lambda: server.threads == 1, seconds=20), "idle threads end after a while"


def test_it_survives_a_client_s_standard_streams(image: str, tmp_path: Path) -> None:
    """
    What starts it may be a pipeline that waits for the end of its output.
    """
    program = "import kina; print(kina.connect().info().run_directory)"
    own = {"KINA_HOME": str(tmp_path / "home"), "KINA_SERVER_IDLE": "1"}
    run = check_python(program, env=own).strip()
    assert wait_until(lambda: not Path(run, "server/socket").exists(), seconds=10), "it is idle"
