"""
The package itself: what it exports, what an import loads, which module may import which.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kina

PACKAGE = Path(kina.__file__).parent
# Each module's layer, lowest first (DESIGN §2): it imports from its own and from lower ones.
LAYERS = [
    {"errors"},
    {"calls", "_quantities", "_spoken"},
    {"_fields"},
    {"config", "_parsing", "notebook"},
    {"status"},
    {"requests", "wire", "_figures", "_packing"},
    {"_ffi"},
    {"runtimes"},
    {"clusterconfig", "clusteryaml", "_together", "kubeconfig", "client"},
    {"discovery"},
    {"apply", "waiting"},
    {"options", "_objects", "_streams", "_archives", "progress", "stats"},
    {"process", "_copying", "_logs"},
    {"_container_io"},
    {"container", "image", "network", "volume", "system"},
    {"pod"},
    {"node", "nodeimage"},
    {"loading", "logfiles", "bootstrap"},
    {"_clusterstate", "_clusterplan"},
    {"_clusterapi"},
    {"cluster"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def run(code: str) -> str:
    """
    Run code in an interpreter of its own.
    """
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout


def imports(path: Path) -> set[str]:
    """
    Return kina's modules that a module imports when it runs, by their top name.
    """
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kina":
            rest = (node.module or "").split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                [*alias.name.split("."), ""][1]
                for alias in node.names
                if alias.name.split(".")[0] == "kina"
            }
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_dependencies_point_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    higher = {name for name in imports(path) if RANK[name] > RANK[own]}
    assert set() == higher


def test_only_the_native_runtime_imports_the_bindings_and_only_they_the_extension() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if "_ffi" in imports(path) and "_ffi" not in path.parts
    }
    assert {"runtimes/native.py"} == users
    named = {path.parent.name for path in MODULES if "kina._kina" in path.read_text()}
    assert {"_ffi"} == named


def test_exports_are_sorted_and_there() -> None:
    assert sorted(kina.__all__) == kina.__all__
    for name in kina.__all__:
        assert getattr(kina, name) is not None
        assert name in dir(kina)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kina.nothing  # noqa: B018


def test_type_checkers_see_the_same_exports() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert {(module, name) for name, module in kina._HOME.items()} == seen


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_imports_by_itself_and_exports_what_it_says(path: Path) -> None:
    name = ".".join(("kina", *path.relative_to(PACKAGE).with_suffix("").parts))
    name = name.removesuffix(".__init__")
    module = __import__(name, fromlist=["x"])
    for exported in module.__all__:
        assert hasattr(module, exported), exported


def test_an_import_loads_nothing_heavy_and_starts_nothing() -> None:
    code = """
import json, sys, threading, signal
before, handlers = set(sys.modules), [signal.getsignal(s) for s in signal.valid_signals()]
import kina
new = sorted(set(sys.modules) - before)
assert handlers == [signal.getsignal(s) for s in signal.valid_signals()]
assert threading.active_count() == 1
print(json.dumps(new))
"""
    loaded = json.loads(run(code))
    assert [name for name in loaded if name.split(".")[0] == "kina"] == ["kina"]
    heavy = {
        "attrs",
        "attr",
        "cattrs",
        "numpy",
        "rich",
        "kubernetes",
        "docker",
        "cffi",
        "_cffi_backend",
    }
    assert set() == heavy & {name.split(".")[0] for name in loaded}


def test_using_containers_loads_neither_numpy_nor_rich() -> None:
    loaded = json.loads(
        run("import json, sys, kina; kina.Container; print(json.dumps(list(sys.modules)))")
    )
    assert set() == {"numpy", "rich", "docker", "kubernetes"} & set(loaded)


@pytest.mark.parametrize("name", ["Container", "Image", "Network", "Volume", "Process"])
def test_objects_are_made_by_class_methods_only(name: str) -> None:
    with pytest.raises(TypeError, match=r"use .*kina\."):
        getattr(kina, name)()
