"""
Images and archives made by hand: good ones from Debian's busybox, and hostile ones that no tool
would write.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

BUSYBOX = Path("/bin/busybox")
PERL = Path("/usr/bin/perl")
PLATFORM = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
"""
GROUP = """\
root:x:0:
nogroup:x:65534:
app:x:1000:
extra:x:2000:app
"""


def make_rootfs(directory: Path) -> Path:
    """
    Make the tree of a small system: busybox with its applets, users, groups, /tmp.
    """
    for name in ("bin", "dev", "etc", "home/app", "proc", "root", "sys", "var/lib"):
        (directory / name).mkdir(parents=True)
    (directory / "tmp").mkdir()
    (directory / "tmp").chmod(0o1777)
    shutil.copy2(BUSYBOX, directory / "bin/busybox")
    applets = subprocess.run(
        [BUSYBOX, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (directory / "bin" / applet).symlink_to("busybox")
    _add_perl(directory)
    (directory / "etc/passwd").write_text(PASSWD)
    (directory / "etc/group").write_text(GROUP)
    os.chown(directory / "home/app", 1000, 1000)
    # What is there, and can't be run.
    (directory / "etc/not-a-program").write_text("no program\n")
    (directory / "etc/not-a-program").chmod(0o644)
    return directory


def _add_perl(directory: Path) -> None:
    """
    Add perl, which every Debian has: for system calls and datagrams, of which busybox knows none.
    """
    libraries = subprocess.run(["ldd", PERL], check=True, capture_output=True, text=True).stdout
    for path in [str(PERL), *re.findall(r"(/\S+) \(", libraries)]:
        target = directory / ("bin/perl" if path == str(PERL) else path.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@attrs.frozen(kw_only=True)
class Entry:
    """
    A member of a layer.
    """

    name: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    link: str = ""
    size: int | None = None
    device: tuple[int, int] = (0, 0)


def pack(entries: Iterable[Entry]) -> bytes:
    """
    Write a tar that says just what it is told, however malicious.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type = entry.type
            info.mode = entry.mode
            info.linkname = entry.link
            info.devmajor, info.devminor = entry.device
            info.size = len(entry.data)
            tar.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def tree(entries: Iterable[Entry] = ()) -> bytes:
    """
    Write a layer of a usable image (busybox as /bin/sh), with further entries after it.
    """
    base = [
        Entry(name="bin", type=tarfile.DIRTYPE, mode=0o755),
        Entry(name="bin/busybox", data=BUSYBOX.read_bytes(), mode=0o755),
        *(
            Entry(name=f"bin/{name}", type=tarfile.SYMTYPE, link="busybox", mode=0o777)
            for name in ("sh", "cat", "ls", "echo", "sleep", "stat", "true")
        ),
        Entry(name="etc", type=tarfile.DIRTYPE, mode=0o755),
    ]
    return pack([*base, *entries])


@attrs.frozen(kw_only=True)
class Handmade:
    """
    An image as a registry has it: a manifest and its blobs.
    """

    manifest: bytes
    blobs: Mapping[str, bytes]
    config_digest: str
    layer_digests: tuple[str, ...]
    layer_tars: tuple[bytes, ...]
    config: bytes

    @property
    def digest(self) -> str:
        return digest(self.manifest)


OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def handmade(
    layers: Iterable[bytes], config: Mapping[str, Any] | None = None, *, platform: str = PLATFORM
) -> Handmade:
    """
    Make an image of uncompressed layers.
    """
    tars = tuple(layers)
    zipped = [gzip.compress(tar, compresslevel=1, mtime=0) for tar in tars]
    document = {
        "architecture": platform,
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
    }
    config_bytes = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": OCI_CONFIG,
            "digest": digest(config_bytes),
            "size": len(config_bytes),
        },
        "layers": [
            {"mediaType": OCI_LAYER, "digest": digest(data), "size": len(data)} for data in zipped
        ],
    }
    return Handmade(
        manifest=json.dumps(manifest).encode(),
        blobs={digest(data): data for data in [config_bytes, *zipped]},
        config_digest=digest(config_bytes),
        layer_digests=tuple(digest(data) for data in zipped),
        layer_tars=tars,
        config=config_bytes,
    )


def oci_archive(image: Handmade, reference: str | None = None) -> bytes:
    """
    Write an OCI layout as a tar.
    """
    descriptor: dict[str, Any] = {
        "mediaType": OCI_MANIFEST,
        "digest": image.digest,
        "size": len(image.manifest),
    }
    if reference is not None:
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": reference}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}
    blobs = {**image.blobs, image.digest: image.manifest}
    return pack(
        [
            Entry(name="oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}'),
            Entry(name="index.json", data=json.dumps(index).encode()),
            *(
                Entry(name=f"blobs/sha256/{name.removeprefix('sha256:')}", data=data)
                for name, data in blobs.items()
            ),
        ]
    )


def docker_archive(image: Handmade, *references: str) -> bytes:
    """
    Write what `docker save` does.
    """
    names = [f"{index}/layer.tar" for index in range(len(image.layer_tars))]
    config = f"{image.config_digest.removeprefix('sha256:')}.json"
    manifest = [{"Config": config, "RepoTags": list(references) or None, "Layers": names}]
    return pack(
        [
            Entry(name="manifest.json", data=json.dumps(manifest).encode()),
            Entry(name=config, data=image.config),
            *(
                Entry(name=name, data=tar)
                for name, tar in zip(names, image.layer_tars, strict=True)
            ),
        ]
    )
