"""
Images: made, tagged, saved, loaded, pushed, pulled, deleted.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina.status import ProgressEvent
from support.images import Entry, docker_archive, handmade, oci_archive, pack, tree
from support.leaks import Host
from support.registry import PASSWORD, USERNAME, Registry, docker_registry

NAME = "localhost/kina/images:test"


@pytest.fixture(scope="module")
def registry(no_rules_leak: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry") / "open") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(no_rules_leak: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(
        tmp_path_factory.mktemp("registry") / "guarded", authenticated=True
    ) as running:
        yield running


@pytest.fixture
def image(runtime: object) -> Iterator[kina.Image]:
    """
    A small image of its own, gone after the test under whatever name.
    """
    before = {found.reference for found in kina.Image.list()}
    made = kina.Image.from_rootfs(
        tree([Entry(name="etc/marker", data=b"original\n")]), NAME, command=["cat", "/etc/marker"]
    )
    yield made
    for found in kina.Image.list():
        if found.reference not in before:
            found.delete(force=True)


def references() -> set[str]:
    return {found.reference for found in kina.Image.list()}


# -- Made here -------------------------------------------------------------------------------------


def test_an_image_is_made_of_a_directory_with_its_configuration(
    rootfs: Path, image: kina.Image
) -> None:
    made = kina.Image.from_rootfs(
        rootfs,
        "localhost/kina/configured",
        entrypoint=["echo"],
        command=["a"],
        env={"A": "b"},
        workdir="/tmp",
        user="app",
        labels={"l": "m"},
        exposed_ports=["80/tcp"],
        volumes=["/data"],
        stop_signal="INT",
    )
    assert made.reference == "localhost/kina/configured:latest"
    assert made.config == kina.ImageConfig(
        entrypoint=["echo"],
        command=["a"],
        env={"A": "b"},
        workdir="/tmp",
        user="app",
        labels={"l": "m"},
        exposed_ports=["80/tcp"],
        volumes=["/data"],
        stop_signal="INT",
    )
    assert made.digest.startswith("sha256:")
    assert made.id.startswith("sha256:")
    assert made.digest != made.id
    assert made.size > 100_000
    assert made.platform.startswith("linux/")
    assert "configured" in repr(made)
    assert "configured" in made._repr_html_()


@pytest.mark.parametrize("form", ["bytes", "path", "file", "gzip"])
def test_an_image_is_made_of_a_tar(image: kina.Image, tmp_path: Path, form: str) -> None:
    data = tree([Entry(name="etc/marker", data=form.encode())])
    source: object = data
    if form == "gzip":
        source = gzip.compress(data)
    elif form != "bytes":
        (tmp_path / "layer.tar").write_bytes(data)
        source = tmp_path / "layer.tar" if form == "path" else (tmp_path / "layer.tar").open("rb")
    made = kina.Image.from_rootfs(source, "localhost/kina/tarred", command=["cat", "/etc/marker"])  # type: ignore[arg-type]
    if form == "file":
        source.close()  # type: ignore[attr-defined]
    assert kina.run(made).stdout == form


def test_the_tree_of_a_directory_is_kept(image: kina.Image, tmp_path: Path) -> None:
    from support.images import make_rootfs

    top = make_rootfs(tmp_path / "top")
    (top / "etc/secret").write_text("x")
    (top / "etc/secret").chmod(0o4711)
    (top / "etc/link").symlink_to("secret")
    kina.Image.from_rootfs(top, "localhost/kina/kept", command=["sh"])
    shown = kina.run(
        "localhost/kina/kept", ["stat", "-c", "%a %u %g", "/etc/secret", "/home/app", "/tmp"]
    ).stdout
    assert shown.splitlines() == ["4711 0 0", "755 1000 1000", "1777 0 0"]
    assert kina.run("localhost/kina/kept", ["readlink", "/etc/link"]).stdout == "secret\n"


def test_an_image_is_found_by_reference_id_and_digest(image: kina.Image) -> None:
    for reference in (NAME, image.id, image.digest, image.id.removeprefix("sha256:")[:16]):
        assert kina.Image.get(reference).digest == image.digest
    assert kina.run(image.id).stdout == "original\n"


def test_a_reference_is_completed_as_docker_does(image: kina.Image) -> None:
    assert image.tag("shop").reference == "docker.io/library/shop:latest"
    assert kina.Image.get("shop:latest").digest == image.digest
    assert kina.Image.get("docker.io/library/shop").digest == image.digest


def test_a_tag_is_another_name_of_the_same_image(image: kina.Image) -> None:
    other = image.tag("localhost/kina/other:v2")
    assert (other.digest, other.id) == (image.digest, image.id)
    assert {NAME, "localhost/kina/other:v2"} <= references()
    image.delete()
    assert kina.run("localhost/kina/other:v2").stdout == "original\n"


def test_a_tag_moves_to_another_image(image: kina.Image, busybox: str) -> None:
    kina.Image.get(busybox).tag(NAME)
    assert kina.Image.get(NAME).digest == kina.Image.get(busybox).digest


def test_an_image_in_use_cannot_be_deleted_unless_forced(image: kina.Image) -> None:
    with kina.Container.create(image, name="user-of-image") as box:
        with pytest.raises(kina.InvalidStateError, match="user-of-image") as caught:
            image.delete()
        assert caught.value.hint
        image.delete(force=True)
        assert NAME not in references()
        # The container keeps what it needs.
        box.start()
        assert box.wait(timeout=10) == 0
        assert box.logs() == "original\n"
    # Now nothing needs it, and nothing of it is left to prune.
    assert kina.prune(containers=False, networks=False).reclaimed == 0


def test_an_image_deleted_by_force_goes_with_its_last_container(
    image: kina.Image, host: Host
) -> None:
    images = host.home / "images"
    marker = image.digest.removeprefix("sha256:")

    def left() -> bool:
        """
        Whether anything of it is there: an engine says so, the native runtime has files.
        """
        if images.is_dir():
            return any(marker in path.name for path in images.rglob("*"))
        with contextlib.suppress(kina.NotFoundError):
            kina.Image.get(image.id)
            return True
        return False

    with kina.Container.create(image, network="none") as second:
        with kina.Container.create(image, network="none"):
            image.delete(force=True)
        # It keeps what it needs.
        assert second.start().wait(timeout=20) == 0
        assert second.logs() == "original\n"
    assert not left()


def test_a_deleted_image_is_not_found(image: kina.Image) -> None:
    image.delete()
    for call in (image.inspect, image.delete, lambda: kina.Image.get(NAME)):
        with pytest.raises(kina.NotFoundError, match="images"):
            call()
    with pytest.raises(kina.NotFoundError):
        kina.Container.create(NAME, pull="never")


def test_prune_deletes_what_no_container_uses(
    image: kina.Image, busybox: str, service: str
) -> None:
    unused = kina.Image.from_rootfs(tree([Entry(name="unused")]), "localhost/kina/unused")
    # Keep the session's own.
    with (
        kina.Container.create(busybox),
        kina.Container.create(service),
        kina.Container.create(image),
    ):
        pruned = kina.Image.prune()
        assert unused.reference in pruned.images
        assert {busybox, service} <= references()


# -- Archives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["oci", "docker"])
@pytest.mark.parametrize("through", ["path", "pipe"])
def test_what_is_saved_can_be_loaded(
    image: kina.Image, tmp_path: Path, form: str, through: str
) -> None:
    image.tag("localhost/kina/second:x")
    archive = tmp_path / "images.tar"
    if through == "path":
        kina.Image.save([image, "localhost/kina/second:x"], archive, format=form)  # type: ignore[arg-type]
    else:
        with (
            archive.open("wb") as file,
            subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as cat,
        ):
            assert cat.stdin is not None
            kina.Image.save([image, "localhost/kina/second:x"], cat.stdin, format=form)  # type: ignore[arg-type]
            cat.stdin.close()
    kina.Image.get(NAME).delete()
    kina.Image.get("localhost/kina/second:x").delete()
    loaded = kina.Image.load(archive)
    assert {found.reference for found in loaded} == {NAME, "localhost/kina/second:x"}
    if form == "oci":
        # A Docker archive has its configuration in Docker's form, which is another document.
        assert {found.id for found in loaded} == {image.id}
    assert loaded[0].config == image.config
    assert kina.run(NAME).stdout == "original\n"


def test_other_tools_read_what_is_saved(image: kina.Image, tmp_path: Path) -> None:
    for form in ("oci", "docker"):
        archive = tmp_path / f"{form}.tar"
        kina.Image.save(image, archive, format=form)  # type: ignore[arg-type]
        shown = subprocess.run(
            ["skopeo", "inspect", "--config", f"{form}-archive:{archive}"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert json.loads(shown)["config"]["Cmd"] == ["cat", "/etc/marker"]
    with tarfile.open(tmp_path / "docker.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest[0]["RepoTags"] == [NAME]


@pytest.mark.parametrize("form", ["path", "bytes", "file", "gzip"])
@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_archives_of_other_tools_are_loaded(
    image: kina.Image, tmp_path: Path, kind: str, form: str
) -> None:
    made = handmade([tree([Entry(name="etc/marker", data=b"loaded")])])
    name = "localhost/kina/loaded:1"
    data = docker_archive(made, name) if kind == "docker" else oci_archive(made, name)
    if form == "gzip":
        data = gzip.compress(data, 1)
    (tmp_path / "a.tar").write_bytes(data)
    if form == "file":
        with (tmp_path / "a.tar").open("rb") as file:
            (loaded,) = kina.Image.load(file)
    else:
        (loaded,) = kina.Image.load(tmp_path / "a.tar" if form == "path" else data)
    assert loaded.reference == name
    if kind == "oci":
        assert (loaded.id, loaded.digest) == (made.config_digest, made.digest)
    assert kina.run(name, ["cat", "/etc/marker"]).stdout == "loaded"


def test_an_archive_without_a_name_takes_the_given_one(image: kina.Image) -> None:
    made = handmade([tree()])
    (loaded,) = kina.Image.load(docker_archive(made), reference="localhost/kina/given")
    assert loaded.reference == "localhost/kina/given:latest"
    assert loaded.inspect().layers == 1


def test_layers_are_applied_in_order_with_whiteouts(image: kina.Image) -> None:
    lower = tree(
        [
            Entry(name="a/one", data=b"1"),
            Entry(name="a/two", data=b"2"),
            Entry(name="b/x", data=b"x"),
        ]
    )
    upper = pack(
        [
            Entry(name="a/.wh.one"),
            Entry(name="a/two", data=b"new"),
            Entry(name="b/.wh..wh..opq"),
            Entry(name="b/y", data=b"y"),
        ]
    )
    made = handmade([lower, upper])
    kina.Image.load(oci_archive(made, "localhost/kina/layered:1"))
    shown = kina.run("localhost/kina/layered:1", ["sh", "-c", "ls /a /b; cat /a/two"]).stdout
    assert shown.split() == ["/a:", "two", "/b:", "y", "new"]
    assert kina.Image.get("localhost/kina/layered:1").inspect().layers == 2


# -- Registries ------------------------------------------------------------------------------------


def test_an_image_goes_to_a_registry_and_comes_back(image: kina.Image, registry: Registry) -> None:
    destination = registry.reference("shop/app:1.0")
    image.push(destination, progress=False)
    image.delete()
    pulled = kina.Image.pull(destination, progress=False)
    assert pulled.reference == destination
    assert pulled.id == image.id
    assert kina.run(pulled).stdout == "original\n"


def test_an_image_is_pushed_under_its_own_name(image: kina.Image, registry: Registry) -> None:
    tagged = image.tag(registry.reference("own/name:1"))
    tagged.push(progress=False)
    tagged.delete()
    assert kina.Image.pull(registry.reference("own/name:1"), progress=False).id == image.id


def test_an_image_is_pulled_by_digest(image: kina.Image, registry: Registry) -> None:
    image.push(registry.reference("by/digest:1"), progress=False)
    tagged = kina.Image.pull(registry.reference("by/digest:1"), progress=False)
    by_digest = f"{registry.reference('by/digest')}@{tagged.digest}"
    pulled = kina.Image.pull(by_digest, progress=False)
    assert pulled.digest == tagged.digest
    assert kina.run(by_digest, pull="never").stdout == "original\n"


def test_a_container_pulls_what_is_missing(image: kina.Image, registry: Registry) -> None:
    reference = registry.reference("pulled/implicitly:1")
    image.push(reference, progress=False)
    with pytest.raises(kina.NotFoundError) as caught:
        kina.run(reference, pull="never")
    assert caught.value.hint
    assert kina.run(reference).stdout == "original\n"
    # Now it is here: the registry is not asked.
    assert kina.run(reference, pull="never").stdout == "original\n"
    newer = kina.Image.from_rootfs(
        tree([Entry(name="etc/marker", data=b"newer\n")]),
        "localhost/kina/newer",
        command=["cat", "/etc/marker"],
    )
    newer.push(reference, progress=False)
    assert kina.run(reference).stdout == "original\n"
    assert kina.run(reference, pull="always").stdout == "newer\n"


def test_progress_tells_layers_and_bytes(image: kina.Image, registry: Registry) -> None:
    reference = registry.reference("with/progress:1")
    # A layer that no other image has: an engine that has it tells nothing of its bytes.
    layer = tree([Entry(name="unique", data=os.urandom(1000))])
    made = kina.Image.from_rootfs(layer, "localhost/kina/progress:1", command=["true"])
    sent: list[ProgressEvent] = []
    made.push(reference, progress=sent.append)
    made.delete()
    kina.prune(networks=False)
    received: list[ProgressEvent] = []
    kina.Image.pull(reference, progress=received.append)
    assert {event.action for event in received} >= {"pull"}
    sized = [event for event in received if event.action == "pull" and event.item and event.total]
    assert sized
    assert any(event.current == event.total for event in sized)
    assert all((event.current or 0) <= (event.total or 0) for event in sized)


def test_credentials_are_needed_and_used(image: kina.Image, guarded: Registry) -> None:
    reference = guarded.reference("private/app:1")
    with pytest.raises(kina.UnauthenticatedError, match="private/app") as caught:
        image.push(reference, progress=False)
    assert caught.value.hint
    with pytest.raises(kina.UnauthenticatedError):
        image.push(reference, username=USERNAME, password="wrong", progress=False)
    image.push(reference, username=USERNAME, password=PASSWORD, progress=False)
    with pytest.raises(kina.UnauthenticatedError):
        kina.Image.pull(reference, progress=False)
    pulled = kina.Image.pull(reference, username=USERNAME, password=PASSWORD, progress=False)
    assert pulled.id == image.id


def test_credentials_come_from_the_standard_files(
    image: kina.Image, guarded: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    auths = tmp_path / "auth.json"
    auths.write_text(json.dumps({"auths": {guarded.host: {"auth": word}}}))
    reference = guarded.reference("private/by-file:1")
    image.push(reference, auth_file=auths, progress=False)
    assert kina.Image.pull(reference, auth_file=auths, progress=False).id == image.id
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(auths))
    assert kina.Image.pull(reference, progress=False).id == image.id


def test_passwords_are_on_no_command_line(
    image: kina.Image, guarded: Registry, tmp_path: Path
) -> None:
    """
    Any user of the host can read command lines.
    """
    seen: list[bytes] = []

    def look(event: ProgressEvent) -> None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    seen.append((entry / "cmdline").read_bytes())
                except OSError:
                    continue

    image.push(guarded.reference("quiet:1"), username=USERNAME, password=PASSWORD, progress=look)
    assert seen
    assert not [line for line in seen if PASSWORD.encode() in line]


def test_many_pulls_at_once_do_not_disturb_each_other(
    image: kina.Image, registry: Registry, host: Host
) -> None:
    import threading

    names = [registry.reference(f"parallel/app-{number}:1") for number in range(6)]
    for name in names:
        image.push(name, progress=False)
    failures: list[BaseException] = []

    def pull(name: str) -> None:
        try:
            kina.Image.pull(name, progress=False)
        except BaseException as failure:
            failures.append(failure)

    # Several of each: they wait for one another's lock, whose file goes with the first of them.
    threads = [threading.Thread(target=pull, args=(name,)) for name in names * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(names) <= references()
    assert list((host.home / "images/locks").glob("*")) == []


def test_a_stream_that_is_no_file_is_read(image: kina.Image) -> None:
    made = handmade([tree()])
    (loaded,) = kina.Image.load(io.BytesIO(oci_archive(made, "localhost/kina/stream:1")))
    assert loaded.id == made.config_digest
