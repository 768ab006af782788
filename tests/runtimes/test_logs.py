"""
What a container wrote: from its log, and live.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import threading
import time
import tty
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import kina
from support.leaks import wait_until

Run = Callable[..., kina.Container]


def ended(run: Run, script: str, **options: object) -> kina.Container:
    box = run(["sh", "-c", script], **options)
    box.wait(timeout=30)
    return box


def test_logs_have_both_streams_in_order(run: Run) -> None:
    box = ended(run, "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three")
    assert box.logs() == "one\ntwo\nthree\n"
    assert box.logs(stderr=False) == "one\nthree\n"
    assert box.logs(stdout=False) == "two\n"


def test_tail_is_the_last_lines(run: Run) -> None:
    box = ended(run, "seq 1 50")
    assert box.logs(tail=3) == "48\n49\n50\n"
    assert box.logs(tail=0) == ""
    assert box.logs(tail=100).splitlines() == [str(number) for number in range(1, 51)]


def test_timestamps_begin_each_line(run: Run) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    box = ended(run, "echo a; echo b >&2")
    for line, word in zip(box.logs(timestamps=True).splitlines(), "ab", strict=True):
        stamp, text = line.split(" ", 1)
        assert text == word
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", stamp))
        assert before <= moment <= datetime.now(UTC)


def test_since_and_until_cut_the_log(run: Run) -> None:
    box = run(["sh", "-c", "echo early; sleep 1; echo late; sleep inf"])
    assert wait_until(lambda: "early" in box.logs())
    middle = datetime.now(UTC) + timedelta(seconds=0.4)
    assert wait_until(lambda: "late" in box.logs())
    assert box.logs(since=middle) == "late\n"
    assert box.logs(until=middle) == "early\n"
    assert box.logs(since=timedelta(hours=1)) == "early\nlate\n"
    assert box.logs(since=3600, until=middle) == "early\n"


def test_a_last_line_without_newline_is_whole(run: Run) -> None:
    box = ended(run, "echo whole; printf part")
    assert box.logs() == "whole\npart"
    assert list(box.logs(follow=True)) == ["whole\n", "part"] or list(box.logs(follow=True)) == [
        "whole",
        "part",
    ]


def test_long_lines_are_joined_again(run: Run) -> None:
    box = ended(run, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo next")
    assert box.logs() == "x" * 100_000 + "\nnext\n"
    assert box.logs(tail=2) == "x" * 100_000 + "\nnext\n"


def test_bytes_come_back_as_they_were(run: Run) -> None:
    box = ended(run, r"printf 'a\377\000b\n'; printf '\001\n'")
    assert box.logs(text=False) == b"a\xff\x00b\n\x01\n"


def test_follow_yields_lines_as_they_come_until_the_end(run: Run) -> None:
    box = run(["sh", "-c", "echo one; sleep 0.5; echo two; sleep 0.2; echo three >&2"])
    arrived = [(line.rstrip("\n"), time.monotonic()) for line in box.logs(follow=True)]
    assert [line for line, _ in arrived] == ["one", "two", "three"]
    assert arrived[1][1] - arrived[0][1] >= 0.3


def test_follow_of_what_has_ended_ends(run: Run) -> None:
    box = ended(run, "echo done")
    assert [line.rstrip("\n") for line in box.logs(follow=True)] == ["done"]


def test_follow_can_begin_with_the_tail(run: Run) -> None:
    box = run(["sh", "-c", "seq 1 5; sleep 0.6; echo six"])
    assert wait_until(lambda: "5" in box.logs())
    lines = [line.rstrip("\n") for line in box.logs(follow=True, tail=2)]
    assert lines == ["4", "5", "six"]


def test_letting_go_of_follow_ends_it(run: Run) -> None:
    box = run(["sh", "-c", "while :; do echo again; sleep 0.05; done"])
    threads = threading.active_count()
    lines = iter(box.logs(follow=True))
    for _ in range(3):
        assert next(lines).rstrip("\n") == "again"
    lines.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
    assert box.state == "running"


def test_logs_keep_the_runs_before_a_restart(run: Run) -> None:
    box = ended(run, "echo run")
    box.start()
    box.wait(timeout=10)
    assert box.logs() == "run\nrun\n"


def test_the_log_is_limited_and_keeps_the_newest(run: Run) -> None:
    box = ended(run, "seq 1 60000", log_limit="64Ki")
    lines = box.logs().splitlines()
    assert lines[-1] == "60000"
    assert len(lines) < 10_000
    assert lines == [str(number) for number in range(int(lines[0]), 60001)]


def test_follow_goes_on_over_a_rotation(run: Run) -> None:
    box = run(
        ["sh", "-c", "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo $i; done; sleep 1; echo end"],
        log_limit="16Ki",
    )
    lines = [line.rstrip("\n") for line in box.logs(follow=True)]
    assert lines[-1] == "end"
    numbers = [int(line) for line in lines[:-1]]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 4000


def test_many_readers_do_not_disturb_each_other(run: Run) -> None:
    box = run(["sh", "-c", "for i in $(seq 1 20); do echo $i; sleep 0.03; done"])
    found: list[list[str]] = [[] for _ in range(4)]

    def read(mine: list[str]) -> None:
        mine.extend(line.rstrip("\n") for line in box.logs(follow=True))

    threads = [threading.Thread(target=read, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[str(number) for number in range(1, 21)]] * 4


def test_attach_connects_output(run: Run) -> None:
    box = run(["sh", "-c", "sleep 0.5; echo out; echo err >&2; sleep 0.2"])
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    box.attach(None, out_w, err_w)
    os.close(out_w)
    os.close(err_w)
    with os.fdopen(out_r, "rb") as out, os.fdopen(err_r, "rb") as err:
        assert (out.read(), err.read()) == (b"out\n", b"err\n")
    assert box.wait(timeout=5) == 0


def test_attach_feeds_input(run: Run) -> None:
    box = run(["sh", "-c", "read a; echo got $a; exit 8"], stdin=True)
    in_r, in_w = os.pipe()
    out_r, out_w = os.pipe()
    os.write(in_w, b"something\n")
    box.attach(in_r, out_w, None)
    for fd in (in_r, in_w, out_w):
        os.close(fd)
    with os.fdopen(out_r, "rb") as out:
        assert out.read() == b"got something\n"
    assert box.wait(timeout=5) == 8


def test_attach_to_a_terminal_is_interactive(run: Run) -> None:
    box = run(["sh"], tty=True, stdin=True, env={"PS1": "> "})
    master, slave = pty.openpty()
    tty.setraw(slave)
    thread = threading.Thread(target=box.attach, args=(slave, slave, None))
    thread.start()
    os.set_blocking(master, False)
    seen = b""

    def answered() -> bool:
        nonlocal seen
        # Again and again: a shell that is only just starting throws away what was typed ahead.
        os.write(master, b"echo $((40+2))\n")
        with contextlib.suppress(BlockingIOError):
            seen += os.read(master, 4096)
        return b"\n42" in seen

    assert wait_until(answered, seconds=10, pause=0.2), seen
    os.write(master, b"exit\n")
    thread.join(10)
    assert not thread.is_alive()
    os.close(master)
    os.close(slave)
    assert box.wait(timeout=5) == 0


def test_an_attached_reader_that_does_not_read_blocks_nobody(run: Run) -> None:
    box = run(["sh", "-c", "sleep 0.3; head -c 2000000 /dev/zero | tr '\\0' x; echo; echo end"])
    out_r, out_w = os.pipe()
    thread = threading.Thread(target=box.attach, args=(None, out_w, None))
    thread.start()
    lines = [line.rstrip("\n") for line in box.logs(follow=True)]
    assert lines[-1] == "end"
    with os.fdopen(out_r, "rb") as out:
        drained = threading.Thread(target=out.read)
        drained.start()
        thread.join(10)
        os.close(out_w)
        drained.join(10)


def test_attach_of_what_does_not_run_is_an_invalid_state(run: Run) -> None:
    box = ended(run, "true")
    with pytest.raises(kina.InvalidStateError):
        box.attach(None, None, None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tail": -1}, "tail"),
        ({"tail": "x"}, "tail"),
        ({"since": "yesterday"}, "since"),
        ({"until": -5}, "until"),
        ({"stdout": False, "stderr": False}, "stdout"),
    ],
)
def test_bad_requests_name_the_field(
    box: kina.Container, options: dict[str, object], field: str
) -> None:
    with pytest.raises(kina.InvalidArgumentError, match=field):
        box.logs(**options)  # type: ignore[call-overload]
