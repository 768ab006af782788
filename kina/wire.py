"""
Specs and statuses to JSON documents and back, in one place: snake_case here, camelCase there.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_origin

import attrs

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["camel", "from_json", "to_json"]

T = TypeVar("T")


def camel(name: str) -> str:
    """
    Spell a field's name as the documents do.
    """
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def to_json(value: Any) -> str:
    """
    Write a spec, a request or a status as a document; None is an absent field.
    """
    return json.dumps(_converter().unstructure(value), ensure_ascii=False, separators=(",", ":"))


def from_json(kind: type[T], text: str) -> T:
    """
    Read a document. A field that this version does not know is ignored, as is a new word of an
    enumeration.
    """
    return _converter().structure(json.loads(text), kind)


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    converter = Converter(detailed_validation=False)

    def overrides(kind: Any) -> dict[str, Any]:
        return {
            a.name: override(
                rename=a.metadata.get("wire", camel(a.name)),
                omit_if_default=a.default is None,
            )
            for a in attrs.fields(attrs.resolve_types(kind))
        }

    converter.register_unstructure_hook_factory(
        attrs.has, lambda kind: make_dict_unstructure_fn(kind, converter, **overrides(kind))
    )
    converter.register_structure_hook_factory(
        attrs.has, lambda kind: make_dict_structure_fn(kind, converter, **overrides(kind))
    )
    # Specs check their words themselves; a status must survive a word that came later.
    converter.register_structure_hook_func(
        lambda kind: get_origin(cast(Any, kind)) is Literal, lambda value, _: value
    )
    return converter
