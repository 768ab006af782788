"""
The crash points of the native core, as its source names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from support.library import ROOT

SOURCE = ROOT / "swift/Sources/KinaOCI/Steps.swift"


def steps(*prefixes: str) -> list[str]:
    """
    Return the names of the steps that begin with one of the prefixes, in the order of a container's
    life.
    """
    body = re.search(r"enum Step: [^{]*\{(.*?)\n\n", SOURCE.read_text(), re.DOTALL)
    assert body is not None, f"{SOURCE} has no enumeration of steps"
    names: Iterable[str] = re.findall(r"\w+", " ".join(re.findall(r"case (.*)", body[1])))
    found = [name for name in names if name.startswith(prefixes)] if prefixes else list(names)
    assert found, f"no step begins with {prefixes}"
    return found
