"""
Containers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack, get_args

from kina._container_io import ContainerIO
from kina._fields import (
    Problems,
    Strings,
    parse_choices,
    parse_mapping,
    parse_signal,
)
from kina._objects import chosen, made, references_of
from kina._quantities import Quantity, parse_seconds
from kina._spoken import spoken
from kina.calls import Call
from kina.config import Port
from kina.errors import InvalidStateError
from kina.options import ContainerOptions, accepts_options, container_spec, resources_spec
from kina.requests import ContainerFilter
from kina.runtimes import Runtime
from kina.status import ContainerStatus, ExitStatus, State

if TYPE_CHECKING:
    from kina.image import Image

__all__ = ["Container"]


class Container(ContainerIO):
    """
    A container, found by its id: a view, which any number of programs can have.

    Made by `run`, `create`, `get` and `list`. As a context manager it deletes the container on the
    way out. What it was told last is kept for `repr`; `status` and its like ask the runtime.
    """

    __slots__ = ()

    # -- Making and finding ------------------------------------------------------------------------

    @classmethod
    @accepts_options(ContainerOptions)
    def run(
        cls,
        image: str | Image,
        command: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
        runtime: Runtime | None = None,
        **options: Unpack[ContainerOptions],
    ) -> Container:
        """
        Create a container and start it.

        ```python
        box = kina.Container.run("alpine:3", ["sleep", "inf"], memory="256Mi", ports=["8080:80"])
        ```

        Args:
            image: A reference, an id, or an Image. Pulled when it is not here.
            command: Replaces the image's.
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.
            options: What `kina.options.ContainerOptions` says.

        Raises:
            InvalidArgumentError: Some arguments can't be used; the message names all of them.
            NotFoundError: There is no such image, or no such command in it.
            AlreadyExistsError: The name is taken.
            KinaError: Whatever else a runtime can say.
        """
        create = cls._creation(image, command, options, runtime)

        def run(call: Call) -> Container:
            container = create(call)
            try:
                container._begin(call)  # noqa: SLF001  # its own class
            except BaseException as failure:
                container._discard_after(failure)  # noqa: SLF001  # its own class
                raise
            return container

        return made(run, Call(timeout))

    @classmethod
    @accepts_options(ContainerOptions)
    def create(
        cls,
        image: str | Image,
        command: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
        runtime: Runtime | None = None,
        **options: Unpack[ContainerOptions],
    ) -> Container:
        """
        Create a container; `start` starts it.

        Args:
            image: A reference, an id, or an Image. Pulled when it is not here.
            command: Replaces the image's.
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.
            options: What `kina.options.ContainerOptions` says.

        Raises:
            InvalidArgumentError: Some arguments can't be used; the message names all of them.
            NotFoundError: There is no such image.
            AlreadyExistsError: The name is taken.
        """
        return made(cls._creation(image, command, options, runtime), Call(timeout))

    @classmethod
    def _creation(
        cls,
        image: str | Image,
        command: Sequence[str] | None,
        options: ContainerOptions,
        runtime: Runtime | None,
    ) -> Callable[[Call], Container]:
        """
        Check what was asked for, and return what makes it.
        """
        spec = container_spec(image, command, options)
        where = chosen(runtime)

        def create(call: Call) -> Container:
            with spoken():
                return cls._of(where, where.containers.create(spec, call))

        return create

    @classmethod
    def get(cls, reference: str, *, runtime: Runtime | None = None) -> Container:
        """
        Find a container.

        Args:
            reference: Its name, its id, or at least four characters that only its id begins with.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: There is none.
            InvalidArgumentError: Several ids begin with it.
        """
        where = chosen(runtime)
        return cls._of(where, where.containers.get(reference))

    @classmethod
    def list(
        cls,
        *,
        labels: Strings | str | None = None,
        states: Iterable[State] | State = (),
        names: Iterable[str] | str = (),
        runtime: Runtime | None = None,
    ) -> list[Container]:
        """
        Find containers; all that is given must match.

        Args:
            labels: Labels and values; a bare label, or one with an empty value, asks for its
                presence.
            states: Any of "created", "running", "paused", "stopped", "deleting".
            names: Any of these names or ids.
            runtime: Where; the one in use when None.

        Raises:
            InvalidArgumentError: A filter can't be used.
        """
        where = chosen(runtime)
        wanted = _filter(labels, states, names)
        return [cls._of(where, status) for status in where.containers.list(wanted)]

    # -- What it is --------------------------------------------------------------------------------

    @property
    def image(self) -> str:
        """
        The image that was asked for.
        """
        return self._known.image

    @property
    def runtime(self) -> Runtime:
        """
        Where it is.
        """
        return self._runtime

    def inspect(self) -> ContainerStatus:
        """
        Ask the runtime what the container is.

        Raises:
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.containers.get(self.id)
        return self._known

    @property
    def status(self) -> ContainerStatus:
        """
        What the container is now, as `inspect` says.
        """
        return self.inspect()

    def reload(self) -> Container:
        """
        Refresh what `repr` shows, and return itself.

        Raises:
            NotFoundError: It was deleted.
        """
        self.inspect()
        return self

    @property
    def state(self) -> State:
        """
        created, running, paused, stopped or deleting: now.
        """
        return self.inspect().state

    @property
    def ip(self) -> str | None:
        """
        Its address on its first network; None without a network of its own. It stays over stop and
        start.
        """
        addresses = self._known.addresses or self.inspect().addresses
        return addresses[0].address if addresses else None

    @property
    def ports(self) -> tuple[Port, ...]:
        """
        Its published ports, with the host's resolved.
        """
        return self.inspect().ports

    @property
    def exit(self) -> ExitStatus | None:
        """
        How its last run ended; None while it runs.
        """
        return self.inspect().exit

    def __repr__(self) -> str:
        known = self._known
        address = f", {known.addresses[0].address}" if known.addresses else ""
        what = f"{known.name!r} {known.id[:12]}, {known.image}, {known.state}{address}"
        return f"<kina.Container {what}>"

    def _repr_html_(self) -> str:
        from kina.notebook import card

        known = self._known
        ports = ", ".join(
            f"{p.host_address}:{p.host_port} → {p.container_port}/{p.protocol}" for p in known.ports
        )
        rows = {
            "id": known.id[:12],
            "image": known.image,
            "state": known.state,
            "address": ", ".join(address.address for address in known.addresses),
            "ports": ports,
            "labels": ", ".join(f"{key}={value}" for key, value in known.labels.items()),
        }
        return card(f"container {known.name}", rows)

    # -- Its life ----------------------------------------------------------------------------------

    def start(self, *, timeout: float | None = None) -> Container:
        """
        Start it, and return itself.

        Args:
            timeout: Seconds that it may take.

        Raises:
            InvalidStateError: It runs already.
            NotFoundError: It was deleted, or its command is not in the image.
            PermissionDeniedError: Its command can't be executed.
        """
        self._begin(Call(timeout))
        return self

    def _begin(self, call: Call) -> None:
        with spoken():
            self._known = self._runtime.containers.start(self.id, call)

    def stop(self, timeout: Quantity | timedelta | None = None) -> Container:
        """
        Send the stop signal, wait, then KILL. What does not run is left as it is.

        Args:
            timeout: Between the two: seconds, a timedelta, "1m30s"; the spec's `stop_timeout` when
                None.

        Raises:
            NotFoundError: It was deleted.
            InvalidArgumentError: The timeout is none.
        """
        seconds = None if timeout is None else _seconds("timeout", timeout)
        self._known = self._runtime.containers.stop(self.id, seconds)
        return self

    def restart(self, timeout: Quantity | timedelta | None = None) -> Container:
        """
        Stop it and start it again.

        Args:
            timeout: As for `stop`.

        Raises:
            NotFoundError: It was deleted.
        """
        return self.stop(timeout).start()

    def kill(self, signal: str | int = "KILL") -> None:
        """
        Send a signal to its process 1.

        Args:
            signal: A name or number.

        Raises:
            InvalidArgumentError: There is no such signal.
            InvalidStateError: It does not run.
            NotFoundError: It was deleted.
        """
        problems = Problems()
        name = ""
        with problems.at("signal"):
            name = parse_signal(signal)
        problems.raise_any()
        self._runtime.processes.kill(self.id, None, name)

    def pause(self) -> Container:
        """
        Freeze all its processes.

        Raises:
            InvalidStateError: It does not run.
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.containers.pause(self.id)
        return self

    def resume(self) -> Container:
        """
        Undo `pause`.

        Raises:
            InvalidStateError: It is not paused.
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.containers.resume(self.id)
        return self

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait until it has ended. `exit` says more.

        Args:
            timeout: Seconds; None for ever.

        Returns:
            The exit code; 128 and a signal's number when that ended it.

        Raises:
            DeadlineExceededError: It still runs.
            InvalidStateError: It never ran, or nobody saw how it ended.
            NotFoundError: It was deleted.
        """
        status = self._runtime.processes.wait(self.id, None, Call(timeout))
        if status.exit_code is None:
            raise InvalidStateError(
                f"nobody saw how container {self.name!r} ended",
                hint="its supervisor was killed, or the machine went down",
            )
        return status.exit_code

    def delete(self, force: bool = False, *, timeout: float | None = None) -> None:
        """
        Delete it, with its anonymous volumes.

        Args:
            force: Even while it runs.
            timeout: Seconds that it may take.

        Raises:
            InvalidStateError: It runs, and force was not asked for.
            NotFoundError: It was deleted already.
        """
        self._runtime.containers.delete(self.id, force, Call(timeout))

    def update(
        self,
        *,
        cpus: Quantity | None = None,
        cpu_weight: int | None = None,
        cpuset: str | None = None,
        memory: Quantity | None = None,
        memory_swap: Quantity | None = None,
        pids: int | None = None,
    ) -> Container:
        """
        Change its limits, at once where it runs. What is None stays.

        Args:
            cpus: CPUs' worth of time.
            cpu_weight: Relative share under contention, 1 to 10000.
            cpuset: The CPUs to run on.
            memory: Bytes, or "256Mi".
            memory_swap: Of memory and swap together; -1 for unlimited swap.
            pids: The most processes and threads.

        Raises:
            InvalidArgumentError: Some can't be used; the message names all of them.
            NotFoundError: It was deleted.
        """
        given = {
            "cpus": cpus,
            "cpu_weight": cpu_weight,
            "cpuset": cpuset,
            "memory": memory,
            "memory_swap": memory_swap,
            "pids": pids,
        }
        spec = resources_spec(given)
        with spoken():
            self._known = self._runtime.containers.update(self.id, spec)
        return self

    def _discard(self) -> None:
        self.delete(force=True)


def _seconds(field: str, value: Quantity | timedelta) -> float:
    problems = Problems()
    seconds = 0.0
    with problems.at(field):
        seconds = parse_seconds(value)
    problems.raise_any()
    return seconds


def _filter(
    labels: Strings | str | None, states: Iterable[State] | State, names: Iterable[str] | str
) -> ContainerFilter:
    problems = Problems()
    wanted: dict[str, str] = {}
    with problems.at("labels"):
        listed = [labels] if isinstance(labels, str) else labels
        if isinstance(listed, Iterable) and not isinstance(listed, Mapping):
            # A bare name asks for the label's presence, as one with an empty value does.
            listed = [item if "=" in str(item) else f"{item}=" for item in listed]
        wanted = parse_mapping(listed)
    fields: dict[str, Any] = {}
    with problems.at("states"):
        fields["states"] = parse_choices(states, *get_args(State))
    with problems.at("names"):
        fields["names"] = references_of(names)
    problems.raise_any()
    return ContainerFilter(labels=wanted, **fields)
