"""
A container's figures, from the engine, in the memory layout of `kina_statistics_t`.
"""

from __future__ import annotations

import json
import select
import time
from contextlib import suppress
from typing import Any

from kina._figures import FIELDS, LAYOUT, Figure
from kina.calls import SLICE, Call
from kina.errors import InvalidStateError, KinaError, NotFoundError
from kina.runtimes.docker._cgroups import figures_of
from kina.runtimes.docker._connection import path
from kina.runtimes.docker._engine import Engine, check
from kina.runtimes.docker._host import is_visible
from kina.runtimes.docker._status import state_of

__all__ = ["fill"]


def fill(
    engine: Engine, document: Any, interval_ns: int, buffer: Any, capacity: int, call: Call
) -> int:
    """
    Take samples until the buffer is full, or the container or the call ends.
    """
    name = document["Name"].lstrip("/")
    stopped = InvalidStateError(f"container {name!r} is not running", hint="start it")
    if state_of(document) not in ("running", "paused"):
        raise stopped
    view, due = memoryview(buffer).cast("B"), time.monotonic_ns()
    for taken in range(capacity):
        _sleep_until(due, call)
        try:
            packed = _sample(engine, document)
        except (NotFoundError, InvalidStateError):
            packed = None
        if packed is None:
            if taken == 0:
                raise stopped
            return taken
        view[taken * LAYOUT.size : (taken + 1) * LAYOUT.size] = packed
        due += interval_ns
    return capacity


def _sleep_until(due: int, call: Call) -> None:
    while (left := (due - time.monotonic_ns()) / 1e9) > 0:
        check(call)
        select.select([], [], [], min(left, SLICE))
    check(call)


def _sample(engine: Engine, document: Any) -> bytes | None:
    if is_visible(engine, document) and (found := figures_of(document)) is not None:
        values = (found[0].get(name, 0) for name, _ in FIELDS)
        return LAYOUT.pack(LAYOUT.size, 1, int(found[1]), time.monotonic_ns(), *values)
    return _asked(engine, document)


def _asked(engine: Engine, document: Any) -> bytes | None:
    """
    Take the engine's own figures.
    """
    target = engine.target(path("containers", document["Id"], "stats"))
    with engine.exchange(Call(60)) as exchange:
        exchange.ask("GET", target, query={"stream": "false", "one-shot": "true"})
        text = exchange.text("the figures")
    if not text.strip():
        return None  # it ended meanwhile
    found = json.loads(text)
    now = time.monotonic_ns()
    host = document["HostConfig"]
    figures: dict[str, int] = {}
    valid = Figure(0)
    usage = (found.get("cpu_stats") or {}).get("cpu_usage") or {}
    if not usage.get("total_usage") and not (found.get("pids_stats") or {}).get("current"):
        return None  # what does not run has empty figures
    valid |= Figure.CPU | Figure.CPU_MODES
    figures["cpu_ns"] = usage.get("total_usage", 0)
    figures["cpu_user_ns"] = usage.get("usage_in_usermode", 0)
    figures["cpu_system_ns"] = usage.get("usage_in_kernelmode", 0)
    memory = found.get("memory_stats") or {}
    if "usage" in memory:
        valid |= Figure.MEMORY
        parts = memory.get("stats") or {}
        dropped = parts.get("total_inactive_file", parts.get("inactive_file", 0))
        figures["memory_bytes"] = memory["usage"]
        figures["memory_working_set_bytes"] = max(0, memory["usage"] - dropped)
    _limits(engine, document["Id"], figures)
    valid |= Figure.MEMORY_LIMIT if figures.get("memory_limit_bytes") else Figure(0)
    valid |= Figure.PIDS_LIMIT if figures.get("pids_limit") else Figure(0)
    if (pids := (found.get("pids_stats") or {}).get("current")) is not None:
        valid |= Figure.PIDS
        figures["pids"] = pids
    # Podman 4.3 says that there were no packets.
    links = None if engine.podman else found.get("networks")
    if links and host.get("NetworkMode") not in ("host", "none"):
        valid |= Figure.NETWORK
        for name in ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"):
            figures[f"network_{name}"] = sum(link.get(name, 0) for link in links.values())
    blocks = (found.get("blkio_stats") or {}).get("io_service_bytes_recursive")
    if blocks is not None:
        valid |= Figure.BLOCK_IO
        for word in ("read", "write"):
            figures[f"block_{word}_bytes"] = sum(
                each["value"] for each in blocks if each["op"].lower() == word
            )
    values = (figures.get(name, 0) for name, _ in FIELDS)
    return LAYOUT.pack(LAYOUT.size, 1, int(valid), now, *values)


def _limits(engine: Engine, identifier: str, figures: dict[str, int]) -> None:
    # What the figures call a limit is the host's memory where there is none.
    with suppress(KinaError), engine.asking() as client:
        host = client.inspect_container(identifier)["HostConfig"]
        figures["memory_limit_bytes"] = host.get("Memory") or 0
        figures["pids_limit"] = max(0, host.get("PidsLimit") or 0)
