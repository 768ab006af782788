"""
Who a registry is told we are.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

from kina.errors import NotFoundError
from kina.requests import ImagePullRequest, ImagePushRequest
from kina.runtimes.docker._endpoint import sdk
from kina.runtimes.docker._names import registry_of

__all__ = ["header"]


def header(reference: str, request: ImagePullRequest | ImagePushRequest) -> dict[str, str]:
    """
    Make the header with the credentials of a reference's registry: those of the request, else what
    the standard files have.
    """
    registry = registry_of(reference)
    if request.username is not None:
        found = {"username": request.username, "password": request.password or ""}
    else:
        found = _from_files(registry, request.auth_file)
    if not found:
        return {}
    text = json.dumps({**found, "serveraddress": registry})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


def _from_files(registry: str, given: str | None) -> dict[str, str]:
    docker = sdk()
    if given is not None and not Path(given).exists():
        raise NotFoundError(f"auth_file {given!r}: no such file")
    names = [registry, "https://index.docker.io/v1/"] if registry == "docker.io" else [registry]
    for file in [Path(given)] if given else _usual():
        if not file.is_file():
            continue
        config = docker.auth.load_config(config_path=str(file))
        for name in names:
            found = config.resolve_authconfig(name)
            if found and (found.get("username") or found.get("identitytoken")):
                keys = {"username": "username", "password": "password"}
                keys |= {"Username": "username", "Password": "password"}
                keys |= {"identitytoken": "identitytoken", "IdentityToken": "identitytoken"}
                return {keys[k]: v for k, v in found.items() if k in keys and v}
    return {}


def _usual() -> Iterator[Path]:
    """
    Yield where containers-auth.json(5) says that they are, the first that counts first.
    """
    if chosen := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
        return
    if own := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(own, "containers/auth.json")
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield Path.home() / ".config/containers/auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
