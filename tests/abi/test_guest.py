"""
Inside somebody else's process the library is a guest: no thread, no handler, no child but its own,
no descriptor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.images import make_rootfs
from support.leaks import children, descriptors
from support.library import Library, library_path
from support.scripts import check_python

# An ABI client in a few lines, for processes of their own.
CLIENT = """
import os, sys, json, signal
from pathlib import Path
from support.library import Failure, Library
library = Library(Path(sys.argv[1]))
handle = library.open(home=sys.argv[2])
def code_of(function, *arguments):
    try:
        library.ask(function, *arguments)
    except Failure as failure:
        return failure.code
    return 0
"""


def signal_masks() -> list[str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return [line for line in lines if line.startswith(("SigCgt", "SigIgn", "SigBlk"))]


def use(library: Library, opened: Any, directory: Path) -> None:
    """
    Do something with programs, files and errors.
    """
    request = {"reference": "localhost/guest", "directory": str(directory)}
    library.ask("kina_image_import", opened, library.ffi.NULL, json.dumps(request).encode(), -1)
    library.ask("kina_image_get", opened, b"localhost/guest")
    library.check("kina_image_delete", opened, library.ffi.NULL, b"localhost/guest", 0)
    library.ask("kina_runtime_prune", opened, library.ffi.NULL, b"{}")


def test_no_thread_descriptor_child_or_handler_stays(
    library: Library, opened: Any, tmp_path: Path
) -> None:
    rootfs = make_rootfs(tmp_path / "rootfs")
    use(library, opened, rootfs)  # what is made once may stay
    masks, before, others = signal_masks(), descriptors(), children()
    threads = set(os.listdir("/proc/self/task"))
    for _ in range(3):
        use(library, opened, rootfs)
    assert signal_masks() == masks
    assert set(os.listdir("/proc/self/task")) == threads
    assert descriptors().keys() == before.keys()
    assert children() == others


def test_children_of_others_are_not_reaped(library: Library, opened: Any, tmp_path: Path) -> None:
    rootfs = make_rootfs(tmp_path / "rootfs")
    mine = subprocess.Popen([sys.executable, "-c", "raise SystemExit(41)"])
    use(library, opened, rootfs)
    assert mine.wait() == 41


def test_it_works_where_sigchld_is_ignored(home: Path) -> None:
    # The kernel reaps children then, and waiting for one fails: an error or an answer, no hang and
    # no crash.
    out = check_python(
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
        + CLIENT
        + """
answer = code_of("kina_runtime_info", handle)
assert answer == 0, answer
print(code_of("kina_image_get", handle, b"localhost/none"))
""",
        str(library_path()),
        str(home),
    )
    assert out.split() == ["5"]


def test_a_handle_from_before_fork_is_a_failed_precondition(home: Path) -> None:
    out = check_python(
        CLIENT
        + """
call = library.lib.kina_call_create(-1, -1)
pid = os.fork()
if pid == 0:
    failed = library.lib.KINA_FAILED_PRECONDITION
    assert code_of("kina_runtime_info", handle) == failed
    assert code_of("kina_container_list", handle, b"{}") == failed
    fresh = library.open(home=sys.argv[2])
    assert code_of("kina_runtime_info", fresh) == 0
    assert code_of("kina_runtime_prune", fresh, call, b"{}") == failed
    library.lib.kina_runtime_release(handle)
    library.lib.kina_runtime_release(fresh)
    os._exit(7)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert code_of("kina_runtime_info", handle) == 0
print("parent is fine")
""",
        str(library_path()),
        str(home),
    )
    assert out.strip() == "parent is fine"


def test_fork_while_other_threads_are_inside_leaves_a_usable_child(home: Path) -> None:
    out = check_python(
        "import threading, warnings; warnings.simplefilter('ignore')"
        + CLIENT
        + """
stop = False
def spin():
    while not stop:
        code_of("kina_container_list", handle, b"{}")
threads = [threading.Thread(target=spin, daemon=True) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(100):
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        fresh = library.open(home=sys.argv[2])
        os._exit(code_of("kina_container_list", fresh, b"{}"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop = True
for thread in threads: thread.join()
print("fine")
""",
        str(library_path()),
        str(home),
    )
    assert out.strip() == "fine"


def test_doctor_needs_no_runtime_and_changes_nothing(library: Library, tmp_path: Path) -> None:
    options = json.dumps({"home": str(tmp_path / "none"), "backend": "oci"}).encode()
    report = library.ask("kina_runtime_doctor", options)
    assert report["backend"] == "oci"
    assert report["usable"] is True
    assert report["checks"]
    assert all(check["reason"] for check in report["checks"])
    assert not (tmp_path / "none").exists()


def test_doctor_looks_for_the_server_of_a_remote_backend(library: Library, tmp_path: Path) -> None:
    options = {"home": str(tmp_path / "none"), "backend": "remote"}
    report = library.ask("kina_runtime_doctor", json.dumps(options).encode())
    assert (report["backend"], report["usable"]) == ("remote", True)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["kina-vmd"]["state"] == "ok"
    assert "OCI runtime" in checks  # what the server needs
    options["libexec"] = str(tmp_path)
    report = library.ask("kina_runtime_doctor", json.dumps(options).encode())
    assert report["usable"] is False
    (missing,) = [check for check in report["checks"] if check["state"] == "failed"]
    assert (missing["name"], str(tmp_path) in missing["reason"]) == ("kina-vmd", True)
    assert missing["fix"]
    assert not (tmp_path / "none").exists()


def test_doctor_wants_the_tar_that_copies_are_made_with(library: Library, tmp_path: Path) -> None:
    other = tmp_path / "tar"
    other.write_text("#!/bin/sh\necho 'tar (busybox) 1.36'\n")
    other.chmod(0o755)
    program = """
import json, sys
from pathlib import Path
from support.library import Library
report = Library(Path(sys.argv[1])).ask("kina_runtime_doctor", b"{}")
print(json.dumps({check["name"]: check for check in report["checks"]}["tar"]))
"""
    found = json.loads(check_python(program, str(library_path())))
    assert (found["state"], "GNU tar" in found["reason"]) == ("ok", True)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = json.loads(check_python(program, str(library_path()), env={"PATH": path}))
    assert (found["state"], str(other) in found["reason"]) == ("failed", True)
    assert found["fix"]
