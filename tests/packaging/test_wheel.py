"""
What is in the wheel and the sdist, and how the wheel is named.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import kina

pytestmark = pytest.mark.timeout(1200)

BINARY = re.compile(r"\.(so|dylib|o|a|swiftmodule|py[co])(\.|$)")


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        message = Parser().parsestr(archive.read(name).decode())
    return {key: message.get_all(key, []) for key in message}


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel reads ELF")
def test_one_wheel_serves_every_python_and_says_which_systems(wheel: Path) -> None:
    name, _, python, abi, platform = wheel.stem.split("-")

    assert (name, python, abi) == ("kina", "cp311", "abi3")
    # What auditwheel found, and not what `pip wheel` says by itself.
    assert re.fullmatch(r"manylinux_2_\d+_(x86_64|aarch64)", platform)


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel reads ELF")
def test_the_tag_is_no_better_than_the_symbols(wheel: Path, unpacked: Path) -> None:
    promised = re.search(r"manylinux_2_(\d+)", wheel.stem)
    assert promised is not None

    wanted = {
        int(match[1])
        for path in (unpacked / "kina").iterdir()
        if path.is_file()
        for match in re.finditer(rb"GLIBC_2\.(\d+)", path.read_bytes())
    }

    assert max(wanted) <= int(promised[1])


def test_the_wheel_holds_the_package_and_its_three_binaries(wheel: Path, checkout: Path) -> None:
    sources = {
        str(path.relative_to(checkout))
        for path in (checkout / "kina").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }

    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if not name.endswith("/")}

    package = {name for name in files if name.startswith("kina/")}
    # What goes into an image of a node as it is.
    node_files = {
        str(path.relative_to(checkout))
        for path in (checkout / "kina/nodeimage/files").rglob("*")
        if path.is_file()
    }
    assert sources | node_files <= package
    assert {
        "kina/libkina.so",
        "kina/kina-exit",
        "kina/kina-vmd",
        "kina/_kina.abi3.so",
    } == {
        name for name in package - node_files if "." not in Path(name).name or BINARY.search(name)
    }
    assert {name.split("/")[0] for name in files - package} == {
        next(name.split("/")[0] for name in files - package)
    }, "only .dist-info stands beside the package"


@pytest.mark.parametrize("name", ["kina-exit", "kina-vmd"])
def test_the_programs_can_be_executed(wheel: Path, name: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        mode = archive.getinfo(f"kina/{name}").external_attr >> 16

    assert mode & 0o111 == 0o111


def test_metadata(metadata: dict[str, list[str]], checkout: Path) -> None:
    changes = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")

    assert metadata["Version"] == [kina.__version__]
    assert f"## [{kina.__version__}]" in changes or "## [Unreleased]" in changes
    assert metadata["License-Expression"] == ["Apache-2.0"]
    assert metadata["License-File"] == ["LICENSE"]
    assert metadata["Requires-Python"] == [">=3.11"]
    assert {"docker", "notebook", "test"} == set(metadata["Provides-Extra"])


def test_the_sdist_holds_the_sources_of_everything(sdist: Path, checkout: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}

    wanted = {"pyproject.toml", "setup.py", "LICENSE", "README.md", "bindings/build_ffi.py"}
    for tree in ("swift/Sources", "kina", "tests", "scripts", "examples"):
        wanted |= {
            str(path.relative_to(checkout))
            for path in (checkout / tree).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    assert wanted - files == set()


def test_the_sdist_holds_no_binary(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        binaries = [
            member.name
            for member in archive.getmembers()
            if member.isfile() and archive.extractfile(member).read(4) == b"\x7fELF"  # type: ignore[union-attr]
        ]

    assert binaries == []
    assert [name for name in names if BINARY.search(name) or ".build/" in name] == []
