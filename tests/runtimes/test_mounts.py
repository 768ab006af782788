"""
Bind mounts, volumes and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import kina

Run = Callable[..., kina.Container]


def test_a_bind_mount_is_the_hosts_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("host")
    box = run(mounts=[kina.Mount.bind(str(tmp_path), "/data")])
    assert box.exec(["cat", "/data/in"]).stdout == "host"
    box.exec(["sh", "-c", "echo box > /data/out"], check=True)
    assert (tmp_path / "out").read_text() == "box\n"


def test_a_bind_mount_can_be_one_file_and_makes_its_target(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("file")
    box = run(mounts=[f"{tmp_path}/one:/new/place/one:ro"])
    assert box.exec(["cat", "/new/place/one"]).stdout == "file"


@pytest.mark.parametrize("spelling", ["object", "text"])
def test_a_read_only_mount_cannot_be_written(run: Run, tmp_path: Path, spelling: str) -> None:
    mount = (
        kina.Mount.bind(str(tmp_path), "/data", read_only=True)
        if spelling == "object"
        else f"{tmp_path}:/data:ro"
    )
    done = run(mounts=[mount]).exec(["sh", "-c", "echo x > /data/x"])
    assert done.exit_code != 0
    assert "Read-only" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_source_that_is_not_there_names_the_field(busybox: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="mounts") as caught:
        kina.Container.create(busybox, mounts=["/no/such/dir:/data"])
    assert "/no/such/dir" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("target", ["/a/../../b", "relative", "/", "", "/nul\0"])
def test_a_target_that_cannot_be_names_the_field(busybox: str, tmp_path: Path, target: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="target"):
        kina.Container.create(busybox, mounts=[kina.Mount.bind(str(tmp_path), target)])


def test_a_tmpfs_has_a_size_and_is_empty_again_after_a_restart(run: Run) -> None:
    box = run(mounts=[kina.Mount.tmpfs("/mem", size="1Mi")])
    assert box.exec(["sh", "-c", "head -c 500000 /dev/zero > /mem/a"]).exit_code == 0
    full = box.exec(["sh", "-c", "head -c 2000000 /dev/zero > /mem/b"])
    assert full.exit_code != 0
    assert int(box.exec(["stat", "-c", "%s", "/mem/b"]).stdout) < 600_000
    box.stop().start()
    assert box.exec(["ls", "/mem"]).stdout == ""


def test_mount_options_are_used(run: Run) -> None:
    box = run(mounts=[kina.Mount.tmpfs("/mem", options=["noexec", "mode=711"])])
    box.exec(["sh", "-c", "printf '#!/bin/sh\\n' > /mem/p; chmod +x /mem/p"], check=True)
    assert box.exec(["sh", "-c", "/mem/p"]).exit_code == 126
    assert box.exec(["stat", "-c", "%a", "/mem"]).stdout == "711\n"


def test_a_volume_outlives_its_containers(run: Run) -> None:
    with kina.Volume.create("lasting", labels={"a": "b"}) as volume:
        first = run(mounts=["lasting:/data"])
        first.exec(["sh", "-c", "echo kept > /data/f"], check=True)
        first.delete(force=True)
        second = run(mounts=["lasting:/data"])
        assert second.exec(["cat", "/data/f"]).stdout == "kept\n"
        assert volume.inspect().used_by == (second.id,)
        assert (volume.path / "f").read_text() == "kept\n"
        second.delete(force=True)
        assert volume.inspect().used_by == ()


def test_containers_share_a_volume(run: Run) -> None:
    with kina.Volume.create("shared"):
        one, two = run(mounts=["shared:/a"]), run(mounts=["shared:/b:ro"])
        one.exec(["sh", "-c", "echo seen > /a/f"], check=True)
        assert two.exec(["cat", "/b/f"]).stdout == "seen\n"
        assert two.exec(["sh", "-c", "echo x > /b/f"]).exit_code != 0
        one.delete(force=True)
        two.delete(force=True)


def test_a_named_volume_is_made_on_demand_and_stays(run: Run) -> None:
    box = run(mounts=["on-demand:/data"])
    box.delete(force=True)
    kina.Volume.get("on-demand").delete()


def test_an_empty_volume_is_filled_from_the_image(run: Run, service: str) -> None:
    with kina.Volume.create("filled") as volume:
        box = run(image=service, mounts=["filled:/srv"])
        assert box.exec(["cat", "/srv/hello.txt"]).stdout == "hello from the image\n"
        inner = box.exec(["stat", "-c", "%a %u %g", "/srv/inner/run", "/srv"]).stdout
        assert inner.splitlines()[0] == "750 1000 1000"
        assert inner.splitlines()[1].endswith("1000 1000")
        box.exec(["sh", "-c", "echo changed > /srv/hello.txt"], check=True)
        box.delete(force=True)
        again = run(image=service, mounts=["filled:/srv"])
        assert again.exec(["cat", "/srv/hello.txt"]).stdout == "changed\n"
        again.delete(force=True)
        assert (volume.path / "inner/run").exists()


def test_a_volume_without_copy_up_stays_empty(run: Run, service: str) -> None:
    with kina.Volume.create("bare"):
        box = run(image=service, mounts=[kina.Mount.volume("bare", "/srv", copy_up=False)])
        assert box.exec(["ls", "/srv"]).stdout == ""
        box.delete(force=True)


def test_the_images_volumes_are_anonymous_and_go_with_the_container(run: Run, service: str) -> None:
    before = {volume.id for volume in kina.Volume.list()}
    box = run(image=service)
    (made,) = [volume for volume in kina.Volume.list() if volume.id not in before]
    status = made.inspect()
    assert status.anonymous
    assert status.used_by == (box.id,)
    assert box.exec(["cat", "/srv/hello.txt"]).stdout == "hello from the image\n"
    box.exec(["sh", "-c", "echo new > /srv/hello.txt"], check=True)
    box.stop().start()
    assert box.exec(["cat", "/srv/hello.txt"]).stdout == "new\n"
    box.delete(force=True)
    assert {volume.id for volume in kina.Volume.list()} == before


def test_a_volume_in_use_cannot_be_deleted(run: Run) -> None:
    with kina.Volume.create("used") as volume:
        box = run(mounts=["used:/data"], name="user-of-it")
        with pytest.raises(kina.InvalidStateError, match="used") as caught:
            volume.delete()
        assert "user-of-it" in str(caught.value) or box.id[:12] in str(caught.value)
        box.delete(force=True)


def test_volumes_are_created_found_listed_and_deleted(runtime: object) -> None:
    volume = kina.Volume.create("mine", labels={"a": "b"})
    assert volume.path.is_dir()
    assert volume.labels == {"a": "b"}
    assert kina.Volume.get("mine") == volume == kina.Volume.get(volume.id[:6])
    assert volume in kina.Volume.list()
    assert "mine" in repr(volume)
    assert "mine" in volume._repr_html_()
    with pytest.raises(kina.AlreadyExistsError, match="mine"):
        kina.Volume.create("mine")
    path = volume.path
    volume.delete()
    assert not path.exists()
    with pytest.raises(kina.NotFoundError, match="mine"):
        kina.Volume.get("mine")
    with pytest.raises(kina.NotFoundError):
        volume.delete()


def test_a_volume_without_a_name_gets_one(runtime: object) -> None:
    with kina.Volume.create() as volume:
        assert volume.name
        assert not volume.inspect().anonymous


def test_prune_deletes_unused_volumes_only(run: Run) -> None:
    unused = kina.Volume.create("unused")
    labelled = kina.Volume.create("labelled", labels={"keep": "no"})
    with kina.Volume.create("needed"):
        box = run(mounts=["needed:/data"])
        assert kina.prune(volumes=True, labels={"keep": "no"}).volumes == ("labelled",)
        assert kina.Volume.prune().volumes == ("unused",)
        for gone in (unused, labelled):
            with pytest.raises(kina.NotFoundError):
                gone.inspect()
        box.delete(force=True)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".", "..", "x" * 300, "nul\0", "-x"])
def test_bad_volume_names_are_refused(runtime: object, name: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="name"):
        kina.Volume.create(name)
