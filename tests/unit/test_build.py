"""
What the build does on each system; that of the one at hand is really run by tests/packaging.
"""

import plistlib
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = runpy.run_path(str(ROOT / "bindings/systems.py"))
NAMES = ["kina_abi_version", "kina_runtime_open"]


def test_each_system_has_its_own_files() -> None:
    linux, mac = SYSTEMS["Linux"](), SYSTEMS["MacOS"]()

    assert (linux.library, linux.machines) == ("libkina.so", "libkina-vm.so")
    assert (mac.library, mac.machines) == ("libkina.dylib", "libkina-vm.dylib")
    assert (linux.programs, mac.programs) == (("kina-exit", "kina-vmd"), ("kina-vmd",))
    assert (linux.needs_machines, mac.needs_machines) == (False, True)


@pytest.mark.parametrize(
    ("platform", "machine", "name"),
    [("linux", "x86_64", "Linux"), ("linux", "aarch64", "Linux"), ("darwin", "arm64", "MacOS")],
)
def test_the_system_is_known_by_what_python_says(platform: str, machine: str, name: str) -> None:
    assert type(SYSTEMS["system"](platform, machine)).__name__ == name


@pytest.mark.parametrize(("platform", "machine"), [("darwin", "x86_64"), ("win32", "AMD64")])
def test_other_systems_are_refused_by_name(platform: str, machine: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"not on {platform} ({machine})")):
        SYSTEMS["system"](platform, machine)


def test_the_wheel_of_a_mac_is_for_its_system_and_not_for_pythons() -> None:
    mac = SYSTEMS["MacOS"]()
    manifest = (ROOT / "swift/Package.swift").read_text(encoding="utf-8")
    (supported,) = re.findall(r"\.macOS\(\.v(\d+)\)", manifest)

    assert f"macosx_{supported}_0_arm64" == mac.platform_tag
    assert {
        "ARCHFLAGS": "-arch arm64",
        "MACOSX_DEPLOYMENT_TARGET": f"{supported}.0",
    } == mac.environment


def test_linkers_are_told_what_libkina_exports(tmp_path: Path) -> None:
    linux, mac = SYSTEMS["Linux"](), SYSTEMS["MacOS"]()
    script = tmp_path / "exports"

    assert linux.exports(NAMES) == (
        "libkina.map",
        "{ global: kina_abi_version; kina_runtime_open; local: *; };\n",
    )
    assert mac.exports(NAMES) == (
        "libkina.exports",
        "_kina_abi_version\n_kina_runtime_open\n",
    )
    assert f"--version-script={script}" in linux.link_flags(script, (2, 36))
    assert "pack-relative-relocs" in linux.link_flags(script, (2, 36))
    assert "pack-relative-relocs" not in linux.link_flags(script, (2, 35))
    flags = mac.link_flags(script, (0,))
    assert flags[flags.index("-exported_symbols_list") + 1] == str(script)


def test_what_makes_virtual_machines_on_a_mac_is_signed_with_that_right(tmp_path: Path) -> None:
    linux, mac = SYSTEMS["Linux"](), SYSTEMS["MacOS"]()
    entitlements = ROOT / "swift/kina-vmd.entitlements"
    program = tmp_path / "kina-vmd"

    command = mac.signing(program, entitlements)

    assert command == [
        *("codesign", "--force", "--sign", "-"),
        *("--entitlements", str(entitlements), str(program)),
    ]
    assert mac.signing(tmp_path / "another", entitlements) is None
    assert linux.signing(program, entitlements) is None
    assert plistlib.loads(entitlements.read_bytes()) == {"com.apple.security.virtualization": True}


# -- The sources that a Mac compiles, which no machine here does -----------------------------------

SOURCES = ROOT / "swift/Sources"
LINUX_ONLY = {"KinaOCI", "CKinaLinux", "kina-exit"}
SHARED = [
    path
    for path in sorted(SOURCES.rglob("*.swift"))
    if path.relative_to(SOURCES).parts[0] not in LINUX_ONLY and "+" not in path.name
]
# What Linux has and macOS has not, or spells in another way.
FOREIGN = re.compile(
    r"import CKinaLinux|import KinaOCI|kina_linux_|\bGlibc\.|\bst_[amc]tim\b|/proc/|/run/kina"
    r"|\b(pipe2|accept4|ppoll|memfd_create|eventfd|sigtimedwait|prctl|getrandom|pthread_create)\("
    r"|\bSOCK_CLOEXEC\b|\bMSG_CMSG_CLOEXEC\b|\bSO_PEERCRED\b"
)


def test_what_both_systems_compile_has_nothing_that_one_of_them_lacks() -> None:
    found = [
        f"{path.relative_to(SOURCES)}:{number}: {line.strip()}"
        for path in SHARED
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN.search(line.split("//", 1)[0])
    ]

    assert found == []
    assert len(SHARED) > 60


def test_what_differs_between_the_systems_is_there_for_both() -> None:
    files = {
        system: {str(path).replace(f"+{system}", "") for path in SOURCES.rglob(f"*+{system}.swift")}
        for system in ("Linux", "macOS")
    }

    # kqueue is a type of its own, which several of macOS' files use; vmnet's networks are apart.
    alone = {Path(path).name for path in files["macOS"] ^ files["Linux"]}
    assert alone == {"Queue.swift", "Fence.swift"}
    for system in files:
        for path in SOURCES.rglob(f"*+{system}.swift"):
            assert re.match(rf"#if (\w+ && )?os\({system}\)\n", path.read_text(encoding="utf-8"))


def test_json_comes_from_what_each_system_has() -> None:
    for path in [*SHARED, *(ROOT / "swift/Tests/KinaCoreTests").glob("*.swift")]:
        text = path.read_text(encoding="utf-8")
        if "import FoundationEssentials" in text:
            assert "#if canImport(FoundationEssentials)" in text, path


SWIFT = shutil.which("swiftc") or shutil.which("swiftc", path="/opt/swift/usr/bin")


@pytest.mark.skipif(SWIFT is None, reason="needs the Swift toolchain")
def test_macos_files_are_swift_where_macos_is_the_target() -> None:
    assert SWIFT is not None
    files = sorted(SOURCES.rglob("*+macOS.swift"))

    parsing = [SWIFT, "-frontend", "-parse", "-target", "arm64-apple-macosx26.0"]
    done = subprocess.run(
        [*parsing, "-D", "Containerization", *map(str, files)], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
