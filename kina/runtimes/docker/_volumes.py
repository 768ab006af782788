"""
Volumes of an engine.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

import attrs

from kina.calls import Call
from kina.config import VolumeSpec
from kina.errors import AlreadyExistsError, InvalidArgumentError, InvalidStateError, NotFoundError
from kina.runtimes.docker._engine import Engine, nanoseconds
from kina.runtimes.docker._names import KIND, SPEC
from kina.status import VolumeStatus

__all__ = ["Volumes"]

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}", re.ASCII)


@attrs.frozen
class Volumes:
    """
    The boundary's volumes: those that kina made, and the anonymous ones of its containers.
    """

    engine: Engine

    def create(self, spec: VolumeSpec, call: Call | None = None) -> VolumeStatus:
        name = spec.name if spec.name is not None else f"volume-{secrets.token_hex(6)}"
        if not NAME.fullmatch(name):
            raise InvalidArgumentError.at(
                "name", name, "is no volume's name", "letters, digits, '_', '.' and '-'"
            )

        def create(_: Call) -> VolumeStatus:
            with self.engine.choosing, self.engine.asking() as client:
                if any(each["Name"] == name for each in self._all()):
                    raise AlreadyExistsError(f"volume {name!r} exists already")
                client.create_volume(name, labels={**spec.labels, KIND: "volume"})
            return self.get(name)

        return self.engine.bounded(create, call)

    def _all(self) -> list[Any]:
        with self.engine.asking() as client:
            return client.volumes().get("Volumes") or []

    def _users(self) -> dict[str, list[tuple[str, str]]]:
        """
        Return the containers of kina's that mount each volume: id and name.
        """
        with self.engine.asking() as client:
            containers = client.containers(all=True, filters={"label": [SPEC]})
        found: dict[str, list[tuple[str, str]]] = {}
        for each in containers:
            for mount in each.get("Mounts") or ():
                name = mount.get("Name") if isinstance(mount, dict) else None
                if name:
                    user = (each["Id"], each["Names"][0].lstrip("/"))
                    found.setdefault(name, []).append(user)
        return found

    def _listed(self) -> list[tuple[VolumeStatus, list[str]]]:
        users = self._users()
        found = []
        for document in self._all():
            name, labels = document["Name"], document.get("Labels") or {}
            ours, used = KIND in labels, users.get(name, [])
            if not ours and not (used and re.fullmatch(r"[0-9a-f]{64}", name)):
                continue
            status = VolumeStatus(
                id=name,
                name=name,
                path=document.get("Mountpoint") or "",
                labels={key: value for key, value in labels.items() if key != KIND} if ours else {},
                created_at_ns=nanoseconds(document.get("CreatedAt")) or 0,
                anonymous=not ours,
                used_by=tuple(identifier for identifier, _ in used),
            )
            found.append((status, [who for _, who in used]))
        return found

    def _find(self, reference: str) -> tuple[VolumeStatus, list[str]]:
        listed = self._listed()
        exact = [each for each in listed if each[0].name == reference]
        found = exact or [
            each for each in listed if len(reference) >= 4 and each[0].id.startswith(reference)
        ]
        if len(found) != 1:
            raise NotFoundError(
                f"there is no volume {reference!r}", hint="kina.Volume.list() says which there are"
            )
        return found[0]

    def get(self, reference: str) -> VolumeStatus:
        return self._find(reference)[0]

    def list(self) -> tuple[VolumeStatus, ...]:
        return tuple(status for status, _ in self._listed())

    def delete(self, reference: str, call: Call | None = None) -> None:
        self.engine.bounded(lambda _: self._delete(reference), call)

    def _delete(self, reference: str) -> None:
        status, users = self._find(reference)
        if users:
            raise InvalidStateError(
                f"volume {status.name!r} is used by {', '.join(users)}", hint="delete them first"
            )
        with self.engine.asking() as client:
            client.remove_volume(status.name)
