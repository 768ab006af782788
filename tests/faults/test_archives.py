"""
Archives that are cut short, damaged, or made to do harm.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest

import kina
from support.images import Entry, docker_archive, handmade, oci_archive, tree

NAME = "localhost/kina/hostile:1"


def load_and_run(data: bytes) -> None:
    """
    Load an archive and start something in it: some harm is done only when layers are unpacked.
    """
    kina.Image.load(data)
    try:
        kina.run(NAME, ["true"])
    finally:
        kina.Image.get(NAME).delete(force=True)
        kina.prune(containers=False, networks=False)


@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("part", [0, 1, 511, 10_000, 400_000, -2000])
def test_a_truncated_archive_is_refused(runtime: object, kind: str, part: int) -> None:
    image = handmade([tree()])
    data = oci_archive(image, NAME) if kind == "oci" else docker_archive(image, NAME)
    # The end of a tar is padding, which nobody misses.
    cut = data[:part] if part >= 0 else data.rstrip(b"\0")[:part]
    with pytest.raises((kina.InvalidArgumentError, kina.DataLossError)) as caught:
        kina.Image.load(cut)
    assert caught.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"not a tar" * 1000, os.urandom(1 << 16), gzip.compress(b"x" * 10_000)]
)
def test_what_is_no_archive_is_refused(runtime: object, data: bytes) -> None:
    with pytest.raises((kina.InvalidArgumentError, kina.DataLossError)) as caught:
        kina.Image.load(data)
    assert caught.value.hint


def test_an_archive_that_is_not_there_is_not_found(runtime: object, tmp_path: Path) -> None:
    with pytest.raises(kina.NotFoundError, match="missing"):
        kina.Image.load(tmp_path / "missing.tar")
    with pytest.raises(kina.NotFoundError, match="missing"):
        kina.Image.from_rootfs(tmp_path / "missing", NAME)


def test_a_blob_that_is_not_what_its_digest_says_is_data_loss(runtime: object) -> None:
    image = handmade([tree()])
    data = bytearray(oci_archive(image, NAME))
    layer = image.blobs[image.layer_digests[0]]
    place = data.index(layer[-4000:-3000])
    data[place] ^= 0xFF
    with pytest.raises(kina.DataLossError):
        load_and_run(bytes(data))


ESCAPES = {
    "parent": [Entry(name="../../../../../../../../tmp/kina-escaped", data=b"x")],
    "absolute": [Entry(name="/tmp/kina-escaped", data=b"x")],
    "through a link": [
        Entry(name="out", type=tarfile.SYMTYPE, link="/tmp"),
        Entry(name="out/kina-escaped", data=b"x"),
    ],
    "through a relative link": [
        Entry(name="out", type=tarfile.SYMTYPE, link="../../../../../../../../../tmp"),
        Entry(name="out/kina-escaped", data=b"x"),
    ],
    "by a hard link": [
        Entry(name="stolen", type=tarfile.LNKTYPE, link="../../../../../../../../etc/shadow"),
        Entry(name="absolute", type=tarfile.LNKTYPE, link="/etc/shadow"),
    ],
    "by a whiteout": [Entry(name="../../../../../../tmp/.wh.kina-victim")],
    "by a whiteout of nothing": [Entry(name="etc/.wh...")],
    "link over a directory": [
        Entry(name="etc", type=tarfile.SYMTYPE, link="/tmp"),
        Entry(name="etc/kina-escaped", data=b"x"),
    ],
}


@pytest.mark.parametrize("way", ESCAPES)
def test_a_layer_writes_nothing_outside_its_root(runtime: object, way: str) -> None:
    victim = Path("/tmp/kina-victim")
    victim.write_text("mine")
    try:
        load_and_run(oci_archive(handmade([tree(), tree(ESCAPES[way])]), NAME))
    except kina.KinaError as error:
        assert error.code not in (kina.errors.Code.INTERNAL, kina.errors.Code.UNKNOWN)
    finally:
        escaped = Path("/tmp/kina-escaped").exists()
        Path("/tmp/kina-escaped").unlink(missing_ok=True)
        kept = victim.exists()
        victim.unlink(missing_ok=True)
    assert not escaped
    assert kept


def test_a_layer_reads_nothing_outside_its_root(runtime: object) -> None:
    entries = [Entry(name="stolen", type=tarfile.LNKTYPE, link="/etc/machine-id")]
    try:
        kina.Image.load(oci_archive(handmade([tree(entries)]), NAME))
        done = kina.run(NAME, ["cat", "/stolen"])
        secret = Path("/etc/machine-id")
        assert (
            not secret.exists() or secret.read_text().strip() not in done.stdout or not done.stdout
        )
    except kina.KinaError as error:
        assert error.code != kina.errors.Code.INTERNAL
    finally:
        for image in kina.Image.list():
            if image.reference == NAME:
                image.delete(force=True)
        kina.prune(containers=False, networks=False)


def test_a_device_node_in_a_layer_is_kept_and_is_no_way_in(runtime: object) -> None:
    # Legal in layers, so the image works; the mount has nodev, so the device does not.
    kmsg = Entry(name="bin/kmsg", type=tarfile.CHRTYPE, device=(1, 11), mode=0o666)
    kina.Image.load(oci_archive(handmade([tree([kmsg])]), NAME))
    try:
        assert kina.run(NAME, ["ls", "/bin/kmsg"]).exit_code == 0
        assert kina.run(NAME, ["cat", "/bin/kmsg"]).exit_code != 0
        assert kina.run(NAME, ["cat", "/bin/kmsg"], privileged=True).exit_code != 0
    finally:
        kina.Image.get(NAME).delete()
        kina.prune(containers=False, networks=False)


def test_a_bomb_is_stopped_at_the_limit(kina_home: Path, tmp_path: Path) -> None:
    zeros = Entry(name="zeros", data=b"\0" * (48 << 20))
    data = oci_archive(handmade([tree([zeros])]), NAME)
    assert len(data) < 4 << 20
    with kina.connect(home=tmp_path / "home", unpack_limit=16 << 20) as limited:
        with pytest.raises(kina.ResourceExhaustedError, match="limit") as caught:
            kina.Image.load(data, runtime=limited)
            kina.run(NAME, ["true"], runtime=limited, network="none")
        assert caught.value.hint
        for image in kina.Image.list(runtime=limited):
            image.delete()
        kina.prune(runtime=limited, images=True)
        used = sum(path.stat().st_size for path in (tmp_path / "home").rglob("*") if path.is_file())
        assert used < 1 << 20


def test_an_archive_that_names_other_files_reads_none(runtime: object, tmp_path: Path) -> None:
    """
    A manifest that names a path outside of the archive, and a link in the archive that leads there.
    """
    import io
    import json

    (tmp_path / "secret").write_text("secret")
    image = handmade([tree()])
    manifest = [{"Config": str(tmp_path / "secret"), "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("manifest.json", json.dumps(manifest).encode()),):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert image
    with pytest.raises((kina.InvalidArgumentError, kina.DataLossError)):
        kina.Image.load(out.getvalue())


def test_a_rootfs_tar_that_is_truncated_is_refused(runtime: object) -> None:
    with pytest.raises((kina.InvalidArgumentError, kina.DataLossError)):
        kina.Image.from_rootfs(tree()[:300_000], NAME)
