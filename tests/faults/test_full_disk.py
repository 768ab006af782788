"""
A disk that is full in the middle of something.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support.images import Entry, docker_archive, handmade, tree
from support.leaks import Host, Snapshot, assert_nothing_leaked
from support.registry import hostile_registry

SIZE = 24 << 20
NAME = "localhost/kina/small:1"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """
    A disk of 24 MiB.
    """
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "kina-test", mount], check=True)
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.fixture
def small(disk: Path) -> Iterator[Runtime]:
    """
    A runtime on that disk, with an image that fits.
    """
    with kina.connect(home=disk / "home") as opened:
        kina.Image.load(docker_archive(handmade([tree()]), NAME))
        assert kina.run(NAME, ["true"], network="none").exit_code == 0
        info = opened.info()
        host = Host(Path(info.home), Path(info.run_directory))
        before = Snapshot.take(host)
        yield opened
        assert_nothing_leaked(host, before)


def fill(disk: Path, leave: int = 0) -> Path:
    """
    Fill a disk but for some bytes.
    """
    filler = disk / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
    return filler


def test_a_pull_that_does_not_fit_says_so_and_leaves_nothing(disk: Path, small: Runtime) -> None:
    large = handmade([tree([Entry(name="noise", data=os.urandom(1 << 20) * 32)])])
    used = os.statvfs(disk).f_bfree
    with hostile_registry(large) as registry:
        with pytest.raises(kina.ResourceExhaustedError, match="space") as caught:
            kina.Image.pull(registry.reference("good:1"), progress=False)
        assert caught.value.hint
    assert abs(os.statvfs(disk).f_bfree - used) < 64
    assert [image.reference for image in kina.Image.list()] == [NAME]
    assert kina.run(NAME, ["true"], network="none").exit_code == 0


def test_an_archive_that_unpacks_to_more_than_fits_says_so(disk: Path, small: Runtime) -> None:
    large = handmade([tree([Entry(name="zeros", data=b"\0" * (40 << 20))])])
    with pytest.raises(kina.ResourceExhaustedError, match="space"):
        kina.Image.load(docker_archive(large, "localhost/kina/large:1"))
        kina.run("localhost/kina/large:1", ["true"], network="none")
    for image in kina.Image.list():
        if image.reference != NAME:
            image.delete()
    kina.prune(networks=False)
    assert kina.run(NAME, ["true"], network="none").exit_code == 0


@pytest.mark.parametrize("leave", [0, 4096, 16384])
def test_a_create_on_a_full_disk_says_so_and_leaves_nothing(
    disk: Path, small: Runtime, leave: int
) -> None:
    filler = fill(disk, leave)
    try:
        with pytest.raises(kina.ResourceExhaustedError, match="space") as caught:
            for number in range(200):
                kina.Container.create(NAME, ["true"], name=f"full-{number}", network="none")
        assert caught.value.hint
        made = [box.name for box in kina.Container.list()]
        assert made == [f"full-{number}" for number in range(len(made))]
        # What a full disk needs most is to be emptied.
        for box in kina.Container.list():
            box.delete()
    finally:
        filler.unlink()
    with kina.Container.create(NAME, ["true"], network="none") as box:
        assert box.start().wait(timeout=10) == 0


def test_a_running_container_can_be_stopped_and_deleted_on_a_full_disk(
    disk: Path, small: Runtime
) -> None:
    box = kina.Container.run(
        NAME, ["sh", "-c", "trap 'exit 0' TERM; sleep 100 & wait"], network="none"
    )
    filler = fill(disk)
    try:
        done = box.exec(["sh", "-c", "echo more > /more"])
        assert done.exit_code != 0
        assert box.state == "running"
        box.delete(force=True)
        assert kina.Container.list() == []
    finally:
        filler.unlink()


def test_a_save_to_a_full_disk_says_so(disk: Path, small: Runtime) -> None:
    filler = fill(disk, 8192)
    try:
        with pytest.raises(kina.ResourceExhaustedError, match="space"):
            kina.Image.save(NAME, disk / "saved.tar")
    finally:
        filler.unlink()
        (disk / "saved.tar").unlink(missing_ok=True)
