"""
Network: one of the cluster's own, on which kina gives each node an address that stays.

It is the first thing made and the last deleted: while it is there, so is the cluster.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from kina import wire
from kina.bootstrap._action import Action, Context
from kina.config import NetworkSpec
from kina.errors import AlreadyExistsError, InvalidArgumentError
from kina.node import Labels

__all__ = ["NETWORK", "network_name"]


def network_name(cluster: str) -> str:
    """
    Return what a cluster's network is called.
    """
    return f"kina-{cluster}"


def run(context: Context) -> None:
    """
    Create it.
    """
    labels = {Labels.CLUSTER: context.name, Labels.CONFIG: wire.to_json(context.config)}
    if context.merge and context.kubeconfig is not None:
        labels[Labels.KUBECONFIG] = str(context.kubeconfig)
    spec = NetworkSpec(name=network_name(context.name), labels=labels)
    try:
        made = context.runtime.networks.create(spec, context.call)
    except AlreadyExistsError:
        raise AlreadyExistsError(
            f"cluster {context.name!r} is there already",
            hint=f"use kina.Cluster.get({context.name!r}), or delete it first",
        ) from None
    context.network = made.name
    subnet = ipaddress.IPv4Network(made.subnet)
    networking = context.config.networking
    for field in ("pod_subnet", "service_subnet"):
        asked = getattr(networking, field)
        if subnet.overlaps(ipaddress.IPv4Network(asked)):
            reason = f"overlaps the nodes' network {made.subnet}"
            raise InvalidArgumentError.at(f"networking.{field}", asked, reason)


NETWORK: Final = Action("network", "Making the network", run)
