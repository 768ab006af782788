"""
What the wheel's binaries export, need and weigh.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads ELF"),
    pytest.mark.timeout(1200),
]

BINARIES = ["libkina.so", "_kina.abi3.so", "kina-exit", "kina-vmd"]
GLIBC = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def dynamic(path: Path, tag: str) -> list[str]:
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".dynamic")
        assert isinstance(section, DynamicSection)
        entries = section.iter_tags(tag)
        return [entry.needed if tag == "DT_NEEDED" else entry.runpath for entry in entries]


def exported(path: Path) -> set[str]:
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        return {
            symbol.name
            for symbol in table.iter_symbols()
            if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name
        }


def test_libkina_exports_the_functions_of_its_header_and_nothing_else(
    unpacked: Path, header_functions: set[str]
) -> None:
    assert len(header_functions) > 40
    assert header_functions == exported(unpacked / "kina/libkina.so")


def test_the_extension_exports_its_init_function_only(unpacked: Path) -> None:
    names = exported(unpacked / "kina/_kina.abi3.so")

    assert "PyInit__kina" in names
    assert all(name.startswith(("PyInit_", "_cffi_pypyinit_")) for name in names), names


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("libkina.so", {"libstdc++.so.6", "libgcc_s.so.1"}),
        ("_kina.abi3.so", {"libkina.so", "libpthread.so.0"}),
        ("kina-exit", {"libdl.so.2", "libpthread.so.0"}),
        ("kina-vmd", {"libdl.so.2", "libpthread.so.0"}),
    ],
)
def test_nothing_is_needed_but_the_c_library_and_the_compilers(
    unpacked: Path, name: str, more: set[str]
) -> None:
    needed = set(dynamic(unpacked / "kina" / name, "DT_NEEDED"))

    assert needed - GLIBC - more == set()


@pytest.mark.parametrize("name", ["libkina.so", "_kina.abi3.so"])
def test_libraries_are_looked_for_beside_the_extension_only(unpacked: Path, name: str) -> None:
    assert dynamic(unpacked / "kina" / name, "DT_RUNPATH") == ["$ORIGIN"]


@pytest.mark.parametrize("name", BINARIES)
def test_no_rpath(unpacked: Path, name: str) -> None:
    assert dynamic(unpacked / "kina" / name, "DT_RPATH") == []


def test_libkina_weighs_at_most_16_megabytes(unpacked: Path) -> None:
    assert (unpacked / "kina/libkina.so").stat().st_size <= 16_000_000


@pytest.mark.parametrize("name", BINARIES)
def test_binaries_are_stripped(unpacked: Path, name: str) -> None:
    with (unpacked / "kina" / name).open("rb") as file:
        elf = ELFFile(file)
        sections = {section.name for section in elf.iter_sections()}

    assert not {".symtab", ".debug_info"} & sections


@pytest.mark.parametrize("name", BINARIES)
def test_binaries_do_not_tell_where_they_were_built(
    unpacked: Path, checkout: Path, name: str
) -> None:
    assert f"{checkout}/".encode() not in (unpacked / "kina" / name).read_bytes()
