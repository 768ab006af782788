"""
What `Cluster.create` is told, as one configuration; the nodes' names.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from kina._fields import Problems
from kina._parsing import parse_mounts, parse_ports
from kina.bootstrap import Planned
from kina.clusterconfig import ClusterConfig, ConfigLike, check_name
from kina.config import Mount, Port

__all__ = ["free_name", "new_token", "planned_of", "wanted_of"]


def wanted_of(
    name: str | None,
    workers: int,
    config: ConfigLike | None,
    ports: Any,
    mounts: Iterable[Mount | str],
) -> tuple[str, ClusterConfig]:
    """
    Make one configuration of what `create` is told, or say all that is wrong.
    """
    problems = Problems()
    wanted = ClusterConfig()
    with problems.at("config" if isinstance(config, Mapping) else ""):
        wanted = ClusterConfig() if config is None else ClusterConfig.read(config)
    chosen_name = name if name is not None else wanted.name or "kina"
    with problems.at("name"):
        check_name(chosen_name)
    with problems.at(""):
        wanted = wanted.with_workers(workers)
    published: tuple[Port, ...] = ()
    shared: tuple[Mount, ...] = ()
    with problems.at("ports"):
        published = parse_ports(ports)
    with problems.at("mounts"):
        shared = parse_mounts(mounts)
    problems.raise_any()
    nodes = [
        attrs.evolve(
            node,
            extra_mounts=(*node.extra_mounts, *shared),
            extra_port_mappings=(
                *node.extra_port_mappings,
                *(published if node.role == "control-plane" else ()),
            ),
        )
        for node in wanted.nodes
    ]
    return chosen_name, attrs.evolve(wanted, name=chosen_name, nodes=nodes)


def planned_of(name: str, config: ClusterConfig) -> list[Planned]:
    """
    Name the nodes as kind does.
    """
    planned: list[Planned] = []
    workers = 0
    for node in sorted(config.nodes, key=lambda node: node.role == "worker"):
        if node.role == "control-plane":
            planned.append(Planned(name=f"{name}-control-plane", config=node))
        else:
            workers += 1
            planned.append(Planned(name=_worker_name(name, workers), config=node))
    return planned


def _worker_name(cluster: str, number: int) -> str:
    return f"{cluster}-worker{number if number > 1 else ''}"


def free_name(cluster: str, taken: Collection[str]) -> str:
    """
    Name a further worker.
    """
    number = 1
    while (name := _worker_name(cluster, number)) in taken:
        number += 1
    return name


def new_token() -> str:
    """
    Make a bootstrap token.
    """
    return f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"
