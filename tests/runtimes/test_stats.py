"""
Figures, limits and their change while a container runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import kina

Run = Callable[..., kina.Container]
MIB = 1 << 20


def test_one_sample_has_every_figure_with_its_unit(run: Run) -> None:
    box = run(memory="64Mi", pids=50)
    box.exec(["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"], check=True)
    stats = box.stats()
    assert stats.cpu_ns is not None
    assert 10_000_000 < stats.cpu_ns < 60 * 10**9
    assert stats.memory_bytes is not None
    assert 4096 <= stats.memory_bytes < 64 * MIB
    assert stats.memory_working_set_bytes is not None
    assert stats.memory_working_set_bytes <= stats.memory_bytes
    assert stats.memory_limit_bytes == 64 * MIB
    assert stats.pids in (1, 2)
    assert stats.pids_limit == 50
    assert stats.oom_kills == 0
    assert abs(stats.timestamp_ns - time.monotonic_ns()) < 5 * 10**9


def test_network_traffic_is_counted(run_with_ping: Run) -> None:
    box, other = run_with_ping(), run_with_ping()
    before = box.stats()
    box.exec(["ping", "-c", "3", "-i", "0.1", "-s", "1000", str(other.ip)], check=True)
    after = box.stats()
    assert before.network_tx_bytes is not None
    assert after.network_tx_bytes is not None
    assert after.network_rx_bytes is not None
    assert after.network_rx_packets is not None
    assert after.network_tx_bytes - before.network_tx_bytes >= 3000
    assert after.network_rx_bytes >= 3000
    assert after.network_rx_packets >= 3


def test_what_there_is_not_is_none_and_never_zero(run: Run) -> None:
    stats = run(network="none").stats()
    assert stats.network_rx_bytes is None
    assert stats.memory_limit_bytes is None
    assert stats.pids_limit is None
    assert stats.pids in (1, 2)


def test_stats_of_what_does_not_run_is_an_invalid_state(run: Run) -> None:
    box = run(["true"])
    box.wait(timeout=10)
    with pytest.raises(kina.InvalidStateError):
        box.stats()


def test_a_series_is_one_numpy_array_with_named_fields(run: Run) -> None:
    box = run(["sh", "-c", "while :; do :; done"])
    series = box.sample(0.05, count=8)
    assert isinstance(series, np.ndarray)
    assert series.shape == (8,)
    assert {"timestamp_ns", "valid", "cpu_ns", "memory_bytes", "pids", "network_rx_bytes",
            "block_read_bytes"} <= set(series.dtype.names or ())  # fmt: skip
    assert all(series.dtype[name] == np.uint64 for name in series.dtype.names or ())
    times = np.diff(series["timestamp_ns"].astype(np.int64))
    assert (times > 20_000_000).all()
    assert np.median(times) == pytest.approx(50e6, rel=0.5)
    usage = np.diff(series["cpu_ns"].astype(np.int64))
    assert (usage >= 0).all()
    assert usage.sum() > 0
    assert (series["valid"] & int(kina.Figure.CPU) != 0).all()
    assert (series["valid"] & int(kina.Figure.MEMORY_LIMIT) == 0).all()


def test_a_series_for_a_duration_has_a_sample_at_each_end(box: kina.Container) -> None:
    before = time.monotonic()
    series = box.sample(0.1, duration=0.5)
    assert len(series) == 6
    assert 0.5 <= time.monotonic() - before < 3


def test_a_series_ends_with_the_container(run: Run) -> None:
    box = run(["sleep", "0.6"])
    series = box.sample(0.1, count=1000)
    assert 1 <= len(series) < 20


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "count"),
        ({"count": 3, "duration": 1}, "count"),
        ({"count": 0}, "count"),
        ({"count": "many"}, "count"),
        ({"duration": 1, "interval": 0}, "interval"),
        ({"count": 3, "interval": -1}, "interval"),
        ({"duration": "soon"}, "duration"),
    ],
)
def test_a_bad_series_names_the_field(
    box: kina.Container, options: dict[str, object], field: str
) -> None:
    with pytest.raises(kina.InvalidArgumentError, match=field):
        box.sample(**options)  # type: ignore[arg-type]


def test_update_changes_limits_of_what_runs_at_once(run: Run) -> None:
    box = run(memory="64Mi", pids=40, cpus=1)
    box.update(memory="96Mi", pids=60)
    stats = box.stats()
    assert stats.memory_limit_bytes == 96 * MIB
    assert stats.pids_limit == 60
    spec = box.inspect().spec
    assert spec is not None
    assert (spec.resources.memory, spec.resources.pids) == (96 * MIB, 60)
    assert spec.resources.cpus == 1
    assert box.update(memory="48Mi").stats().memory_limit_bytes == 48 * MIB


def test_an_updated_cpu_limit_slows_what_runs(run: Run) -> None:
    box = run(["sh", "-c", "while :; do :; done"])
    box.update(cpus=0.1)
    time.sleep(0.3)
    series = box.sample(0.5, count=3)
    used = (series["cpu_ns"][-1] - series["cpu_ns"][0]) / (
        series["timestamp_ns"][-1] - series["timestamp_ns"][0]
    )
    assert used < 0.25


def test_an_update_holds_after_a_restart(run: Run) -> None:
    box = run(memory="64Mi")
    box.stop(timeout=0)
    box.update(memory="80Mi", pids=33)
    box.start()
    stats = box.stats()
    assert (stats.memory_limit_bytes, stats.pids_limit) == (80 * MIB, 33)


def test_an_update_that_cannot_be_changes_nothing(run: Run) -> None:
    box = run(memory="64Mi")
    with pytest.raises(kina.InvalidArgumentError, match="cpuset"):
        box.update(cpuset="4000-5000", memory="65Mi")
    assert box.stats().memory_limit_bytes == 64 * MIB
    spec = box.inspect().spec
    assert spec is not None
    assert (spec.resources.memory, spec.resources.cpuset) == (64 * MIB, None)


def test_the_pids_limit_stops_a_fork_bomb(run: Run) -> None:
    box = run(["sh", "-c", "for i in $(seq 1 60); do sleep 30 & done; echo all"], pids=20)
    assert box.wait(timeout=20) != 0
    assert "fork" in box.logs()
    assert "all" not in box.logs()


def test_the_memory_limit_is_reported_as_out_of_memory(run: Run) -> None:
    box = run(
        ["sh", "-c", "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}"], memory="16Mi"
    )
    code = box.wait(timeout=50)
    assert box.exit is not None
    assert box.exit.reason == "oom"
    assert code == 137


def test_a_short_run_reports_out_of_memory_too(busybox: str) -> None:
    done = kina.run(
        busybox,
        ["sh", "-c", "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}"],
        memory="16Mi",
    )
    assert (done.reason, done.exit_code) == ("oom", 137)
    with pytest.raises(kina.ExecError, match="memory"):
        done.check()


def test_samples_from_many_threads(box: kina.Container) -> None:
    lengths: list[int] = []
    threads = [
        threading.Thread(target=lambda: lengths.append(len(box.sample(0.01, count=50))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [50] * 6
