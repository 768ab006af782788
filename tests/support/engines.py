"""
Engines that the tests start: Debian's dockerd, and Podman's service. Each has its data, sockets and
configuration in a directory of its own, and is gone afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

__all__ = ["ENGINES", "Engine", "engine"]

ENGINES: Final = ("docker", "podman")
"""Those that are to pass the conformance tests."""

# runc that asks for nothing which this machine can't give: a privileged container wants every
# capability, and Podman as many processes as there may be.
RUNC: Final = """\
#!{python}
import json, os, pathlib, resource, sys
bounding = int(pathlib.Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0], 16)
def within(process):
    for limit in process.get("rlimits") or ():
        most = resource.getrlimit(getattr(resource, limit["type"]))[1]
        if most >= 0 and not bounding >> 24 & 1:
            limit["hard"], limit["soft"] = min(limit["hard"], most), min(limit["soft"], most)
def without(capabilities):
    for names in (capabilities or {{}}).values():
        if not bounding >> 24 & 1 and "CAP_SYS_RESOURCE" in names:
            names.remove("CAP_SYS_RESOURCE")
arguments = sys.argv[1:]
if "create" in arguments:
    bundle = arguments[arguments.index("--bundle") + 1] if "--bundle" in arguments else "."
    bundle = arguments[arguments.index("-b") + 1] if "-b" in arguments else bundle
    path = pathlib.Path(bundle, "config.json")
    document = json.loads(path.read_text())
    without(document["process"].get("capabilities"))
    within(document["process"])
    path.write_text(json.dumps(document))
elif "exec" in arguments and {{"--process", "-p"}} & set(arguments):
    option = "--process" if "--process" in arguments else "-p"
    path = pathlib.Path(arguments[arguments.index(option) + 1])
    document = json.loads(path.read_text())
    without(document.get("capabilities"))
    within(document)
    path.write_text(json.dumps(document))
os.execv("/usr/sbin/runc", ["runc", *arguments])
"""
CONTAINERS_CONF: Final = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[network]
network_backend = "netavark"
[engine]
runtime = "{runc}"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
"""
# Where netavark keeps its leases, whatever the engine's directories.
LEASES: Final = Path("/run/containers/networks")
STORAGE_CONF: Final = """\
[storage]
driver = "overlay"
graphroot = "{top}/storage"
runroot = "{top}/run"
"""
REGISTRIES_CONF: Final = """\
[[registry]]
location = "127.0.0.1"
insecure = true
"""


@attrs.frozen
class Engine:
    """
    An engine that runs.
    """

    name: str
    socket: Path
    pid: int

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"


