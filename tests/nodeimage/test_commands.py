"""
Programs of a build: however they end, or we do, nothing of them is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import kina
from kina.calls import Call
from kina.nodeimage.commands import Log, run


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def running(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_failure_shows_the_end_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(kina.ExecError, match="the reason") as caught:
        run(["sh", "-c", "echo the reason >&2; exit 3"], Log(tmp_path / "log"), Call())
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_an_ended_call_ends_the_whole_tree_and_its_mounts(tmp_path: Path, how: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mark = f"1000{os.getpid()}{how == 'cancel':d}"
    script = f"mount -t tmpfs none {place}; (sleep {mark} &); sleep {mark}"
    call = Call(1.0 if how == "deadline" else None)
    if how == "cancel":
        threading.Timer(1.0, call.cancel).start()
    with pytest.raises((kina.OperationCancelledError, kina.DeadlineExceededError)):
        run(["sh", "-c", script], Log(tmp_path / "log"), call)
    assert all(gone(pid) for pid in running(mark))
    assert str(place) not in Path("/proc/mounts").read_text()


def test_a_killed_build_takes_its_programs_with_it(tmp_path: Path) -> None:
    mark = f"2000{os.getpid()}"
    code = (
        "from pathlib import Path; from kina.calls import Call; "
        "from kina.nodeimage.commands import Log, run; "
        f"log = Log(Path({str(tmp_path / 'log')!r})); "
        f"run(['sh', '-c', '(sleep {mark} &); sleep {mark}'], log, Call())"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 10
    while len(running(f"sleep\0{mark}")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = running(f"sleep\0{mark}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(gone(pid) for pid in pids)
