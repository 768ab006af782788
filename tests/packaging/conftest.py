"""
The wheel and the sdist, built once a session as a user builds them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{module} {arguments}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def checkout() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def header_functions() -> set[str]:
    """
    The functions that kina.h declares, read without the build's own parser.
    """
    text = (ROOT / "swift/Sources/CKina/include/kina.h").read_text(encoding="utf-8")
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return {match[1] for match in re.finditer(r"(kina_\w+)\s*\([^)]*\)\s*;", code)}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    `pip wheel .` in the checkout, in pip's isolated environment.
    """
    target = tmp_path_factory.mktemp("wheel")
    build("pip", "wheel", "--no-deps", "-w", str(target), str(ROOT))
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="session")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The wheel's files.
    """
    target = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sdist")
    build("build", "--sdist", "--outdir", str(target), str(ROOT))
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="session")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """
    An environment without Swift, without this checkout's virtual environment, with a state of its
    own.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    home = tmp_path_factory.mktemp("home")
    return {
        **kept,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "KINA_HOME": str(home / "kina"),
    }
