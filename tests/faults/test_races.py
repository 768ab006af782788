"""
Several programs do the same to the same container at the same time: one wins, the others are told.
"""

from __future__ import annotations

import collections
import subprocess
import sys
import threading
import time

import pytest

import kina
from support.containers import WAITS
from support.scripts import environment

PROGRAM = """
import sys, time
import kina
image, act, begin = sys.argv[1], sys.argv[2], float(sys.argv[3])
kina.Container.list()
acts = {
    "create": lambda: kina.Container.create(image, ["sleep", "inf"], name="raced", ports=[80]),
    "run": lambda: kina.Container.run(image, ["sleep", "inf"], name="raced"),
    "short": lambda: kina.run(image, ["sleep", "0.5"], name="raced"),
    "start": lambda: kina.Container.get("raced").start(),
    "stop": lambda: kina.Container.get("raced").stop(timeout=1),
    "delete": lambda: kina.Container.get("raced").delete(force=True),
    "restart": lambda: kina.Container.get("raced").restart(timeout=0),
    "pause": lambda: kina.Container.get("raced").pause(),
}
time.sleep(max(0, begin - time.time()))
try:
    acts[act]()
    print("done")
except kina.KinaError as failure:
    print(type(failure).__name__)
"""


def race(image: str, *acts: str) -> list[str]:
    """
    Do all at one moment, and return what each came to.
    """
    begin = time.time() + 0.6 + 0.2 * len(acts)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, image, act, str(begin)],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for act in acts
    ]  # fmt: skip
    results = []
    for racer in racers:
        out, error = racer.communicate(timeout=50)
        assert racer.returncode == 0, error
        results.append(out.strip())
    return results


@pytest.mark.parametrize("act", ["create", "run", "short"])
def test_one_of_many_gets_the_name(busybox: str, act: str) -> None:
    results = collections.Counter(race(busybox, *[act] * 5))
    assert results == {"done": 1, "AlreadyExistsError": 4}
    for box in kina.Container.list():
        box.delete(force=True)


def test_one_of_many_starts(busybox: str) -> None:
    with kina.Container.create(busybox, WAITS, name="raced") as box:
        results = collections.Counter(race(busybox, *["start"] * 4))
        assert results == {"done": 1, "InvalidStateError": 3}
        assert box.state == "running"


def test_all_of_many_stop(busybox: str) -> None:
    with kina.Container.run(busybox, WAITS, name="raced") as box:
        assert race(busybox, *["stop"] * 4) == ["done"] * 4
        assert box.state == "stopped"
        assert box.wait() == 0


def test_one_of_many_deletes(busybox: str) -> None:
    kina.Container.run(busybox, WAITS, name="raced")
    results = collections.Counter(race(busybox, *["delete"] * 4))
    assert results == {"done": 1, "NotFoundError": 3}
    assert kina.Container.list() == []


def test_everything_at_once_ends_in_one_truth(busybox: str) -> None:
    for _ in range(2):
        kina.Container.create(busybox, WAITS, name="raced")
        results = race(busybox, "start", "stop", "restart", "delete", "pause", "start", "create")
        allowed = {
            "done",
            "InvalidStateError",
            "NotFoundError",
            "AlreadyExistsError",
            "ConflictError",
        }
        assert set(results) <= allowed, results
        assert results[3] == "done"
        for box in kina.Container.list():
            assert box.name == "raced"
            box.delete(force=True)


def test_a_name_passes_from_hand_to_hand_between_threads(busybox: str) -> None:
    wins: collections.Counter[str] = collections.Counter()

    def work() -> None:
        for _ in range(15):
            try:
                kina.Container.create(busybox, ["true"], name="raced", network="none").delete()
                wins["done"] += 1
            except kina.AlreadyExistsError:
                wins["taken"] += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wins["done"] >= 1
    assert wins.total() == 90
    assert kina.Container.list() == []
