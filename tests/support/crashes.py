"""
Programs that are killed, or stopped, in the middle of what they do; and the kill -9 of what they
have started meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kina
from support.leaks import Host, wait_until
from support.scripts import python, run_python
from support.steps import steps

PROGRAMS = {
    "create": """
        kina.Container.create(image, STUBBORN, name=name, ports=[80], mounts=[anonymous])
    """,
    "start": "kina.Container.get(name).start()",
    "stop": "kina.Container.get(name).stop(timeout=0.2)",
    "delete": "kina.Container.get(name).delete(force=True)",
    "run": """
        kina.run(image, ["sleep", "0.2"], name=name, ports=[80], mounts=[anonymous])
    """,
    # It ends by itself: what its supervisor starts then has the steps to do.
    "end": """
        print(kina.Container.run(
        image, ENDS_ONCE, name=name, ports=[80], mounts=[anonymous]).id)
    """,
    "remove": """
        print(kina.Container.run(
        image, ENDS_ONCE, name=name, ports=[80], mounts=[anonymous], remove=True).id)
    """,
}
ENDS_ONCE = ["sh", "-c", "test -e /began && exec sleep inf; touch /began; sleep 0.2"]
STUBBORN = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
PRELUDE = """
import sys
import kina
from support.crashes import ENDS_ONCE, STUBBORN
image, name = sys.argv[1:]
anonymous = kina.Mount.volume(None, "/v")
"""
CREATE, START, STOP = steps("create"), steps("start"), steps("stop")
END, DELETE, RUN = steps("end"), steps("delete"), steps("run")
_SHORT = [
    step for step in START if step not in ("startSupervisor", "startIdentity", "startProcess")
]
# A forced delete, and a short run, clear a run; they do not record its end.
_CLEAR = [step for step in END if step not in ("endRecord", "endCommit")]
WAYS = {
    "create": CREATE,
    "start": START,
    "stop": [*STOP, *END],
    "delete": [*DELETE, *_CLEAR],
    "run": [*CREATE, *_SHORT, *RUN, *_CLEAR, *DELETE],
}
"""The steps that each operation comes to, in their order or nearly."""


def program_for(operation: str) -> str:
    """
    Return the text of a program that does something and says how that went.
    """
    lines = [line.strip() for line in PROGRAMS[operation].strip().splitlines()]
    return PRELUDE.strip() + "\n" + "\n".join(lines)


def crash(operation: str, step: str, image: str, name: str) -> bool:
    """
    Do something in a program of its own that is killed after a step.

    Returns:
        Whether it came to that step.
    """
    done = run_python(program_for(operation), image, name, env={"KINA_CRASH_AFTER": step})
    if done.returncode == 0:
        return False
    assert done.returncode == -signal.SIGKILL, f"{done.returncode}:\n{done.stdout}{done.stderr}"
    return True


@contextlib.contextmanager
def halted(operation: str, step: str, image: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """
    Do something in a program of its own that stops after a step, until it gets SIGCONT.
    """
    text = f"""
{PRELUDE.strip()}
try:
    {" ".join(line.strip() for line in PROGRAMS[operation].strip().splitlines())}
except kina.KinaError as failure:
    print(type(failure).__name__, failure.code.name, failure)
else:
    print("done")
"""
    with python(text, image, name, env={"KINA_STOP_AFTER": step}) as process:
        assert wait_until(lambda: state_of(process.pid) in "TZ", seconds=30)
        assert state_of(process.pid) == "T", f"{operation} does not come to {step}"
        yield process


def state_of(pid: int) -> str:
    """
    Return a process's state by the kernel's letter; Z when it is gone.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def helpers(host: Host, identifier: str) -> dict[str, list[int]]:
    """
    Find the processes on the host that stand behind a container: its supervisor (conmon, or a short
    run's guard), and those in it.
    """
    found: dict[str, list[int]] = {"supervisor": [], "container": []}
    for pid, command in host.processes().items():
        program = command.split(" ")[0].rpartition("/")[2]
        if program in ("conmon", "kina-exit") and identifier in command:
            found["supervisor"].append(pid)
        elif f"/{identifier}" in _cgroups(pid) and state_of(pid) != "Z":
            found["container"].append(pid)
    return found


def _cgroups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill(pids: list[int]) -> None:
    """
    SIGKILL processes, and wait until they are gone.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: all(state_of(pid) == "Z" for pid in pids))


def prepare(operation: str, image: str, name: str) -> None:
    """
    Bring about what an operation begins with.
    """
    if operation in ("start", "stop", "delete"):
        box = kina.Container.create(
            image, STUBBORN, name=name, ports=[80], mounts=[kina.Mount.volume(None, "/v")]
        )
        if operation != "start":
            box.start()


def alive(host: Host, identifier: str) -> bool:
    """
    Whether any process of a container runs, by the kernel's word.
    """
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        group = hierarchy / f"kina-{host.key}" / identifier
        for procs in group.rglob("cgroup.procs") if group.is_dir() else ():
            if procs.read_text().strip():
                return True
    return False


def check_truth(host: Host) -> None:
    """
    Compare what a list says with what the kernel says.
    """
    for box in kina.Container.list():
        status = box._known
        assert status.state in ("created", "running", "stopped", "deleting"), status
        if status.state == "running":
            assert status.pid is not None
            assert Path(f"/proc/{status.pid}").exists()
            assert alive(host, box.id)
        if status.state == "stopped":
            assert status.exit is not None
        assert kina.Container.get(box.id).id == box.id
        assert len(status.addresses) <= 1


def use_and_delete(name: str) -> None:
    """
    What is left must be a container like any other.
    """
    for box in kina.Container.list(names=name):
        if box.state != "running":
            box.start()
        assert box.exec(["echo", "usable"]).stdout == "usable\n"
        address = box.ip
        assert address is not None
        assert address in box.exec(["ip", "-o", "addr"]).stdout
        box.stop(timeout=0)
        assert box.ip == address
        box.delete()
