"""
kill -9 of conmon and of the container at every step of start, stop, delete and run at which there
is one, while the program that does it goes on.

It ends well or says what happened, and then `list` tells the truth, `prune` and `delete` finish the
work, and nothing stays on the host.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

import kina
from support.crashes import (
    START,
    WAYS,
    check_truth,
    halted,
    helpers,
    kill,
    prepare,
    state_of,
    use_and_delete,
)
from support.leaks import Host, wait_until
from support.steps import steps

NAME = "victim"
BEFORE = START[: START.index("startSupervisor")]
"""Until the last of these there is neither."""
AFTER_DEATH = ("stopKill", *steps("end", "delete"))
"""From these on its processes are dead; conmon waits for its turn to record that."""


def cases() -> Iterator[tuple[str, str, str]]:
    """
    Yield every step of every operation, with whom there is to kill.
    """
    for operation in ("start", "stop", "delete", "run"):
        for step in WAYS[operation]:
            if step in BEFORE or step.startswith("create"):
                continue
            if step not in AFTER_DEATH:
                yield operation, step, "supervisor"
                yield operation, step, "container"
                yield operation, step, "both"
            elif operation != "run":  # its guard has told how it ended, and is gone
                yield operation, step, "supervisor"


CASES = list(cases())


@pytest.mark.parametrize(("operation", "step", "victim"), CASES)
def test_whoever_dies_meanwhile_the_truth_is_told_and_all_is_cleared(
    busybox: str, host: Host, operation: str, step: str, victim: str
) -> None:
    prepare(operation, busybox, NAME)
    before = {box.id for box in kina.Container.list()}
    with halted(operation, step, busybox, NAME) as process:
        (identifier,) = before or {box.id for box in kina.Container.list()}
        wanted = ("supervisor", "container") if victim == "both" else (victim,)
        assert wait_until(lambda: all(helpers(host, identifier)[who] for who in wanted)), helpers(
            host, identifier
        )
        found = helpers(host, identifier)
        check_truth(host)
        kill([pid for who in wanted for pid in found[who]])
        check_truth(host)
        resume(process.pid)
        out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    outcome, *code = out.split()[:2]
    assert outcome == "done" or code[0] not in ("INTERNAL", "UNKNOWN"), out
    check_truth(host)
    kina.prune(containers=False, networks=False)
    check_truth(host)
    assert not [box for box in kina.Container.list() if box.state == "deleting"]
    if operation in ("delete", "run"):
        assert kina.Container.list() == []
    use_and_delete(NAME)
    kina.Container.create(busybox, ["true"], name=NAME).delete()


def resume(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
    assert wait_until(lambda: state_of(pid) != "T")
