"""
Running other programs.
"""

from __future__ import annotations

import subprocess

__all__ = ["succeed"]


def succeed(*command: str) -> str:
    """
    Run a program, and return what it printed.

    Raises:
        RuntimeError: It failed.
    """
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.returncode}\n{result.stderr}")
    return result.stdout
