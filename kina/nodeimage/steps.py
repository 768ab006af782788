"""
The steps of a build: each is an event when it begins and one, with its time, when it is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from kina import wire
from kina.calls import Call
from kina.nodeimage.commands import check
from kina.status import ProgressEvent

__all__ = ["Steps"]


@attrs.define
class Steps:
    """
    Reports steps through a call's descriptor.
    """

    call: Call
    times: dict[str, float] = attrs.field(factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """
        Do something as a step of the build.
        """
        check(self.call)
        began = time.monotonic()
        self._report(name, "running", None)
        yield
        seconds = time.monotonic() - began
        self.times[name] = seconds
        self._report(name, f"done in {seconds:.1f} s", int(seconds * 1e9))

    def _report(self, name: str, state: str, elapsed: int | None) -> None:
        if self.call.progress_fd >= 0:
            event = ProgressEvent(action="build", item=name, state=state, elapsed_ns=elapsed)
            os.write(self.call.progress_fd, wire.to_json(event).encode() + b"\n")
