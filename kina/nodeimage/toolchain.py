"""
Compiling from Debian's source of Kubernetes, with Debian's Go, in a root of its own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kina.calls import Call
from kina.errors import UnavailableError
from kina.nodeimage.cache import Cache, digest_of_tree
from kina.nodeimage.commands import Log, run
from kina.nodeimage.debian import Sources, architecture, bootstrap
from kina.nodeimage.kubernetes import PROGRAMS, Version
from kina.nodeimage.steps import Steps

__all__ = ["FILES", "PROGRAM", "Toolchain"]

FILES = Path(__file__).parent / "files"
PROGRAM = Path(__file__).parent / "program"

PACKAGES = (
    "golang-go",
    "golang-github-modern-go-reflect2-dev",
    "golang-github-miekg-dns-dev",
    "dpkg-dev",
    "gcc",
    "libc6-dev",
    "etcd-server",
)


@attrs.frozen
class Toolchain:
    """
    What compiles. Each result is kept: a change of kina-node compiles kina-node alone.
    """

    cache: Cache
    sources: Sources
    log: Log
    call: Call
    steps: Steps

    @property
    def inputs(self) -> dict[str, Any]:
        """
        What the root is made of.
        """
        return {
            "packages": PACKAGES,
            "suites": self.sources.suites,
            "architecture": architecture(),
            "compile.sh": (FILES / "toolchain/compile.sh").read_text(),
            "patches": digest_of_tree(FILES / "toolchain/patches"),
        }

    def root(self) -> Path:
        """
        Return the root with compiler and unpacked source, making it when there is none.
        """
        return self.cache.get("toolchain", self.inputs, self._make_root, self.call)

    def _make_root(self, place: Path) -> None:
        root = place / "root"
        with self.steps.step("compiler and source"):
            packages = ["kubernetes"]
            bootstrap(root, PACKAGES, self.sources, self.log, self.call, source_packages=packages)
        with self.steps.step("prepare source"):
            shutil.copy(FILES / "toolchain/compile.sh", root / "compile.sh")
            shutil.copytree(FILES / "toolchain/patches", root / "patches")
            for name in ("build/src/k8s.io/kubernetes", "cache", "out"):
                (root / name).mkdir(parents=True)
            self._enter(root, {}, ["sh", "/compile.sh", "prepare"])

    def version(self) -> Version:
        """
        Read the source's version: Debian has "1.20.5+really1.20.2-1.1+deb12u1".
        """
        upstream = re.compile(r"^Version: (?:\d+:)?(?:.*really)?(\d+\.\d+\.\d+)", re.MULTILINE)
        for path in (self.root() / "root/source").glob("kubernetes_*.dsc"):
            found = upstream.search(path.read_text())
            if found:
                return Version.parse(found[1])
        raise UnavailableError("Debian's source of Kubernetes does not say its version")

    def kubernetes(self) -> Path:
        """
        Return a directory with Kubernetes' programs.
        """
        return self._compiled("kubernetes", [*PROGRAMS, "pause"], {})

    def pause(self) -> Path:
        """
        Return a directory with the program that holds a pod's namespaces.
        """
        return self._compiled("pause", ["pause"], {})

    def program(self) -> Path:
        """
        Return a directory with kina-node.
        """
        inputs = {"program": digest_of_tree(PROGRAM)}
        return self._compiled("program", ["kina-node"], inputs)

    def _compiled(self, name: str, targets: Sequence[str], more: Mapping[str, Any]) -> Path:
        inputs = {**self.inputs, "targets": targets, **more}

        def make(place: Path) -> None:
            root, version = self.root() / "root", str(self.version())
            go_cache = self.cache.directory / "go-cache"
            go_cache.mkdir(exist_ok=True)
            binds = {
                PROGRAM: "build/src/k8s.io/kubernetes/cmd/kina-node",
                go_cache: "cache",
                place: "out",
            }
            for target in targets:
                with self.steps.step(f"compile {target}"):
                    command = ["sh", "/compile.sh", "build", version.removeprefix("v"), target]
                    self._enter(root, binds, command)

        return self.cache.get(name, inputs, make, self.call)

    def _enter(self, root: Path, binds: Mapping[Path, str], command: Sequence[str]) -> None:
        mounts = [f"{source}:{target}" for source, target in binds.items()]
        enter = FILES / "toolchain/enter.sh"
        run(["sh", enter, root, *mounts, "--", *command], self.log, self.call)
