"""
A node's root file system: Debian, Kubernetes, and the images of its control plane.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from kina.calls import Call
from kina.errors import UnsupportedError
from kina.nodeimage.commands import Log, run
from kina.nodeimage.kubernetes import CONTROL_PLANE, NODE, Programs
from kina.nodeimage.layers import Layer, LayeredImage, libraries, write_archive
from kina.nodeimage.toolchain import FILES

__all__ = ["PACKAGES", "STORAGE_IMAGE", "assemble", "bake", "control_plane", "tidy"]

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "ipset",
    "conntrack",
    "ethtool",
    "socat",
    "kmod",
    "mount",
    "util-linux",
    "iproute2",
    "procps",
    "jq",
    "ca-certificates",
    "netbase",
)

STORAGE_IMAGE = "localhost/kina/storage:baked"

CONTAINERD = "var/lib/containerd"
SNAPSHOTS = f"{CONTAINERD}/io.containerd.snapshotter.v1.overlayfs/snapshots"
BLOBS = f"{CONTAINERD}/io.containerd.content.v1.content/blobs/sha256"
KEPT = "usr/lib/kina"

# Units of a machine, which a container is not, and housekeeping of a system that is never upgraded.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "console-getty.service",
    "systemd-logind.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-firstboot.service",
    "systemd-machine-id-commit.service",
    "systemd-repart.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-binfmt.service",
    "systemd-modules-load.service",
    "kmod-static-nodes.service",
    "proc-sys-fs-binfmt_misc.automount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "remote-fs.target",
    "cryptsetup.target",
    "integritysetup.target",
    "veritysetup.target",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-initctl.socket",
    "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-tmpfiles-clean.timer",
)
_ENABLED = ("containerd.service", "kubelet.service", "kina-network.path")


def assemble(root: Path, programs: Programs, program: Path, settings: Mapping[str, str]) -> None:
    """
    Put into Debian's root what makes it a node.

    Args:
        root: The tree.
        programs: Kubernetes'.
        program: kina-node.
        settings: What is put for @NAME@ in the files.
    """
    for name in NODE:
        _install(programs.paths[name], root / "usr/bin" / name)
    _install(program, root / "usr/local/bin/kina-node")
    _copy_files(FILES / "root", root, settings)
    for plugin in sorted((root / "usr/lib/cni").iterdir()):
        link = root / "opt/cni/bin" / plugin.name
        link.symlink_to(f"/usr/lib/cni/{plugin.name}")
    (root / "kind/version").write_text(str(programs.version))
    _configure_systemd(root)
    for name in ("etc/hostname", "etc/machine-id", "etc/resolv.conf"):
        (root / name).unlink(missing_ok=True)
    (root / "etc/hostname").write_text("node\n")
    (root / "etc/machine-id").write_text("")
    for name in ("etc/kubernetes/manifests", "var/lib/kubelet", "etc/containerd/certs.d"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "var/log/journal").mkdir(exist_ok=True)


def control_plane(
    root: Path, toolchain: Path, programs: Programs, program: Path
) -> tuple[LayeredImage, ...]:
    """
    Say which images kubeadm will want, and of what each is made.

    Args:
        root: The node's tree, which has iptables.
        toolchain: A root with Debian's etcd.
        programs: Kubernetes'.
        program: kina-node.
    """
    names = programs.images()
    netfilter = (
        "/usr/sbin/iptables",
        "/usr/sbin/iptables-save",
        "/usr/sbin/iptables-restore",
        "/usr/sbin/ip6tables",
        "/usr/sbin/ip6tables-save",
        "/usr/sbin/ip6tables-restore",
        "/usr/sbin/conntrack",
        "/usr/sbin/ipset",
        "/usr/bin/kmod",
        "/usr/sbin/modprobe",
    )
    modules = next((root / "usr/lib").glob("*-linux-gnu*/xtables"))
    # A match's or target's module has libraries of its own.
    loaded = [f"/{path.relative_to(root)}" for path in sorted(modules.glob("*.so"))]
    needs = libraries(root, (*netfilter, *loaded))
    tools = Layer(root, (*netfilter, *loaded, *needs, "/etc/protocols"))
    services = Layer(root, files={"usr/bin/kina-node": program})
    images = []
    for name in CONTROL_PLANE:
        own = Layer(root, files={f"usr/local/bin/{name}": programs.paths[name]})
        layers = (tools, own) if name == "kube-proxy" else (own,)
        images.append(LayeredImage(names[name], layers))
    images.append(LayeredImage(names["etcd"], (_etcd(toolchain, programs),)))
    pause = Layer(root, files={"pause": programs.paths["pause"]})
    images.append(LayeredImage(names["pause"], (pause,), ("/pause",)))
    # Debian has no CoreDNS: kina-node reads the configuration that kubeadm gives it.
    images.append(LayeredImage(names["coredns"], (services,), ("/usr/bin/kina-node", "dns")))
    images.append(LayeredImage(STORAGE_IMAGE, (services,), ("/usr/bin/kina-node",)))
    return tuple(images)


def bake(
    root: Path, images: tuple[LayeredImage, ...], architecture: str, log: Log, call: Call
) -> None:
    """
    Import images into the containerd of a node's tree.
    """
    write_archive(images, architecture, root / "images.tar")
    shutil.copy(FILES / "toolchain/bake.sh", root / "bake.sh")
    run(["chroot", root, "sh", "/bake.sh"], log, call)
    # /var is copied for each node, as containerd can't write to an overlay. What is never written
    # stays in the image, and the copy takes no time.
    for kind in ("snapshots", "blobs"):
        (root / KEPT / kind).mkdir(parents=True)
    for snapshot in sorted((root / SNAPSHOTS).glob("*/fs")):
        kept = f"{KEPT}/snapshots/{snapshot.parent.name}"
        snapshot.rename(root / kept)
        snapshot.symlink_to(f"/{kept}")
    for blob in sorted((root / BLOBS).iterdir()):
        kept = f"{KEPT}/blobs/{blob.name}"
        blob.rename(root / kept)
        blob.symlink_to(f"/{kept}")


def tidy(root: Path) -> None:
    """
    Remove what building has left.
    """
    for pattern in ("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt/*"):
        for path in root.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("run", "tmp", "dev"):
        for path in (root / name).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _install(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _copy_files(source: Path, root: Path, settings: Mapping[str, str]) -> None:
    for path in sorted(source.rglob("*")):
        target = root / path.relative_to(source)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        text = path.read_text()
        for name, value in settings.items():
            text = text.replace(f"@{name}@", value)
        target.write_text(text)
        # A wheel does not keep modes.
        target.chmod(0o755 if "bin" in target.relative_to(root).parts else 0o644)
        os.chown(target, 0, 0)


def _configure_systemd(root: Path) -> None:
    units = root / "etc/systemd/system"
    for name in _MASKED:
        unit = units / name
        unit.unlink(missing_ok=True)
        unit.symlink_to("/dev/null")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for name in _ENABLED:
        link = wants / name
        link.unlink(missing_ok=True)
        place = "/etc" if (units / name).exists() else "/lib"
        link.symlink_to(f"{place}/systemd/system/{name}")
    default = units / "default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")


def _etcd(toolchain: Path, programs: Programs) -> Layer:
    if "etcd" in programs.paths:
        return Layer(toolchain, files={"usr/local/bin/etcd": programs.paths["etcd"]})
    if (programs.version.major, programs.version.minor) >= (1, 36):
        raise UnsupportedError(
            f"Kubernetes {programs.version} needs etcd 3.6, and Debian's is older",
            hint="put an etcd of 3.6 or newer beside Kubernetes' programs",
        )
    program = "/usr/bin/etcd"
    return Layer(toolchain, (program, *libraries(toolchain, [program])))
