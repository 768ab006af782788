"""
What is about no single object: a command's run, what is unused, what is usable.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import attrs

from kina._fields import Problems, Strings, parse_mapping
from kina._objects import chosen
from kina._quantities import Quantity, parse_seconds
from kina._spoken import spoken
from kina._streams import Input, capture
from kina.calls import Call
from kina.options import ContainerOptions, accepts_options, container_spec
from kina.process import Completed, completed
from kina.requests import PruneRequest
from kina.runtimes import Runtime, reports
from kina.status import PruneResult, Report

if TYPE_CHECKING:
    from kina.image import Image

__all__ = ["Doctor", "doctor", "prune", "run"]


@overload
def run(
    image: str | Image,
    command: Sequence[str] | None = None,
    *,
    input: Input = None,
    timeout: Quantity | None = None,
    check: bool = False,
    text: Literal[True] = True,
    encoding: str = "utf-8",
    runtime: Runtime | None = None,
    **options: Unpack[ContainerOptions],
) -> Completed[str]: ...


@overload
def run(
    image: str | Image,
    command: Sequence[str] | None = None,
    *,
    input: Input = None,
    timeout: Quantity | None = None,
    check: bool = False,
    text: Literal[False],
    encoding: str = "utf-8",
    runtime: Runtime | None = None,
    **options: Unpack[ContainerOptions],
) -> Completed[bytes]: ...


@accepts_options(ContainerOptions)
def run(
    image: str | Image,
    command: Sequence[str] | None = None,
    *,
    input: Input = None,
    timeout: Quantity | None = None,
    check: bool = False,
    text: bool = True,
    encoding: str = "utf-8",
    runtime: Runtime | None = None,
    **options: Unpack[ContainerOptions],
) -> Completed[str] | Completed[bytes]:
    """
    Run a command in a container of its own, to its end, and delete that.

    ```python
    kina.run("alpine:3", ["sort", "-r"], input=names).stdout
    ```

    Args:
        image: A reference, an id, or an Image. Pulled when it is not here.
        command: Replaces the image's.
        input: What it reads: bytes, text, a file or a descriptor; nothing when None.
        timeout: After which it is ended and deleted: seconds or "1m30s".
        check: Whether an exit code other than 0 is an error.
        text: Whether output is text; what can't be decoded is replaced.
        encoding: Of the text.
        runtime: Where; the one in use when None.
        options: What `kina.options.ContainerOptions` says.

    Raises:
        DeadlineExceededError: The timeout came; it has the output until then.
        ExecError: With check, the exit code is not 0.
        NotFoundError: There is no such image, or no such command in it.
        PermissionDeniedError: The command can't be executed.
        InvalidArgumentError: Some arguments can't be used; the message names all of them.
    """
    problems = Problems()
    seconds: float | None = None
    with problems.at("timeout"):
        seconds = None if timeout is None else parse_seconds(timeout)
    with problems.at(""):
        spec = container_spec(image, command, options)
    problems.raise_any()
    where = chosen(runtime)
    with spoken():
        status, captured = capture(
            lambda streams, call: where.containers.run(spec, streams, call),
            Call(seconds),
            input,
            encoding if text else None,
            terminal=spec.terminal,
            field="input",
        )
    out, error = captured.decoded(encoding if text else None)
    shown = spec.command or (spec.image,)
    return completed(shown, status, out, error, timeout=seconds, check=check)


def prune(
    *,
    containers: bool = True,
    images: bool = False,
    networks: bool = True,
    volumes: bool = False,
    labels: Strings | None = None,
    timeout: float | None = None,
    runtime: Runtime | None = None,
) -> PruneResult:
    """
    Delete what is unused, and what a crash left behind.

    Args:
        containers: Those that do not run, and stopped pods without any.
        images: Those that no container uses; on an engine of Docker mode, of those that kina has
            brought there.
        networks: Those that no container is on.
        volumes: Those that no container mounts, with what is in them.
        labels: Only containers, networks, pods and volumes with these.
        timeout: Seconds that it may take.
        runtime: Where; the one in use when None.

    Raises:
        InvalidArgumentError: A label can't be used.
        KinaError: Something can't be deleted.
    """
    problems = Problems()
    wanted: dict[str, str] = {}
    with problems.at("labels"):
        wanted = parse_mapping(labels)
    problems.raise_any()
    request = PruneRequest(
        containers=containers, images=images, networks=networks, volumes=volumes, labels=wanted
    )
    return chosen(runtime).prune(request, Call(timeout))


@attrs.frozen(repr=False)
class Doctor:
    """
    What is usable on this machine, and what to do where something isn't.

    Attributes:
        reports: One for each runtime.
    """

    reports: tuple[Report, ...]

    @property
    def usable(self) -> bool:
        """
        Whether any runtime is.
        """
        return any(report.usable for report in self.reports)

    def __repr__(self) -> str:
        out = io.StringIO()
        for report in self.reports:
            out.write(f"{report.backend}: {'usable' if report.usable else 'not usable'}\n")
            width = max((len(check.name) for check in report.checks), default=0)
            for check in report.checks:
                out.write(f"  {_MARKS[check.state]} {check.name:<{width}}  {check.reason}\n")
                if check.fix:
                    out.write(f"    {'':<{width}}  → {check.fix}\n")
        return out.getvalue().rstrip()

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table("runtime", "", "needs", "found", "what to do", title="kina doctor")
        for report in self.reports:
            name = f"{report.backend}\n{'usable' if report.usable else 'not usable'}"
            for check in report.checks or (None,):
                cells = (
                    (name, "", "", "", "")
                    if check is None
                    else (name, _MARKS[check.state], check.name, check.reason, check.fix or "")
                )
                table.add_row(*map(Text, cells))
                name = ""
            table.add_section()
        return table

    def show(self) -> None:
        """
        Print it, as a table where standard output is a terminal.
        """
        from rich.console import Console

        console = Console()
        if console.is_terminal:
            console.print(self)
        else:
            console.file.write(f"{self!r}\n")

    def _repr_html_(self) -> str:
        from kina.notebook import table

        rows = [
            (report.backend, _MARKS[check.state], check.name, check.reason, check.fix or "")
            for report in self.reports
            for check in report.checks
        ]
        verdict = ", ".join(
            f"{report.backend} is {'usable' if report.usable else 'not usable'}"
            for report in self.reports
        )
        return table(f"kina doctor: {verdict}", ("runtime", "", "needs", "found", "do"), rows)


_MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}


def doctor() -> Doctor:
    """
    Examine what is usable on this machine. Opens nothing and needs no privilege.

    Raises:
        KinaError: Not even that can be found out.
    """
    return Doctor(tuple(reports()))
