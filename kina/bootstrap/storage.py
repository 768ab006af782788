"""
Storage: the default StorageClass that the image brings.
"""

from __future__ import annotations

from typing import Final

from kina.apply import documents
from kina.bootstrap._action import Action, Context, on
from kina.bootstrap.cni import apply_manifest

__all__ = ["STORAGE"]

FILE: Final = "default-storage.yaml"


def run(context: Context) -> None:
    """
    Apply it.
    """
    text = context.control_plane.manifests.get(FILE)
    if text is not None:
        with on(context.control_plane, "storage"):
            apply_manifest(context, documents(text))


STORAGE: Final = Action(
    "storage", "Installing the storage class", run, lambda context: not context.joining
)
