"""
Python as a user who has no right to anything of kina's.
"""

from __future__ import annotations

import shutil
import subprocess

__all__ = ["as_nobody"]


def as_nobody(code: str, *arguments: object) -> str:
    """
    Return what a program prints.
    """
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "setpriv is in Debian's util-linux"
    done = subprocess.run(
        [
            setpriv,
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            code,
        ]
        + [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
