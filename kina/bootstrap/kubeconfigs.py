"""
Kubeconfig: kina's own file of the cluster, and the entries in the user's.
"""

from __future__ import annotations

from typing import Final

from kina import kubeconfig
from kina.bootstrap._action import Action, Context
from kina.client import write_private

__all__ = ["FILE", "KUBECONFIG"]

FILE: Final = "kubeconfig"
"""Its name in the cluster's directory. It is the last thing made: a cluster with one is whole."""


def run(context: Context) -> None:
    """
    Write both.
    """
    import yaml

    if context.merge:
        kubeconfig.merge(context.admin, context.kubeconfig)
    text = yaml.safe_dump(context.admin, sort_keys=False)
    write_private(context.directory / FILE, text.encode())


KUBECONFIG: Final = Action("kubeconfig", "Writing the kubeconfig", run)
