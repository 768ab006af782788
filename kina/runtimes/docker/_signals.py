"""
Linux's signals, whatever this machine is: macOS numbers some differently and has no real-time ones.
"""

from __future__ import annotations

from typing import Final

from kina.errors import InvalidArgumentError

__all__ = ["VALID", "number"]

_NAMES: Final = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2"),
    *("PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG"),
    *("XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"),
)
_NUMBERS: Final = {
    **{name: value for value, name in enumerate(_NAMES, 1)},
    "IOT": 6,
    "CLD": 17,
    "POLL": 29,
    "RTMIN": 34,
    "RTMAX": 64,
}
VALID: Final = frozenset({*range(1, 32), *range(34, 65)})
"""C libraries keep 32 and 33 for themselves."""


def number(signal: str) -> int:
    """
    Return a signal's number: of "TERM", "SIGTERM", "15", "RTMIN+3" or "RTMAX-1".

    Raises:
        InvalidArgumentError: There is none.
    """
    if signal.isdigit() and 1 <= int(signal) <= 64:
        return int(signal)
    name = signal.removeprefix("SIG")
    base, sign, offset = name.partition("+" if name.startswith("RTMIN") else "-")
    found = _NUMBERS.get(base)
    if sign and (not base.startswith("RT") or not offset.isdigit()):
        found = None
    if found is not None and sign:
        found += int(offset) if sign == "+" else -int(offset)
    if found is None or found not in VALID:
        raise InvalidArgumentError.at("signal", signal, "is not a signal")
    return found
