"""
Files and trees into containers and out of them.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import kina
from support.containers import WAITS
from support.leaks import wait_until

Run = Callable[..., kina.Container]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """
    A tree with everything that a copy must keep.
    """
    top = tmp_path / "tree"
    (top / "empty").mkdir(parents=True)
    (top / "deep/er").mkdir(parents=True)
    (top / "file").write_bytes(bytes(range(256)))
    (top / "file").chmod(0o640)
    (top / "deep/er/program").write_text("#!/bin/sh\n")
    (top / "deep/er/program").chmod(0o4755)
    (top / "deep").chmod(0o2750)
    (top / "link").symlink_to("deep/er/program")
    (top / "dangling").symlink_to("/nowhere/at/all")
    os.link(top / "file", top / "hard")
    (top / "grüße \n 文").write_text("odd name")
    os.chown(top / "file", 1000, 2000)
    os.chown(top / "link", 1000, 2000, follow_symlinks=False)
    os.utime(top / "file", (1_500_000_000, 1_500_000_000))
    return top


def described(top: Path) -> dict[str, tuple[object, ...]]:
    """
    Say what is in a tree: kind and mode, owner, time, content or target.
    """
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        info = path.lstat()
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = (path.read_bytes(), info.st_nlink, int(info.st_mtime))
        mode = stat.filemode(info.st_mode)
        found[str(path.relative_to(top))] = (mode, info.st_uid, info.st_gid, content)
    return found


@pytest.mark.parametrize("state", ["running", "stopped", "created", "paused"])
def test_a_tree_comes_back_as_it_went(busybox: str, tree: Path, tmp_path: Path, state: str) -> None:
    with kina.Container.create(busybox, WAITS) as box:
        if state != "created":
            box.start()
        if state == "stopped":
            box.stop()
        elif state == "paused":
            box.pause()
        box.copy_to(tree, "/srv-tree")
        assert box.state == state
        assert box.copy_from("/srv-tree", tmp_path / "back") == tmp_path / "back"
        assert described(tmp_path / "back") == described(tree)
        assert box.state == state


def test_what_is_copied_is_there_for_programs(box: kina.Container, tree: Path) -> None:
    box.copy_to(tree, "/root")
    out = box.exec(
        ["sh", "-c", "cd /root/tree && stat -c '%a %u %g' file deep/er/program && readlink link"]
    ).stdout
    assert out == "640 1000 2000\n4755 0 0\ndeep/er/program\n"
    box.exec(["rm", "-rf", "/root/tree"], check=True)


def test_the_target_is_a_directory_or_a_new_name(box: kina.Container, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    box.copy_to(tmp_path / "a", "/tmp")
    box.copy_to(tmp_path / "a", "/tmp/b")
    box.copy_to(str(tmp_path / "a"), "/var/lib/")
    assert box.exec(["cat", "/tmp/a", "/tmp/b", "/var/lib/a"]).stdout == "content" * 3
    assert box.copy_from("/tmp/a", tmp_path / "new").read_text() == "content"
    (tmp_path / "into").mkdir()
    assert box.copy_from("/tmp/a", tmp_path / "into") == tmp_path / "into/a"


def test_the_contents_of_a_directory_go_into_another(
    box: kina.Container, tree: Path, tmp_path: Path
) -> None:
    box.exec(["mkdir", "-p", "/root/into"], check=True)
    box.copy_to(f"{tree}/.", "/root/into")
    assert "deep" in box.exec(["ls", "/root/into"]).stdout
    (tmp_path / "out").mkdir()
    box.copy_from("/root/into/.", tmp_path / "out")
    assert (tmp_path / "out/file").read_bytes() == (tree / "file").read_bytes()
    box.exec(["rm", "-rf", "/root/into"], check=True)


def test_bytes_become_a_file(box: kina.Container) -> None:
    box.copy_to(b"\x00\xffdata", "/tmp/bytes")
    assert box.exec(["cat", "/tmp/bytes"], text=False).stdout == b"\x00\xffdata"
    box.copy_to(b"", "/tmp/bytes")
    assert box.exec(["wc", "-c", "/tmp/bytes"]).stdout.split()[0] == "0"


def test_a_tar_stream_is_unpacked(box: kina.Container) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("inner/file")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    buffer.seek(0)
    box.copy_to(buffer, "/tmp")
    assert box.exec(["cat", "/tmp/inner/file"]).stdout == "ok"


def test_a_large_file_passes_in_both_directions(box: kina.Container, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 32
    (tmp_path / "large").write_bytes(data)
    box.copy_to(tmp_path / "large", "/root/large")
    assert box.copy_from("/root/large", tmp_path / "back").read_bytes() == data
    box.exec(["rm", "/root/large"], check=True)


def test_copies_go_into_volumes_and_tmpfs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mounted")
    with kina.Volume.create("copies") as volume:
        box = run(mounts=[kina.Mount.volume("copies", "/vol"), kina.Mount.tmpfs("/mem")])
        try:
            for target in ("/vol", "/mem"):
                box.copy_to(tmp_path / "file", target)
                assert box.exec(["cat", f"{target}/file"]).stdout == "mounted"
                assert box.copy_from(f"{target}/file", tmp_path / "back").read_text() == "mounted"
            assert (volume.path / "file").read_text() == "mounted"
        finally:
            box.delete(force=True)


def test_copies_reach_the_volumes_of_a_stopped_container(run: Run, tmp_path: Path) -> None:
    with kina.Volume.create("copies") as volume:
        box = run(mounts=[kina.Mount.volume("copies", "/vol")])
        try:
            (volume.path / "file").write_text("mounted")
            box.stop()
            assert box.copy_from("/vol/file", tmp_path / "back").read_text() == "mounted"
            box.copy_to(b"later", "/vol/later")
            assert (volume.path / "later").read_bytes() == b"later"
        finally:
            box.delete(force=True)


def test_links_in_the_container_do_not_lead_out(run: Run, tmp_path: Path) -> None:
    box = run()
    (tmp_path / "secret").write_text("host")
    box.exec(["sh", "-c", f"ln -s / /root/up; ln -s {tmp_path} /root/host"], check=True)
    # The path exists on the host only.
    with pytest.raises(kina.NotFoundError):
        box.copy_from(f"/root/up{tmp_path}/secret", tmp_path / "stolen")
    with pytest.raises(kina.NotFoundError):
        box.copy_to(b"x", "/root/host/planted")
    assert not (tmp_path / "planted").exists()
    box.copy_to(b"inside", "/root/up/tmp/inside")
    assert box.exec(["cat", "/tmp/inside"]).stdout == "inside"
    # Also while it does not run, when the host mounts its root.
    box.stop()
    with pytest.raises(kina.NotFoundError):
        box.copy_to(b"x", "/root/host/planted")
    with pytest.raises(kina.NotFoundError):
        box.copy_from(f"/root/up{tmp_path}/secret", tmp_path / "stolen")
    assert not (tmp_path / "planted").exists()


def test_a_hostile_tar_stays_inside(run: Run, tmp_path: Path) -> None:
    box = run()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("../../../../../tmp/kina-escaped", "/tmp/kina-absolute"):
            info = tarfile.TarInfo(name)
            tar.addfile(info)
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "/"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("out/tmp/kina-through-link"))
    buffer.seek(0)
    try:
        box.copy_to(buffer, "/root")
    except kina.KinaError as error:
        assert error.code != kina.errors.Code.INTERNAL
    for name in ("kina-escaped", "kina-absolute", "kina-through-link"):
        assert not Path("/tmp", name).exists()


def test_missing_paths_are_not_found(box: kina.Container, tmp_path: Path) -> None:
    with pytest.raises(kina.NotFoundError, match="/no/such"):
        box.copy_from("/no/such", tmp_path)
    with pytest.raises(kina.NotFoundError, match="missing"):
        box.copy_to(tmp_path / "missing", "/tmp")
    with pytest.raises(kina.NotFoundError, match="/no/such"):
        box.copy_to(b"x", "/no/such/dir/file")
    with pytest.raises(kina.NotFoundError, match="nowhere"):
        box.copy_from("/etc/passwd", tmp_path / "nowhere/else")


@pytest.mark.parametrize("path", ["", "relative", "nul\0"])
def test_bad_paths_name_the_field(box: kina.Container, tmp_path: Path, path: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="dest"):
        box.copy_to(b"x", path)
    with pytest.raises(kina.InvalidArgumentError, match="src"):
        box.copy_from(path, tmp_path)


def test_a_read_only_root_refuses_copies(run: Run) -> None:
    box = run(read_only=True)
    with pytest.raises(kina.KinaError, match=r"(?i)read-only") as caught:
        box.copy_to(b"x", "/tmp/x")
    assert caught.value.code != kina.errors.Code.INTERNAL


CAPABILITY = bytes.fromhex("0100000200040000" + "00" * 12)
"""security.capability of version 2: CAP_NET_BIND_SERVICE, permitted and effective."""


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_extended_attributes_and_large_owners_are_kept(
    run: Run, tmp_path: Path, state: str
) -> None:
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    program = tree / "inner" / ("long" * 40)
    program.write_text("#!/bin/sh\n")
    os.chown(program, 2_097_152, 4_294_967_000)
    os.setxattr(program, "user.note", b"\xff\x00 grue\xc3\x9fe")
    os.setxattr(program, "user.empty", b"")
    os.setxattr(program, "security.capability", CAPABILITY)
    os.setxattr(tree / "inner", "user.directory", b"yes")
    os.setxattr(program, "trusted.hosts", b"its own affair")
    box = run()
    if state == "stopped":
        box.stop(timeout=0)
    box.copy_to(tree, "/root/tree")
    back = box.copy_from("/root/tree", tmp_path / "back")
    info = (back / "inner" / program.name).stat()
    assert (info.st_uid, info.st_gid) == (2_097_152, 4_294_967_000)
    assert attributes(back / "inner" / program.name) == {
        "user.note": b"\xff\x00 grue\xc3\x9fe",
        "user.empty": b"",
        "security.capability": CAPABILITY,
    }
    assert attributes(back / "inner") == {"user.directory": b"yes"}
    if state == "running":
        owner = box.exec(["sh", "-c", "stat -c '%u %g' /root/tree/inner/long*"]).stdout
        assert owner == "2097152 4294967000\n"


def test_attributes_do_not_follow_links_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("host")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        link = tarfile.TarInfo("away")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        for name in ("away/victim", f"../../../../../..{tmp_path}/victim"):
            info = tarfile.TarInfo(name)
            info.pax_headers = {"SCHILY.xattr.user.planted": "yes"}
            tar.addfile(info)
    buffer.seek(0)
    box = run()
    try:
        box.copy_to(buffer, "/root")
    except kina.KinaError as error:
        assert error.code != kina.errors.Code.INTERNAL
    assert attributes(tmp_path / "victim") == {}
    assert (tmp_path / "victim").read_text() == "host"


def test_a_place_without_attributes_takes_the_rest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    os.setxattr(tmp_path / "file", "user.note", b"x" * 1000)
    box = run(mounts=[kina.Mount.tmpfs("/mem")])
    box.copy_to(tmp_path / "file", "/mem/file")
    assert box.exec(["cat", "/mem/file"]).stdout == "content"


def test_a_file_that_grows_is_copied_and_one_that_shrinks_is_a_conflict(
    run: Run, tmp_path: Path
) -> None:
    grows = "while :; do head -c 1000000 /dev/zero >> /root/log; sleep 0.01; done"
    box = run(["sh", "-c", f"{grows} & trap 'exit 0' TERM; wait"])
    assert wait_until(lambda: box.exec(["test", "-s", "/root/log"]).exit_code == 0)
    for _ in range(5):
        assert box.copy_from("/root/log", tmp_path / "log").stat().st_size > 0
    box.stop(timeout=0)
    # As large as it says for some thousand reads, each of which takes a while.
    shrinks = "while :; do truncate -s 40M /root/tmp; truncate -s 0 /root/tmp; done"
    box = run(["sh", "-c", f"{shrinks} & trap 'exit 0' TERM; wait"])
    assert wait_until(lambda: box.exec(["test", "-e", "/root/tmp"]).exit_code == 0)
    with pytest.raises(kina.ConflictError, match="tmp") as caught:
        for _ in range(200):
            box.copy_from("/root/tmp", tmp_path / "tmp")
    assert caught.value.hint


def test_a_file_of_the_host_that_shrinks_is_a_conflict(run: Run, tmp_path: Path) -> None:
    box = run()
    name = tmp_path / "shrinking"
    ended = threading.Event()

    def shrink() -> None:
        while not ended.is_set():
            os.truncate(name, 40 << 20)
            os.truncate(name, 0)

    name.touch()
    thread = threading.Thread(target=shrink)
    thread.start()
    try:
        with pytest.raises(kina.ConflictError, match="shrinking") as caught:
            for _ in range(200):
                box.copy_to(name, "/root/shrinking")
    finally:
        ended.set()
        thread.join()
    assert caught.value.hint
    # What was half written did not count as whole.
    box.copy_to(b"whole", "/root/shrinking")
    assert box.copy_from("/root/shrinking", tmp_path / "back").read_bytes() == b"whole"


def test_sockets_are_left_out_of_trees(run: Run, tmp_path: Path) -> None:
    box = run()
    listen = "socket(S, 1, 1, 0); bind(S, pack('S a*', 1, '/root/d/socket')) or die $!"
    make = f'mkdir /root/d; echo kept > /root/d/file; perl -e "{listen}"'
    box.exec(["sh", "-c", make], check=True)
    back = box.copy_from("/root/d", tmp_path / "back")
    assert [path.name for path in back.iterdir()] == ["file"]
    with pytest.raises(kina.InvalidArgumentError, match="socket"):
        box.copy_from("/root/d/socket", tmp_path / "socket")


def test_what_is_mounted_over_is_not_replaced(box: kina.Container) -> None:
    before = box.exec(["cat", "/etc/hosts"]).stdout
    with pytest.raises(kina.InvalidStateError, match="hosts") as caught:
        box.copy_to(b"mine", "/etc/hosts")
    assert caught.value.hint
    assert box.exec(["cat", "/etc/hosts"]).stdout == before
