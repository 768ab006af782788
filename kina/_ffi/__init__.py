"""
The one importer of the compiled module: typed functions, one error mapper, handles, calls that
Ctrl-C ends.
"""

from __future__ import annotations

from kina._ffi._handle import RuntimeHandle, doctor
from kina._ffi._library import load, statistics_size

__all__ = ["RuntimeHandle", "doctor", "load", "statistics_size"]
