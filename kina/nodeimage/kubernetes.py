"""
Kubernetes itself: its programs, from wherever they come, and what its version asks for.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from kina.errors import InvalidArgumentError

__all__ = ["PROGRAMS", "Programs", "Version", "find_programs", "unpack_release"]

NODE = ("kubeadm", "kubelet", "kubectl")
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
PROGRAMS = (*NODE, *CONTROL_PLANE)
OPTIONAL = ("etcd", "pause")


@attrs.frozen(order=True)
class Version:
    """
    A version of Kubernetes.
    """

    major: int
    minor: int
    patch: int
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """
        Read "v1.20.2" and the like.

        Raises:
            InvalidArgumentError: It is none.
        """
        found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)([-+][0-9A-Za-z.+-]+)?", text.strip())
        if found is None:
            raise InvalidArgumentError.at(
                "kubernetes_version", text, "is no version", "such as '1.20.2'"
            )
        return cls(int(found[1]), int(found[2]), int(found[3]), found[4] or "")

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}{self.suffix}"

    @property
    def systemd_cgroups(self) -> bool:
        """
        Whether kubeadm tells kubelets of this version to have systemd manage cgroups, as kind and
        kina do.
        """
        return (self.major, self.minor) >= (1, 24)


@attrs.frozen
class Programs:
    """
    Static programs by name, all of one version.
    """

    version: Version
    paths: Mapping[str, Path]

    def images(self) -> dict[str, str]:
        """
        Ask kubeadm which images it will want, by the last part of their names.
        """
        command = [str(self.paths["kubeadm"]), "config", "images", "list"]
        output = subprocess.run(
            [*command, "--kubernetes-version", str(self.version)],
            check=True,
            capture_output=True,
            text=True,
        )
        names = [line for line in output.stdout.split() if "/" in line]
        return {name.rpartition("/")[2].partition(":")[0]: name for name in names}


def find_programs(directory: Path) -> Programs:
    """
    Find Kubernetes' programs in a tree, wherever they are in it.

    Raises:
        InvalidArgumentError: Some are missing, are not of one version, or can't be run here.
    """
    paths = {name: path for name in (*PROGRAMS, *OPTIONAL) if (path := _find(directory, name))}
    missing = [name for name in PROGRAMS if name not in paths]
    if missing:
        raise InvalidArgumentError.at(
            "source",
            str(directory),
            f"has no {', '.join(missing)}",
            "kubernetes-server-linux-*.tar.gz of a release has all that are needed",
        )
    versions = {name: _version(paths[name]) for name in PROGRAMS}
    if len(set(versions.values())) > 1:
        said = ", ".join(f"{name} {version}" for name, version in versions.items())
        raise InvalidArgumentError.at("source", str(directory), f"mixes versions: {said}")
    return Programs(versions["kubeadm"], paths)


def unpack_release(archive: Path, target: Path) -> None:
    """
    Take the programs out of a release's archive.

    Raises:
        InvalidArgumentError: It is no such archive.
    """
    wanted = {*PROGRAMS, *OPTIONAL}
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if member.isreg() and name in wanted and (data := tar.extractfile(member)):
                    with data, (target / name).open("wb") as out:
                        while chunk := data.read(1 << 20):
                            out.write(chunk)
                    (target / name).chmod(0o755)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidArgumentError.at(
            "source", str(archive), f"can't be read as a release's archive: {error}"
        ) from error


def check_version(found: Version, wanted: str | None) -> None:
    """
    See that what was found is what was asked for.

    Raises:
        InvalidArgumentError: It is not.
    """
    if wanted is not None and Version.parse(wanted) != found:
        raise InvalidArgumentError.at("kubernetes_version", wanted, f"the source has {found}")


def same_machine(paths: Iterable[Path]) -> None:
    """
    See that programs are for this machine, by their first bytes.

    Raises:
        InvalidArgumentError: One is not.
    """
    with Path("/proc/self/exe").open("rb") as file:
        own = file.read(20)
    for path in paths:
        with path.open("rb") as file:
            if file.read(20)[18:20] != own[18:20]:
                raise InvalidArgumentError.at("source", str(path), "is for another machine")


def _find(directory: Path, name: str) -> Path | None:
    found = [path for path in sorted(directory.rglob(name)) if path.is_file()]
    return found[0] if found else None


def _version(program: Path) -> Version:
    # kubeadm and kubectl have a command; the others a flag, after their own name.
    words = {"kubeadm": ["version", "-o", "short"], "kubectl": ["version", "--client=true"]}
    command = [str(program), *words.get(program.name, ["--version"])]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError as error:
        raise InvalidArgumentError.at("source", str(program), f"can't be run: {error}") from error
    found = re.search(r"v\d+\.\d+\.\d+[-+0-9A-Za-z.]*", output.stdout)
    if found is None:
        raise InvalidArgumentError.at("source", str(program), "does not say its version")
    return Version.parse(found[0])
