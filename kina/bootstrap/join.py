"""
Join: the workers, all at once.
"""

from __future__ import annotations

from typing import Final

from kina._together import each
from kina.bootstrap._action import Action, Context, Planned, on
from kina.bootstrap.configuration import FILE
from kina.bootstrap.kubeadm import DISCOVERY, discovery
from kina.bootstrap.supervision import journal_of, supervised
from kina.node import put
from kina.node import run as in_node

__all__ = ["JOIN"]


def run(context: Context) -> None:
    """
    Have kubeadm join each node that has not joined.
    """
    each(lambda planned: _join(context, planned), joining(context), context.call)


def joining(context: Context) -> list[Planned]:
    """
    Return the nodes that are to join.
    """
    return context.joining or context.workers


def _join(context: Context, planned: Planned) -> None:
    node, call = planned.there, context.call
    authority = context.admin["clusters"][0]["cluster"]["certificate-authority-data"]
    with on(planned, "join", journal_of(planned)):
        there = ["test", "-e", "/etc/kubernetes/kubelet.conf"]
        if in_node(node, there, call, check=False).exit_code == 0:
            return
        put(node, DISCOVERY, discovery(authority), call)
        supervised(planned, ["join", f"--config={FILE}", "--skip-phases=preflight"], call)


JOIN: Final = Action("join", "Joining the workers", run, lambda context: bool(joining(context)))
