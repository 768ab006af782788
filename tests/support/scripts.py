"""
Python programs of their own, for what can't be tried in the process that runs the tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).parent.parent


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Return this environment, in which `support` can be imported too.
    """
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    # Coverage and warnings settings of the test run are not the program's.
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(extra or {})}


def run_python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 50
) -> subprocess.CompletedProcess[str]:
    """
    Run a program to its end, whatever that is.
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def check_python(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """
    Run a program that must end well, and return what it wrote.
    """
    done = run_python(code, *arguments, env=env)
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """
    Start a program in a process group of its own, as a shell does; it doesn't outlive the block.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
