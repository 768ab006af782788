"""
The wheel where it is used: a clean environment, away from the checkout, without Swift.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1200)

WHERE = """
import json, sys
before = set(sys.modules)
import kina
lazy = sorted({"numpy", "rich", "docker", "kubernetes"} & (set(sys.modules) - before))
import kina._kina
print(json.dumps({
    "package": kina.__file__,
    "extension": kina._kina.__file__,
    "abi": kina._kina.lib.kina_abi_version(),
    "lazy": lazy,
    "mapped": [line.split()[-1] for line in open("/proc/self/maps") if "kina" in line],
}))
"""

CONTAINER = """
import sys, kina
image = kina.Image.from_rootfs(sys.argv[1], "localhost/packaging:1")
done = kina.run(image, ["/bin/sh", "-c", "echo hello from the wheel; exit 7"])
assert done.exit_code == 7, done
assert "hello from the wheel" in done.stdout, done
with kina.Container.run(image, ["/bin/sh", "-c", "sleep 600"], name="installed") as box:
    assert "installed" in [one.name for one in kina.Container.list()]
    assert "here" in box.exec(["/bin/sh", "-c", "echo here"]).stdout
assert kina.Container.list() == [], kina.Container.list()
kina.prune(images=True)
"""


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory, bare_environment: dict[str, str]
) -> Path:
    """
    A Python that has the wheel, and what it depends on, and nothing else.
    """
    environment = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", environment, env=bare_environment)
    python = environment / "bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel, env=bare_environment)
    return python


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        pytest.fail("needs Debian's busybox-static (scripts/setup installs it)")
    root = tmp_path / "rootfs"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "sleep", "echo"):
        (root / "bin" / name).symlink_to("busybox")
    return root


def test_everything_comes_from_the_wheel(
    installed: Path, tmp_path: Path, bare_environment: dict[str, str]
) -> None:
    assert shutil.which("swift", path=bare_environment["PATH"]) is None

    found = json.loads(run(installed, "-c", WHERE, cwd=tmp_path, env=bare_environment))

    site = str(installed.parent.parent)
    assert found["package"].startswith(site)
    assert found["extension"].startswith(site)
    assert {Path(path).name for path in found["mapped"]} >= {"libkina.so", "_kina.abi3.so"}
    assert all(path.startswith(site) for path in found["mapped"])
    assert found["abi"] // 1000 == 1
    assert found["lazy"] == []


@pytest.mark.root
def test_a_container_runs_with_the_installed_wheel(
    installed: Path, rootfs: Path, tmp_path: Path, bare_environment: dict[str, str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("containers need root")

    run(installed, "-c", CONTAINER, rootfs, cwd=tmp_path, env=bare_environment)


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()

    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path / "dist", source)

    assert [path.name for path in (tmp_path / "dist").iterdir()] == [wheel.name]


def test_the_editable_install_leaves_the_source_tree_clean(checkout: Path, tmp_path: Path) -> None:
    """
    `make build` made the environment that runs this test.
    """
    for place in (checkout, tmp_path):
        found = json.loads(run(sys.executable, "-c", WHERE, cwd=place))
        assert found["package"] == str(checkout / "kina/__init__.py")
        assert found["extension"] == str(checkout / "build/editable/kina/_kina.abi3.so")

    compiled = [
        path for path in (checkout / "kina").rglob("*") if path.suffix in {".so", ".o", ".dylib"}
    ]
    assert compiled == []
