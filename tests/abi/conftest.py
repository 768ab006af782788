from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.library import Library, library_path


@pytest.fixture(scope="session")
def library() -> Library:
    return Library(library_path())


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("abi-home")


@pytest.fixture(scope="module")
def opened(library: Library, home: Path) -> Iterator[Any]:
    """
    An open runtime's handle, with nothing in its home.
    """
    handle = library.open(home=str(home))
    yield handle
    library.lib.kina_runtime_release(handle)
