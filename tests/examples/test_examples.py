"""
The examples, the demo and the README's code, as a reader runs them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import kina
from support.images import make_rootfs

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
IMAGE = "localhost/example:1"
BUILDS = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """
    A state of its own with a small image in it; whatever an example leaves there is a failure.
    """
    home = tmp_path_factory.mktemp("examples")
    with kina.connect(home=home / "kina") as runtime:
        rootfs = make_rootfs(home / "rootfs")
        image = kina.Image.from_rootfs(rootfs, IMAGE, runtime=runtime)
        yield {**os.environ, "KINA_HOME": str(home / "kina"), "KINA_EXAMPLE_IMAGE": IMAGE}
        left = kina.Container.list(runtime=runtime)
        for container in left:
            container.delete(force=True)
        image.delete(force=True)
        kina.prune(images=True, volumes=True, runtime=runtime)
    assert left == []


def run(*command: object, env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        cwd=cwd,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("hello.py", r"hello from hello and exit code 3"),
        ("names.py", r"customer got fresh bread from baker at \d+\.\d+\.\d+\.\d+"),
        ("measure.py", r"10 samples; 0\.\d+ CPUs, [\d,]+ bytes"),
    ],
)
def test_an_example_says_what_it_promises(
    script: str, says: str, environment: dict[str, str], tmp_path: Path
) -> None:
    said = run(sys.executable, EXAMPLES / script, IMAGE, env=environment, cwd=tmp_path)

    assert re.search(says, said)


def test_every_example_is_tested() -> None:
    # The demo ends with cluster.py.
    scripts = {"hello.py", "names.py", "measure.py", "demo.py", "cluster.py"}
    tested = scripts | {"tour.ipynb", "cluster.ipynb"}

    assert tested == {path.name for path in EXAMPLES.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        "tour.ipynb",
        # It may have to build its nodes' image.
        pytest.param("cluster.ipynb", marks=[pytest.mark.slow, BUILDS]),
    ],
)
def test_a_notebook_runs_from_top_to_bottom(
    name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    shutil.copy(EXAMPLES / name, tmp_path)
    # Jupyter's own files, away from the user's. Builds are where they always are.
    own = environment | {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path)}

    jupyter = Path(sys.executable).with_name("jupyter")
    run(jupyter, "execute", "--inplace", "--timeout=1800", name, env=own, cwd=tmp_path)

    # Without widgets there is no advice to install them, but progress all the same.
    assert "ipywidgets" not in (tmp_path / name).read_text()
    notebook = nbformat.read(tmp_path / name, as_version=4)
    shown = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result"
    ]
    assert any("text/html" in data for data in shown)


@pytest.mark.slow
@BUILDS
def test_the_demo_shows_everything_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    said = run(sys.executable, EXAMPLES / "demo.py", env=environment, cwd=tmp_path)

    assert "hello from brief" in said
    assert "another Python sees: " in said
    assert len(re.findall(r":30080 answers: shop-", said)) == 2
    assert len(re.findall(r"\d+\.\d+\.\d+\.\d+ on example-\S+ answers: shop-", said)) == 2
    assert said.rstrip().endswith("nothing is left of it.")


def test_the_readme_quick_start_is_true(environment: dict[str, str], tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"^## Quick start\n.*?^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert code is not None

    said = run(sys.executable, "-c", code[1], env=environment, cwd=tmp_path)

    assert "hello" in said
    assert said.splitlines()[-1] == "3"
