"""
Waiting for objects of a cluster, by watching them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from kina._fields import nearest
from kina.calls import Call
from kina.client import Session
from kina.discovery import find_word
from kina.errors import DeadlineExceededError, InvalidArgumentError, InvalidStateError

__all__ = ["Goal", "parse_goal", "wait"]

Object = dict[str, Any]
_WORDS: Final = ("available", "ready", "complete", "exists", "delete")


@attrs.frozen
class Goal:
    """
    What is waited for.

    Attributes:
        text: As it was asked for.
        reached: Whether an object, or None for its absence, is what is waited for.
    """

    text: str
    reached: Callable[[Object | None], bool]


def parse_goal(text: str | None, kind: str) -> Goal:
    """
    Read what is waited for.

    Args:
        text: "available", "ready", "complete", "exists", "delete", "condition=Name[=Status]" or
            "jsonpath={.a.b}=value"; None for what the kind is usually waited for.
        kind: The object's kind.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    chosen = text or _USUAL.get(kind, "exists")
    word, _, rest = chosen.partition("=")
    match word.lower():
        case "condition" if rest:
            name, _, status = rest.partition("=")
            return Goal(chosen, _condition(name, status or "True"))
        case "jsonpath" if rest:
            path, found, value = rest.partition("=")
            return Goal(chosen, _at(path, value if found else None))
        case "delete" | "deleted":
            return Goal(chosen, lambda item: item is None)
        case "exists" | "create":
            return Goal(chosen, lambda item: item is not None)
        case "available":
            return Goal(chosen, _condition("Available", "True"))
        case "complete":
            return Goal(chosen, _condition("Complete", "True"))
        case "ready":
            return Goal(chosen, _READY.get(kind, _condition("Ready", "True")))
    close = nearest(word, _WORDS)
    hint = f"did you mean {close!r}?" if close else f"{', '.join(_WORDS)}, condition=Name"
    raise InvalidArgumentError.at("for_", chosen, "is nothing to wait for", hint)


def _condition(name: str, status: str) -> Callable[[Object | None], bool]:
    def reached(item: Object | None) -> bool:
        return _current(item) and _conditions(item).get(name.lower(), "").lower() == status.lower()

    return reached


def _current(item: Object | None) -> bool:
    """
    Say whether the controller has seen the object's last change.
    """
    if item is None:
        return False
    seen = item.get("status", {}).get("observedGeneration")
    return seen is None or seen >= item["metadata"].get("generation", 0)


def _conditions(item: Object | None) -> dict[str, str]:
    found = (item or {}).get("status", {}).get("conditions") or []
    return {str(entry["type"]).lower(): str(entry["status"]) for entry in found}


def _at(path: str, value: str | None) -> Callable[[Object | None], bool]:
    keys = [key for key in path.strip("{}").split(".") if key]
    if not keys or any("[" in key for key in keys):
        raise InvalidArgumentError.at(
            "for_", path, "is not a path that kina reads", "write jsonpath={.status.phase}=Running"
        )

    def reached(item: Object | None) -> bool:
        found: Any = item
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        text = str(found).lower() if isinstance(found, bool) else str(found)
        return found is not None and (value is None or text == value)

    return reached


def _replicas(item: Object | None) -> bool:
    """
    Say whether all replicas are of the last revision, and ready.
    """
    if item is None or not _current(item) or "status" not in item:
        return False
    status, wanted = item["status"], item["spec"].get("replicas", 1)
    updated = status.get("updatedReplicas", 0 if wanted else wanted)
    return bool(
        updated >= wanted
        and status.get("readyReplicas", 0) >= wanted
        and status.get("replicas", 0) <= wanted
    )


def _replica_set(item: Object | None) -> bool:
    return _current(item) and item is not None and (
        item.get("status", {}).get("readyReplicas", 0) >= item["spec"].get("replicas", 1)
    )  # fmt: skip


def _daemons(item: Object | None) -> bool:
    if item is None or not _current(item) or "observedGeneration" not in item.get("status", {}):
        return False
    status = item["status"]
    wanted = status.get("desiredNumberScheduled", 0)
    return bool(
        status.get("updatedNumberScheduled", 0) >= wanted and status.get("numberReady", 0) >= wanted
    )


def _bound(item: Object | None) -> bool:
    return item is not None and item.get("status", {}).get("phase") == "Bound"


_USUAL: Final = {
    "Deployment": "ready",
    "StatefulSet": "ready",
    "DaemonSet": "ready",
    "ReplicaSet": "ready",
    "Pod": "ready",
    "Node": "ready",
    "PersistentVolumeClaim": "ready",
    "Job": "complete",
    "CustomResourceDefinition": "condition=Established",
}
_READY: Final[Mapping[str, Callable[[Object | None], bool]]] = {
    "Deployment": _replicas,
    "StatefulSet": _replicas,
    "DaemonSet": _daemons,
    "ReplicaSet": _replica_set,
    "PersistentVolumeClaim": _bound,
}


def wait(
    session: Session, reference: str, goal: str | None, call: Call, *, namespace: str, told: str
) -> Object | None:
    """
    Wait until an object is as wanted.

    Args:
        session: The cluster's API.
        reference: "kind/name": "deployment/shop", "deploy/shop", "crontabs.example.com/one".
        goal: What `parse_goal` reads.
        call: Bounds it.
        namespace: Where the object is, if its kind has namespaces.
        told: How the timeout is spoken of.

    Returns:
        The object; None when its absence was waited for.

    Raises:
        DeadlineExceededError: It did not get so in time; the message says how it is.
        InvalidStateError: It never will: a Job has failed.
        InvalidArgumentError: The reference or the goal can't be read.
        KinaError: The server can't be asked.
    """
    word, slash, name = reference.partition("/")
    if not slash or not word or not name:
        hint = "write 'kind/name', such as 'deployment/shop'"
        raise InvalidArgumentError.at("reference", reference, "is not an object's", hint)
    resource = find_word(session, word, call)
    wanted = parse_goal(goal, resource.kind)
    path = resource.path(namespace)
    last: Object | None = None
    for objects in session.observe(path, call, fieldSelector=f"metadata.name={name}"):
        last = next(iter(objects.values()), None)
        if _failed_job(last, wanted):
            break
        if wanted.reached(last):
            return last
    else:
        raise DeadlineExceededError(
            f"{reference} is not {wanted.text!r} after {told}: {_described(last)}",
            hint="cluster.core_v1.list_namespaced_event() may say why",
        )
    raise InvalidStateError(f"{reference} will not be {wanted.text!r}: {_described(last)}")


def _failed_job(item: Object | None, goal: Goal) -> bool:
    waits = goal.text in ("complete", "condition=Complete")
    return waits and _conditions(item).get("failed") == "True"


def _described(item: Object | None) -> str:
    """
    Say what an object has come to.
    """
    if item is None:
        return "it does not exist"
    status = item.get("status") or {}
    parts = [f"phase {status['phase']}"] if "phase" in status else []
    for name in ("replicas", "readyReplicas", "numberReady", "desiredNumberScheduled"):
        if name in status:
            parts.append(f"{name} {status[name]}")  # noqa: PERF401  # clearer so
    for entry in status.get("conditions") or []:
        if entry["status"] != "True":
            why = entry.get("message") or entry.get("reason") or ""
            parts.append(f"{entry['type']} is {entry['status']}" + (f" ({why})" if why else ""))
    return "; ".join(parts) or "it has no status yet"
