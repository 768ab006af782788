"""
The library offers what kina.h says, and nothing else.
"""

from __future__ import annotations

import subprocess

from support.library import Library, library_path, prototypes


def exported() -> set[str]:
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", library_path()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return {line.split()[0].split("@")[0] for line in lines if line.split()[1] in "TDBRVW"}


def test_every_function_of_the_header_is_exported(library: Library) -> None:
    assert set(prototypes()) <= exported()
    for name in prototypes():
        assert getattr(library.lib, name) is not None


def test_nothing_but_the_functions_of_the_header_is_exported() -> None:
    assert sorted(exported()) == sorted(prototypes())


def test_there_are_not_many_functions() -> None:
    assert len(prototypes()) <= 54


def test_the_version_is_the_headers(library: Library) -> None:
    assert library.lib.kina_abi_version() == library.lib.KINA_ABI_VERSION


def test_the_library_needs_no_swift_at_run_time() -> None:
    needed = subprocess.run(
        ["readelf", "-d", library_path()], check=True, capture_output=True, text=True
    ).stdout
    assert "NEEDED" in needed
    assert "swift" not in needed.lower()
    assert "Foundation" not in needed
