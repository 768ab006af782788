"""
A place for engines that change the machine they run on: their own network, mounts and processes.

dockerd and podman make bridges, firewall rules, mounts and helpers that outlive them. Here all of
it ends with one process, whatever happens to the benchmark.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.programs import succeed

__all__ = ["CGROUP_PARENT", "Enclosure"]

CGROUP_PARENT = "/kina-benchmark"
"""
Where engines keep their containers' cgroups: the one thing that a namespace does not take away.
"""

# Written by engines wherever they are told to keep their state.
_PRIVATE_DIRECTORIES = ("/run", "/var/lib/cni", "/dev/shm")
_START = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"),
    *("tini", "-s", "--", "sleep", "infinity"),
)


class Enclosure:
    """
    Network, mount and process namespaces which end with the `with` block, or with this process.
    """

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(_START, stdin=subprocess.DEVNULL)
        try:
            self._init = self._wait_for_init()
            self.succeed("ip", "link", "set", "lo", "up")
            for directory in _PRIVATE_DIRECTORIES:
                Path(directory).mkdir(parents=True, exist_ok=True)
                self.succeed("mount", "-t", "tmpfs", "tmpfs", directory)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def inside(self, *command: str) -> tuple[str, ...]:
        """
        The command line that runs `command` in here.
        """
        return ("nsenter", "-t", str(self._init), "-n", "-m", "-p", *command)

    def succeed(self, *command: str) -> str:
        """
        Run a program in here, and return what it printed.

        Raises:
            RuntimeError: It failed.
        """
        return succeed(*self.inside(*command))

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """
        Start a program in here that goes on.
        """
        with log.open("wb") as output:
            return subprocess.Popen(
                self.inside(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def close(self) -> None:
        """
        End everything in here.
        """
        self._process.kill()
        self._process.wait()
        _remove_cgroups()

    def _wait_for_init(self) -> int:
        # The child is there before its namespaces are complete: tini runs once they are.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        end = time.monotonic() + 10
        while time.monotonic() < end and self._process.poll() is None:
            for child in children.read_text().split():
                with suppress(FileNotFoundError):
                    if Path(f"/proc/{child}/comm").read_text().strip() == "tini":
                        return int(child)
            time.sleep(0.005)
        raise RuntimeError("the enclosure did not start")


def _remove_cgroups() -> None:
    """
    Remove the cgroups that engines leave, once their processes are gone.
    """
    end = time.monotonic() + 10
    while left := list(Path("/sys/fs/cgroup").glob(f"*{CGROUP_PARENT}")):
        for top in left:
            for group in (*sorted(top.glob("**/"), reverse=True), top):
                with suppress(OSError):
                    group.rmdir()
        if time.monotonic() > end:
            raise RuntimeError(f"these cgroups are still in use: {left}")
        time.sleep(0.02)
