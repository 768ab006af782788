"""
Pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from kina._objects import Named, chosen, made
from kina._spoken import spoken
from kina.calls import Call
from kina.config import Port
from kina.container import Container
from kina.errors import InvalidStateError
from kina.options import ContainerOptions, PodOptions, accepts_options, pod_spec
from kina.runtimes import Runtime
from kina.status import PodState, PodStatus

if TYPE_CHECKING:
    from kina.image import Image

__all__ = ["Pod"]


class Pod(Named[PodStatus]):
    """
    A sandbox that several containers share, as in Kubernetes: one address, one host name, one set
    of ports, one /dev/shm; each has its own files, processes and limits. An IPC namespace is shared
    too where containers are isolated by namespaces; in a virtual machine each has its own.

    Made by `create`, `get` and `list`. As a context manager it deletes the pod, with its
    containers, on the way out.
    """

    __slots__ = ()

    # -- Making and finding ------------------------------------------------------------------------

    @classmethod
    @accepts_options(PodOptions)
    def create(
        cls,
        name: str | None = None,
        *,
        timeout: float | None = None,
        runtime: Runtime | None = None,
        **options: Unpack[PodOptions],
    ) -> Pod:
        """
        Create a pod and bring it up; `run` starts containers in it.

        ```python
        with kina.Pod.create("web", ports=["8080:80"]) as pod:
            pod.run("nginx")
            pod.run("alpine:3", ["wget", "-qO-", "http://localhost"])
        ```

        Args:
            name: Unique; kina chooses one when None.
            timeout: Seconds that it may take.
            runtime: Where; the one in use when None.
            options: What `kina.options.PodOptions` says.

        Raises:
            InvalidArgumentError: Some arguments can't be used; the message names all of them.
            AlreadyExistsError: The name is taken.
            UnsupportedError: The runtime has no pods, or not such ones.
        """
        spec = pod_spec(name, options)
        where = chosen(runtime)
        with spoken():
            return made(lambda call: cls._of(where, where.pods.create(spec, call)), Call(timeout))

    @classmethod
    def get(cls, reference: str, *, runtime: Runtime | None = None) -> Pod:
        """
        Find a pod.

        Args:
            reference: Its name, its id, or at least four characters that only its id begins with.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: There is none.
        """
        where = chosen(runtime)
        return cls._of(where, where.pods.get(reference))

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> list[Pod]:
        """
        Return all pods, in the order of their making.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        where = chosen(runtime)
        return [cls._of(where, status) for status in where.pods.list()]

    # -- What it is --------------------------------------------------------------------------------

    @property
    def ip(self) -> str:
        """
        The address on its (first) network, which all its containers have, kept for its life.

        Raises:
            InvalidStateError: It has no network of its own.
        """
        if not self._known.addresses:
            raise InvalidStateError(
                f"pod {self.name!r} has no address of its own", hint="create it with a network"
            )
        return self._known.addresses[0].address

    @property
    def ports(self) -> tuple[Port, ...]:
        """
        Published ports, with the host's ports that were chosen.
        """
        return self._known.ports

    @property
    def state(self) -> PodState:
        """
        What it is now: "ready", "stopped" or "deleting".

        Raises:
            NotFoundError: It was deleted.
        """
        return self.inspect().state

    @property
    def containers(self) -> tuple[Container, ...]:
        """
        Those in it now, in the order of their making.

        Raises:
            NotFoundError: It was deleted.
        """
        members = self.inspect().containers
        found = {box.id: box for box in Container.list(names=members, runtime=self._runtime)}
        return tuple(found[member] for member in members if member in found)

    def inspect(self) -> PodStatus:
        """
        Ask the runtime what the pod is.

        Raises:
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.pods.get(self.id)
        return self._known

    # -- Its life ----------------------------------------------------------------------------------

    @accepts_options(ContainerOptions)
    def run(
        self,
        image: str | Image,
        command: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[ContainerOptions],
    ) -> Container:
        """
        Create a container in it and start it; `Container.create(…, pod=pod)` only creates one.

        Args:
            image: A reference, an id, or an Image. Pulled when it is not here.
            command: Replaces the image's.
            timeout: Seconds that it may take.
            options: What `kina.options.ContainerOptions` says, but for the sandbox, which is the
                pod's.

        Raises:
            InvalidArgumentError: Some arguments can't be used; the message names all of them.
            NotFoundError: There is no such image, or no such command in it; the pod was deleted.
        """
        inside: ContainerOptions = {**options, "pod": self.id}
        return Container.run(image, command, timeout=timeout, runtime=self._runtime, **inside)

    def start(self, *, timeout: float | None = None) -> None:
        """
        Bring it up again, and start its containers that do not run, in the order of their making.

        Args:
            timeout: Seconds that it may take.

        Raises:
            NotFoundError: It was deleted.
            KinaError: A container can't be started; those before it run.
        """
        call = Call(timeout)
        self._known = self._runtime.pods.start(self.id, call)
        for member in self.containers:
            if member.state in ("created", "stopped"):
                self._runtime.containers.start(member.id, call)

    def stop(self, *, grace: float | None = None, timeout: float | None = None) -> None:
        """
        Stop its containers, the last one first, then the sandbox. Its name, its address and its
        host's ports stay its own.

        Args:
            grace: Seconds between each container's stop signal and KILL; what their specs say when
                None.
            timeout: Seconds that all may take.

        Raises:
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.pods.stop(self.id, grace, Call(timeout))

    def delete(self, *, force: bool = False, timeout: float | None = None) -> None:
        """
        Delete it, with its containers.

        Args:
            force: Whether containers that run are killed.
            timeout: Seconds that it may take.

        Raises:
            InvalidStateError: A container in it runs, and `force` was not given.
            NotFoundError: It was deleted already.
        """
        self._runtime.pods.delete(self.id, force, Call(timeout))

    def _discard(self) -> None:
        self.delete(force=True)

    # -- Shown -------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        known = self._known
        address = f", {known.addresses[0].address}" if known.addresses else ""
        return f"<kina.Pod {known.name!r} {known.id[:12]}, {known.state}{address}>"

    def _repr_html_(self) -> str:
        from kina.notebook import card

        known = self._known
        rows = {
            "id": known.id[:12],
            "state": known.state,
            "address": known.addresses[0].address if known.addresses else None,
            "containers": len(known.containers),
        }
        return card(f"pod {known.name}", rows)
