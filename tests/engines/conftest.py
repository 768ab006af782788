from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import kina
from kina.runtimes import Runtime
from support.engines import Engine, engine
from support.far import Far, far_engine


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """
    An engine of this module's.
    """
    with engine("docker", tmp_path_factory.mktemp("docker") / "engine") as running:
        yield running


@pytest.fixture
def docker(dockerd: Engine, runtime: Runtime) -> Iterator[Runtime]:
    """
    Docker mode beside the native runtime, which stays the one in use.
    """
    opened = kina.connect("docker", url=dockerd.url)
    native = kina.connect("native", home=runtime.info().home)
    yield opened
    for box in kina.Container.list(runtime=opened):
        box.delete(force=True)
    native.close()
    opened.close()


@pytest.fixture
def there(docker: Runtime, rootfs: Path) -> str:
    """
    A small image on the engine.
    """
    reference = "localhost/kina/small:test"
    kina.Image.from_rootfs(rootfs, reference, command=["sh"], env={"PATH": "/bin"}, runtime=docker)
    return reference


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """
    An engine on another machine, of this module's.
    """
    with far_engine(tmp_path_factory.mktemp("far") / "machine") as running:
        yield running
