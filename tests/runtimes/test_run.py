"""
kina.run: a command in a container of its own, to its end.
"""

from __future__ import annotations

import os
import time

import pytest

import kina


def test_run_gives_output_and_exit_code_and_deletes(busybox: str) -> None:
    done = kina.run(busybox, ["sh", "-c", "echo out; echo err >&2; exit 5"])
    assert (done.exit_code, done.stdout, done.stderr) == (5, "out\n", "err\n")
    assert done.reason == "exited"
    assert kina.Container.list() == []


def test_run_has_an_address_of_its_own(busybox: str) -> None:
    out = kina.run(busybox, ["ip", "-4", "-o", "addr", "show", "eth0"]).stdout
    assert "inet " in out


def test_run_feeds_input_of_any_size(busybox: str) -> None:
    data = os.urandom(8 << 20)
    assert kina.run(busybox, ["cat"], input=data, text=False).stdout == data
    assert kina.run(busybox, ["sort"], input="b\na\n").stdout == "a\nb\n"


def test_run_without_input_reads_nothing(busybox: str) -> None:
    assert kina.run(busybox, ["cat"]).stdout == ""


def test_run_checks(busybox: str) -> None:
    with pytest.raises(kina.ExecError, match="exit code 6"):
        kina.run(busybox, ["sh", "-c", "exit 6"], check=True)


def test_run_ends_at_its_timeout_and_deletes(busybox: str) -> None:
    before = time.monotonic()
    with pytest.raises(kina.DeadlineExceededError) as caught:
        kina.run(busybox, ["sh", "-c", "echo begun; sleep 50"], timeout=1.5)
    assert time.monotonic() - before < 8
    assert caught.value.stdout == "begun\n"
    assert caught.value.hint
    assert kina.Container.list() == []


def test_run_reports_a_signal(busybox: str) -> None:
    done = kina.run(busybox, ["sh", "-c", "kill -15 $$; sleep 9"], init=True)
    assert done.exit_code == 143


def test_run_takes_every_option(busybox: str, tmp_path: object) -> None:
    done = kina.run(
        busybox,
        ["sh", "-c", "hostname; echo $A; id -u; pwd"],
        name="short",
        hostname="short-host",
        env={"A": "b"},
        user="app",
        workdir="/tmp",
        mounts=[kina.Mount.bind(str(tmp_path), "/mnt")],
        memory="64Mi",
    )
    assert done.stdout.split() == ["short-host", "b", "1000", "/tmp"]


def test_run_with_a_terminal(busybox: str) -> None:
    done = kina.run(busybox, ["sh", "-c", "test -t 1 && echo terminal"], tty=True)
    assert done.stdout.strip() == "terminal"


def test_run_of_a_missing_command_is_not_found_with_127(busybox: str) -> None:
    with pytest.raises(kina.NotFoundError, match="no-such-program") as caught:
        kina.run(busybox, ["no-such-program"])
    assert caught.value.details["exitCode"] == "127"
    assert kina.Container.list() == []


def test_run_of_what_is_not_executable_is_denied_with_126(busybox: str) -> None:
    with pytest.raises(kina.PermissionDeniedError, match="not-a-program") as caught:
        kina.run(busybox, ["/etc/not-a-program"])
    assert caught.value.details["exitCode"] == "126"


def test_a_program_may_itself_end_with_126_or_127(busybox: str) -> None:
    assert kina.run(busybox, ["sh", "-c", "exit 127"]).exit_code == 127
    assert kina.run(busybox, ["sh", "-c", "exit 126"]).exit_code == 126


def test_a_run_of_a_taken_name_already_exists(busybox: str) -> None:
    with (
        kina.Container.create(busybox, ["true"], name="taken"),
        pytest.raises(kina.AlreadyExistsError, match="taken"),
    ):
        kina.run(busybox, ["true"], name="taken")
