"""
Images of an engine.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import Any

import attrs

from kina import wire
from kina.calls import Call
from kina.config import ImageConfig
from kina.errors import (
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
    NotFoundError,
    UnsupportedError,
)
from kina.requests import (
    ImageImportRequest,
    ImageLoadRequest,
    ImagePullRequest,
    ImagePushRequest,
    ImageSaveRequest,
)
from kina.runtimes.docker import _archives, _credentials
from kina.runtimes.docker._brought import Brought
from kina.runtimes.docker._connection import path
from kina.runtimes.docker._engine import Engine, nanoseconds
from kina.runtimes.docker._errors import from_message
from kina.runtimes.docker._names import full, is_id, registry_of, repository_of
from kina.runtimes.docker._podman import first_manifest, untag
from kina.status import ImageStatus, ProgressEvent

__all__ = ["Images"]


@attrs.frozen
class Images:
    """
    The boundary's images.
    """

    engine: Engine
    brought: Brought

    # -- Registries --------------------------------------------------------------------------------

    def pull(self, request: ImagePullRequest, call: Call | None = None) -> ImageStatus:
        return self.engine.bounded(lambda bound: self._pull(request, bound), call)

    def _pull(self, request: ImagePullRequest, call: Call) -> ImageStatus:
        reference = full(request.reference)
        self._refuse_insecure(request.insecure, reference)
        name, separator, tag = reference.partition("@")
        if not separator:
            name, _, tag = reference.rpartition(":")
        query = {"fromImage": name, "tag": tag, "platform": request.platform}
        headers = _credentials.header(reference, request)
        before = self._here(reference)
        target = self.engine.target("/images/create")
        with self.engine.exchange(call) as exchange:
            exchange.ask(
                "POST", target, query=query, headers=headers, what=f"the pull of {reference}"
            )
            _report(exchange.lines(f"the pull of {reference}"), "pull", reference, call)
        return self._brought(reference, before)

    def _brought(self, reference: str, before: str | None) -> ImageStatus:
        """
        Note that kina gave an image this reference, unless it had it, and return its status.
        """
        status = self.get(reference)
        if before != status.id:
            self.brought.add(status.id, reference)
        return status

    def _refuse_insecure(self, insecure: bool, reference: str) -> None:
        host = registry_of(reference).rpartition(":")[0] or registry_of(reference)
        if insecure and not (host == "localhost" or host.startswith("127.")):
            raise UnsupportedError(
                f"insecure: the engine decides whether it trusts {registry_of(reference)!r}",
                hint="name it under insecure-registries in the engine's daemon.json",
            )

    def push(self, request: ImagePushRequest, call: Call | None = None) -> None:
        self.engine.bounded(lambda bound: self._push(request, bound), call)

    def _push(self, request: ImagePushRequest, call: Call) -> None:
        source = self.document(request.reference)
        destination = full(request.destination or request.reference)
        self._refuse_insecure(request.insecure, destination)
        name, _, tag = destination.rpartition(":")
        before = self._here(destination)
        headers = _credentials.header(destination, request) or {"X-Registry-Auth": "e30="}
        with self.engine.asking() as client:
            client.tag(source["Id"], name, tag, force=True)
        try:
            target = self.engine.target(path("images", name, "push"))
            with self.engine.exchange(call) as exchange:
                exchange.ask("POST", target, query={"tag": tag}, headers=headers, what="the push")
                _report(exchange.lines("the push"), "push", destination, call)
        finally:
            # An engine pushes only what has the destination's name.
            with suppress(KinaError), self.engine.asking() as client:
                if before is None:
                    client.remove_image(destination, force=False, noprune=True)
                elif before != identifier_of(source):
                    client.tag(before, name, tag, force=True)

    def _here(self, reference: str) -> str | None:
        try:
            return identifier_of(self.document(reference))
        except NotFoundError:
            return None

    # -- Archives ----------------------------------------------------------------------------------

    def load(
        self, request: ImageLoadRequest, fd: int, call: Call | None = None
    ) -> tuple[ImageStatus, ...]:
        return self.engine.bounded(lambda bound: self._load(request, fd, bound), call)

    def _load(self, request: ImageLoadRequest, fd: int, call: Call) -> tuple[ImageStatus, ...]:
        wanted = None if request.reference is None else full(request.reference)
        with _archives.docker_archive(fd, wanted) as prepared:
            before = {reference: self._here(reference) for reference in prepared.references}
            self._send(prepared.fileno(), call)
            return tuple(self._brought(*each) for each in before.items())

    def _send(self, fd: int, call: Call) -> None:
        target = self.engine.target("/images/load")
        with self.engine.exchange(call) as exchange:
            exchange.ask("POST", target, query={"quiet": 1}, body=fd, what="the load")
            for line in exchange.lines("the load"):
                if error := line.get("error") or (line.get("errorDetail") or {}).get("message"):
                    raise from_message(str(error), InvalidArgumentError)

    def save(self, request: ImageSaveRequest, fd: int, call: Call | None = None) -> None:
        def save(bound: Call) -> None:
            names = [self.get(reference).reference for reference in request.references]
            with _archives.spool() as file:
                target = self.engine.target("/images/get")
                with self.engine.exchange(bound) as exchange:
                    # One parameter for each, as the engines want it.
                    query = "&".join(f"names={name}" for name in names)
                    exchange.ask("GET", f"{target}?{query}", what="the archive")
                    exchange.copy_to(file.fileno(), "the archive")
                file.seek(0)
                if request.format == "oci":
                    _archives.write_oci(file, fd)
                else:
                    _archives.write_docker(file, fd, names)

        self.engine.bounded(save, call)

    def import_(
        self, request: ImageImportRequest, fd: int = -1, call: Call | None = None
    ) -> ImageStatus:
        def load(bound: Call) -> ImageStatus:
            reference = full(request.reference)
            with _archives.of_root(request, reference, fd) as file:
                self._send(file.fileno(), bound)
            return self._brought(reference, None)

        return self.engine.bounded(load, call)

    # -- What is here ------------------------------------------------------------------------------

    def tag(self, source: str, target: str) -> ImageStatus:
        reference = full(target)
        if "@" in reference:
            raise InvalidArgumentError.at("target", target, "can't have a digest")
        name, _, tag = reference.rpartition(":")
        document, before = self.document(source), self._here(reference)
        with self.engine.asking() as client:
            client.tag(document["Id"], name, tag, force=True)
        return self._brought(reference, before)

    def document(self, reference: str) -> Any:
        """
        Return the engine's document of an image.

        Raises:
            NotFoundError: It is not here.
        """
        wanted = reference if is_id(reference) else full(reference)
        missing = NotFoundError(
            f"image {reference!r} is not here", hint="pull it, load it, or is its name right?"
        )
        try:
            with self.engine.asking() as client:
                return client.inspect_image(wanted)
        except NotFoundError:
            digest = reference.removeprefix("sha256:")
            with self.engine.asking() as client:
                for each in client.images():
                    if any(d.partition("@sha256:")[2] == digest for d in each["RepoDigests"] or ()):
                        return client.inspect_image(each["Id"])
            raise missing from None
        except InvalidArgumentError:
            raise missing from None

    def get(self, reference: str) -> ImageStatus:
        document = self.document(reference)
        names = references_of(document)
        spelled = None if is_id(reference) else full(reference)
        shown = spelled or (names[0] if names else identifier_of(document))
        return self._status(document, shown, with_config=True)

    def _status(self, document: Any, reference: str, *, with_config: bool) -> ImageStatus:
        variant = document.get("Variant")
        platform = f"{document['Os']}/{document['Architecture']}"
        return ImageStatus(
            reference=reference,
            digest=self.digest_of(document, reference),
            id=identifier_of(document),
            platform=f"{platform}/{variant}" if variant else platform,
            size=int(document["Size"]),
            layers=len((document.get("RootFS") or {}).get("Layers") or ()),
            created_at_ns=nanoseconds(document.get("Created")),
            config=config_of(document) if with_config else None,
        )

    def digest_of(self, document: Any, reference: str) -> str:
        """
        Return the digest of the manifest that a reference names; the id where the engine has none.

        An image may have come with several manifests, of the same content packed otherwise.
        """
        known = [full(each) for each in document.get("RepoDigests") or ()]
        if not is_id(reference):
            spelled = full(reference)
            if spelled in known:
                return spelled.partition("@")[2]
            own = [each for each in known if repository_of(each) == repository_of(spelled)]
            known = own or known
        digests = list(dict.fromkeys(each.partition("@")[2] for each in known))
        if len(digests) > 1:
            first = first_manifest(self.engine, document["Id"])
            digests = [each for each in digests if each != first]
        return digests[0] if digests else identifier_of(document)

    def runs(self, document: Any) -> bool:
        """
        Say whether an image knows what to run.
        """
        config = document.get("Config") or {}
        return bool(config.get("Entrypoint") or config.get("Cmd"))

    def provide(self, reference: str, policy: str, call: Call) -> Any:
        """
        Return an image's document, pulled as the policy says.
        """
        if policy != "always":
            try:
                return self.document(reference)
            except NotFoundError:
                if policy == "never" or is_id(reference):
                    raise
        self._pull(ImagePullRequest(reference=reference), call)
        return self.document(reference)

    def delete(self, reference: str, force: bool, call: Call | None = None) -> None:
        self.engine.bounded(lambda _: self._delete(reference, force), call)

    def _delete(self, reference: str, force: bool) -> None:
        document = self.document(reference)
        identifier, known = identifier_of(document), references_of(document)
        name = reference if is_id(reference) else full(reference)
        users = self._users(document)
        # While it has other names, losing one is nobody's loss.
        if users and not force and len(known) < 2:
            raise InvalidStateError(
                f"image {reference!r} is used by {', '.join(users)}",
                hint="delete them first, or delete(force=True)",
            )
        if users and self.engine.podman:
            untag(self.engine, identifier, known if is_id(reference) else [name])
        else:
            with self.engine.asking() as client:
                client.remove_image(name, force=force)
        if users and not self._names(identifier):
            self.brought.doom(identifier)
        else:
            self.brought.forget(identifier, None if is_id(reference) else name)

    def _names(self, identifier: str) -> list[str]:
        with suppress(NotFoundError):
            return references_of(self.document(identifier))
        return []

    def _users(self, document: Any) -> list[str]:
        """
        Return the containers of an image, whoever made them.
        """
        with self.engine.asking() as client:
            containers = client.containers(all=True)
        plain = document["Id"].removeprefix("sha256:")
        return [
            each["Names"][0].lstrip("/")
            for each in containers
            if each["ImageID"].removeprefix("sha256:") == plain
        ]

    def sweep(self, identifier: str) -> None:
        """
        Delete an image that was deleted before and had to wait for its last container.
        """
        identifier = f"sha256:{identifier.removeprefix('sha256:')}"
        if self.brought.doomed(identifier):
            self._prune_one(identifier, [])

    def prune(self) -> tuple[tuple[str, ...], int]:
        """
        Delete what kina brought here and no container uses; return references and bytes.
        """
        names, size = [], 0
        for identifier, references in self.brought.all().items():
            gone, freed = self._prune_one(identifier, references)
            names += gone
            size += freed
        return tuple(names), size

    def _prune_one(self, identifier: str, references: list[str]) -> tuple[list[str], int]:
        try:
            document = self.document(identifier)
        except NotFoundError:
            self.brought.forget(identifier)
            return [], 0
        known = references_of(document)
        if self._users(document):
            return [], 0
        gone, others = [name for name in references if name in known], set(known) - set(references)
        with suppress(InvalidStateError):  # somebody has just begun to use it
            for name in gone if others else [*gone, identifier]:
                # It goes with its last name, where it has one.
                with suppress(NotFoundError), self.engine.asking() as client:
                    client.remove_image(name, force=False)
            self.brought.forget(identifier)
            return gone, 0 if others else int(document["Size"])
        return [], 0

    def list(self) -> tuple[ImageStatus, ...]:
        with self.engine.asking() as client:
            listed = client.images()
        found = []
        for each in listed:
            with suppress(NotFoundError):
                document = self.document(each["Id"].removeprefix("sha256:"))
                found += [
                    self._status(document, reference, with_config=False)
                    for reference in references_of(document)
                ]
        return tuple(found)


def identifier_of(document: Any) -> str:
    """
    Return an image's id, with its algorithm.
    """
    return f"sha256:{document['Id'].removeprefix('sha256:')}"


def references_of(document: Any) -> list[str]:
    """
    Return an image's names, fully spelled.
    """
    return [full(tag) for tag in document.get("RepoTags") or () if not tag.startswith("<none>")]


def config_of(document: Any) -> ImageConfig:
    """
    Read an image's configuration.
    """
    config = document.get("Config") or {}
    pairs = (line.partition("=") for line in config.get("Env") or ())
    signal = config.get("StopSignal") or ""
    return ImageConfig(
        entrypoint=config.get("Entrypoint") or (),
        command=config.get("Cmd") or (),
        env={key: value for key, _, value in pairs},
        workdir=config.get("WorkingDir") or "",
        user=config.get("User") or "",
        labels=config.get("Labels") or {},
        exposed_ports=tuple(config.get("ExposedPorts") or ()),
        volumes=tuple(config.get("Volumes") or ()),
        stop_signal=signal,
    )


def _report(lines: Any, action: str, reference: str, call: Call) -> None:
    """
    Pass progress on, and raise what the engine reports as an error.
    """
    totals: dict[str, int] = {}
    for line in lines:
        if error := (line.get("errorDetail") or {}).get("message") or line.get("error"):
            failure = from_message(str(error))
            failure.message = f"{action} of {reference!r}: {failure.message}"
            raise failure
        item, state = line.get("id"), str(line.get("status") or "")
        detail = line.get("progressDetail") or {}
        current, total = detail.get("current"), detail.get("total")
        if item and total and total > 0:
            totals[item] = max(total, current or 0)
            current = min(current or 0, totals[item])
        elif item in totals and state.endswith(("complete", "Pushed")):
            current = totals[item]
        else:
            current = None
        event = ProgressEvent(
            action=action, item=item, state=state, current=current, total=totals.get(item)
            if current is not None
            else None,
        )  # fmt: skip
        tell(event, call)


def tell(event: ProgressEvent, call: Call) -> None:
    """
    Write an event; a full pipe loses it rather than block.
    """
    if call.progress_fd < 0:
        return
    waiting = select.poll()
    waiting.register(call.progress_fd, select.POLLOUT)
    if waiting.poll(0):
        with suppress(OSError):
            os.write(call.progress_fd, wire.to_json(event).encode() + b"\n")
