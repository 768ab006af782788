"""
Ctrl-C: KeyboardInterrupt, promptly, and nothing of what was under way is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

import kina
from support.containers import WAITS
from support.leaks import wait_until
from support.registry import HostileRegistry
from support.scripts import python

PRELUDE = """
import sys, threading, time
import kina
def ready():
    print("ready", flush=True)
# What is ready is what follows, a moment later.
try:
    ready()
    {act}
except KeyboardInterrupt as interrupt:
    print("interrupted", getattr(interrupt, "__notes__", []), threading.active_count(), flush=True)
else:
    print("ended by itself", flush=True)
"""


def interrupt(act: str, *arguments: str, delay: float = 0.7, times: int = 1) -> float:
    """
    Run something in a program of its own, press Ctrl-C, and return how long it took to end.
    """
    with python(PRELUDE.format(act=act), *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        begin = time.monotonic()
        for _ in range(times):
            # To the whole group, as a terminal does: helpers must not hear it.
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.05)
        out, error = process.communicate(timeout=40)
        assert out.startswith("interrupted []"), out + error
        assert out.split()[-1] == "1", "threads are left"
        return time.monotonic() - begin


@pytest.fixture
def box(busybox: str) -> Iterator[kina.Container]:
    with kina.Container.run(busybox, WAITS, name="interrupted") as container:
        yield container


@pytest.mark.parametrize("name", ["stall", "stall-manifest", "slow"])
def test_pull(hostile: HostileRegistry, name: str) -> None:
    act = "kina.Image.pull(sys.argv[1], progress=False)"
    assert interrupt(act, hostile.reference(f"{name}:1")) < 5


def test_pull_with_progress(hostile: HostileRegistry) -> None:
    act = "kina.Image.pull(sys.argv[1], progress=lambda event: None)"
    assert interrupt(act, hostile.reference("stall:1")) < 5


def test_create_that_pulls(hostile: HostileRegistry) -> None:
    act = "kina.Container.create(sys.argv[1], name='never')"
    assert interrupt(act, hostile.reference("stall:1")) < 5
    assert kina.Container.list() == []


def test_wait(box: kina.Container) -> None:
    assert interrupt("kina.Container.get('interrupted').wait()") < 3
    assert box.state == "running"


def test_exec_ends_the_process_and_its_children(box: kina.Container) -> None:
    act = "kina.Container.get('interrupted').exec(['sh', '-c', 'sleep 7654 & sleep 7655'])"
    assert interrupt(act) < 5
    assert wait_until(lambda: "765" not in box.exec(["ps", "-o", "args"]).stdout)
    assert box.state == "running"


def test_exec_stream(box: kina.Container) -> None:
    act = (
        "exec('''with kina.Container.get('interrupted').exec_stream(['sleep', '7656']) as p:\\n"
        "    for chunk in p: pass''')"
    )
    assert interrupt(act) < 5
    assert wait_until(lambda: "765" not in box.exec(["ps", "-o", "args"]).stdout)


def test_logs(box: kina.Container) -> None:
    assert interrupt("list(kina.Container.get('interrupted').logs(follow=True))") < 3
    assert box.state == "running"


def test_attach(box: kina.Container) -> None:
    assert interrupt("kina.Container.get('interrupted').attach(None, 1, 2)") < 3
    assert box.state == "running"


def test_events(runtime: object) -> None:
    assert interrupt("list(kina.events())") < 3


def test_sample(box: kina.Container) -> None:
    assert interrupt("kina.Container.get('interrupted').sample(0.1, count=10000)") < 3


def test_a_short_run_is_deleted(busybox: str) -> None:
    assert interrupt("kina.run(sys.argv[1], ['sleep', '300'])", busybox, delay=1.5) < 6
    assert kina.Container.list() == []


def test_stop_in_its_grace_leaves_the_container_running(busybox: str) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    with kina.Container.run(busybox, stubborn, name="stubborn") as box:
        assert interrupt("kina.Container.get('stubborn').stop(timeout=60)") < 3
        assert box.state == "running"
        box.stop(timeout=0)


def test_a_second_ctrl_c_does_not_cut_the_clean_up_short(busybox: str) -> None:
    interrupt("kina.run(sys.argv[1], ['sleep', '300'])", busybox, delay=1.5, times=4)
    assert kina.Container.list() == []


def test_a_container_that_was_started_does_not_hear_ctrl_c(busybox: str) -> None:
    act = "kina.Container.run(sys.argv[1], ['sleep', 'inf'], name='deaf'); time.sleep(60)"
    interrupt(act, busybox, delay=2.5)
    with kina.Container.get("deaf") as box:
        assert box.state == "running"
        assert not box.inspect().unsupervised


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.25, 0.35, 0.5])
def test_interrupted_anywhere_a_run_leaves_nothing_or_a_container(
    busybox: str, delay: float
) -> None:
    act = "kina.Container.run(sys.argv[1], ['sleep', 'inf'], name='anywhere'); time.sleep(60)"
    interrupt(act, busybox, delay=delay)
    for box in kina.Container.list():
        # It was done before the key was pressed.
        assert (box.name, box.state) == ("anywhere", "running")
        box.delete(force=True)


def test_sigterm_ends_a_program_and_a_short_run_with_it(busybox: str) -> None:
    with python("import sys, kina; kina.run(sys.argv[1], ['sleep', '300'])", busybox) as process:
        assert wait_until(lambda: kina.Container.list(states="running") != [], seconds=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
        assert wait_until(lambda: kina.Container.list() == [], seconds=10)
    assert subprocess.run(["true"], check=True).returncode == 0
