"""
The life of a container: made, found, started, stopped, paused, deleted.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import kina
from kina._objects import Named
from support.containers import WAITS
from support.leaks import wait_until
from support.scripts import check_python

Run = Callable[..., kina.Container]


def test_run_returns_a_container_that_runs(run: Run) -> None:
    before = datetime.now(UTC)
    box = run(name="runs")
    status = box.inspect()
    assert box.state == "running"
    assert status.name == box.name == "runs"
    assert status.pid is not None
    assert status.exit is None
    assert not status.unsupervised
    assert status.started_at is not None
    assert before - timedelta(seconds=1) <= status.created_at <= status.started_at
    assert "runs" in repr(box)
    assert box.id[:12] in repr(box)
    assert "runs" in box._repr_html_()


def test_a_container_without_a_name_gets_one(run: Run) -> None:
    first, second = run(), run()
    assert first.name
    assert first.name != second.name


def test_create_makes_a_container_that_does_not_run_yet(busybox: str) -> None:
    with kina.Container.create(busybox, WAITS) as box:
        assert box.state == "created"
        assert box.inspect().pid is None
        assert box.exit is None
        box.start()
        assert box.state == "running"


@pytest.mark.parametrize("what", ["run", "create", "network", "volume"])
def test_ctrl_c_between_the_runtimes_answer_and_the_object_leaves_nothing(
    what: str, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: dict[str, Callable[[], object]] = {
        "run": lambda: kina.Container.run(busybox, WAITS),
        "create": lambda: kina.Container.create(busybox, WAITS),
        "network": lambda: kina.Network.create("interrupted"),
        "volume": lambda: kina.Volume.create("interrupted"),
    }
    wrap = Named._of.__func__

    def interrupted(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return wrap(*arguments)

    networks = len(kina.Network.list())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Named, "_of", classmethod(interrupted))
        make[what]()
    assert kina.Container.list() == []
    assert (len(kina.Network.list()), kina.Volume.list()) == (networks, [])


def test_get_finds_by_name_id_and_prefix(run: Run) -> None:
    box = run(name="findable")
    for reference in ("findable", box.id, box.id[:6]):
        assert kina.Container.get(reference) == box


@pytest.mark.parametrize("reference", ["no-such-name", "0123456789abcdef", "abcd"])
def test_get_of_nothing_is_not_found(runtime: object, reference: str) -> None:
    with pytest.raises(kina.NotFoundError, match=reference):
        kina.Container.get(reference)


def test_list_filters_by_label_state_and_name(busybox: str, run: Run) -> None:
    one = run(name="one", labels={"tier": "web", "zone": "a"})
    two = run(name="two", labels={"tier": "db", "zone": "a"})
    with kina.Container.create(busybox, WAITS, name="three", labels={"tier": "web"}) as three:

        def found(**filters: object) -> list[str]:
            return [box.name for box in kina.Container.list(**filters)]  # type: ignore[arg-type]

        assert found() == ["one", "two", "three"]
        assert found(labels={"tier": "web"}) == ["one", "three"]
        assert found(labels=["tier=web", "zone=a"]) == ["one"]
        assert found(labels="zone") == ["one", "two"]
        assert found(states="created") == ["three"]
        assert found(states=["running", "created"]) == ["one", "two", "three"]
        assert found(names=["two", three.id[:8]]) == ["two", "three"]
        assert found(labels={"tier": "web"}, states="running") == ["one"]
        assert found(labels={"tier": "none"}) == []
        two.pause()
        assert found(states="paused") == ["two"]
        two.resume()
        one.stop()
        assert found(states="stopped") == ["one"]


def test_a_list_says_what_inspect_says_except_for_the_spec(run: Run) -> None:
    box = run(labels={"a": "b"})
    (listed,) = kina.Container.list()
    assert listed._known.spec is None
    inspected = box.inspect()
    assert inspected.spec is not None
    assert inspected.spec.command == tuple(WAITS)
    assert listed.id == inspected.id
    assert listed.ip == box.ip
    assert listed.labels == inspected.labels == {"a": "b"}


def test_wait_returns_the_exit_code(run: Run) -> None:
    box = run(["sh", "-c", "exit 42"])
    assert box.wait(timeout=20) == 42
    assert box.state == "stopped"
    assert box.exit is not None
    assert (box.exit.exit_code, box.exit.reason) == (42, "exited")
    assert box.wait() == 42


def test_wait_has_a_deadline(run: Run) -> None:
    box = run()
    before = time.monotonic()
    with pytest.raises(kina.DeadlineExceededError, match=box.name):
        box.wait(timeout=0.2)
    assert 0.2 <= time.monotonic() - before < 3
    assert box.state == "running"


def test_wait_on_what_never_ran_is_an_invalid_state(busybox: str) -> None:
    with (
        kina.Container.create(busybox, WAITS) as box,
        pytest.raises(kina.InvalidStateError, match="never run"),
    ):
        box.wait(timeout=5)


def test_stop_sends_term_and_the_container_may_answer(run: Run) -> None:
    box = run(["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep inf & wait"])
    assert wait_until(lambda: "ready" in box.logs())
    before = time.monotonic()
    box.stop()
    assert time.monotonic() - before < 5
    assert box.state == "stopped"
    assert box.wait() == 7


def test_stop_kills_what_ignores_term_after_the_timeout(run: Run) -> None:
    box = run(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
    assert wait_until(lambda: "ready" in box.logs())
    before = time.monotonic()
    box.stop(timeout=0.5)
    assert 0.5 <= time.monotonic() - before < 5
    assert box.wait() == 128 + signal.SIGKILL
    assert box.exit is not None
    assert box.exit.reason == "signaled"


def test_stop_uses_the_specs_timeout_and_signal(run: Run) -> None:
    box = run(
        ["sh", "-c", "trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done"],
        stop_signal="HUP",
        stop_timeout="30s",
    )
    assert wait_until(lambda: "ready" in box.logs())
    box.stop()
    assert box.wait() == 3
    stubborn = run(stop_signal="WINCH", stop_timeout=0.3)
    before = time.monotonic()
    stubborn.stop()
    assert 0.3 <= time.monotonic() - before < 5
    assert stubborn.wait() == 137


def test_stop_uses_the_images_signal(run: Run, service: str) -> None:
    box = run(image=service)
    time.sleep(0.2)  # the shell must have set its trap
    box.stop()
    assert box.wait() == 12


def test_stop_of_what_does_not_run_changes_nothing(run: Run, busybox: str) -> None:
    box = run(["true"])
    box.wait(timeout=10)
    ended = box.exit
    assert box.stop().state == "stopped"
    assert box.exit == ended
    with kina.Container.create(busybox, WAITS) as created:
        assert created.stop().state == "created"


@pytest.mark.parametrize("spelling", ["TERM", "SIGTERM", "term", 15, "15"])
def test_kill_sends_the_signal(run: Run, spelling: str | int) -> None:
    box = run(["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"])
    assert wait_until(lambda: "ready" in box.logs())
    box.kill(spelling)
    assert box.wait(timeout=10) == 9


def test_kill_ends_it_by_default(run: Run) -> None:
    box = run()
    box.kill()
    assert box.wait(timeout=10) == 137


def test_kill_of_what_does_not_run_is_an_invalid_state(run: Run) -> None:
    box = run(["true"])
    box.wait(timeout=10)
    with pytest.raises(kina.InvalidStateError, match=box.name):
        box.kill()


def test_start_again_keeps_address_name_and_files(run: Run) -> None:
    box = run(name="again", hostname="again-host")
    box.exec(["sh", "-c", "echo kept > /tmp/file"], check=True)
    before = box.inspect()
    box.stop()
    assert box.ip == before.addresses[0].address
    box.start()
    after = box.inspect()
    assert after.addresses == before.addresses
    assert (after.id, after.name, after.hostname) == (before.id, "again", "again-host")
    assert after.created_at_ns == before.created_at_ns
    assert after.started_at_ns is not None
    assert before.started_at_ns is not None
    assert after.started_at_ns > before.started_at_ns
    assert box.exec(["cat", "/tmp/file"]).stdout == "kept\n"
    inside = box.exec(["sh", "-c", "ip -4 -o addr show eth0"]).stdout
    assert f"{before.addresses[0].address}/" in inside


def test_start_of_what_runs_is_an_invalid_state(run: Run) -> None:
    box = run(name="already")
    with pytest.raises(kina.InvalidStateError, match="already") as caught:
        box.start()
    assert caught.value.hint


def test_restart_is_another_process(run: Run) -> None:
    box = run()
    before = box.inspect().pid
    assert box.restart(timeout=1) == box
    assert box.state == "running"
    assert box.inspect().pid != before


def test_restart_starts_what_had_ended(run: Run) -> None:
    box = run(["sh", "-c", "echo turn"])
    box.wait(timeout=10)
    box.restart()
    assert box.wait(timeout=10) == 0
    assert box.logs() == "turn\nturn\n"


def test_pause_freezes_and_resume_thaws(run: Run, tmp_path: Path) -> None:
    box = run(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /tmp/j; mv /tmp/j /tmp/i; done"])

    def count() -> str:
        # A frozen container can't exec.
        return box.copy_from("/tmp/i", tmp_path / "i").read_text()

    assert wait_until(lambda: "i" in box.exec(["ls", "/tmp"]).stdout)
    assert box.pause() == box
    assert box.state == "paused"
    first = count()
    time.sleep(0.2)
    assert count() == first
    with pytest.raises(kina.InvalidStateError, match="paused"):
        box.pause()
    box.resume()
    assert box.state == "running"
    assert wait_until(lambda: count() != first)
    with pytest.raises(kina.InvalidStateError, match="not paused"):
        box.resume()


def test_a_paused_container_can_be_stopped_and_deleted(run: Run) -> None:
    box = run().pause()
    box.stop(timeout=5)
    assert box.state == "stopped"
    box.start().pause()
    box.delete(force=True)
    assert kina.Container.list() == []


def test_pause_of_what_does_not_run_is_an_invalid_state(run: Run) -> None:
    box = run(["true"])
    box.wait(timeout=10)
    for act in (box.pause, box.resume):
        with pytest.raises(kina.InvalidStateError, match="not running"):
            act()


def test_delete_refuses_what_runs_unless_forced(run: Run) -> None:
    box = run(name="busy")
    with pytest.raises(kina.InvalidStateError, match="busy") as caught:
        box.delete()
    assert "force" in (caught.value.hint or "")
    assert box.state == "running"
    box.delete(force=True)
    assert kina.Container.list() == []


def test_a_deleted_container_is_not_found_by_any_call(busybox: str) -> None:
    box = kina.Container.create(busybox, WAITS, name="gone")
    box.delete()
    calls: list[Callable[[], object]] = [
        box.inspect, box.start, box.stop, box.restart, box.kill, box.pause, box.resume, box.wait,
        box.delete, box.logs, box.stats, box.reload, lambda: box.state, lambda: box.exit,
        lambda: box.exec(["true"]), lambda: box.exec_stream(["true"]),
        lambda: box.copy_to(b"x", "/tmp/x"), lambda: box.copy_from("/etc/passwd", "/tmp"),
        lambda: box.update(pids=10), lambda: box.attach(None, None, None),
        lambda: list(box.logs(follow=True)), lambda: box.sample(0.1, count=2),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(kina.NotFoundError) as caught:
            call()
        assert box.id in str(caught.value) or "gone" in str(caught.value)


def test_a_name_is_free_again_after_delete(busybox: str) -> None:
    for _ in range(3):
        kina.Container.create(busybox, WAITS, name="reused").delete()


def test_leaving_the_context_deletes_also_after_an_exception(busybox: str) -> None:
    with pytest.raises(ZeroDivisionError), kina.Container.run(busybox, WAITS) as box:
        _ = 1 / 0
    assert box.id not in [found.id for found in kina.Container.list()]


def test_leaving_the_context_of_a_deleted_container_is_fine(busybox: str) -> None:
    with kina.Container.run(busybox, WAITS) as box:
        box.delete(force=True)


def test_remove_deletes_a_container_when_it_ends(busybox: str) -> None:
    box = kina.Container.run(busybox, ["sh", "-c", "sleep 0.1"], remove=True)
    assert wait_until(lambda: kina.Container.list(names=box.id) == [])


def test_containers_outlive_the_program_that_made_them(busybox: str) -> None:
    made = check_python(
        """
        import sys, kina
        script = "trap 'exit 5' TERM; echo up; sleep inf & wait"
        box = kina.Container.run(
            sys.argv[1], ["sh", "-c", script], name="outlives", labels={"kept": "yes"}
        )
        print(box.id, box.ip)
        """,
        busybox,
    )
    identifier, address = made.split()
    with kina.Container.get("outlives") as box:
        assert (box.id, box.ip, box.state) == (identifier, address, "running")
        assert box.labels == {"kept": "yes"}
        assert box.exec(["echo", "still here"]).stdout == "still here\n"
        assert wait_until(lambda: box.logs() == "up\n")
        assert box.stop().wait() == 5


def test_another_program_sees_what_this_one_does(run: Run) -> None:
    run(name="shared", labels={"n": "1"})
    out = check_python(
        """
        import kina
        for box in kina.Container.list():
            print(box.name, box.state, box.labels["n"])
        kina.Container.get("shared").kill()
        """
    )
    assert out == "shared running 1\n"
    assert kina.Container.get("shared").wait(timeout=10) == 137


def test_views_of_one_container_are_equal(run: Run) -> None:
    box = run()
    other = kina.Container.get(box.id)
    assert box == other
    assert hash(box) == hash(other)
    assert box != run()


def test_a_container_has_no_public_constructor() -> None:
    with pytest.raises(TypeError, match=r"Container\.get"):
        kina.Container()
