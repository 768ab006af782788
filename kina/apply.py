"""
Manifests: read from whatever people have, and applied by the server.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from kina._fields import Problems, nearest
from kina.calls import Call
from kina.client import Session
from kina.discovery import Resource, find_kind, refresh
from kina.errors import (
    Code,
    InvalidArgumentError,
    KinaError,
    NotFoundError,
    UnavailableError,
)

__all__ = ["Document", "Source", "apply", "documents"]

Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Iterable[Source]"

SUFFIXES: Final = (".yaml", ".yml", ".json")
LIMIT: Final = 64 << 20
"""The most bytes that are fetched from one URL."""

# What others need comes first; kinds that are not listed keep their order, after these and before
# webhooks, which could refuse the rest.
_FIRST: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "LimitRange",
    "ResourceQuota",
    "ConfigMap",
    "Secret",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
)
_LAST: Final = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")


@attrs.frozen
class Document:
    """
    One object to be applied.

    Attributes:
        origin: Where it was read: "deploy/web.yaml[1]".
        content: The object.
    """

    origin: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        """
        Its kind.
        """
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        """
        Its name.
        """
        return str(self.content["metadata"]["name"])

    @property
    def label(self) -> str:
        """
        How errors speak of it.
        """
        return f"{self.origin} {self.kind}/{self.name}"

    @property
    def rank(self) -> int:
        """
        When it is applied.
        """
        if self.kind in _FIRST:
            return _FIRST.index(self.kind)
        return len(_FIRST) + (self.kind in _LAST)


# -- Reading ---------------------------------------------------------------------------------------


def documents(source: Source) -> list[Document]:
    """
    Read objects.

    Args:
        source: A file's or directory's path, an http(s) URL, YAML or JSON text, an object, or any
            number of these.

    Raises:
        InvalidArgumentError: Some are not objects; it names all of them.
        NotFoundError: There is no such file.
        UnavailableError: A URL does not answer.
    """
    problems = Problems()
    found: list[Document] = []
    _read(source, "", found, problems)
    problems.raise_any()
    return found


def _read(source: Any, origin: str, found: list[Document], problems: Problems) -> None:
    if isinstance(source, Mapping):
        _object(dict(source), origin or "object", found, problems)
    elif isinstance(source, str) and _is_text(source):
        _text(source, origin or "text", found, problems)
    elif isinstance(source, str) and source.startswith(("http://", "https://")):
        _text(_fetched(source), source, found, problems)
    elif isinstance(source, str | os.PathLike):
        _path(Path(source).expanduser(), found, problems)
    elif isinstance(source, Iterable) and not isinstance(source, bytes):
        for index, item in enumerate(source):
            _read(item, f"[{index}]", found, problems)
    else:
        hint = "pass a path, a URL, YAML text, an object, or a list of these"
        problems.add(origin or "source", source, "can't be applied", hint)


def _is_text(source: str) -> bool:
    return "\n" in source or source.lstrip().startswith("{")


def _path(path: Path, found: list[Document], problems: Problems) -> None:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and p.is_file())
        if not files:
            reason = f"has no file that ends in {', '.join(SUFFIXES)}"
            problems.add(str(path), None, reason)
        for file in files:
            _path(file, found, problems)
        return
    try:
        _text(path.read_text(encoding="utf-8"), str(path), found, problems)
    except FileNotFoundError:
        raise NotFoundError(f"{os.fspath(path)!r}: no such file or directory") from None
    except (OSError, UnicodeDecodeError) as error:
        problems.add(str(path), None, f"can't be read: {error}")


def _fetched(url: str) -> str:
    from urllib3 import PoolManager, Timeout
    from urllib3.exceptions import HTTPError

    try:
        with PoolManager().request(
            "GET", url, timeout=Timeout(connect=10, read=30), preload_content=False
        ) as response:
            content = response.read(LIMIT + 1)
    except HTTPError as error:
        raise UnavailableError(f"{url}: {error}") from error
    if response.status >= 400:
        raise NotFoundError(f"{url}: HTTP {response.status}", hint="is the address right?")
    if len(content) > LIMIT:
        raise InvalidArgumentError.at(url, None, f"is longer than {LIMIT >> 20} MiB")
    return content.decode("utf-8", "replace")


def _text(text: str, origin: str, found: list[Document], problems: Problems) -> None:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        contents = list(yaml.load_all(text, loader))
    except yaml.YAMLError as error:
        problems.add(origin, None, f"is not YAML: {' '.join(str(error).split())}")
        return
    several = sum(content is not None for content in contents) > 1
    for index, content in enumerate(contents):
        if content is not None:
            _object(content, f"{origin}[{index}]" if several else origin, found, problems)


def _object(content: Any, origin: str, found: list[Document], problems: Problems) -> None:
    if not isinstance(content, dict):
        problems.add(origin, content, "is not an object")
        return
    kind, metadata = content.get("kind"), content.get("metadata")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(content.get("items"), list):
        for index, item in enumerate(content["items"]):
            _object(item, f"{origin}.items[{index}]", found, problems)
        return
    before = len(problems.found)
    for field in ("apiVersion", "kind"):
        if not isinstance(content.get(field), str) or not content[field]:
            close = nearest(field, [str(key) for key in content])
            hint = f"is {close!r} meant to be it?" if close else None
            problems.add(f"{origin}.{field}", content.get(field), "must be a string", hint)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        reason = "is missing: an object that is applied needs a name"
        problems.add(f"{origin}.metadata.name", None, reason)
    if len(problems.found) == before:
        found.append(Document(origin, content))


# -- Applying --------------------------------------------------------------------------------------


def apply(
    session: Session,
    listed: Iterable[Document],
    call: Call,
    *,
    namespace: str = "default",
    manager: str = "kina",
    force: bool = True,
    dry_run: bool = False,
) -> list[dict[str, Any]]:
    """
    Apply objects on the server's side, namespaces and definitions first.

    Args:
        session: The cluster's API.
        listed: What to apply.
        call: Bounds it.
        namespace: For objects that name none and need one.
        manager: Who owns the fields.
        force: Whether fields that others own are taken over.
        dry_run: Whether the server only says what it would do.

    Returns:
        The objects as the server has them now.

    Raises:
        InvalidArgumentError: The server refuses some; all are named, the others were applied.
        KinaError: The server can't be asked.
    """
    problems = Problems()
    results: list[dict[str, Any]] = []
    codes: list[Code] = []
    query = {"fieldManager": manager, "force": "true" if force else "false"}
    if dry_run:
        query["dryRun"] = "All"
    for document in sorted(listed, key=lambda item: item.rank):
        try:
            results.append(_apply(session, document, call, namespace, query))
            if document.kind == "CustomResourceDefinition" and not dry_run:
                _await_definition(session, document.name, call)
        except (UnavailableError, TimeoutError):
            raise
        except KinaError as error:
            problems.add(document.label, None, str(error))
            codes.append(error.code)
    if problems.found:
        failure = InvalidArgumentError.of(problems.found)
        if len(set(codes)) == 1:
            failure.code = codes[0]
        raise failure
    return results


def _apply(
    session: Session, document: Document, call: Call, namespace: str, query: Mapping[str, str]
) -> dict[str, Any]:
    content = document.content
    resource = find_kind(session, content["apiVersion"], document.kind, call)
    metadata = content["metadata"]
    where = _namespace(resource, metadata, namespace)
    if resource.namespaced and metadata.get("namespace") != where:
        content = {**content, "metadata": {**metadata, "namespace": where}}
    answer: dict[str, Any] = session.request(
        "PATCH",
        f"{resource.path(where)}/{document.name}",
        body=_with_protocols(json.loads(json.dumps(content, default=str))),  # dates are text there
        content_type="application/apply-patch+yaml",
        query=query,
        call=call,
    )
    return answer


def _with_protocols(value: Any) -> Any:
    """
    Name the protocol of ports that name none.

    It is a key of the lists that the server merges; until 1.21 a server-side apply did not know its
    default and refused the object (kubernetes/kubernetes#92332).
    """
    if isinstance(value, list):
        return [_with_protocols(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: _with_protocols(item) for key, item in value.items()}
    service = value.get("apiVersion") == "v1" and value.get("kind") == "Service"
    holder = result.get("spec") if service else result
    ports = holder.get("ports") if isinstance(holder, dict) else None
    for port in ports if isinstance(ports, list) else ():
        if isinstance(port, dict) and (service or "containerPort" in port):
            port.setdefault("protocol", "TCP")
    return result


def _namespace(resource: Resource, metadata: Mapping[str, Any], default: str) -> str | None:
    return str(metadata.get("namespace") or default) if resource.namespaced else None


def _await_definition(session: Session, name: str, call: Call) -> None:
    """
    Wait until the server serves what a definition defines, so that objects of it can follow.
    """
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    limit = Call(30 if call.remaining is None else min(30, call.remaining))
    for objects in session.observe(path, limit, fieldSelector=f"metadata.name={name}"):
        item = objects.get(f"/{name}", {})
        found = item.get("status", {}).get("conditions") or []
        states = {entry["type"]: entry["status"] for entry in found}
        if states.get("NamesAccepted") == "False":
            raise InvalidArgumentError.at("names", None, "are taken by another definition")
        if states.get("Established") == "True":
            refresh(session)
            _await_served(session, item["spec"], limit)
            return
    raise UnavailableError(f"the server does not serve {name} after 30 s")


def _await_served(session: Session, spec: Mapping[str, Any], call: Call) -> None:
    """
    Wait for discovery, which follows a moment after the condition and can't be watched.
    """
    version = next(item["name"] for item in spec["versions"] if item["served"])
    while True:
        try:
            served = session.get(f"/apis/{spec['group']}/{version}", call)["resources"]
        except NotFoundError:
            served = []
        if any(item["name"] == spec["names"]["plural"] for item in served):
            return
        time.sleep(0.05)
