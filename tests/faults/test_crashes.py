"""
kill -9 of the program at every step of create, start, stop, delete and run.

Whatever is left, `list` tells the truth, `prune` and `delete` finish the work, and nothing stays on
the host.
"""

from __future__ import annotations

import pytest

import kina
from support.crashes import (
    DELETE,
    END,
    WAYS,
    check_truth,
    crash,
    helpers,
    kill,
    prepare,
    program_for,
    use_and_delete,
)
from support.leaks import Host, wait_until
from support.scripts import check_python
from support.steps import steps

CASES = [(operation, step) for operation, way in WAYS.items() for step in way]
NAME = "crash-test"


def test_every_step_of_the_source_is_tried() -> None:
    """
    Here, and those of pods in their own tests.
    """
    assert {step for _, step in CASES} | set(steps("pod")) == set(steps())


@pytest.mark.parametrize(("operation", "step"), CASES)
def test_after_a_crash_prune_leaves_what_can_be_used(
    busybox: str, host: Host, operation: str, step: str
) -> None:
    prepare(operation, busybox, NAME)
    assert crash(operation, step, busybox, NAME), f"{operation} does not come to {step}"
    check_truth(host)
    kina.prune(containers=False, networks=False)
    check_truth(host)
    assert not [box for box in kina.Container.list() if box.state == "deleting"]
    use_and_delete(NAME)
    # The name is free, whatever was left.
    kina.Container.create(busybox, ["true"], name=NAME).delete()


@pytest.mark.parametrize(("operation", "step"), CASES)
def test_after_a_crash_delete_is_enough(
    busybox: str, host: Host, operation: str, step: str
) -> None:
    prepare(operation, busybox, NAME)
    assert crash(operation, step, busybox, NAME)
    # Its helpers die with it: conmon or the guard, the runtime, the container itself.
    kill([pid for pid, name in host.processes().items() if "dnsmasq" not in name])
    check_truth(host)
    for box in kina.Container.list(names=NAME):
        box.delete(force=True)
    assert kina.Container.list() == []
    kina.prune(containers=False, networks=False)


@pytest.mark.parametrize(
    ("operation", "step"),
    [*(("end", step) for step in END), *(("remove", step) for step in [*END, *DELETE])],
)
def test_after_a_crash_of_what_records_an_end_nothing_is_lost(
    busybox: str, host: Host, operation: str, step: str
) -> None:
    """
    The program that conmon starts at a container's end is the one that is killed here.
    """
    program = program_for(operation)
    identifier = check_python(program, busybox, NAME, env={"KINA_CRASH_AFTER": step}).strip()
    assert wait_until(lambda: not any(helpers(host, identifier).values()))
    check_truth(host)
    for box in kina.Container.list(names=NAME, states="stopped"):
        ended = box.exit
        assert ended is not None
        assert (ended.exit_code, ended.reason) == (0, "exited")
    done = kina.prune(containers=False, networks=False)
    check_truth(host)
    if operation == "remove":
        assert kina.Container.list() == []
        assert bool(done.leftovers) == (step not in ("deleteCommit", "deleteImage"))
    use_and_delete(NAME)


def test_a_container_that_is_deleted_after_a_crash_frees_its_name_address_and_port(
    busybox: str,
) -> None:
    prepare("start", busybox, NAME)
    box = kina.Container.get(NAME)
    address, (port,) = box.ip, box.ports
    assert crash("start", "startNetwork", busybox, NAME)
    box.delete(force=True)
    with kina.Container.create(
        busybox, ["true"], name=NAME, address=str(address), ports=[f"{port.host_port}:80"]
    ) as again:
        assert again.ip == address


def test_a_short_run_ends_with_its_program(busybox: str, host: Host) -> None:
    """
    Nobody has to clean up: the guard does.
    """
    from support.scripts import python

    program = "import sys, kina; kina.run(sys.argv[1], ['sleep', '300'], name='orphaned')"
    with python(program, busybox) as process:
        assert wait_until(lambda: kina.Container.list(states="running") != [], seconds=20)
        process.kill()
        process.wait()
        assert wait_until(lambda: kina.Container.list() == [], seconds=10)
