"""
Containers from nothing: an image of Debian's busybox, and what can be done with containers of it.
Then a Kubernetes cluster of two nodes, whose image is built of Debian's packages.

Run by `make demo`. Works on a state of its own and leaves nothing behind but the built node image's
archive in the cache: the first run takes minutes for it.

Where containers are virtual machines, as on every Mac, the image is pulled, there is no cluster
yet, and what machines boot stays in that state: it is fetched once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import kina

BUSYBOX = Path("/bin/busybox")
IMAGE = "localhost/kina-demo:1"
PULLED = "docker.io/library/busybox:1"
MACOS = sys.platform == "darwin"
SERVER = "mkdir -p /www && echo hello from busybox >/www/index.html && exec httpd -f -v -h /www"


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """
    Say what is done and how long it took.
    """
    print(f"\n{what}", flush=True)
    start = time.perf_counter()
    yield
    print(f"{'':58}{(time.perf_counter() - start) * 1000:8.0f} ms", flush=True)


def show(text: object) -> None:
    print(f"    {text}", flush=True)


def make_rootfs(directory: Path) -> None:
    """
    Lay out a root file system: busybox under all of its names.
    """
    for name in ("bin", "etc", "tmp"):
        (directory / name).mkdir()
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for name in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        if name != "busybox":
            (directory / "bin" / name).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")


def make_image() -> kina.Image:
    """
    Make the image of the demo's containers, or pull one where there is nothing to make it of.
    """
    import kina

    if MACOS:
        with step("An image, from a registry"):
            return kina.Image.pull(PULLED)
    with tempfile.TemporaryDirectory() as directory, step("An image, from a directory"):
        make_rootfs(Path(directory))
        return kina.Image.from_rootfs(directory, IMAGE)


def show_containers() -> None:
    import kina

    image = make_image()
    show(image)
    # A machine has whole CPUs, needs memory for its kernel, and knows no names of others yet.
    are_machines = kina.connect().info().backend == "vm"
    limits = {"memory": "256Mi", "cpus": 1} if are_machines else {"memory": "64Mi", "cpus": 0.5}

    with step("Run a command to its end: output, exit code, gone again"):
        done = kina.run(image, ["sh", "-c", "echo hello from $(hostname); exit 3"], name="brief")
        show(f"{done.stdout.strip()!r}, exit code {done.exit_code}")

    with step("A container that stays, with a name, an address and limits"):
        web = kina.Container.run(
            image,
            ["sh", "-c", SERVER],
            name="web",
            labels={"app": "demo"},
            **limits,
        )
        address = web.ip
        show(web)

    with step("A command in it: wait until its server answers"):
        ready = "until wget -q -O - http://127.0.0.1/; do usleep 10000; done"
        show(web.exec(["sh", "-c", ready], timeout=10, check=True).stdout.strip())

    with step("The host reaches it by its address"):
        with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
            show(f"http://{address}/ says {answer.read().decode().strip()!r}")

    hosts = {"address": address} if are_machines else {"name": "web", "address": address}
    with step(f"A second container, which reaches the first by {' and by '.join(hosts)}"):
        peer = kina.Container.run(image, ["sleep", "600"], name="peer", labels={"app": "demo"})
        for host in hosts.values():
            got = peer.exec(["wget", "-q", "-O", "-", f"http://{host}/"], check=True)
            show(f"http://{host}/ says {got.stdout.strip()!r}")

    with step("Measured while it works"):
        figures = web.stats()
        show(
            f"{(figures.cpu_ns or 0) / 1e6:.1f} ms of CPU, {figures.memory_bytes:,} bytes of memory"
        )
        show(f"{figures.pids} process, {figures.network_rx_bytes:,} bytes received")

    with step("Found again by another process: containers do not end with the program"):
        code = "import kina; print(*(c.name for c in kina.Container.list(labels={'app': 'demo'})))"
        seen = subprocess.check_output([sys.executable, "-c", code], text=True)
        show(f"another Python sees: {seen.strip()}")

    with step("Its log"):
        for line in web.logs(tail=3).splitlines():
            show(line)

    with step("Stop, and start again: the same name, the same address"):
        web.stop(timeout=0.5)
        show(f"{web.name} is {web.state}")
        web.start()
        show(f"{web.name} is {web.state} at {web.ip}")
        assert web.ip == address, f"the address changed from {address} to {web.ip}"

    with step("Delete"):
        for container in (peer, web):
            container.delete(force=True)
        image.delete()
        show(f"containers: {[c.name for c in kina.Container.list()]}")


def show_cluster() -> None:
    import cluster
    import kina

    print("\nThe image that a cluster's nodes run (it is kept: see kina.build_node_image)")
    image = kina.build_node_image()
    show(image)
    print()
    cluster.run(image)


def clean_up() -> None:
    """
    Remove what is left, whatever happened before; the default network, too.
    """
    import kina

    for cluster in [] if MACOS else kina.Cluster.list():
        cluster.delete()
    for container in kina.Container.list():
        container.delete(force=True)
    kina.prune(images=True, volumes=True)


@contextlib.contextmanager
def home() -> Iterator[str]:
    """
    A place for the demo's state. Not the machine's own: it must neither find nor leave anything
    there.
    """
    if MACOS:
        place = Path.home() / "Library/Caches/kina-demo"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield str(place)
    else:
        with tempfile.TemporaryDirectory(prefix="kina-demo-", dir="/var/lib") as directory:
            yield directory


def main() -> int:
    if not MACOS and os.geteuid() != 0:
        print(
            "The demo needs root: containers are made of namespaces, mounts, cgroups and network\n"
            "links, which the kernel gives to root only. Run:  sudo make demo",
            file=sys.stderr,
        )
        return 1
    start = time.perf_counter()
    with home() as place:
        os.environ["KINA_HOME"] = place
        try:
            show_containers()
            if not MACOS:
                show_cluster()
        finally:
            clean_up()
    print(f"\nAll of it took {time.perf_counter() - start:.1f} s, and nothing is left of it.")
    if MACOS:
        print(f"But what machines boot, which is fetched once: it is in {place}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
