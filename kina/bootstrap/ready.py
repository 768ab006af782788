"""
Ready: every node says so, and a pod could be made.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from kina.bootstrap._action import Action, Context
from kina.bootstrap.init import rotate
from kina.bootstrap.kubeadm import own_labels
from kina.bootstrap.supervision import journal_of
from kina.calls import Call
from kina.client import Session
from kina.errors import BootstrapError
from kina.node import ready_since

__all__ = ["READY", "await_nodes"]

EXCLUDED: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
_MERGE: Final = "application/merge-patch+json"


def run(context: Context) -> None:
    """
    Set the labels that kubelets may not set, and wait.
    """
    for planned in context.joining or context.nodes:
        own = own_labels(planned.config.labels)
        labels: dict[str, str | None] = {
            key: value for key, value in planned.config.labels.items() if key not in own
        }
        if len(context.nodes) == 1 and not context.joining:
            labels.setdefault(EXCLUDED, None)  # a lone node serves everything
        if labels:
            context.api.request(
                "PATCH",
                f"/api/v1/nodes/{planned.name}",
                body={"metadata": {"labels": labels}},
                content_type=_MERGE,
                call=context.call,
            )
    if context.ready_seconds <= 0:
        return
    left = context.call.remaining
    limit = Call(context.ready_seconds if left is None else min(context.ready_seconds, left))
    with context.call.cancelling(limit.cancel):
        if not context.config.networking.disable_default_cni:
            _await(context, limit)
        _await_default_account(context.api, limit)
        if not context.joining:
            rotate(context.control_plane, limit)


def _await(context: Context, limit: Call) -> None:
    nodes = context.joining or context.nodes
    late = await_nodes(context.api, {planned.name: None for planned in nodes}, limit)
    if not late:
        return
    name, why = next(iter(late.items()))
    planned = next(item for item in nodes if item.name == name)
    raise BootstrapError(
        f"nodes did not get ready in {context.ready_seconds:.0f} s: {', '.join(late)}: {why}",
        action="ready",
        node=name,
        logs=journal_of(planned)(),
        hint="allow more with wait=…, or keep the cluster with retain=True and look",
    )


def await_nodes(session: Session, names: dict[str, datetime | None], call: Call) -> dict[str, str]:
    """
    Wait until nodes are ready.

    Args:
        session: The cluster's API.
        names: Each with the moment that its kubelet must have spoken after; None for any.
        call: Bounds it.

    Returns:
        Those that are not ready at the deadline, with the reason.
    """
    late: dict[str, str] = dict.fromkeys(names, "it has not registered")
    for objects in session.observe("/api/v1/nodes", call):
        late = {}
        for name, since in names.items():
            why = _not_ready(objects.get(f"/{name}"), since)
            if why is not None:
                late[name] = why
        if not late:
            break
    return late


def _not_ready(item: dict[str, Any] | None, since: datetime | None) -> str | None:
    if item is None:
        return "it has not registered"
    spoken = ready_since(item)
    if spoken is None:
        for condition in item.get("status", {}).get("conditions") or []:
            if condition["type"] == "Ready":
                return str(condition.get("message") or condition.get("reason"))
        return "it has no status yet"
    if since is not None and _moment(spoken) < since:
        return "its kubelet has not spoken since it was started"
    return None


def _moment(text: str) -> datetime:
    """
    Read Kubernetes' time, which has whole seconds.
    """
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _await_default_account(session: Session, call: Call) -> None:
    """
    Wait for what every pod of the default namespace needs.
    """
    path = "/api/v1/namespaces/default/serviceaccounts"
    for objects in session.observe(path, call, fieldSelector="metadata.name=default"):
        if objects:
            return
    raise BootstrapError(
        "the controller manager has not made the default service account",
        action="ready",
        hint="cluster.export_logs() has its log",
    )


READY: Final = Action("ready", "Waiting for the nodes", run)
