"""
An engine and what is not kina's on it; what goes wrong with one; images between it and the native
store.
"""

from __future__ import annotations

import gc
import os
import threading
import warnings
from contextlib import closing
from pathlib import Path

import docker as sdk
import pytest

import kina
from kina.runtimes import Runtime
from support.containers import WAITS
from support.engines import Engine, engine
from support.leaks import wait_until


def test_what_others_made_is_neither_listed_nor_touched(
    dockerd: Engine, docker: Runtime, there: str
) -> None:
    with closing(sdk.DockerClient(base_url=dockerd.url)) as client:
        foreign = client.containers.create(there, ["true"], name="foreign")
        network = client.networks.create("foreign-net")
        volume = client.volumes.create("foreign-volume")
        try:
            assert kina.Container.list(runtime=docker) == []
            with pytest.raises(kina.NotFoundError, match="foreign") as caught:
                kina.Container.get("foreign", runtime=docker)
            assert "did not make" in (caught.value.hint or "")
            with pytest.raises(kina.AlreadyExistsError, match="foreign") as taken:
                kina.Container.create(there, name="foreign", runtime=docker)
            assert "not kina's" in (taken.value.hint or "")
            kina.prune(volumes=True, runtime=docker)
            for each in (foreign, network):
                each.reload()
            assert volume.name in {each.name for each in client.volumes.list()}
        finally:
            foreign.remove()
            network.remove()
            volume.remove()


def test_prune_deletes_the_images_that_kina_brought_and_nobody_elses(
    docker: Runtime, dockerd: Engine, rootfs: Path, there: str
) -> None:
    def references() -> set[str]:
        return {each.reference for each in kina.Image.list(runtime=docker)}

    def make(name: str) -> str:
        kina.Image.from_rootfs(rootfs, f"localhost/kina/{name}:1", runtime=docker)
        return f"localhost/kina/{name}:1"

    with closing(sdk.DockerClient(base_url=dockerd.url)) as client:
        theirs, left, shared, moved = "theirs:1", make("left"), make("shared"), make("moved")
        # One that another program has made of kina's, and one that it has named, too.
        other = client.containers.create(there, ["true"])
        client.api.import_image_from_data(b"".join(other.export()), "theirs", "1")
        other.remove()
        client.images.get(shared).tag("also-theirs", "1")
        # kina names it, which makes it none of kina's.
        kina.Image.get(theirs, runtime=docker).tag("localhost/kina/of-theirs:1")
        # The one that had the name before has none now.
        before = client.images.get(moved).id
        make("moved")
        with kina.Container.create(there, ["true"], runtime=docker):
            pruned = kina.Image.prune(runtime=docker)
        try:
            assert {left, shared, moved, "localhost/kina/of-theirs:1"} <= set(pruned.images)
            assert there not in pruned.images
            assert {there, f"docker.io/library/{theirs}", "docker.io/library/also-theirs:1"} <= (
                references()
            )
            assert not {left, shared, moved} & references()
            with pytest.raises(sdk.errors.ImageNotFound):
                client.images.get(before)
            assert kina.Image.prune(runtime=docker).images == (there,)
        finally:
            for name in (theirs, "also-theirs:1"):
                client.images.remove(name)


def test_a_socket_of_another_user_says_so(dockerd: Engine) -> None:
    # The socket's directory is root's alone; that the socket is there is to be seen all the same.
    dockerd.socket.parent.chmod(0o755)
    dockerd.socket.chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(kina.PermissionDeniedError) as caught:
            kina.connect("docker", url=dockerd.url)
    finally:
        os.seteuid(0)
    assert "group" in (caught.value.hint or "")


def test_an_engine_that_ends_in_the_middle_says_so(
    tmp_path_factory: pytest.TempPathFactory, rootfs: Path
) -> None:
    with engine("docker", tmp_path_factory.mktemp("ends") / "engine") as running:
        with kina.connect("docker", url=running.url) as runtime:
            kina.Image.from_rootfs(rootfs, "small", command=["sh"], env={"PATH": "/bin"},
                                   runtime=runtime)  # fmt: skip
            box = kina.Container.run("small", WAITS, runtime=runtime)
            failures: list[kina.KinaError] = []

            def wait() -> None:
                try:
                    box.wait()
                except kina.KinaError as error:
                    failures.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            os.kill(running.pid, 15)
            thread.join(40)
            assert not thread.is_alive()
            # Its containers end with it: the wait either saw that, or the engine's end.
            assert all(f.code == kina.errors.Code.UNAVAILABLE and f.hint for f in failures)
            stat = Path(f"/proc/{running.pid}/stat")
            assert wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "Z", 30)
            with pytest.raises(kina.KinaError) as caught:
                box.inspect()
            assert caught.value.code == kina.errors.Code.UNAVAILABLE
            assert caught.value.hint
            del caught
    # The SDK lets go of a socket that it could not connect without closing it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_images_move_between_the_native_store_and_an_engine(docker: Runtime, busybox: str) -> None:
    here = kina.Image.get(busybox)
    copied = here.copy(docker)
    assert (copied.reference, copied.id) == (busybox, here.id)
    assert kina.run(copied, ["echo", "over there"], runtime=docker).stdout == "over there\n"
    # What is there is not sent again: a broken source would show it.
    assert here.copy(docker, reference="localhost/kina/again:1").id == here.id
    back = copied.copy(here._runtime, reference="localhost/kina/back:1")
    try:
        assert back.id == here.id
        assert kina.run(back, ["echo", "back"]).stdout == "back\n"
    finally:
        back.delete()


def test_an_image_that_only_the_engine_has_comes_to_the_native_store(
    docker: Runtime, runtime: Runtime, there: str
) -> None:
    found = kina.Image.get(there, runtime=docker)
    come = found.copy(runtime, reference="localhost/kina/come:1")
    try:
        assert (come.id, come.config) == (found.id, found.config)
        assert kina.run(come, ["echo", "come"]).stdout == "come\n"
    finally:
        come.delete()


def test_the_doctor_says_what_the_engine_is(
    dockerd: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd.url)
    report = kina.doctor().reports[1]
    assert report.usable
    assert [check.name for check in report.checks] == ["docker SDK", "engine's address", "engine"]
    assert "20.10" in report.checks[-1].reason
