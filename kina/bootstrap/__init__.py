"""
Bringing a cluster up: the actions, in their order. Those of a tuple run at once.
"""

from __future__ import annotations

from typing import Final

from kina.bootstrap._action import Action, Context, Planned, Step, run_actions
from kina.bootstrap.cni import CNI
from kina.bootstrap.configuration import CONFIGURATION
from kina.bootstrap.dns import DNS
from kina.bootstrap.image import IMAGE
from kina.bootstrap.init import INIT
from kina.bootstrap.join import JOIN
from kina.bootstrap.kubeconfigs import KUBECONFIG
from kina.bootstrap.network import NETWORK
from kina.bootstrap.nodes import NODES
from kina.bootstrap.preflight import PREFLIGHT
from kina.bootstrap.ready import READY
from kina.bootstrap.storage import STORAGE
from kina.bootstrap.workers import WORKERS

__all__ = ["CREATE", "JOIN_NODES", "Action", "Context", "Planned", "Step", "run_actions"]

CREATE: Final[tuple[Step, ...]] = (
    PREFLIGHT,
    IMAGE,
    NETWORK,
    NODES,
    CONFIGURATION,
    (INIT, WORKERS),
    (CNI, STORAGE, DNS, JOIN),
    READY,
    KUBECONFIG,
)
"""A new cluster."""

JOIN_NODES: Final[tuple[Step, ...]] = (PREFLIGHT, IMAGE, WORKERS, JOIN, READY)
"""Further nodes of a cluster that runs."""
