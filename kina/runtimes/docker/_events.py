"""
An engine's events, as kina tells them.
"""

from __future__ import annotations

import time
from typing import Any, Final, cast

from kina import wire
from kina.calls import Call
from kina.requests import EventFilter
from kina.runtimes.docker._engine import Engine, check
from kina.runtimes.docker._logs import moment
from kina.runtimes.docker._names import OURS, SPEC
from kina.runtimes.docker._streams import write_all
from kina.status import Event, EventKind

__all__ = ["events"]

ACTIONS: Final[dict[str, dict[str, str]]] = {
    "container": {
        "create": "create",
        "start": "start",
        "die": "die",
        "died": "die",
        "destroy": "delete",
        "remove": "delete",
        "kill": "kill",
        "oom": "oom",
        "pause": "pause",
        "unpause": "resume",
        "update": "update",
    },
    "image": {
        "pull": "pull",
        "push": "push",
        "load": "load",
        "import": "import",
        "save": "save",
        "tag": "tag",
        "untag": "delete",
    },
    "network": {"create": "create", "destroy": "delete", "remove": "delete"},
    "volume": {"create": "create", "destroy": "delete", "remove": "delete"},
}


def events(engine: Engine, filter: EventFilter, fd: int, call: Call) -> None:
    """
    Write events until the call ends or the reader is gone.
    """
    query = {"since": moment(filter.since_ns), "until": moment(filter.until_ns)}
    if engine.podman and filter.until_ns is not None and filter.until_ns <= time.time_ns():
        # What is in the past it stops reading at once (libpod/events/logfile.go of 4.3).
        query |= {"until": None, "stream": "0"}
    with engine.exchange(call) as exchange:
        exchange.ask("GET", engine.target("/events"), query=query, what="events")
        for document in exchange.lines("events"):
            event = told(document)
            if event is None or not _wanted(event, filter):
                continue
            line = wire.to_json(event).encode() + b"\n"
            if not write_all(fd, line, lambda: check(call)):
                return


def told(document: Any) -> Event | None:
    """
    Make an event of an engine's; None for what kina does not tell.
    """
    kind = document.get("Type")
    action = ACTIONS.get(kind, {}).get(str(document.get("Action")))
    actor = document.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    if action is None or (kind == "container" and SPEC not in attributes):
        return None
    name = str(attributes.get("name") or actor.get("ID") or "")
    known = {
        key: str(value)
        for key, value in attributes.items()
        if key in ("exitCode", "signal", "image") and not key.startswith(OURS)
    }
    return Event(
        time_ns=int(document.get("timeNano") or int(document.get("time") or 0) * 10**9),
        kind=cast(EventKind, kind),
        action=action,
        id=str(actor.get("ID") or ""),
        name=name,
        attributes=known,
    )


def _wanted(event: Event, filter: EventFilter) -> bool:
    if filter.kinds and event.kind not in filter.kinds:
        return False
    if filter.until_ns is not None and event.time_ns > filter.until_ns:
        return False
    return not filter.references or any(
        reference in (event.id, event.name)
        or (len(reference) >= 4 and event.id.startswith(reference))
        for reference in filter.references
    )
