"""
References as Docker spells them, and the labels that are kina's records on an engine.
"""

from __future__ import annotations

import re
from typing import Final

from kina.errors import InvalidArgumentError

__all__ = [
    "ADDRESSES",
    "KIND",
    "NETWORK",
    "PORTS",
    "SPEC",
    "full",
    "host_name",
    "registry_of",
    "short",
]

SPEC: Final = "io.kina.spec"
"""A container's: what was asked for, as a document."""
ADDRESSES: Final = "io.kina.addresses"
"""A container's: a list of [network, id, address, prefix length, gateway]."""
PORTS: Final = "io.kina.ports"
"""A container's: a list of [port, host's port, host's address, protocol]."""
DIGEST: Final = "io.kina.digest"
"""A container's: the digest of its image."""
KIND: Final = "io.kina.object"
"""A network's or a volume's: that kina made it."""
NETWORK: Final = "io.kina.network"
"""A network's: its name in kina, for "default" is a word of Docker's own."""
OURS: Final = "io.kina."

_REFERENCE: Final = re.compile(
    r"(?P<name>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]+(?=/))?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?",
    re.ASCII,
)


def full(reference: str) -> str:
    """
    Spell a reference fully: "docker.io/library/alpine:3".

    Raises:
        InvalidArgumentError: It is malformed.
    """
    match = _REFERENCE.fullmatch(reference)
    # A host may have capitals, and nothing else.
    if match is None:
        head, slash, rest = reference.partition("/")
        match = _REFERENCE.fullmatch(f"{head.lower()}{slash}{rest}")
        if match is None or not slash:
            raise InvalidArgumentError.at(
                "reference", reference, "is malformed", "such as docker.io/library/alpine:3"
            )
    name, tag, digest = match["name"], match["tag"], match["digest"]
    head, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in head or ":" in head or head == "localhost"):
        name = f"docker.io/{name}"
    if digest:
        return f"{name}@{digest}"
    return f"{name}:{tag or 'latest'}"


def is_id(reference: str) -> bool:
    """
    Say whether it looks like an image's id or digest, or its beginning.
    """
    return bool(re.fullmatch(r"sha256:[0-9a-f]{64}|[0-9a-f]{12,64}", reference))


def short(reference: str) -> str:
    """
    Spell a full reference as Docker lists it.
    """
    return reference.removeprefix("docker.io/").removeprefix("library/")


def registry_of(reference: str) -> str:
    """
    Return the registry of a full reference.
    """
    return reference.partition("/")[0]


def repository_of(reference: str) -> str:
    """
    Return a full reference without its tag or digest.
    """
    name, at, _ = reference.partition("@")
    return name if at else reference.rpartition(":")[0]


def host_name(name: str) -> str:
    """
    Make of a container's name what a host name may be.
    """
    return re.sub(r"[^a-z0-9.-]", "-", name.lower())[:63].strip("-.") or "kina"
