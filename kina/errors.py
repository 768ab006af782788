"""
What can go wrong, in one tree.

```
KinaError(message, *, code, hint, details)
├─ InvalidArgumentError (ValueError)      INVALID_ARGUMENT, OUT_OF_RANGE
├─ NotFoundError (LookupError)            NOT_FOUND
├─ AlreadyExistsError                     ALREADY_EXISTS
├─ InvalidStateError                      FAILED_PRECONDITION
├─ UnsupportedError                       UNIMPLEMENTED
├─ PermissionDeniedError (PermissionError) PERMISSION_DENIED
├─ DeadlineExceededError (TimeoutError)   DEADLINE_EXCEEDED
├─ OperationCancelledError                CANCELLED
├─ RuntimeUnavailableError                UNAVAILABLE: no runtime could be opened
├─ UnavailableError                       UNAVAILABLE: something else that is needed does not answer
├─ ResourceExhaustedError                 RESOURCE_EXHAUSTED
├─ UnauthenticatedError                   UNAUTHENTICATED
├─ DataLossError                          DATA_LOSS
├─ ConflictError                          ABORTED
├─ ExecError                              a command ended with a code other than 0
├─ BootstrapError                         a cluster did not come up
└─ InternalError                          INTERNAL: a bug of kina's
```
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

__all__ = [
    "CLASSES",
    "AlreadyExistsError",
    "BootstrapError",
    "Code",
    "ConflictError",
    "DataLossError",
    "DeadlineExceededError",
    "ExecError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidStateError",
    "KinaError",
    "NotFoundError",
    "OperationCancelledError",
    "PermissionDeniedError",
    "Problem",
    "ResourceExhaustedError",
    "RuntimeUnavailableError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedError",
    "error_for",
]


class Code(enum.IntEnum):
    """
    gRPC's canonical status codes, as `kina_code_t` numbers them.
    """

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class KinaError(Exception):
    """
    Any failure that kina reports.

    Attributes:
        message: What went wrong.
        code: The canonical code.
        hint: What the user can do about it.
        details: Machine-readable facts: "field", "value", "exitCode", "cause" and the like.
    """

    default_code: ClassVar[Code] = Code.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        hint: str | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.hint = hint
        self.details: dict[str, str] = dict(details or {})

    def __str__(self) -> str:
        cause = self.details.get("cause")
        text = f"{self.message}: {cause}" if cause and cause not in self.message else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive BaseException's own way, and process pools pickle errors.
        return _rebuild, (type(self), self.message, self.__dict__)


_E = TypeVar("_E", bound=KinaError)


def _rebuild(kind: type[_E], message: str, state: dict[str, Any]) -> _E:
    error = kind.__new__(kind)
    BaseException.__init__(error, message)
    error.__dict__.update(state)
    return error


class Problem(NamedTuple):
    """
    One bad value.
    """

    field: str
    value: object
    reason: str
    hint: str | None = None

    def __str__(self) -> str:
        shown = "" if self.value is None else f" {_shortened(self.value)}"
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.field}{shown}: {self.reason}{hint}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


class InvalidArgumentError(KinaError, ValueError):
    """
    One or more values can't be used.

    Attributes:
        problems: Every bad value that was found. Empty when the runtime found it.
    """

    default_code = Code.INVALID_ARGUMENT
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> InvalidArgumentError:
        """
        Say all that is wrong at once.

        Args:
            problems: At least one.
        """
        first = problems[0]
        if len(problems) == 1:
            message, hint = str(first._replace(hint=None)), first.hint
        else:
            lines = "".join(f"\n  {problem}" for problem in problems)
            message, hint = f"{len(problems)} values can't be used:{lines}", None
        details = {"field": first.field}
        if first.value is not None:
            details["value"] = str(first.value)[:200]
        error = cls(message, hint=hint, details=details)
        error.problems = tuple(problems)
        return error

    @classmethod
    def at(
        cls, field: str, value: object, reason: str, hint: str | None = None
    ) -> InvalidArgumentError:
        """
        Say what is wrong with one value.
        """
        return cls.of([Problem(field, value, reason, hint)])


class NotFoundError(KinaError, LookupError):
    """
    There is no such object, image, file or command.
    """

    default_code = Code.NOT_FOUND


class AlreadyExistsError(KinaError):
    """
    The name is taken.
    """

    default_code = Code.ALREADY_EXISTS


class InvalidStateError(KinaError):
    """
    Not in the object's present state: a stopped container has no processes to start.
    """

    default_code = Code.FAILED_PRECONDITION


class UnsupportedError(KinaError):
    """
    This runtime, or this version of kina, can't do that.
    """

    default_code = Code.UNIMPLEMENTED


class PermissionDeniedError(KinaError, PermissionError):
    """
    The user may not do that.
    """

    default_code = Code.PERMISSION_DENIED


class DeadlineExceededError(KinaError, TimeoutError):
    """
    It took longer than allowed; what had begun was undone.

    Attributes:
        stdout: What a command had written until then, for commands.
        stderr: The same.
    """

    default_code = Code.DEADLINE_EXCEEDED
    stdout: str | bytes | None = None
    stderr: str | bytes | None = None


class OperationCancelledError(KinaError):
    """
    Somebody cancelled the call; what had begun was undone.
    """

    default_code = Code.CANCELLED


class RuntimeUnavailableError(KinaError):
    """
    No runtime can be opened here; `kina.doctor()` says why.
    """

    default_code = Code.UNAVAILABLE


class UnavailableError(KinaError):
    """
    Something that is needed does not answer or is not installed.
    """

    default_code = Code.UNAVAILABLE


class ResourceExhaustedError(KinaError):
    """
    No space, memory, addresses or quota left.
    """

    default_code = Code.RESOURCE_EXHAUSTED


class UnauthenticatedError(KinaError):
    """
    A registry or an engine wants other credentials.
    """

    default_code = Code.UNAUTHENTICATED


class DataLossError(KinaError):
    """
    Data is damaged: a digest does not match, an archive is cut short.
    """

    default_code = Code.DATA_LOSS


class ConflictError(KinaError):
    """
    Somebody else changed the object at the same time.
    """

    default_code = Code.ABORTED


class InternalError(KinaError):
    """
    A bug of kina's.
    """

    default_code = Code.INTERNAL


class ExecError(KinaError):
    """
    A command ended with a code other than 0.

    Attributes:
        command: What was run.
        exit_code: How it ended; 128 and a signal's number when that ended it, None when nobody saw
            it.
        stdout: What it wrote.
        stderr: What it complained.
    """

    def __init__(
        self,
        command: Sequence[str],
        exit_code: int | None,
        stdout: str | bytes,
        stderr: str | bytes,
        *,
        why: str | None = None,
    ) -> None:
        shown = " ".join(command)
        tail = stderr if isinstance(stderr, str) else stderr.decode(errors="replace")
        ended = why or f"ended with exit code {exit_code}"
        lines = "".join(f"\n  {line}" for line in tail.rstrip().splitlines()[-5:])
        super().__init__(f"{shown!r} {ended}{lines}", details={"exitCode": str(exit_code)})
        self.command = tuple(command)
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class BootstrapError(KinaError):
    """
    A cluster did not come up, or a node did not join.

    Attributes:
        action: The step that failed.
        node: Where; None when it was not on one node.
        logs: Telling lines of what failed.
    """

    default_code = Code.FAILED_PRECONDITION

    def __init__(
        self,
        message: str,
        *,
        action: str,
        node: str | None = None,
        logs: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        lines = "".join(f"\n  {line}" for line in logs)
        details = {"action": action} | ({"node": node} if node else {})
        super().__init__(f"{message}{lines}", hint=hint, details=details)
        self.action = action
        self.node = node
        self.logs = tuple(logs)


CLASSES: Final[Mapping[Code, type[KinaError]]] = {
    Code.CANCELLED: OperationCancelledError,
    Code.UNKNOWN: KinaError,
    Code.INVALID_ARGUMENT: InvalidArgumentError,
    Code.DEADLINE_EXCEEDED: DeadlineExceededError,
    Code.NOT_FOUND: NotFoundError,
    Code.ALREADY_EXISTS: AlreadyExistsError,
    Code.PERMISSION_DENIED: PermissionDeniedError,
    Code.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    Code.FAILED_PRECONDITION: InvalidStateError,
    Code.ABORTED: ConflictError,
    Code.OUT_OF_RANGE: InvalidArgumentError,
    Code.UNIMPLEMENTED: UnsupportedError,
    Code.INTERNAL: InternalError,
    Code.UNAVAILABLE: UnavailableError,
    Code.DATA_LOSS: DataLossError,
    Code.UNAUTHENTICATED: UnauthenticatedError,
}


def error_for(
    code: int, message: str, hint: str | None = None, details: Mapping[str, str] | None = None
) -> KinaError:
    """
    Make the exception that stands for a code.

    Args:
        code: A number of `kina_code_t`; one of a newer library counts as UNKNOWN.
        message: What went wrong.
        hint: What the user can do.
        details: Further facts.
    """
    known = Code(code) if code in Code._value2member_map_ else Code.UNKNOWN
    return CLASSES[known](message, code=known, hint=hint, details=details)
