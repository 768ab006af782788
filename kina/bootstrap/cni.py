"""
CNI: the pods' network that the image brings.
"""

from __future__ import annotations

from typing import Any, Final

from kina.apply import Document, documents
from kina.apply import apply as apply_all
from kina.bootstrap._action import Action, Context, on
from kina.bootstrap.kubeadm import ENDPOINT, PORT
from kina.calls import Call

__all__ = ["CNI", "apply_manifest"]

FILE: Final = "default-cni.yaml"


def wanted(context: Context) -> bool:
    """
    Say whether the image's is to be used.
    """
    disabled = context.config.networking.disable_default_cni
    return not disabled and not context.joining


def run(context: Context) -> None:
    """
    Apply it, filled in as it asks to be.
    """
    text = context.control_plane.manifests.get(FILE)
    if text is None:
        return
    if "would you kindly template this file" in text:
        text = text.replace("{{.PodSubnet}}", context.config.networking.pod_subnet)
        text = text.replace("{{ .PodSubnet }}", context.config.networking.pod_subnet)
    listed = documents(text)
    if "would you kindly patch this file" in text:
        for document in listed:
            _point_to_control_plane(document)
    with on(context.control_plane, "cni"):
        apply_manifest(context, listed)


def _point_to_control_plane(document: Document) -> None:
    """
    Tell kindnet where the API is before there is a proxy for Services.
    """
    if document.kind != "DaemonSet":
        return
    for container in document.content["spec"]["template"]["spec"]["containers"]:
        env: list[dict[str, Any]] = container.setdefault("env", [])
        env.append({"name": "CONTROL_PLANE_ENDPOINT", "value": f"{ENDPOINT}:{PORT}"})


def apply_manifest(context: Context, listed: list[Document]) -> None:
    """
    Apply objects of the image.
    """
    left = context.call.remaining
    limit = Call(60 if left is None else min(60, left))
    with context.call.cancelling(limit.cancel):
        apply_all(context.api, listed, limit)


CNI: Final = Action("cni", "Installing the pods' network", run, wanted)
