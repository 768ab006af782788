"""
Patches of kubeadm's documents, and of others that are mappings.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kina.clusterconfig import JSONPatch
from kina.errors import InvalidArgumentError

__all__ = ["Document", "merged", "patched", "patched_by_operations"]

Document = dict[str, Any]


def merged(target: Any, patch: Any) -> Any:
    """
    Apply a JSON merge patch (RFC 7386), and return the result.
    """
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def patched(documents: list[Document], patches: Iterable[str]) -> list[Document]:
    """
    Apply merge patches: YAML, each with the kind of the documents that it is for.
    """
    import yaml

    result = documents
    for text in patches:
        patch = yaml.safe_load(text)
        # kind's patches name any version of kubeadm's documents.
        change = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
        result = [
            merged(item, _fitting(change, item)) if item["kind"] == patch["kind"] else item
            for item in result
        ]
    return result


def _fitting(change: Document, item: Document) -> Document:
    """
    Write a patch's arguments as the document's version has them: a mapping, or a list.
    """

    def fit(patch: Any, target: Any) -> Any:
        if isinstance(patch, Mapping) and isinstance(target, list):
            kept = [entry for entry in target if entry["name"] not in patch]
            added = [{"name": k, "value": str(v)} for k, v in patch.items() if v is not None]
            return [*kept, *added]
        if isinstance(patch, list) and isinstance(target, Mapping):
            return {entry["name"]: entry["value"] for entry in patch}
        if isinstance(patch, Mapping):
            inner = target if isinstance(target, Mapping) else {}
            return {key: fit(value, inner.get(key)) for key, value in patch.items()}
        return patch

    fitted: Document = fit(change, item)
    return fitted


def patched_by_operations(
    documents: list[Document], patches: Sequence[JSONPatch]
) -> list[Document]:
    """
    Apply JSON patches (RFC 6902) to the documents that each is for; none is no error, as in kind: a
    configuration can have one for each version of kubeadm's documents.

    Raises:
        InvalidArgumentError: An operation's path is not in the document.
    """
    from jsonpatch import JsonPatch, JsonPatchException
    from jsonpointer import JsonPointerException

    result = documents
    for index, patch in enumerate(patches):
        operations = JsonPatch(patch.operations())
        try:
            result = [
                operations.apply(item) if patch.is_for(item["apiVersion"], item["kind"]) else item
                for item in result
            ]
        except (JsonPatchException, JsonPointerException) as error:
            field = f"kubeadm_config_patches_json6902[{index}].patch"
            reason = f"does not fit the {patch.kind}: {error}"
            raise InvalidArgumentError.at(field, patch.patch, reason) from None
    return result
