"""
What happens, told as it happens; what is usable; what is unused.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

import kina
from support.containers import WAITS

Run = Callable[..., kina.Container]


def test_events_tell_a_containers_life_in_order(busybox: str) -> None:
    begin = datetime.now(UTC)
    box = kina.Container.create(busybox, ["sh", "-c", "sleep 0.2; exit 3"], name="eventful")
    box.start()
    box.wait(timeout=10)
    box.delete()
    told = list(kina.events(since=begin, until=0, references="eventful"))
    actions = [event.action for event in told]
    assert actions == ["create", "start", "die", "delete"]
    died = told[2]
    assert died.attributes["exitCode"] == "3"
    assert all(event.id == box.id and event.kind == "container" for event in told)
    assert [event.time_ns for event in told] == sorted(event.time_ns for event in told)
    assert begin <= told[0].time <= datetime.now(UTC)


def test_events_come_live_also_from_other_threads(run: Run) -> None:
    stream = kina.events(kinds="container", timeout=20)
    thread = threading.Thread(target=lambda: run(name="live").kill())
    thread.start()
    seen = []
    for event in stream:
        if event.name == "live":
            seen.append(event.action)
        if "die" in seen:
            break
    thread.join()
    assert seen[:2] == ["create", "start"]
    assert "kill" in seen


def test_events_can_be_filtered_by_kind_and_object(run: Run) -> None:
    begin = datetime.now(UTC)
    box, other = run(), run()
    with kina.Volume.create("told"), kina.Network.create("told"):
        pass
    kinds = {event.kind for event in kina.events(since=begin, until=0)}
    assert {"container", "volume", "network"} <= kinds
    volumes = list(kina.events(since=begin, until=0, kinds=["volume"]))
    assert [(event.name, event.action) for event in volumes] == [
        ("told", "create"),
        ("told", "delete"),
    ]
    mine = list(kina.events(since=begin, until=0, references=[box]))
    assert {event.id for event in mine} == {box.id}
    assert other.id not in {event.id for event in mine}


def test_events_have_a_deadline(runtime: object) -> None:
    before = time.monotonic()
    with pytest.raises((kina.DeadlineExceededError, StopIteration)):
        next(kina.events(timeout=0.3))
    assert 0.3 <= time.monotonic() - before < 5


def test_letting_go_of_events_leaves_no_thread(runtime: object) -> None:
    threads = threading.active_count()
    stream = kina.events()
    del stream
    assert threading.active_count() == threads


def test_prune_deletes_stopped_containers_and_says_so(busybox: str, run: Run) -> None:
    running = run(name="stays")
    kina.Container.create(busybox, WAITS, name="never-ran")
    kina.Container.create(busybox, WAITS, name="labelled", labels={"prune": "me"})
    assert kina.prune(labels={"prune": "me"}, networks=False).containers == ("labelled",)
    result = kina.prune(networks=False)
    assert result.containers == ("never-ran",)
    assert [box.name for box in kina.Container.list()] == [running.name]
    assert kina.prune(networks=False).containers == ()


def test_the_doctor_finds_this_machine_usable(runtime: object) -> None:
    found = kina.doctor()
    assert found.usable
    native = found.reports[0]
    assert native.usable
    names = {check.name for check in native.checks}
    assert len(names) == len(native.checks) >= 5
    assert native.backend == os.environ["KINA_BACKEND"]
    assert ("kina-vmd" in names) == (native.backend == "remote")
    assert not [check for check in native.checks if check.state == "failed"]
    assert "usable" in repr(found)
    assert "<table" in found._repr_html_()
    for report in found.reports:
        for check in report.checks:
            assert check.reason
            if check.state == "failed":
                assert check.fix


def test_a_closed_runtime_says_so(kina_home: object, busybox: str) -> None:
    other = kina.connect(home=kina_home)  # type: ignore[arg-type]
    box = kina.Container.create(busybox, WAITS, runtime=other)
    other.close()
    assert other.closed
    with pytest.raises(kina.InvalidStateError, match="closed"):
        box.inspect()
    # The one before it is in use again.
    kina.Container.get(box.id).delete()
