"""
Volumes.
"""

from __future__ import annotations

from pathlib import Path

from kina._fields import Strings
from kina._objects import Named, chosen, made
from kina.calls import Call
from kina.config import VolumeSpec
from kina.requests import PruneRequest
from kina.runtimes import Runtime
from kina.status import PruneResult, VolumeStatus

__all__ = ["Volume"]


class Volume(Named[VolumeStatus]):
    """
    Files that outlive the containers that mount them.

    Made by `create`, `get` and `list`. As a context manager it deletes the volume on the way out.
    """

    __slots__ = ()

    @classmethod
    def create(
        cls,
        name: str | None = None,
        *,
        labels: Strings | None = None,
        runtime: Runtime | None = None,
    ) -> Volume:
        """
        Create a volume.

        Args:
            name: Unique; kina chooses one when None.
            labels: What it is known by.
            runtime: Where; the one in use when None.

        Raises:
            AlreadyExistsError: The name is taken.
            InvalidArgumentError: An argument can't be used.
        """
        where = chosen(runtime)
        spec = VolumeSpec(name=name, labels=labels)
        return made(lambda call: cls._of(where, where.volumes.create(spec, call)))

    @classmethod
    def get(cls, reference: str, *, runtime: Runtime | None = None) -> Volume:
        """
        Find a volume.

        Args:
            reference: Its name, its id, or at least four characters that only its id begins with.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: There is none.
        """
        where = chosen(runtime)
        return cls._of(where, where.volumes.get(reference))

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> list[Volume]:
        """
        Return all volumes.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        where = chosen(runtime)
        return [cls._of(where, status) for status in where.volumes.list()]

    @classmethod
    def prune(cls, *, runtime: Runtime | None = None) -> PruneResult:
        """
        Delete the volumes that no container mounts, with what is in them.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        return chosen(runtime).prune(PruneRequest(volumes=True))

    @property
    def path(self) -> Path:
        """
        Where its files are on the host.
        """
        return Path(self._known.path)

    def inspect(self) -> VolumeStatus:
        """
        Ask the runtime what the volume is, with the containers that mount it.

        Raises:
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.volumes.get(self.id)
        return self._known

    def delete(self, *, timeout: float | None = None) -> None:
        """
        Delete it, with what is in it.

        Args:
            timeout: Seconds that it may take.

        Raises:
            InvalidStateError: A container mounts it.
            NotFoundError: It was deleted already.
        """
        self._runtime.volumes.delete(self.id, Call(timeout))

    def _discard(self) -> None:
        self.delete()

    def __repr__(self) -> str:
        known = self._known
        anonymous = ", anonymous" if known.anonymous else ""
        return f"<kina.Volume {known.name!r} {known.id[:12]}{anonymous}>"

    def _repr_html_(self) -> str:
        from kina.notebook import card

        known = self._known
        rows = {"id": known.id[:12], "path": known.path, "used by": len(known.used_by)}
        return card(f"volume {known.name}", rows)
