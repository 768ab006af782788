"""
kina-vmd, the process behind a remote backend, as a test looks at it.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import attrs

from kina.runtimes import Runtime
from support.leaks import wait_until

__all__ = ["CONNECTIONS", "Server"]

CONNECTIONS = 4
"""How many a client keeps for its next calls (Link.swift)."""


@attrs.frozen
class Server:
    """
    The server of one home.
    """

    directory: Path

    @classmethod
    def of(cls, runtime: Runtime) -> Server:
        """
        Find the one that a runtime talks to.
        """
        return cls(Path(runtime.info().run_directory, "server"))

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """
        The process that listens now.
        """
        return int((self.directory / "lock").read_text())

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def memory(self) -> int:
        """
        Return its resident bytes that are its alone.
        """
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        kilobytes = [
            int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")
        ]
        return sum(kilobytes) << 10

    def kill(self) -> None:
        """
        End it as a crash does.
        """
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """
        Ask it to end.
        """
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        pid = self.pid
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        assert wait_until(lambda: not _is_alive(pid), seconds=20), f"kina-vmd {pid} does not end"


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
