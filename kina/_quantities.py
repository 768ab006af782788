"""
Reads what people write for sizes, CPUs, durations and times.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from kina.errors import InvalidArgumentError

__all__ = ["Moment", "Quantity", "parse_bytes", "parse_cpus", "parse_moment", "parse_seconds"]

Quantity = int | float | str
"""A number, or a number with a unit."""

Moment = datetime | timedelta | int | float
"""A time: aware or local, or how long ago (a timedelta, seconds)."""

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)

# Kubernetes' suffixes mean what they mean there. Docker's lower-case ones, and those with a B, are
# powers of 1024 there; a bare K and the like is Kubernetes' k only in lower case, so upper case
# follows Kubernetes for M, G.
_BYTES: Final = {
    "": 1,
    "b": 1,
    "B": 1,
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)},
    **{f"{unit}iB": 1024**power for power, unit in enumerate("KMGTPE", 1)},
    **{unit: 1000**power for power, unit in enumerate("kMGTPE", 1)},
    "K": 1000,
    **{unit: 1024**power for power, unit in enumerate("mgtp", 2)},
    **{f"{unit}b": 1024**power for power, unit in enumerate("kmgtp", 1)},
    **{f"{unit}B": 1000**power for power, unit in enumerate("kMGTPE", 1)},
    "KB": 1000,
}
_SECONDS: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_MAXIMUM: Final = 2**63 - 1


def parse_bytes(value: Quantity) -> int:
    """
    Read a size in bytes.

    Args:
        value: Bytes, or a number with a unit: Kubernetes' ("256Mi", "1.5G") or Docker's ("256m",
            "64kb").

    Raises:
        InvalidArgumentError: It is none of these.
    """
    hint = "write bytes, or a number with a unit such as '256Mi' or '1.5G'"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidArgumentError.at("", value, "must be a size", hint)
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if match is None or match[2] not in _BYTES:
            raise InvalidArgumentError.at("", value, "is not a size", hint)
        size = Decimal(match[1]) * _BYTES[match[2]]
    else:
        size = _decimal(value, "is not a size", hint)
    if not 0 <= size <= _MAXIMUM:
        raise InvalidArgumentError.at("", value, f"must be 0 to {_MAXIMUM} bytes", hint)
    if size != size.to_integral_value() and isinstance(value, float):
        raise InvalidArgumentError.at("", value, "must be a whole number of bytes", hint)
    return int(size)


def parse_cpus(value: Quantity) -> float:
    """
    Read a number of CPUs.

    Args:
        value: A number, or Kubernetes' "500m" (thousandths).

    Raises:
        InvalidArgumentError: It is neither, or not above 0.
    """
    hint = "write a number of CPUs such as 1.5, or '500m'"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidArgumentError.at("", value, "must be a number of CPUs", hint)
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if match is None or match[2] not in ("", "m"):
            raise InvalidArgumentError.at("", value, "is not a number of CPUs", hint)
        cpus = Decimal(match[1]) / (1000 if match[2] else 1)
    else:
        cpus = _decimal(value, "is not a number of CPUs", hint)
    if not Decimal("0.001") <= cpus <= 1_000_000:
        raise InvalidArgumentError.at("", value, "must be at least 0.001", hint)
    return float(cpus)


def parse_seconds(value: Quantity | timedelta) -> float:
    """
    Read a duration.

    Args:
        value: Seconds, a timedelta, or text such as "90s", "1m30s" or "500ms".

    Raises:
        InvalidArgumentError: It is none of these, or negative.
    """
    hint = "write seconds, a timedelta, or text such as '1m30s'"
    if isinstance(value, timedelta):
        seconds = Decimal(str(value.total_seconds()))
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidArgumentError.at("", value, "must be a duration", hint)
    elif isinstance(value, str):
        seconds = _spoken(value, hint)
    else:
        seconds = _decimal(value, "is not a duration", hint)
    if not 0 <= seconds <= 10**9:
        raise InvalidArgumentError.at("", value, "must be 0 to a billion seconds", hint)
    return float(seconds)


def parse_moment(value: Moment) -> int:
    """
    Read a point in time.

    Args:
        value: A datetime (local when naive), or how long ago: a timedelta or seconds.

    Returns:
        Nanoseconds since the epoch.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    hint = "pass a datetime, or how long ago as a timedelta or seconds"
    if isinstance(value, datetime):
        return int(Decimal(str(value.timestamp())) * 10**9)
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        raise InvalidArgumentError.at("", value, "must be a time", hint)
    return time.time_ns() - int(Decimal(str(parse_seconds(value))) * 10**9)


def _decimal(value: float, reason: str, hint: str) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite():
        raise InvalidArgumentError.at("", value, reason, hint)
    return number


def _spoken(value: str, hint: str) -> Decimal:
    try:
        number = Decimal(value)
        if number.is_finite():
            return number
    except InvalidOperation:
        pass
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h|d)", value, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != value.replace(" ", ""):
        raise InvalidArgumentError.at("", value, "is not a duration", hint)
    return sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))
