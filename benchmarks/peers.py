"""
What kina is measured beside: a bare OCI runtime, Docker and Podman, with the same root file system.

All are programs, started in the same way; each is given what it needs to be at its best here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from benchmarks.enclosure import CGROUP_PARENT, Enclosure
from benchmarks.programs import succeed

__all__ = ["Docker", "Peer", "Podman", "Runc", "make_rootfs"]

_IMAGE = "localhost/benchmark:latest"


class Peer(Protocol):
    """
    Something else that runs containers.
    """

    def run(self, *command: str) -> str:
        """
        Run a command in a new container, delete the container, and return the output.
        """
        ...


def make_rootfs(directory: Path) -> Path:
    """
    Make a root file system of Debian's busybox.
    """
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (directory / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", directory / "bin")
    for applet in succeed("busybox", "--list").split():
        with suppress(FileExistsError):
            (directory / "bin" / applet).symlink_to("busybox")
    return directory


class Runc:
    """
    runc alone: no network, no supervisor, no image, no layer of its own.
    """

    def __init__(self, directory: Path, rootfs: Path) -> None:
        self._state = directory / "state"
        self._bundle = directory / "bundle"
        self._bundle.mkdir(parents=True)
        succeed("runc", "spec", "--bundle", str(self._bundle))
        self._config = json.loads((self._bundle / "config.json").read_text())
        self._config["root"] = {"path": str(rootfs), "readonly": False}
        self._config["process"] |= {"terminal": False, "rlimits": []}

    def run(self, *command: str) -> str:
        return self._runc("run", "--bundle", str(self.prepare(*command)), f"bench-{uuid4().hex}")

    def prepare(self, *command: str) -> Path:
        """
        Write the bundle for a command; once a command.
        """
        if self._config["process"]["args"] != list(command):
            self._config["process"]["args"] = list(command)
            (self._bundle / "config.json").write_text(json.dumps(self._config))
        return self._bundle

    def exec(self, container: str, *command: str) -> str:
        return self._runc("exec", container, *command)

    @contextmanager
    def running(self, *command: str) -> Iterator[str]:
        """
        A container that runs until the block ends.
        """
        container = f"bench-{uuid4().hex}"
        # Its streams must not be pipes of ours: it outlives `runc run`.
        subprocess.run(
            self._command("run", "--detach", "--bundle", str(self.prepare(*command)), container),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        try:
            yield container
        finally:
            self._runc("delete", "--force", container)

    def _runc(self, *arguments: str) -> str:
        return succeed(*self._command(*arguments))

    def _command(self, *arguments: str) -> tuple[str, ...]:
        return ("runc", "--root", str(self._state), *arguments)


class Docker:
    """
    Debian's Docker: dockerd with its own containerd and bridge, asked by its command line.
    """

    def __init__(self, process: subprocess.Popen[bytes], socket: Path) -> None:
        self._process = process
        self.host = f"unix://{socket}"
        # Not another engine's that comes first in PATH.
        self._client = ("/usr/bin/docker", "--host", self.host)

    @classmethod
    @contextmanager
    def started(cls, directory: Path, rootfs: Path, *options: str) -> Iterator[Docker]:
        directory.mkdir()
        socket = directory / "socket"
        log = directory / "log"
        command = (
            "dockerd",
            *("--host", f"unix://{socket}", "--pidfile", str(directory / "pid")),
            *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
            *("--storage-driver", "overlay2", "--cgroup-parent", CGROUP_PARENT),
            *("--exec-opt", "native.cgroupdriver=cgroupfs", "--oom-score-adjust", "0"),
            *options,
        )
        with Enclosure() as enclosure:
            docker = cls(enclosure.start(command, log), socket)
            docker._wait_until_ready(log)
            archive = shutil.make_archive(str(directory / "rootfs"), "tar", rootfs)
            docker._docker("import", archive, _IMAGE)
            yield docker
        docker._process.wait()

    def run(self, *command: str) -> str:
        return self._docker("run", "--rm", _IMAGE, *command)

    def load(self, archive: Path) -> None:
        """
        Take the images of an archive.
        """
        self._docker("load", "--input", str(archive))

    def version(self) -> str:
        return self._docker("version", "--format", "{{.Server.Version}}").strip()

    def _docker(self, *arguments: str) -> str:
        return succeed(*self._client, *arguments)

    def _wait_until_ready(self, log: Path) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(RuntimeError):
                self.version()
                return
            time.sleep(0.1)
        raise RuntimeError(f"dockerd did not start:\n{log.read_text()}")


class Podman:
    """
    Debian's Podman with runc, as root.
    """

    _CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

    def __init__(self, enclosure: Enclosure, directory: Path) -> None:
        configuration = directory / "containers.conf"
        configuration.write_text(self._CONFIGURATION)
        self._command = enclosure.inside(
            *("env", f"CONTAINERS_CONF={configuration}", "podman"),
            *("--root", str(directory / "root"), "--runroot", str(directory / "runroot")),
            *("--tmpdir", str(directory / "tmp")),
        )

    @classmethod
    @contextmanager
    def started(cls, directory: Path, rootfs: Path) -> Iterator[Podman]:
        directory.mkdir()
        with Enclosure() as enclosure:
            podman = cls(enclosure, directory)
            archive = shutil.make_archive(str(directory / "rootfs"), "tar", rootfs)
            podman._podman("import", archive, _IMAGE)
            yield podman

    def run(self, *command: str) -> str:
        return self._podman("run", "--rm", "--cgroup-parent", CGROUP_PARENT, _IMAGE, *command)

    def version(self) -> str:
        return self._podman("version", "--format", "{{.Client.Version}}").strip()

    def _podman(self, *arguments: str) -> str:
        return succeed(*self._command, *arguments)
