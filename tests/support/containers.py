"""
What tests run in containers.
"""

from __future__ import annotations

from typing import Final

WAITS: Final = ["sh", "-c", "trap 'exit 0' TERM; sleep inf & wait"]
"""A command that waits for ever, and ends at once when asked to."""


def prints(*expressions: str) -> list[str]:
    """
    Return a command that prints what the shell makes of each expression, a line each.
    """
    return ["sh", "-c", "; ".join(f"echo {expression}" for expression in expressions)]
