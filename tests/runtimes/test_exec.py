"""
Processes in a running container: captured, streamed, fed, timed out.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import kina
from support.leaks import wait_until

Run = Callable[..., kina.Container]


def commands(box: kina.Container) -> str:
    """
    Return what runs in a container.
    """
    return box.exec(["ps", "-o", "args"]).stdout


def test_exec_captures_both_streams_and_the_exit_code(box: kina.Container) -> None:
    done = box.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert done.args == ("sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.reason == "exited"


def test_exec_says_which_signal_ended_it(box: kina.Container) -> None:
    done = box.exec(["sh", "-c", "kill -9 $$"])
    assert done.exit_code == 137


def test_check_raises_with_code_and_output(box: kina.Container) -> None:
    with pytest.raises(kina.ExecError, match="exit code 4") as caught:
        box.exec(["sh", "-c", "echo why >&2; echo what; exit 4"], check=True)
    assert (caught.value.exit_code, caught.value.stdout) == (4, "what\n")
    assert caught.value.stderr == "why\n"
    assert "why" in str(caught.value)


def test_bytes_are_not_touched(box: kina.Container) -> None:
    data = bytes(range(256)) * 16
    done = box.exec(["cat"], stdin=data, text=False)
    assert done.stdout == data


def test_text_that_is_none_is_replaced(box: kina.Container) -> None:
    assert box.exec(["printf", r"a\377b"]).stdout == "a\ufffdb"


@pytest.mark.parametrize("megabytes", [1, 24])
def test_much_input_and_output_pass_at_once(box: kina.Container, megabytes: int) -> None:
    data = os.urandom(1 << 20) * megabytes
    done = box.exec(["tee", "/dev/stderr"], stdin=data, text=False)
    assert done.exit_code == 0
    assert done.stdout == data
    assert done.stderr == data


def test_input_may_be_text_a_file_or_a_descriptor(box: kina.Container, tmp_path: Path) -> None:
    assert box.exec(["cat"], stdin="grüße").stdout == "grüße"
    (tmp_path / "in").write_text("from a file")
    with (tmp_path / "in").open("rb") as file:
        assert box.exec(["cat"], stdin=file).stdout == "from a file"
    with (tmp_path / "in").open("rb") as file:
        assert box.exec(["cat"], stdin=file.fileno()).stdout == "from a file"


def test_input_that_is_not_read_to_its_end_is_fine(box: kina.Container) -> None:
    done = box.exec(["head", "-c", "3"], stdin=b"x" * (4 << 20))
    assert (done.exit_code, done.stdout) == (0, "xxx")


def test_without_input_it_is_empty(box: kina.Container) -> None:
    assert box.exec(["cat"]).stdout == ""


def test_environment_directory_and_user_are_its_own(run: Run) -> None:
    box = run(env={"A": "container", "B": "container"}, workdir="/etc")
    show = ["sh", "-c", "echo $A $B; pwd; id -u; id -g"]
    assert box.exec(show).stdout.split() == ["container", "container", "/etc", "0", "0"]
    done = box.exec(show, env={"B": "exec"}, workdir="/tmp", user="app")
    assert done.stdout.split() == ["container", "exec", "/tmp", "1000", "1000"]
    assert box.exec(["id", "-u"], user=1234).stdout == "1234\n"
    assert box.exec(show, user="1000:2000").stdout.split()[3:] == ["1000", "2000"]


def test_supplementary_groups_of_a_named_user_are_set(box: kina.Container) -> None:
    assert box.exec(["id", "-G"], user="app").stdout.split() == ["1000", "2000"]


def test_arguments_reach_the_program_as_they_are(box: kina.Container) -> None:
    odd = ["", " ", "$HOME", "`id`", "a'b\"c", "\n", "*", "grüße", "-n"]
    done = box.exec(["sh", "-c", 'for a; do printf "[%s]" "$a"; done', "sh", *odd])
    assert done.stdout == "".join(f"[{word}]" for word in odd)


def test_a_terminal_is_one(box: kina.Container) -> None:
    done = box.exec(
        ["sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo e >&2"], tty=True
    )
    assert done.stdout.replace("\r\n", "\n").splitlines()[1:] == ["all", "e"]
    assert done.stdout.startswith("/dev/")
    assert done.stderr == ""
    assert box.exec(["tty"]).stdout == "not a tty\n"


def test_a_missing_program_is_not_found_with_127(box: kina.Container) -> None:
    with pytest.raises(kina.NotFoundError, match="no-such-program") as caught:
        box.exec(["no-such-program"])
    assert caught.value.details["exitCode"] == "127"
    assert caught.value.hint


def test_a_program_that_cannot_run_is_denied_with_126(box: kina.Container) -> None:
    with pytest.raises(kina.PermissionDeniedError, match="not-a-program") as caught:
        box.exec(["/etc/not-a-program"])
    assert caught.value.details["exitCode"] == "126"


def test_exec_in_what_does_not_run_is_an_invalid_state(run: Run) -> None:
    box = run(["true"])
    box.wait(timeout=10)
    with pytest.raises(kina.InvalidStateError, match="not running"):
        box.exec(["true"])


def test_a_timeout_ends_the_process_and_its_children_in_the_container(box: kina.Container) -> None:
    before = time.monotonic()
    with pytest.raises(kina.DeadlineExceededError) as caught:
        box.exec(
            ["sh", "-c", "echo begun; sleep 4321 & setsid sleep 4322 & sleep 4323"], timeout=0.7
        )
    assert time.monotonic() - before < 5
    assert caught.value.stdout == "begun\n"
    assert wait_until(lambda: "432" not in commands(box))


def test_a_timeout_ends_what_has_closed_its_output(box: kina.Container) -> None:
    before = time.monotonic()
    with pytest.raises(kina.DeadlineExceededError):
        box.exec(["sh", "-c", "exec >&- 2>&-; sleep 4324"], timeout=0.7)
    assert time.monotonic() - before < 5
    assert wait_until(lambda: "4324" not in commands(box))


def test_the_end_is_the_processs_also_when_a_child_goes_on_writing(box: kina.Container) -> None:
    before = time.monotonic()
    done = box.exec(["sh", "-c", "(while :; do echo more; sleep 0.1; done) & echo first; exit 3"],
                    check=False)  # fmt: skip
    assert time.monotonic() - before < 10
    assert (done.exit_code, "first" in done.stdout) == (3, True)


def test_a_timeout_that_does_not_come_changes_nothing(box: kina.Container) -> None:
    assert box.exec(["echo", "quick"], timeout="30s").stdout == "quick\n"


def test_execs_at_the_same_time_do_not_mix(box: kina.Container) -> None:
    results: dict[int, str] = {}

    def work(number: int) -> None:
        results[number] = box.exec(["sh", "-c", "sleep 0.2; cat"], stdin=str(number)).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: str(number) for number in range(8)}


def test_stream_yields_output_while_it_runs(box: kina.Container) -> None:
    with box.exec_stream(["sh", "-c", "echo one; read x; echo two $x >&2"], stdin=True) as process:
        chunks = iter(process)
        assert next(chunks) == ("stdout", b"one\n")
        assert process.exit_code is None
        assert process.stdin is not None
        process.stdin.write(b"now\n")
        assert next(chunks) == ("stderr", b"two now\n")
        assert list(chunks) == []
        assert process.wait(timeout=10) == 0
        assert process.exit_code == 0


def test_stream_reads_all_that_a_process_wrote_before_it_ended(box: kina.Container) -> None:
    with box.exec_stream(["sh", "-c", "seq 1 100000"]) as process:
        output = b"".join(chunk for stream, chunk in process if stream == "stdout")
    assert output == b"".join(b"%d\n" % number for number in range(1, 100001))


def test_a_reader_that_takes_its_time_has_all_of_it(box: kina.Container) -> None:
    with box.exec_stream(["head", "-c", "1048576", "/dev/zero"]) as process:
        chunks = iter(process)
        size = len(next(chunks)[1])
        time.sleep(4)  # longer than machines wait for what is left of output
        size += sum(len(chunk) for _, chunk in chunks)
        assert process.wait(timeout=10) == 0
    assert size == 1 << 20


def test_closing_a_streams_input_is_its_end(box: kina.Container) -> None:
    with box.exec_stream(["wc", "-c"], stdin=True) as process:
        assert process.stdin is not None
        process.stdin.write(b"12345")
        process.stdin.close()
        assert b"".join(chunk for _, chunk in process).strip() == b"5"


def test_leaving_a_stream_ends_the_process_and_its_children(box: kina.Container) -> None:
    with box.exec_stream(["sh", "-c", "sleep 5432 & sleep 5433"]) as process:
        assert wait_until(lambda: "5433" in commands(box))
        assert "running" in repr(process)
    assert wait_until(lambda: "543" not in commands(box))


def test_a_stream_can_be_killed(box: kina.Container) -> None:
    with box.exec_stream(
        ["sh", "-c", "trap 'exit 6' USR1; echo up; while :; do sleep 0.05; done"]
    ) as process:
        assert next(iter(process)) == ("stdout", b"up\n")
        process.kill("USR1")
        assert process.wait(timeout=10) == 6
    with box.exec_stream(["sleep", "77"]) as process:
        process.kill(signal.SIGKILL)
        assert process.wait(timeout=10) == 137


def test_a_streams_wait_has_a_deadline(box: kina.Container) -> None:
    with box.exec_stream(["sleep", "77"]) as process:
        with pytest.raises(kina.DeadlineExceededError, match="sleep 77"):
            process.wait(timeout=0.2)


def test_a_streams_terminal_has_a_size(box: kina.Container) -> None:
    until = "until stty size | grep '33 101'; do sleep 0.02; done"
    with box.exec_stream(["sh", "-c", until], tty=True, timeout=20) as process:
        process.resize(rows=33, columns=101)
        assert process.wait() == 0
        with pytest.raises(kina.InvalidArgumentError, match="rows"):
            process.resize(rows=0, columns=1)


def test_a_stream_that_nobody_closed_is_warned_of_and_ended(box: kina.Container) -> None:
    process = box.exec_stream(["sleep", "6543"])
    with pytest.warns(ResourceWarning, match="was not closed"):
        del process
    assert wait_until(lambda: "6543" not in commands(box))


def test_stopping_the_container_ends_its_execs(run: Run) -> None:
    box = run()
    with box.exec_stream(["sleep", "99"]) as process:
        box.stop()
        assert process.wait(timeout=10) == 137
