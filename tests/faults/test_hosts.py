"""
Hosts whose cgroups are mounted in other ways than this one's: mount namespaces in which the unified
hierarchy is all there is, or is not there.

Controllers that v1 holds are not v2's: there, nothing is limited, and what can't be counted is
masked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.scripts import environment

ONLY_V2 = """
umount --lazy /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
"""
ONLY_V1 = """
! mountpoint --quiet /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
test ! -d /sys/fs/cgroup/unified || mount -t tmpfs -o ro none /sys/fs/cgroup/unified
"""
PROGRAM = """
import json, sys
from pathlib import Path
import kina
from support.containers import WAITS
tree, options = sys.argv[1], json.loads(sys.argv[2])
image = kina.Image.from_rootfs(tree, "localhost/kina/host:1", command=WAITS)
told = {}
with kina.connect() as runtime:
    told["cgroups"] = runtime.info().cgroups
    write = ["sh", "-c", "echo out; mkdir /sys/fs/cgroup/made 2>/dev/null || echo refused; exit 3"]
    done = kina.run(image, write, network="none", **options)
    told["run"] = [done.exit_code, done.reason, done.stdout]
    with kina.Container.run(image, network="none", **options) as box:
        try:
            box.exec(["sh", "-c", "sleep 7654 & sleep 7655"], timeout=0.5)
        except kina.DeadlineExceededError:
            told["timeout"] = box.exec(["ps", "-o", "args"]).stdout.count("765")
        told["paused"] = [box.pause().state, kina.Container.get(box.id).state, box.resume().state]
        stats = box.stats()
        told["stats"] = [stats.cpu_ns is not None, stats.pids]
        told["stopped"] = [box.stop(timeout=5).state, box.exit.exit_code]
        told["again"] = box.start().exec(["echo", "again"]).stdout
        box.kill()
        told["killed"] = [box.wait(timeout=10), box.exit.reason]
        told["limit"] = "ok"
        try:
            box.start().update(pids=50)
        except kina.KinaError as failure:
            told["limit"] = [failure.code.name, "pids" in failure.message]
    told["left"] = [c.name for c in kina.Container.list()]
    key = Path(runtime.info().run_directory).name
    places = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    told["left"] += [str(place) for place in places if (place / f"kina-{key}").exists()]
    kina.prune(images=True, networks=True)
print(json.dumps(told))
"""


def run_on(prepare: str, runtime: str, home: Path, program: str, *arguments: str) -> Any:
    """
    Run a program on a host that is like this one but for what `prepare` does; return what it tells.
    """
    enter = f'set -e; mount --make-rprivate /\n{prepare}\nexec "$@"'
    command = ["unshare", "--mount", "sh", "-c", enter, "sh", sys.executable, "-c", program]
    settings = {"KINA_HOME": str(home), "KINA_OCI_RUNTIME": runtime, "KINA_BACKEND": "oci"}
    done = subprocess.run(
        [*command, *arguments],
        env=environment(settings), capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def live(prepare: str, runtime: str, rootfs: Path, home: Path, **options: object) -> Any:
    """
    Let a container live there.
    """
    return run_on(prepare, runtime, home, PROGRAM, str(rootfs), json.dumps(options))


EXPECTED = {
    "run": [3, "exited", "out\nrefused\n"],
    "timeout": 0,
    "paused": ["paused", "paused", "running"],
    "stopped": ["stopped", 0],
    "again": "again\n",
    "killed": [137, "signaled"],
    "left": [],
}


def test_cgroup_v2_alone_with_runc(rootfs: Path, tmp_path: Path) -> None:
    told = live(ONLY_V2, "runc", rootfs, tmp_path / "home")
    assert told.pop("cgroups") == "v2"
    counted, pids = told.pop("stats")
    assert counted is True  # v2 counts time without a controller
    # Only where the host gives v2 that controller can it count and limit.
    limit = told.pop("limit")
    assert (pids, limit) == (2, "ok") or (pids, limit) == (None, ["FAILED_PRECONDITION", True])
    assert told == EXPECTED


def test_cgroup_v2_alone_with_crun(rootfs: Path, tmp_path: Path) -> None:
    # Privileged: to filter devices crun raises a limit (RLIMIT_MEMLOCK), which not every host lets
    # it do.
    told = live(ONLY_V2, "crun", rootfs, tmp_path / "home", privileged=True)
    assert told.pop("cgroups") == "v2"
    del told["run"], told["stats"], told["limit"]
    assert told == {name: seen for name, seen in EXPECTED.items() if name != "run"}


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory").is_dir(), reason="v1's hierarchies are not mounted here"
)
def test_cgroup_v1_alone(rootfs: Path, tmp_path: Path) -> None:
    told = live(ONLY_V1, "runc", rootfs, tmp_path / "home")
    assert told.pop("cgroups") == "v1"
    assert told.pop("stats") == [True, 2]
    assert told.pop("limit") == "ok"
    assert told == EXPECTED


def test_a_short_run_with_crun_tells_the_exit_code_every_time(rootfs: Path, tmp_path: Path) -> None:
    """
    crun's detached processes are handed over a moment late.
    """
    program = """
import json, sys, kina
image = kina.Image.from_rootfs(sys.argv[1], "localhost/kina/host:1")
codes = [
    kina.run(image, ["sh", "-c", f"exit {n}"], network="none", privileged=True).exit_code
    for n in range(20)
]
kina.prune(images=True, networks=True)
print(json.dumps(codes))
"""
    codes = run_on(ONLY_V2, "crun", tmp_path / "home", program, str(rootfs))
    assert codes == list(range(20))
