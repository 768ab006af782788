"""
Calls that last: ended from another thread, by Ctrl-C, and by being let go of.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from kina import calls
from kina._streams import Lines, Reading, capture
from kina.calls import Background, Call, interruptible
from kina.errors import DeadlineExceededError, OperationCancelledError
from kina.runtimes.base import Streams


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """
    Fail a test that leaves a thread or a descriptor.
    """
    threads, before = threading.enumerate(), set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert threads == threading.enumerate()
    assert before == set(os.listdir("/proc/self/fd"))


class Blocking:
    """
    What a function of the library does: block until its call is cancelled, then clean up.
    """

    def __init__(self, clean_up: float = 0.0) -> None:
        self.cancelled = threading.Event()
        self.started = threading.Event()
        self.cleaned = False
        self.thread: threading.Thread | None = None
        self._clean_up = clean_up

    def __call__(self, call: Call) -> None:
        self.thread = threading.current_thread()
        self.started.set()
        with call.cancelling(self.cancelled.set):
            assert self.cancelled.wait(30)
        time.sleep(self._clean_up)
        self.cleaned = True
        raise OperationCancelledError("cancelled")


def interrupt_when(event: threading.Event, times: int = 1) -> threading.Thread:
    def send() -> None:
        event.wait(30)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_result_and_a_failure_come_through() -> None:
    assert interruptible(lambda: 7, Call()) == 7
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0, Call())


def test_ctrl_c_cancels_waits_for_the_clean_up_and_is_raised() -> None:
    call, blocking = Call(), Blocking(clean_up=0.2)
    sender = interrupt_when(blocking.started)
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: blocking(call), call)
    assert blocking.cleaned
    sender.join()


def test_a_second_ctrl_c_is_held_until_the_clean_up_is_done() -> None:
    call, blocking = Call(), Blocking(clean_up=0.5)
    sender = interrupt_when(blocking.started, times=3)
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: blocking(call), call)
    assert blocking.cleaned
    sender.join()


def test_a_clean_up_that_does_not_end_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "CLEAN_UP_SECONDS", 0.1)
    call, blocking = Call(), Blocking(clean_up=0.6)
    sender = interrupt_when(blocking.started)
    with pytest.raises(KeyboardInterrupt) as caught:
        interruptible(lambda: blocking(call), call)
    assert caught.value.__notes__ == ["the clean-up goes on after 0 s"]
    assert not blocking.cleaned
    sender.join()
    assert blocking.thread is not None
    blocking.thread.join()


def test_a_result_that_came_with_the_interruption_is_taken_back() -> None:
    call = Call()
    started, cancelled = threading.Event(), threading.Event()
    taken_back: list[str] = []

    def create() -> str:
        started.set()
        with call.cancelling(cancelled.set):
            cancelled.wait(30)
        return "made"

    sender = interrupt_when(started)
    with pytest.raises(KeyboardInterrupt):
        interruptible(create, call, taken_back.append)
    sender.join()
    assert taken_back == ["made"]


def test_on_another_thread_the_function_runs_there() -> None:
    ran: list[threading.Thread] = []
    thread = threading.Thread(
        target=lambda: interruptible(lambda: ran.append(threading.current_thread()), Call())
    )
    thread.start()
    thread.join()
    assert [thread] == ran


def test_one_call_bounds_several_functions() -> None:
    call = Call()
    assert interruptible(lambda: 1, call) == 1
    gc.collect()
    assert not call.cancelled
    assert interruptible(lambda: 2, call) == 2


def test_a_call_cancelled_early_cancels_what_begins_later() -> None:
    call, hooked = Call(), threading.Event()
    call.cancel()
    with call.cancelling(hooked.set):
        assert hooked.is_set()


def test_letting_go_of_what_runs_ends_it() -> None:
    call, blocking = Call(), Blocking()
    background = Background(lambda: blocking(call), call).start()
    blocking.started.wait(10)
    del background
    gc.collect()
    assert blocking.cancelled.wait(10)
    assert blocking.thread is not None
    blocking.thread.join(10)


def test_the_deadline_counts_from_the_start() -> None:
    assert Call().remaining is None
    remaining = Call(5).remaining
    assert remaining is not None
    assert 4 < remaining <= 5
    assert Call(0).remaining == 0


def cat(streams: Streams, _: Call) -> int:
    """
    Copy input to output and count it, as a process would.
    """
    count = 0
    while chunk := os.read(streams.stdin, 1 << 16):
        count += len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(streams.stdout, view) :]
    os.write(streams.stderr, b"done\xff")
    return count


def test_large_input_and_output_at_once_do_not_deadlock() -> None:
    content = os.urandom(5_000_000)
    count, captured = capture(cat, Call(), content, None)
    assert len(content) == count
    assert (content, b"done\xff") == captured.decoded(None)
    assert captured.decoded("utf-8")[1] == "done\ufffd"


def test_the_end_of_the_process_is_the_end_though_a_child_holds_its_output() -> None:
    held: list[int] = []

    def leave_child(streams: Streams, _: Call) -> None:
        held.append(os.dup(streams.stdout))
        os.write(streams.stdout, b"last words")

    _, captured = capture(leave_child, Call(), None, None)
    os.close(held[0])
    assert captured.stdout == b"last words"


def test_a_deadline_keeps_the_partial_output() -> None:
    def late(streams: Streams, _: Call) -> None:
        os.write(streams.stdout, b"early")
        raise DeadlineExceededError("too late")

    with pytest.raises(DeadlineExceededError) as caught:
        capture(late, Call(), None, "utf-8")
    assert (caught.value.stdout, caught.value.stderr) == ("early", "")


def forever(fd: int, call: Call) -> None:
    """
    Write lines until cancelled or until nobody reads.
    """
    stop = threading.Event()
    with call.cancelling(stop.set):
        while not stop.wait(0.001):
            os.write(fd, b"line\n")
    raise OperationCancelledError("cancelled")


def test_lines_come_as_they_are_written_and_closing_ends_the_writer() -> None:
    source = Lines(Reading(forever, Call()))
    assert [next(source), next(source)] == [b"line", b"line"]
    source.close()
    with pytest.raises(StopIteration):
        next(source)


def test_letting_go_of_an_iterator_ends_the_writer() -> None:
    source = Lines(Reading(forever, Call()))
    next(source)
    del source


def test_a_writer_that_waits_for_room_is_ended_too() -> None:
    def flood(fd: int, _: Call) -> None:
        while True:
            os.write(fd, b"x" * 65536)

    with Reading(flood, Call()) as chunks:
        next(chunks)


def test_the_last_line_needs_no_end_and_failures_come_through() -> None:
    def two(fd: int, _: Call) -> None:
        os.write(fd, b"a\n\nb")

    assert list(Lines(Reading(two, Call()))) == [b"a", b"", b"b"]

    def fails(fd: int, _: Call) -> None:
        os.write(fd, b"a\n")
        raise OperationCancelledError("no more")

    source = Lines(Reading(fails, Call()))
    assert next(source) == b"a"
    with pytest.raises(OperationCancelledError, match="no more"):
        next(source)
