"""
Fields of the runtime's documents, in the words of the keywords that they came from: who wrote
`ulimits` is not to read of `rlimits[0].type`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kina.errors import KinaError

__all__ = ["keyword", "spoken"]

# One after the other.
_RULES: Final = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"^(?:sandbox|resources)\.", ""),
        (r"^networks\[0\]\.(?=address|aliases)", ""),
        (r"^networks\[0\]\.network\b", "network"),
        (r"^networks\b", "network"),
        (r"^namespaces\.network\b", "network"),
        (r"^namespaces\.(\w+)", r"\1_namespace"),
        (r"^pullPolicy\b", "pull"),
        (r"^readOnlyRoot\b", "read_only"),
        (r"^rlimits\b", "ulimits"),
        (r"^terminal\b", "tty"),
        (r"^timeoutMs\b", "timeout"),
    )
]
_OWN_KEYS: Final = re.compile(r"(?:env|labels|extraHosts|sysctls)\b")
_HUMP: Final = re.compile(r"(?<=[a-z])[A-Z]")
_FIELD: Final = re.compile(r"^[a-z]\w*(?:\[[^\]\n]*\]|\.\w+)*(?=[ :])", re.MULTILINE | re.ASCII)


def keyword(field: str) -> str:
    """
    Return what a field of a document is called where people write it.

    ```python
    keyword("sandbox.networks[0].address") == "address"
    ```
    """
    path = field
    for pattern, word in _RULES:
        path = pattern.sub(word, path)
    # What follows the name of a mapping is the user's own word.
    own = _OWN_KEYS.match(path)
    end = own.end() if own else len(path)
    return _HUMP.sub(lambda letter: f"_{letter[0].lower()}", path[:end]) + path[end:]


@contextmanager
def spoken() -> Iterator[None]:
    """
    Rename the fields in an error that the runtime raises.
    """
    try:
        yield
    except KinaError as error:
        # Those that Python found by itself speak so already.
        if "field" in error.details and not getattr(error, "problems", ()):
            error.details["field"] = keyword(error.details["field"])
            error.message = _FIELD.sub(lambda found: keyword(found[0]), error.message)
            error.args = (error.message,)
        raise
