"""
The native half of kina's build: libkina with SwiftPM, then the cffi extension over it.

Metadata is in pyproject.toml. Nothing here writes outside `build/` and setuptools' own output
directories: an editable install finds the compiled files under `build/editable` (see `Redirect`).
"""

from __future__ import annotations

import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import ExecError, PlatformError

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
HEADER = ROOT / "swift/Sources/CKina/include/kina.h"
ENTITLEMENTS = ROOT / "swift/kina-vmd.entitlements"
SWIFT = (6, 3)
SWIFT_HINT = (
    f"kina's core is written in Swift {SWIFT[0]}.{SWIFT[1]}: install that or a newer one from "
    "https://www.swift.org/install, with its usr/bin in PATH (or unpacked as /opt/swift); on a Mac "
    "an Xcode that has it will do"
)


def bindings(name: str) -> dict[str, Any]:
    """
    Load a file of bindings/, which is not on the path of an isolated build.
    """
    return runpy.run_path(str(ROOT / f"bindings/{name}.py"), run_name=f"bindings.{name}")


try:
    SYSTEM = bindings("systems")["system"](sys.platform, platform.machine())
except ValueError as error:
    sys.exit(f"error: {error}")
# Plain C, which SwiftPM would give Swift's runtime.
PROGRAMS = {
    name: sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(f"swift/Sources/{name}/*.c"))
    for name in SYSTEM.programs
}
# kina-vmd's other library needs Apple's Containerization: on Linux it is built when it is asked
# for, since that is fetched.
WITH_MACHINES = SYSTEM.needs_machines or os.environ.get("KINA_BUILD_VM") == "1"
os.environ.update(SYSTEM.environment)


# -- Swift ---------------------------------------------------------------------------------------


def find_swift() -> str:
    """
    Return a Swift toolchain that can build kina, or say how to get one.
    """
    swift = shutil.which("swift") or shutil.which("swift", path="/opt/swift/usr/bin")
    if swift is None:
        raise PlatformError(f"swift was not found. {SWIFT_HINT}")
    asked = subprocess.run([swift, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"Swift version (\d+)\.(\d+)", asked.stdout)
    if version is None or (int(version[1]), int(version[2])) < SWIFT:
        said = (asked.stdout + asked.stderr).strip()
        raise PlatformError(f"{swift} can't build kina ({said!r}). {SWIFT_HINT}")
    return swift


def glibc() -> tuple[int, ...]:
    """
    Return the version of the GNU C library, (0,) where there is another.
    """
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (OSError, ValueError):
        return (0,)
    return tuple(map(int, version.split("."))) if name == "glibc" else (0,)


def link_flags() -> list[str]:
    """
    Return the linker's flags that export the functions of kina.h and keep no more than they need.
    """
    cdef = re.sub(r"/\*.*?\*/", "", bindings("build_ffi")["read_cdef"](HEADER), flags=re.DOTALL)
    name, text = SYSTEM.exports(re.findall(r"\b(kina_\w+)\(", cdef))
    script = BUILD / name
    if not script.exists() or script.read_text(encoding="utf-8") != text:
        script.write_text(text, encoding="utf-8")
    return [word for flag in SYSTEM.link_flags(script, glibc()) for word in ("-Xlinker", flag)]


def build_swift() -> Path:
    """
    Build libkina and return its directory. SwiftPM rebuilds only what changed.
    """
    swift = find_swift()
    BUILD.mkdir(exist_ok=True)
    command = [swift, "build", "-c", "release", "--product", "kina", "-Xswiftc", "-Osize"]
    command += ["--package-path", str(ROOT / "swift"), "--scratch-path", str(BUILD / "swift")]
    # libkina itself has nothing of virtual machines: nothing is fetched for it.
    command.append("--disable-default-traits")
    command += [*SYSTEM.swift_flags, *link_flags()]
    # SwiftPM leaves directories in the temporary one.
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        try:
            subprocess.run(command, check=True, env={**os.environ, "TMPDIR": scratch})
        except subprocess.CalledProcessError as error:
            raise ExecError("building libkina failed; the compiler's messages are above") from error
    shown = subprocess.run(
        [*command, "--show-bin-path"], check=True, capture_output=True, text=True
    )
    return Path(shown.stdout.strip())


def build_machines() -> Path:
    """
    Build libkina-vm and return its path. SwiftPM fetches what it needs the first time.

    From a package of its own under build/ that shares the sources: SwiftPM writes what it resolved
    beside the manifest, and would from then on fetch that for libkina as well.
    """
    package = BUILD / "vm-package"
    package.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / "swift/Package.swift", package)
    for name in ("Sources", "Tests"):
        if not (package / name).is_symlink():
            (package / name).symlink_to(ROOT / "swift" / name)
    command = [find_swift(), "build", "-c", "release", "--product", "kina-vm"]
    command += ["--traits", "Containerization"]
    command += ["--package-path", str(package), "--scratch-path", str(BUILD / "swift-vm")]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise ExecError("building libkina-vm failed; the messages are above") from error
    shown = subprocess.run(
        [*command, "--show-bin-path"], check=True, capture_output=True, text=True
    )
    return Path(shown.stdout.strip()) / SYSTEM.machines


def sign(program: Path) -> None:
    """
    Give a program the right to make virtual machines, where that has to be given.
    """
    command = SYSTEM.signing(program, ENTITLEMENTS)
    if command is None:
        return
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ExecError(
            f"{program.name} could not be signed: {error}. codesign is part of Xcode's command "
            "line tools: xcode-select --install"
        ) from error


