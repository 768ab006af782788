"""
DNS: the cluster's names, where the image brings something else than kubeadm installs.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from kina.apply import documents
from kina.bootstrap._action import Action, Context, on
from kina.bootstrap.cni import apply_manifest

__all__ = ["DNS", "manifest"]

FILE: Final = "default-dns.yaml"


def manifest(context: Context) -> str | None:
    """
    Return what the image brings; None where kubeadm's own will do.
    """
    return context.control_plane.manifests.get(FILE)


def run(context: Context) -> None:
    """
    Apply it, with the Service's address filled in.
    """
    text = manifest(context)
    assert text is not None
    services = ipaddress.IPv4Network(context.config.networking.service_subnet)
    text = text.replace("{{.ClusterDNS}}", str(services[10]))  # kubeadm's choice
    with on(context.control_plane, "dns"):
        apply_manifest(context, documents(text))


DNS: Final = Action(
    "dns",
    "Installing the cluster's DNS",
    run,
    lambda context: not context.joining and manifest(context) is not None,
)
