from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support.leaks import Host, Snapshot, assert_nothing_leaked


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    What $KUBECONFIG names meanwhile, here and in the programs that tests start.
    """
    path = tmp_path_factory.mktemp("kubeconfig") / "config"
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(path)
    yield path
    if before is None:
        del os.environ["KUBECONFIG"]
    else:
        os.environ["KUBECONFIG"] = before


@pytest.fixture(scope="session")
def node_image(runtime: Runtime, kubeconfig: Path) -> str:
    """
    An image of a node: from the archive that KINA_TEST_NODE_IMAGE names, else built, which takes
    minutes the first time.
    """
    archive = os.environ.get("KINA_TEST_NODE_IMAGE")
    if archive:
        (loaded,) = kina.Image.load(archive, reference="localhost/kina/node:test")
        return loaded.reference
    return kina.build_node_image(progress=False).reference


@pytest.fixture(scope="session")
def shop_image(runtime: Runtime, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """
    An image of a small web server, which nodes do not have.
    """
    tree = tmp_path_factory.mktemp("shop") / "tree"
    shutil.copytree(rootfs, tree, symlinks=True)
    (tree / "www").mkdir()
    reference = "localhost/shop:test"
    kina.Image.from_rootfs(tree, reference, command=["sh"], env={"PATH": "/bin"})
    return reference


@pytest.fixture(scope="module")
def cluster(node_image: str, shop_image: str, host: Host) -> Iterator[kina.Cluster]:
    """
    A cluster with a worker, shared by a module. Tests leave it as they found it.
    """
    before = Snapshot.take(host, rules=True)
    with kina.Cluster.create("shared", workers=1, image=node_image, progress=False) as made:
        yield made
    assert_nothing_leaked(host, before, rules=True)


@pytest.fixture
def leaves_nothing(node_image: str, host: Host) -> Iterator[None]:
    """
    Compares the host before and after a test.
    """
    before = Snapshot.take(host, rules=True)
    yield
    assert_nothing_leaked(host, before, rules=True)