# -- setuptools ----------------------------------------------------------------------------------


class Build(build):
    """
    Builds into an empty directory: what an older build left would end up in the wheel.
    """

    def run(self) -> None:
        """
        Build everything.
        """
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildNative(build_ext):
    """
    Builds libkina, kina's own programs and the extension side by side in one directory.
    """

    def finalize_options(self) -> None:
        """
        Point an editable (or in-place) build away from the source tree.
        """
        super().finalize_options()
        if self.inplace or self.editable_mode:
            self.inplace = False
            self.build_lib = str(BUILD / "editable")

    def run(self) -> None:
        """
        Build Swift's products, then the extension that links with them.
        """
        products = build_swift()
        self.native = Path(self.build_lib, "kina")
        self.native.mkdir(parents=True, exist_ok=True)
        for library in [products / SYSTEM.library, *([build_machines()] if WITH_MACHINES else [])]:
            # Renamed into place: a process that has the old library mapped must keep it whole.
            shutil.copy2(library, self.native / f".{library.name}")
            (self.native / f".{library.name}").replace(self.native / library.name)
        source = Path(self.build_temp, "_kina.c")
        source.parent.mkdir(parents=True, exist_ok=True)
        make_ffi = bindings("build_ffi")["make_ffi"]
        make_ffi(str(HEADER.parent), str(products)).emit_c_code(str(source))
        (extension,) = self.extensions
        extension.sources = [str(source)]
        extension.library_dirs = [str(products)]
        super().run()

    def build_extensions(self) -> None:
        """
        Compile the extension and kina's own programs.
        """
        for linker in ("linker_so", "linker_exe"):
            # Some Pythons (pyenv's, conda's) add their own library directory to what they link.
            words = [word for word in getattr(self.compiler, linker) if "-rpath" not in word]
            setattr(self.compiler, linker, words)
        super().build_extensions()
        for name, sources in PROGRAMS.items():
            self.build_program(name, sources)

    def build_program(self, name: str, sources: list[str]) -> None:
        """
        Compile one of kina's own programs, which load libkina only when they need it.
        """
        objects = self.compiler.compile(
            sources, output_dir=self.build_temp, include_dirs=[str(HEADER.parent)]
        )
        self.compiler.link_executable(
            objects,
            name,
            output_dir=str(self.native),
            libraries=list(SYSTEM.program_libraries),
            extra_postargs=list(SYSTEM.program_flags),
        )
        sign(self.native / name)


class PlatformWheel(bdist_wheel):
    """
    Gives the wheel the tag of the systems on which its libraries really load.
    """

    def initialize_options(self) -> None:
        """
        Not the tag of the system that Python itself was built for.
        """
        super().initialize_options()
        self.plat_name = SYSTEM.platform_tag

    def run(self) -> None:
        """
        Build the wheel, then let auditwheel name it where nothing else does.
        """
        super().run()
        if SYSTEM.platform_tag:
            return
        built = Path(self.distribution.dist_files[-1][2])
        with tempfile.TemporaryDirectory() as repaired:
            # libkina is in the wheel itself and everything else is the system's: nothing to graft
            # or patch, which `--exclude` and `none` make sure of.
            command = [sys.executable, "-m", "auditwheel", "repair", "--plat", "auto"]
            command += ["--only-plat", "--patcher", "none", "--exclude", SYSTEM.library]
            command += ["-w", repaired, str(built)]
            subprocess.run(command, check=True)
            (tagged,) = Path(repaired).iterdir()
            built.unlink()
            shutil.move(tagged, built.parent / tagged.name)


FINDER = '''\
"""
Finds kina in its checkout: Python in the source tree, what was compiled under build/.

Written by kina's setup.py.
"""

import sys

SOURCE = {source!r}
NATIVE = {native!r}


class KinaFinder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "kina":
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(
            name, SOURCE + "/__init__.py", submodule_search_locations=[SOURCE, NATIVE]
        )


sys.meta_path.insert(0, KinaFinder)
'''


class Redirect:
    """
    An editable install that leaves the source tree clean.

    setuptools' own strategies copy extensions beside the sources or link every file. Here the
    package has two directories, so that edits of the sources count at once and the compiled files
    stay under build/. It comes before sys.path: in the checkout itself, `import kina` would
    otherwise find the bare sources.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __call__(self, wheel: Any, _files: list[str], _mapping: dict[str, str]) -> None:
        """
        Add the finder, and the line that starts it, to the wheel.
        """
        finder = FINDER.format(source=str(ROOT / "kina"), native=str(BUILD / "editable/kina"))
        wheel.writestr("_kina_editable.py", finder)
        wheel.writestr("_kina_editable.pth", "import _kina_editable\n")


class EditableWheel(editable_wheel):
    """
    Makes the wheel that `pip install --editable` installs.
    """

    def _select_strategy(self, *_arguments: object) -> Redirect:
        return Redirect()


setup(
    cmdclass={
        "bdist_wheel": PlatformWheel,
        "build": Build,
        "build_ext": BuildNative,
        "editable_wheel": EditableWheel,
    },
    ext_modules=[
        Extension(
            "kina._kina",
            sources=[],  # generated from kina.h by BuildNative
            include_dirs=[os.fspath(HEADER.parent)],
            libraries=["kina"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_link_args=list(SYSTEM.extension_flags),
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
