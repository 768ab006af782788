"""
Networks.
"""

from __future__ import annotations

from kina._fields import Strings
from kina._objects import Named, chosen, made
from kina.calls import Call
from kina.config import NetworkSpec
from kina.requests import PruneRequest
from kina.runtimes import Runtime
from kina.status import NetworkStatus, PruneResult

__all__ = ["Network"]


class Network(Named[NetworkStatus]):
    """
    A network, whose containers reach each other by address and by name.

    Made by `create`, `get` and `list`. As a context manager it deletes the network on the way out.
    """

    __slots__ = ()

    @classmethod
    def create(
        cls,
        name: str,
        *,
        subnet: str | None = None,
        gateway: str | None = None,
        internal: bool = False,
        mtu: int | None = None,
        labels: Strings | None = None,
        runtime: Runtime | None = None,
    ) -> Network:
        """
        Create a network.

        Args:
            name: Unique.
            subnet: "10.90.1.0/24"; one that no route of the host has when None.
            gateway: The host's address on it; the first of the subnet when None.
            internal: Whether there is no way to the outside.
            mtu: Bytes; the host's when None.
            labels: What it is known by.
            runtime: Where; the one in use when None.

        Raises:
            AlreadyExistsError: The name is taken.
            InvalidArgumentError: An argument can't be used.
        """
        spec = NetworkSpec(
            name=name, subnet=subnet, gateway=gateway, internal=internal, mtu=mtu, labels=labels
        )
        where = chosen(runtime)
        return made(lambda call: cls._of(where, where.networks.create(spec, call)))

    @classmethod
    def get(cls, reference: str, *, runtime: Runtime | None = None) -> Network:
        """
        Find a network.

        Args:
            reference: Its name, its id, or at least four characters that only its id begins with.
            runtime: Where; the one in use when None.

        Raises:
            NotFoundError: There is none.
        """
        where = chosen(runtime)
        return cls._of(where, where.networks.get(reference))

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> list[Network]:
        """
        Return all networks.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        where = chosen(runtime)
        return [cls._of(where, status) for status in where.networks.list()]

    @classmethod
    def prune(cls, *, runtime: Runtime | None = None) -> PruneResult:
        """
        Delete the networks that no container is on.

        Args:
            runtime: Where; the one in use when None.

        Raises:
            KinaError: The runtime can't be used.
        """
        return chosen(runtime).prune(PruneRequest(networks=True))

    @property
    def subnet(self) -> str:
        """
        "10.90.1.0/24" and the like.
        """
        return self._known.subnet

    @property
    def gateway(self) -> str:
        """
        The host's address on it.
        """
        return self._known.gateway

    def inspect(self) -> NetworkStatus:
        """
        Ask the runtime what the network is, with the addresses in use.

        Raises:
            NotFoundError: It was deleted.
        """
        self._known = self._runtime.networks.get(self.id)
        return self._known

    def delete(self, *, timeout: float | None = None) -> None:
        """
        Delete it.

        Args:
            timeout: Seconds that it may take.

        Raises:
            InvalidStateError: A container is on it.
            NotFoundError: It was deleted already.
        """
        self._runtime.networks.delete(self.id, Call(timeout))

    def _discard(self) -> None:
        self.delete()

    def __repr__(self) -> str:
        known = self._known
        internal = ", internal" if known.internal else ""
        return f"<kina.Network {known.name!r} {known.id[:12]}, {known.subnet}{internal}>"

    def _repr_html_(self) -> str:
        from kina.notebook import card

        known = self._known
        rows = {
            "id": known.id[:12],
            "subnet": known.subnet,
            "gateway": known.gateway,
            "internal": "yes" if known.internal else None,
            "addresses in use": len(known.leases),
        }
        return card(f"network {known.name}", rows)
