"""
What a test has left behind: everything on this host that carries kina's ids, before and after.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

import kina

# Grow with use, and are no object's.
_SHARED_FILES: Final = ("events.jsonl", "lock", "names", "cache", "engines")
CGROUPS: Final = Path("/sys/fs/cgroup")


@attrs.frozen
class Host:
    """
    Where a runtime keeps things.

    Attributes:
        home: KINA_HOME.
        run: Its directory under /run/kina, named by a hash of the home.
        connections: How many a remote backend keeps for the next calls, whatever their numbers.
    """

    home: Path
    run: Path
    connections: int = 0

    @property
    def key(self) -> str:
        """
        The hash that names the home's directories in /run and in the cgroups.
        """
        return self.run.name

    def networks(self) -> dict[str, str]:
        """
        Networks on record, id to name. Once up, one stays up until it is deleted: no leak.
        """
        found = {}
        for record in (self.home / "networks").glob("*/record.json"):
            try:
                document = json.loads(record.read_text())
            except (OSError, ValueError):
                continue
            found[document["id"]] = document["name"]
        return found

    def mounts(self) -> set[str]:
        """
        Mount points, pinned namespaces among them.
        """
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = (line.split()[4] for line in lines)
        return {p for p in points if p.startswith((f"{self.run}/", f"{self.home}/"))}

    def links(self) -> set[str]:
        """
        Bridges and the host's ends of veth pairs.
        """
        standing = {f"kina{identifier[:8]}" for identifier in self.networks()}
        found = {name for _, name in socket.if_nameindex() if name.startswith("kina")}
        return found - standing

    def run_files(self) -> set[str]:
        """
        What a reboot would take. Directories that only hold others don't count.
        """
        standing = {str(self.run / "n" / identifier) for identifier in self.networks()}
        return {
            path
            for path in _leaves(self.run)
            if "/endpoints/" in path or not any(path.startswith(f"{top}/") for top in standing)
        }

    def home_files(self) -> set[str]:
        """
        What a reboot would leave: records, trees, blobs.
        """
        found = set()
        # Made when it is first needed, and again after somebody has pruned it.
        default = {identifier for identifier, name in self.networks().items() if name == "default"}
        for entry in _leaves(self.home, depth=3):
            path = Path(entry).relative_to(self.home)
            if path.parts[:1] == ("networks",) and default & set(path.parts):
                continue
            # With images come their store's own files, which stay.
            if path == Path("images/state.json"):
                continue
            if not path.name.endswith(("lock", "events.jsonl")):
                found.add(str(path))
        return found

    def cgroups(self) -> set[str]:
        """
        Control groups, in each hierarchy.
        """
        found: set[str] = set()
        hierarchies = [CGROUPS, *(CGROUPS / name for name in _names(CGROUPS))]
        for hierarchy in hierarchies:
            top = hierarchy / f"kina-{self.key}"
            found.update(str(top / name) for name in _names(top) if (top / name).is_dir())
        return found

    def processes(self) -> dict[int, str]:
        """
        Whatever names this home or its run directory on its command line, or is in its cgroups. Not
        this process.
        """
        marks = (str(self.home).encode(), str(self.run).encode())
        found: dict[int, str] = {}
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                command = Path("/proc", name, "cmdline").read_bytes()
                groups = Path("/proc", name, "cgroup").read_text()
            except OSError:
                continue
            # python tests of ours name the home too
            program = command.split(b"\0", 1)[0]
            ours = any(mark in command for mark in marks) and b"python" not in program
            if ours or f"/kina-{self.key}/" in groups:
                found[int(name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def rules(self) -> set[str]:
        """
        Packet filter rules and chains.
        """
        text = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
        # Counters change by themselves; CNI's portmap keeps a few shared chains.
        lines = (line.split(" [")[0] for line in text.splitlines())
        found = {line for line in lines if "kina" in line.lower() or "CNI-DN" in line}
        standing = [identifier[:8] for identifier in self.networks()]
        return {line for line in found if not any(key in line for key in standing)}


class EngineHost(Host):
    """
    An engine's: what is its own it keeps as it likes, and what is kina's there, kina lists.
    """

    def mounts(self) -> set[str]:
        return set()

    def links(self) -> set[str]:
        return set()

    def run_files(self) -> set[str]:
        return set()

    def cgroups(self) -> set[str]:
        return set()

    def processes(self) -> dict[int, str]:
        return {}

    def rules(self) -> set[str]:
        return set()

    def home_files(self) -> set[str]:
        runtime = kina.runtimes.default_runtime()
        return {
            *(f"container {each.name}" for each in kina.Container.list(runtime=runtime)),
            *(f"volume {each.name}" for each in kina.Volume.list(runtime=runtime)),
            *(
                f"network {each.name}"
                for each in kina.Network.list(runtime=runtime)
                if each.name != "default"
            ),
        }


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _leaves(top: Path, depth: int = 99) -> set[str]:
    """
    Files, and directories at `depth` or without any entry, that lie beneath `top`.
    """
    return {str(path) for path in _walk(top, depth)}


def _walk(top: Path, depth: int) -> Iterator[Path]:
    for name in _names(top):
        path = top / name
        if name in _SHARED_FILES:
            continue
        if _is_plain_directory(path):
            if depth > 1:
                yield from _walk(path, depth - 1)
            else:
                yield path
        else:
            yield path


def _is_plain_directory(path: Path) -> bool:
    try:
        return not path.is_symlink() and path.is_dir() and not path.is_mount()
    except FileNotFoundError:  # a helper has just removed it
        return False


def descriptors() -> dict[int, str]:
    """
    Return this process's open descriptors and what they are; of a socket, whom it leads to.
    """
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            what = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
        found[int(name)] = _peer(int(name)) or what if what.startswith("socket:") else what
    return found


def _peer(number: int) -> str | None:
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            return f"socket to {copy.getpeername()}"
    except OSError:
        return None


def _without_kept(found: dict[int, str], host: Host) -> dict[int, str]:
    """
    Leave out the connections that a remote backend may keep to its server.
    """
    servers = (f"socket to {host.run}/server/", "socket to /run/kina-test-")
    to_it = [number for number, what in found.items() if what.startswith(servers)]
    kept = to_it[: host.connections]
    return {number: what for number, what in found.items() if number not in kept}


def children() -> dict[int, str]:
    """
    Return this process's children, zombies among them.
    """
    found = {}
    for task in os.listdir("/proc/self/task"):
        try:
            pids = Path("/proc/self/task", task, "children").read_text().split()
        except OSError:
            continue
        for pid in pids:
            try:
                found[int(pid)] = Path("/proc", pid, "comm").read_text().strip()
            except OSError:
                continue
    return found


@attrs.frozen(kw_only=True)
class Snapshot:
    """
    All of it at one moment.
    """

    mounts: set[str]
    links: set[str]
    run_files: set[str]
    home_files: set[str]
    cgroups: set[str]
    processes: dict[int, str]
    rules: set[str]
    descriptors: dict[int, str]
    threads: set[str]
    children: dict[int, str]

    @classmethod
    def take(cls, host: Host, *, rules: bool = False) -> Snapshot:
        """
        Look at the host and at this process.

        Args:
            host: Where to look.
            rules: Whether to look at packet filter rules too, which costs a process.
        """
        return cls(
            mounts=host.mounts(),
            links=host.links(),
            run_files=host.run_files(),
            home_files=host.home_files(),
            cgroups=host.cgroups(),
            processes=host.processes(),
            rules=host.rules() if rules else set(),
            descriptors=_without_kept(descriptors(), host),
            threads={
                f"{thread.name} {thread.ident}"
                for thread in threading.enumerate()
                if not thread.name.startswith("pytest_timeout")  # the test's that runs
            },
            children=children(),
        )

    def leaked(self, before: Snapshot) -> list[str]:
        """
        Say what is there now and was not before.
        """
        found = []
        for field in attrs.fields(Snapshot):
            now, then = getattr(self, field.name), getattr(before, field.name)
            for item in sorted(set(now) - set(then)):
                what = f"{item} ({now[item]})" if isinstance(now, dict) else item
                found.append(f"{field.name}: {what}")
        return found


def wait_until(what: Callable[[], bool], seconds: float = 5.0, pause: float = 0.01) -> bool:
    """
    Wait for something that another process is about to do.
    """
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def assert_nothing_leaked(host: Host, before: Snapshot, *, rules: bool = False) -> None:
    """
    Fail with the names of what is left, after a moment for helpers that are just going.
    """
    leaked: list[str] = []

    def clean() -> bool:
        if leaked:
            gc.collect()  # what only a cycle of dead objects holds is no leak
        leaked[:] = Snapshot.take(host, rules=rules).leaked(before)
        return not leaked

    if not wait_until(clean, seconds=3.0, pause=0.02):
        raise AssertionError("left behind:\n  " + "\n  ".join(leaked))
