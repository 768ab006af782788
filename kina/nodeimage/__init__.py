"""
Building node images: Debian's parts and Kubernetes, in the form of `kindest/node`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kina._objects import chosen
from kina.errors import PermissionDeniedError, UnsupportedError
from kina.progress import Reporter, with_progress
from kina.runtimes import Runtime

if TYPE_CHECKING:
    from kina.image import Image

__all__ = ["build_node_image"]


def build_node_image(
    source: str | os.PathLike[str] = "debian",
    *,
    reference: str | None = None,
    kubernetes_version: str | None = None,
    progress: Reporter = True,
    cache_dir: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    runtime: Runtime | None = None,
) -> Image:
    """
    Build an image that nodes of a cluster run, with all that they need: no registry is asked.

    The image keeps the contract of `kindest/node`, so that kind can use it too. The first build
    from Debian's source compiles Kubernetes, which takes minutes; the same inputs are then built
    already, and a change of some builds what depends on them.

    ```python
    image = kina.build_node_image()
    ```

    Args:
        source: "debian": everything from Debian's packages, Kubernetes compiled from its source
            package; or a release's kubernetes-server-linux-*.tar.gz; or a directory with
            Kubernetes' programs (an etcd among them replaces Debian's).
        reference: What the image is called; by default its name has the version.
        kubernetes_version: What the source must have, such as "1.20.2".
        progress: True shows the steps and their times; False is silent; or a function that is
            called with each event.
        cache_dir: Where results are kept; kina/nodeimage in $XDG_CACHE_HOME, ~/.cache or, for root,
            /var/cache when None.
        timeout: Seconds that it may take. What was finished until then is kept.
        runtime: Where the image goes; the one in use when None.

    Raises:
        PermissionDeniedError: Building needs root.
        UnavailableError: A program that builds is not installed, or the host has no Debian mirror.
        InvalidArgumentError: The source has no Kubernetes, or another version.
        UnsupportedError: This is not Linux, or Debian's parts are too old for the version.
        ExecError: A step failed; the error has the end of its output.
        DeadlineExceededError: It took longer than allowed.
    """
    from kina.nodeimage.builder import Builder
    from kina.nodeimage.cache import Cache, default_directory

    if sys.platform != "linux":
        raise UnsupportedError(
            "node images are built on Linux only",
            hint="build it there and load the archive (kina.Image.load), or pull a kindest/node",
        )
    if os.geteuid() != 0:
        raise PermissionDeniedError("building a node image needs root")
    place = default_directory() if cache_dir is None else Path(cache_dir).absolute()
    where = chosen(runtime)
    given = source if source == "debian" else Path(source).absolute()
    return with_progress(
        lambda call: Builder(given, kubernetes_version, Cache(place), where, call).build(reference),
        "node image",
        progress,
        timeout,
    )
