"""
What kina's build is on each system that it runs on: names, flags, tags. It does nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType


class Linux:
    """
    The runtime comes along in libkina: no Swift is needed where the wheel is installed.
    """

    library = "libkina.so"
    # kina-vmd's other library.
    machines = "libkina-vm.so"
    # Whether it is built in any case: where containers are virtual machines.
    needs_machines = False
    programs: tuple[str, ...] = ("kina-exit", "kina-vmd")
    # What Python's own way to compile has to be told.
    environment: Mapping[str, str] = MappingProxyType({})
    # Of the wheel; None where a tool finds it out.
    platform_tag: str | None = None
    # lld, because gold leaves some of Swift's symbols in the dynamic table in spite of the version
    # script.
    swift_flags: tuple[str, ...] = ("-Xswiftc", "-static-stdlib", "-Xswiftc", "-use-ld=lld")
    # The extension finds libkina beside itself, and nowhere else.
    extension_flags: tuple[str, ...] = (
        "-Wl,--enable-new-dtags,-rpath,$ORIGIN",
        "-Wl,--strip-all",
    )
    program_flags: tuple[str, ...] = ("-pie", "-Wl,-z,relro,-z,now", "-Wl,--strip-all")
    program_libraries: tuple[str, ...] = ("dl",)

    def exports(self, names: Sequence[str]) -> tuple[str, str]:
        """
        Return the file that tells the linker what libkina exports, by name, and what is in it.
        """
        shown = " ".join(f"{name};" for name in names)
        return "libkina.map", f"{{ global: {shown} local: *; }};\n"

    def link_flags(self, exports: Path, glibc: tuple[int, ...]) -> list[str]:
        """
        Return the linker's flags for libkina, which shall keep no more than it must.
        """
        flags = [f"--version-script={exports}", "--gc-sections", "--strip-all"]
        if glibc >= (2, 36):
            # Relocations in a bitmap: a megabyte less. Older systems refuse such a library clearly.
            flags += ["-z", "pack-relative-relocs"]
        return flags

    def signing(self, program: Path, entitlements: Path) -> list[str] | None:  # noqa: ARG002
        """
        Return the command that gives a program the rights it needs; None where none are needed.
        """
        return None


class MacOS(Linux):
    """
    Apple silicon only, whatever Python was built for (python.org's: two architectures, and an old
    system). Swift's runtime is part of the system.
    """

    # As the Swift package says: older systems give virtual machines no addresses of their own.
    version = "26.0"

    library = "libkina.dylib"
    machines = "libkina-vm.dylib"
    needs_machines = True
    programs = ("kina-vmd",)
    environment = MappingProxyType(
        {"ARCHFLAGS": "-arch arm64", "MACOSX_DEPLOYMENT_TARGET": version}
    )
    platform_tag = f"macosx_{version.replace('.', '_')}_arm64"
    swift_flags = ()
    extension_flags = ("-Wl,-rpath,@loader_path",)
    program_flags = ()
    program_libraries = ()

    def exports(self, names: Sequence[str]) -> tuple[str, str]:
        """
        As on Linux; the linker knows C's names with an underscore.
        """
        return "libkina.exports", "".join(f"_{name}\n" for name in names)

    def link_flags(self, exports: Path, glibc: tuple[int, ...]) -> list[str]:  # noqa: ARG002
        """
        As on Linux.
        """
        return ["-exported_symbols_list", str(exports), "-dead_strip", "-x"]

    def signing(self, program: Path, entitlements: Path) -> list[str] | None:
        """
        Of kina-vmd: macOS looks in a program's signature for the right to make virtual machines.

        Signed by nobody ("-"), which is enough: the entitlement is one that every program may
        claim.
        """
        if program.name != "kina-vmd":
            return None
        claim = ["--force", "--sign", "-", "--entitlements", str(entitlements)]
        return ["codesign", *claim, str(program)]


def system(platform: str, machine: str) -> Linux:
    """
    Return the system to build for.

    Args:
        platform: As `sys.platform`.
        machine: As `platform.machine()`.

    Raises:
        ValueError: kina does not run there.
    """
    if platform == "linux":
        return Linux()
    if platform == "darwin" and machine == "arm64":
        return MacOS()
    raise ValueError(
        f"kina runs on Linux and on Macs with Apple silicon, not on {platform} ({machine})"
    )
