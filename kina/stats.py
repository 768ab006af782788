"""
A container's figures: one sample, or many in one numpy array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from kina._fields import Problems
from kina._figures import FIELDS, LAYOUT, Figure
from kina._quantities import Quantity, parse_seconds
from kina.calls import Call
from kina.errors import InvalidArgumentError
from kina.runtimes.base import Runtime

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Figure", "Stats", "sample", "stats"]


@attrs.frozen(kw_only=True)
class Stats:
    """
    One sample; None is what could not be read, or a limit that there is not.

    Attributes:
        timestamp_ns: CLOCK_MONOTONIC.
        cpu_ns: CPU time so far.
        cpu_user_ns: Of that, in programs.
        cpu_system_ns: Of that, in the kernel.
        memory_bytes: In use, with the page cache.
        memory_working_set_bytes: In use, without what the kernel can drop.
        memory_limit_bytes: The limit.
        pids: Processes and threads.
        pids_limit: The limit.
        network_rx_bytes, network_tx_bytes, network_rx_packets, network_tx_packets: Received and
            sent so far.
        block_read_bytes, block_write_bytes: Read and written so far.
        oom_kills: Processes that the kernel killed for memory.
    """

    timestamp_ns: int
    cpu_ns: int | None
    cpu_user_ns: int | None
    cpu_system_ns: int | None
    memory_bytes: int | None
    memory_working_set_bytes: int | None
    memory_limit_bytes: int | None
    pids: int | None
    pids_limit: int | None
    network_rx_bytes: int | None
    network_tx_bytes: int | None
    network_rx_packets: int | None
    network_tx_packets: int | None
    block_read_bytes: int | None
    block_write_bytes: int | None
    oom_kills: int | None


def stats(runtime: Runtime, container: str) -> Stats:
    """
    Take one sample.
    """
    buffer = bytearray(LAYOUT.size)
    runtime.containers.statistics(container, 0, buffer, 1)
    _, _, valid, timestamp, *figures = LAYOUT.unpack(buffer)
    known = {
        name: figure if valid & bit else None
        for (name, bit), figure in zip(FIELDS, figures, strict=True)
    }
    return Stats(timestamp_ns=timestamp, **known)


def dtype() -> np.dtype[np.void]:
    """
    Return the fields of a sampled array, in the memory layout of kina_statistics_t.
    """
    import numpy as np

    names = ["valid", "timestamp_ns", *(name for name, _ in FIELDS)]
    return np.dtype(
        {
            "names": names,
            "formats": ["<u8"] * len(names),
            "offsets": [8 + 8 * index for index in range(len(names))],
            "itemsize": LAYOUT.size,
        }
    )


def _seconds(field: str, value: Quantity) -> float:
    problems, seconds = Problems(), 0.0
    with problems.at(field):
        seconds = parse_seconds(value)
    problems.raise_any()
    return seconds


def sample(
    runtime: Runtime,
    container: str,
    interval: Quantity,
    count: int | None,
    duration: Quantity | None,
) -> np.ndarray[Any, np.dtype[np.void]]:
    """
    Take a series of samples, into memory that numpy owns.
    """
    import numpy as np

    seconds = _seconds("interval", interval)
    if (count is None) == (duration is None):
        raise InvalidArgumentError.at("count", count, "give either count or duration")
    if duration is not None:
        lasts = _seconds("duration", duration)
        if seconds <= 0:
            raise InvalidArgumentError.at("interval", interval, "must be above 0 with a duration")
        # A sample at each end.
        count = int(lasts / seconds) + 1
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 10_000_000:
        raise InvalidArgumentError.at("count", count, "must be 1 to 10 million")
    samples = np.zeros(count, dtype())
    taken = runtime.containers.statistics(
        container, round(seconds * 1e9), samples.view(np.uint8), count, Call()
    )
    return samples[:taken]
