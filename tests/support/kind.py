"""
kind, which is Debian's: the other tool that makes clusters of such images.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kina.nodeimage.debian import Sources

__all__ = ["Kind"]

NAME = "by-kind"
SUITE = "trixie"
"""The Debian release that has kind; the program needs nothing of it."""

_CLUSTER = """
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
"""


class Kind:
    """
    Debian's kind, with an engine and an image of a node there.
    """

    def __init__(self, directory: Path, engine: str, image: str) -> None:
        """
        Take it from Debian's package.

        Args:
            directory: Where it is put, and what it writes; not there yet.
            engine: The URL of a Docker engine.
            image: What the nodes are made of.
        """
        directory.mkdir()
        self.kubeconfig = directory / "kubeconfig"
        self._program, self._image, self._directory = _download(directory), image, directory
        self._environment = {
            **os.environ,
            "DOCKER_HOST": engine,
            # Not another engine's that comes first.
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(directory),
            "KIND_EXPERIMENTAL_PROVIDER": "docker",
        }

    def create(self, workers: int = 0) -> None:
        """
        Create a cluster, and wait until its nodes are ready.
        """
        config = self._directory / "cluster.yaml"
        config.write_text(_CLUSTER + "- role: worker\n" * workers)
        self._kind(
            *("create", "cluster", "--name", NAME, "--image", self._image, "--wait", "300s"),
            *("--config", str(config), "--kubeconfig", str(self.kubeconfig)),
        )

    def delete(self) -> None:
        """
        Delete it.
        """
        self._kind("delete", "cluster", "--name", NAME, "--kubeconfig", str(self.kubeconfig))

    def _kind(self, *arguments: str) -> None:
        done = subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"kind {' '.join(arguments)}: {done.stdout}{done.stderr}")


def _download(directory: Path) -> Path:
    """
    Take the program out of Debian's package, by the mirrors that the host uses. Nothing is
    installed.
    """
    state = directory / "apt"
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (state / name).mkdir(parents=True)
    sources = Sources.of_host(suite=SUITE)
    (state / "sources.list").write_text(sources.lines())
    options = [
        f"Dir::Etc::SourceList={state}/sources.list",
        f"Dir::Etc::SourceParts={state}/parts",
        f"Dir::State::Lists={state}/lists",
        f"Dir::Cache={state}/cache",
        "APT::Sandbox::User=root",
    ]
    command = ["apt-get", *(f"--option={option}" for option in options)]
    subprocess.run([*command, "--quiet=2", "update"], check=True, capture_output=True)
    subprocess.run([*command, "--quiet=2", "download", "kind"], check=True, cwd=state,
                   capture_output=True)  # fmt: skip
    (package,) = state.glob("kind_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, directory / "kind"], check=True)
    return directory / "kind/usr/bin/kind"
