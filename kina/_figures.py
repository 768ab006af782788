"""
How a sample of a container's figures lies in memory.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

__all__ = ["FIELDS", "LAYOUT", "Figure"]


class Figure(enum.IntFlag):
    """
    Which figures a sample has: the bits of its `valid` field.
    """

    CPU = 0x1
    CPU_MODES = 0x2
    MEMORY = 0x4
    MEMORY_LIMIT = 0x8
    PIDS = 0x10
    PIDS_LIMIT = 0x20
    NETWORK = 0x40
    BLOCK_IO = 0x80
    OOM_KILLS = 0x100


# kina_statistics_t, after its size and version: each field with the bit that says whether it could
# be read.
FIELDS: Final = (
    ("cpu_ns", Figure.CPU),
    ("cpu_user_ns", Figure.CPU_MODES),
    ("cpu_system_ns", Figure.CPU_MODES),
    ("memory_bytes", Figure.MEMORY),
    ("memory_working_set_bytes", Figure.MEMORY),
    ("memory_limit_bytes", Figure.MEMORY_LIMIT),
    ("pids", Figure.PIDS),
    ("pids_limit", Figure.PIDS_LIMIT),
    ("network_rx_bytes", Figure.NETWORK),
    ("network_tx_bytes", Figure.NETWORK),
    ("network_rx_packets", Figure.NETWORK),
    ("network_tx_packets", Figure.NETWORK),
    ("block_read_bytes", Figure.BLOCK_IO),
    ("block_write_bytes", Figure.BLOCK_IO),
    ("oom_kills", Figure.OOM_KILLS),
)
LAYOUT: Final = struct.Struct(f"=IIQQ{len(FIELDS)}Q")