@contextmanager
def engine(
    name: str, top: Path, *, inside: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[Engine]:
    """
    Run an engine.

    Args:
        name: docker or podman.
        top: A directory of its own, which is made and removed.
        inside: A command that runs the engine's: in a network namespace, say.
        options: Further ones of the engine's.
    """
    top.mkdir(parents=True)
    runc = top / "runc"
    runc.write_text(RUNC.format(python=sys.executable))
    runc.chmod(0o755)
    # A socket's path has 108 bytes, and pytest's directories are deep.
    short = Path(tempfile.mkdtemp(prefix="kina-test-", dir="/run"))
    rules = _rules()
    links = {link for _, link in socket.if_nameindex()}
    aside = _put_aside(short) if name == "podman" else None
    try:
        command, environment = (_docker if name == "docker" else _podman)(top, short, runc)
        with (top / "log").open("wb") as log:
            process = subprocess.Popen(
                [*inside, *command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                cwd=short,
                start_new_session=True,
            )
        try:
            _await(short / "engine.sock", process, top / "log")
            yield Engine(name, short / "engine.sock", process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        # Its own helpers, rules and bridges stay after an engine's end.
        _end_helpers(top, short)
        _forget_rules(rules)
        for link in {link for _, link in socket.if_nameindex()} - links:
            if link.startswith(("docker", "br-", "podman", "cni-")):
                subprocess.run(["ip", "link", "del", link], check=False)
        _unmount(top, short)
        if aside is not None:
            aside()
        for path in (short, top):
            shutil.rmtree(path, ignore_errors=True)
        _remove_cgroups()


def _put_aside(short: Path) -> Callable[[], None]:
    """
    Put another Podman's leases aside, and those of a session that was killed: they are by networks'
    names. Returns what puts them back.
    """
    kept = LEASES.with_name(f"{LEASES.name}-{short.name}")
    LEASES.parent.mkdir(exist_ok=True)
    there = LEASES.exists()
    if there:
        LEASES.rename(kept)
    before = _resolvers()

    def put_back() -> None:
        for pid in _resolvers() - before:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(LEASES, ignore_errors=True)
        if there:
            kept.rename(LEASES)
        else:
            with suppress(OSError):
                LEASES.parent.rmdir()

    return put_back


def _resolvers() -> set[int]:
    """
    Return aardvark-dns' processes.
    """
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if b"/aardvark-dns\0" in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
    return found


def _end_helpers(*tops: Path) -> None:
    """
    End what works in an engine's directories: Podman leaves a conmon for five minutes after each
    exec.
    """
    marks = [str(top).encode() for top in tops]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if any(mark in command for mark in marks) and not command.startswith(b"python"):
                    os.kill(int(entry.name), signal.SIGKILL)


def _remove_cgroups() -> None:
    """
    Remove the groups of Podman's that held containers' groups, where they are empty.
    """
    groups = Path("/sys/fs/cgroup")
    for top in [*groups.glob("libpod_parent"), *groups.glob("*/libpod_parent")]:
        for path, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(path).rmdir()


def _rules() -> list[str]:
    done = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


# What an engine's rules name. Others', the native runtime's too, come and go meanwhile.
_OWN: Final = re.compile(r"DOCKER|\bbr-[0-9a-f]{12}|podman|NETAVARK|CNI-(?!DN|HOSTPORT)")


def _plain(line: str) -> str:
    return line.partition(" [")[0]  # without its counters


def _forget_rules(before: list[str]) -> None:
    """
    Take away the rules that an engine has made, and its policy for what is forwarded.
    """
    known = {_plain(line) for line in before}
    policy = next((line for line in before if line.startswith(":FORWARD")), ":FORWARD ACCEPT [0:0]")
    kept = [
        policy if line.startswith(":FORWARD DROP") else line
        for line in _rules()
        if _plain(line) in known or not _OWN.search(line)
    ]
    text = "\n".join([*kept, ""])
    subprocess.run(["iptables-restore"], input=text, text=True, check=True)


def _docker(top: Path, short: Path, runc: Path) -> tuple[list[str], dict[str, str]]:
    (top / "daemon.json").write_text(json.dumps({"features": {"buildkit": False}}))
    return [
        "dockerd", "--host", f"unix://{short}/engine.sock", "--data-root", f"{top}/data",
        "--exec-root", f"{short}/exec", "--pidfile", f"{short}/pid", "--bridge", "none",
        "--config-file", f"{top}/daemon.json", "--storage-driver", "overlay2",
        "--exec-opt", "native.cgroupdriver=cgroupfs",
        "--add-runtime", f"kina-test={runc}", "--default-runtime", "kina-test",
    ], {}  # fmt: skip


def _podman(top: Path, short: Path, runc: Path) -> tuple[list[str], dict[str, str]]:
    (top / "containers.conf").write_text(CONTAINERS_CONF.format(runc=runc))
    (top / "storage.conf").write_text(STORAGE_CONF.format(top=top))
    (top / "registries.conf").write_text(REGISTRIES_CONF)
    networks = top / "networks"
    networks.mkdir()
    return [
        "podman", "--network-config-dir", str(networks), "--tmpdir", f"{short}/tmp",
        "--volumepath", f"{top}/volumes", "system", "service", "--time", "0",
        f"unix://{short}/engine.sock",
    ], {
        "CONTAINERS_CONF": f"{top}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{top}/storage.conf",
        "CONTAINERS_REGISTRIES_CONF": f"{top}/registries.conf",
    }  # fmt: skip


def _await(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if b" 200 " in probe.recv(100):
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} did not come up:\n{log.read_text()[-3000:]}")


def _unmount(*tops: Path) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted(points, reverse=True):
        if any(point.startswith(f"{top}/") for top in tops):
            subprocess.run(["umount", "--lazy", point], check=False)
