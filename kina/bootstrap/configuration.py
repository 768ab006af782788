"""
Configuration: kubeadm's on a node, and containerd's where it is patched.
"""

from __future__ import annotations

from typing import Final

from kina.bootstrap import shipped
from kina.bootstrap._action import Action, Context, Planned, on
from kina.bootstrap.kubeadm import document
from kina.node import put
from kina.node import run as in_node

__all__ = ["CONFIGURATION", "FILE", "configure"]

FILE: Final = "/kind/kubeadm.conf"
"""Where nodes of kind's images look for it when they boot."""


def run(context: Context) -> None:
    """
    Write the control plane's.
    """
    configure(context, context.control_plane, "configuration")


def configure(context: Context, planned: Planned, action: str) -> None:
    """
    Write a node's.
    """
    node, call = planned.there, context.call
    with on(planned, action):
        text = document(context.name, context.config, planned.config, planned.known, context.token)
        put(node, FILE, text, call)
        patches = context.config.containerd_config_patches
        if patches:
            put(node, "/etc/containerd/config.toml", shipped.patched(planned.containerd, patches),
                call)  # fmt: skip
            in_node(node, ["systemctl", "restart", "containerd"], call)


CONFIGURATION: Final = Action("configuration", "Writing the configuration", run)
