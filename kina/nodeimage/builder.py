"""
The building of a node image, from its inputs to an archive.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from kina.calls import Call
from kina.config import ImageConfig
from kina.errors import InvalidArgumentError
from kina.image import Image
from kina.nodeimage.cache import Cache, digest_of, digest_of_tree
from kina.nodeimage.commands import Log
from kina.nodeimage.debian import Sources, architecture, bootstrap
from kina.nodeimage.kubernetes import (
    Programs,
    check_version,
    find_programs,
    same_machine,
    unpack_release,
)
from kina.nodeimage.layers import PATH
from kina.nodeimage.steps import Steps
from kina.nodeimage.toolchain import FILES, PROGRAM, Toolchain
from kina.nodeimage.tree import PACKAGES, STORAGE_IMAGE, assemble, bake, control_plane, tidy
from kina.requests import ImageImportRequest, ImageLoadRequest, ImageSaveRequest
from kina.runtimes import Runtime

__all__ = ["INPUTS_LABEL", "VERSION_LABEL", "Builder"]

INPUTS_LABEL: Final = "dev.kina.nodeimage.inputs"
VERSION_LABEL: Final = "dev.kina.nodeimage.kubernetes"
SOURCE_LABEL: Final = "dev.kina.nodeimage.source"
PACKAGES_LABEL: Final = "dev.kina.nodeimage.packages"

REPOSITORY: Final = "localhost/kina/node"
BUILDING: Final = "localhost/kina/building"

# What the labels say of versions: the parts that decide how a node behaves.
_TOLD = ("systemd", "containerd", "runc", "iptables", "containernetworking-plugins")


@attrs.frozen
class Builder:
    """
    Builds one image.

    Attributes:
        source: "debian", or where Kubernetes' programs are.
        wanted: The version that it must be, if any.
        cache: Keeps results.
        runtime: Where the image goes.
        call: Bounds it all.
    """

    source: str | Path
    wanted: str | None
    cache: Cache
    runtime: Runtime
    call: Call
    steps: Steps = attrs.field(init=False)
    log: Log = attrs.field(init=False)
    sources: Sources = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cache.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        set_once = object.__setattr__
        set_once(self, "steps", Steps(self.call))
        set_once(self, "log", Log(self.cache.directory / "build.log"))
        set_once(self, "sources", Sources.of_host())

    def build(self, reference: str | None) -> Image:
        """
        Return the image, under a reference; by default one that names its version.
        """
        place = self.archive()
        about = json.loads((place / "about.json").read_text())
        check_version(find_version(about), self.wanted)
        name = reference or f"{REPOSITORY}:{about['version']}"
        with self.cache.locked("import", self.call):
            known = self._known(name, about["inputs"])
            if known is not None:
                return known
            with self.steps.step("import"), (place / "image.tar").open("rb") as file:
                request = ImageLoadRequest(reference=name)
                statuses = self.runtime.images.load(request, file.fileno(), self.call)
        return Image._of(self.runtime, statuses[0])  # noqa: SLF001  # as its own classmethods do

    def archive(self) -> Path:
        """
        Return a directory with the image as an archive, building what of it there is not.
        """
        return self.cache.get("node", self.inputs(), self._make, self.call)

    def inputs(self) -> dict[str, Any]:
        """
        Return all that decides what the image is. Which versions of packages the mirror has at the
        time is not among it: the labels tell.
        """
        return {
            "source": "debian" if self.source == "debian" else _source_digest(Path(self.source)),
            "suites": self.sources.suites,
            "packages": PACKAGES,
            "architecture": architecture(),
            "files": digest_of_tree(FILES),
            "program": digest_of_tree(PROGRAM),
            "code": digest_of_tree(Path(__file__).parent),
        }

    def _known(self, reference: str, inputs: str) -> Image | None:
        for status in self.runtime.images.list():
            config = status.config
            if config is None:
                config = self.runtime.images.get(status.reference).config
            if config is not None and config.labels.get(INPUTS_LABEL) == inputs:
                if status.reference != reference:
                    found = status.reference
                    status = self.runtime.images.tag(found, reference)
                    if found.startswith(f"{BUILDING}:"):
                        self.runtime.images.delete(found, True, self.call)
                return Image._of(self.runtime, status)  # noqa: SLF001
        return None

    def _make(self, place: Path) -> None:
        toolchain = Toolchain(self.cache, self.sources, self.log, self.call, self.steps)
        programs = self._programs(toolchain, place)
        check_version(programs.version, self.wanted)
        program = toolchain.program() / "kina-node"
        base = self._base()
        root = place / "root"
        with self.steps.step("root file system"):
            _copy_tree(base, root)
            settings = {
                "PAUSE": programs.images()["pause"],
                "SYSTEMD_CGROUP": str(programs.version.systemd_cgroups).lower(),
                "STORAGE_IMAGE": STORAGE_IMAGE,
            }
            assemble(root, programs, program, settings)
        with self.steps.step("images of the control plane"):
            images = control_plane(root, toolchain.root() / "root", programs, program)
            bake(root, images, architecture(), self.log, self.call)
            tidy(root)
        with self.steps.step("image"):
            about = {"version": str(programs.version), "inputs": digest_of(self.inputs())}
            self._write_image(root, place / "image.tar", about)
        steps = {name: round(seconds, 1) for name, seconds in self.steps.times.items()}
        (place / "about.json").write_text(json.dumps({**about, "steps": steps}, indent=1))
        shutil.rmtree(root)
        shutil.rmtree(place / "programs", ignore_errors=True)

    def _programs(self, toolchain: Toolchain, place: Path) -> Programs:
        if self.source == "debian":
            return find_programs(toolchain.kubernetes())
        source = Path(self.source)
        if source.is_file():
            with self.steps.step("unpack release"):
                unpacked = place / "programs"
                unpacked.mkdir()
                unpack_release(source, unpacked)
                source = unpacked
        programs = find_programs(source)
        if "pause" not in programs.paths:
            pause = toolchain.pause() / "pause"
            programs = attrs.evolve(programs, paths={**programs.paths, "pause": pause})
        return programs

    def _base(self) -> Path:
        inputs = {
            "packages": PACKAGES,
            "suites": self.sources.suites,
            "architecture": architecture(),
        }

        def make(place: Path) -> None:
            with self.steps.step("Debian"):
                bootstrap(place / "root", PACKAGES, self.sources, self.log, self.call)

        return self.cache.get("debian", inputs, make, self.call) / "root"

    def _write_image(self, root: Path, target: Path, about: Mapping[str, str]) -> None:
        """
        Make an archive of the tree, by way of the runtime's store.
        """
        source = "debian" if self.source == "debian" else Path(self.source).name
        config = ImageConfig(
            entrypoint=("/usr/local/bin/entrypoint", "/sbin/init"),
            env={
                "container": "docker",
                "PATH": PATH,
            },
            stop_signal="SIGRTMIN+3",
            labels={
                INPUTS_LABEL: about["inputs"],
                VERSION_LABEL: about["version"],
                SOURCE_LABEL: source,
                PACKAGES_LABEL: _versions(root),
            },
        )
        reference = f"{BUILDING}:{about['inputs']}"
        request = ImageImportRequest(reference=reference, directory=str(root), config=config)
        self.runtime.images.import_(request, -1, self.call)
        try:
            with target.open("wb") as file:
                save = ImageSaveRequest(references=(reference,), format="oci")
                self.runtime.images.save(save, file.fileno(), self.call)
        except BaseException:
            self.runtime.images.delete(reference, True, Call())
            raise


def find_version(about: Mapping[str, str]) -> Any:
    """
    Read the version of what was built.
    """
    from kina.nodeimage.kubernetes import Version

    return Version.parse(about["version"])


def _source_digest(source: Path) -> str:
    if not source.exists():
        raise InvalidArgumentError.at(
            "source",
            str(source),
            "is neither 'debian' nor a file or directory",
            "a release's kubernetes-server-linux-*.tar.gz, or a directory with its programs",
        )
    if source.is_dir():
        same_machine(find_programs(source).paths.values())
        return digest_of_tree(source)
    import hashlib

    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_tree(source: Path, target: Path) -> None:
    # cp keeps links, owners and attributes, and shares blocks where the file system can.
    subprocess.run(["/bin/cp", "--archive", "--reflink=auto", source, target], check=True)


def _versions(root: Path) -> str:
    command = ["/usr/bin/dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show"]
    shown = subprocess.run(
        [*command, "--showformat=${Package}=${Version} ", *_TOLD],
        check=True,
        capture_output=True,
        text=True,
    )
    return shown.stdout.strip()
