"""
Which resources an API server has, and where.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from kina._fields import nearest
from kina.calls import Call
from kina.client import Session
from kina.errors import InvalidArgumentError, NotFoundError

__all__ = ["Resource", "find_kind", "find_word", "refresh"]

# Where words such as "deployment" are looked for before the server is asked for all it has.
_USUAL: Final = ("v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "storage.k8s.io/v1")


@attrs.frozen
class Resource:
    """
    A kind of objects.

    Attributes:
        version: "v1", "apps/v1".
        kind: "Deployment".
        plural: "deployments".
        namespaced: Whether its objects are in namespaces.
        words: What people call it, in lower case.
    """

    version: str
    kind: str
    plural: str
    namespaced: bool
    words: tuple[str, ...]

    def path(self, namespace: str | None) -> str:
        """
        Return the collection's path.

        Args:
            namespace: None for all, and for what is in none.
        """
        inner = f"namespaces/{namespace}/" if self.namespaced and namespace else ""
        return f"{_root(self.version)}/{inner}{self.plural}"


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _resources(session: Session, version: str, call: Call) -> list[Resource]:
    if version not in session.resources:
        session.resources[version] = session.get(_root(version), call)["resources"]
    return [_resource(version, item) for item in session.resources[version] if _is_whole(item)]


def _is_whole(item: dict[str, Any]) -> bool:
    return "/" not in item["name"]  # else it is a part, such as deployments/status


def _resource(version: str, item: dict[str, Any]) -> Resource:
    singular = item.get("singularName") or item["kind"].lower()
    words = (item["name"], singular, item["kind"].lower(), *item.get("shortNames", ()))
    return Resource(version, item["kind"], item["name"], item["namespaced"], words)


def refresh(session: Session) -> None:
    """
    Forget what was found, as definitions have changed.
    """
    session.resources.clear()


def find_kind(session: Session, version: str, kind: str, call: Call) -> Resource:
    """
    Find the resource of an object.

    Args:
        session: The cluster's API.
        version: Its apiVersion.
        kind: Its kind.
        call: Bounds it.

    Raises:
        InvalidArgumentError: The server does not know it.
    """
    try:
        known = _resources(session, version, call)
    except NotFoundError:
        known_version = nearest(version, _versions(session, call))
        hint = "does its definition come with it?"
        if known_version:
            hint = f"did you mean {known_version!r}?"
        raise InvalidArgumentError.at(
            "apiVersion", version, "is not known to the server", hint
        ) from None
    for resource in known:
        if resource.kind == kind:
            return resource
    names = {resource.kind.lower(): resource.kind for resource in known}
    meant = nearest(kind, names) or ""
    advice = f"did you mean {names[meant]!r}?" if meant else None
    raise InvalidArgumentError.at("kind", kind, f"is not in {version}", advice)


def find_word(session: Session, word: str, call: Call) -> Resource:
    """
    Find the resource that people call by a word: a kind, plural or short name, or "plural.group".

    Args:
        session: The cluster's API.
        word: The word.
        call: Bounds it.

    Raises:
        InvalidArgumentError: The server knows none.
    """
    plain, _, group = word.lower().partition(".")
    known: dict[str, None] = {}
    for version in _searched(session, group, call):
        for resource in _resources(session, version, call):
            if plain in resource.words:
                return resource
            known |= dict.fromkeys(resource.words)
    meant = nearest(plain, known)
    hint = f"did you mean {meant!r}?" if meant else None
    raise InvalidArgumentError.at("kind", word, "is not known to the server", hint)


def _searched(session: Session, group: str, call: Call) -> Iterator[str]:
    if not group:
        yield from _USUAL
    for version in _versions(session, call):
        if not group or version.partition("/")[0] == group:
            yield version


def _versions(session: Session, call: Call) -> list[str]:
    groups = session.get("/apis", call)["groups"]
    return ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
