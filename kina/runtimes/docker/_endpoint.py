"""
Where the engine is: a URL, the environment, or a Docker context, as the docker command reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from kina.errors import InvalidArgumentError, NotFoundError, RuntimeUnavailableError

__all__ = ["TLS", "Endpoint", "find", "sdk"]

SCHEMES: Final = ("unix", "tcp", "http", "https", "ssh")


@attrs.frozen(kw_only=True)
class TLS:
    """
    How the engine's certificate is checked, and which one it is shown.

    Attributes:
        directory: Where ca.pem, cert.pem and key.pem are; those that are not there are not used.
        verify: Whether the engine's certificate is checked.
        field: What said so, for messages.
    """

    directory: Path
    verify: bool
    field: str = "DOCKER_CERT_PATH"

    @property
    def authority(self) -> Path | None:
        """
        Return the file of those whose signature counts; None for the system's.
        """
        return self._file("ca.pem")

    @property
    def certificate(self) -> Path | None:
        """
        Return the file of the certificate that is shown.
        """
        return self._file("cert.pem")

    def _file(self, name: str) -> Path | None:
        path = self.directory / name
        return path if path.exists() else None

    def context(self) -> ssl.SSLContext:
        """
        Make what checks and shows.

        Raises:
            InvalidArgumentError: A file can't be used.
        """
        name = "ca.pem"
        try:
            made = ssl.create_default_context(cafile=self.authority)
            # The docker command's rules: a certificate need not have every extension.
            made.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verify:
                made.check_hostname = False
                made.verify_mode = ssl.CERT_NONE
            if self.certificate is not None:
                name = "key.pem, or cert.pem"
                # With an empty password: OpenSSL would ask the terminal for one.
                made.load_cert_chain(self.certificate, self.directory / "key.pem", password="")
        except OSError as error:
            raise InvalidArgumentError.at(
                self.field, str(self.directory), f"has no usable {name}: {error}",
                "the certificate and key must belong together, the key have no password",
            ) from error  # fmt: skip
        return made


@attrs.frozen(kw_only=True)
class Endpoint:
    """
    An engine's address.

    Attributes:
        url: unix:///path, tcp://host:port, ssh://user@host.
        tls: None without TLS.
        source: Who said so, for messages.
    """

    url: str
    tls: TLS | None = None
    source: str = "url"

    @property
    def scheme(self) -> str:
        """
        Return the kind of address.
        """
        return urlsplit(self.url).scheme

    @property
    def path(self) -> str:
        """
        Return a Unix socket's path.
        """
        return self.url.removeprefix("unix://")

    @property
    def address(self) -> tuple[str, int]:
        """
        Return the host and port of TCP.
        """
        where = urlsplit(self.url)
        return where.hostname or "", where.port or 2375

    @property
    def local(self) -> bool:
        """
        Whether the engine is on this machine: it may yet be in another container or VM.
        """
        return self.scheme == "unix"


def sdk() -> Any:
    """
    Import the SDK, which not everybody has.

    Raises:
        RuntimeUnavailableError: It is not installed.
    """
    try:
        import docker
    except ImportError:
        raise RuntimeUnavailableError(
            "the Docker SDK for Python is not installed", hint="pip install 'kina[docker]'"
        ) from None
    return docker


def find(url: str | None = None) -> Endpoint:
    """
    Find the engine: the URL, $DOCKER_HOST, $DOCKER_CONTEXT, the current context, or a usual socket.

    Raises:
        RuntimeUnavailableError: The SDK is not installed.
        NotFoundError: There is no such context.
        InvalidArgumentError: The address is none.
    """
    sdk()
    if url:
        return _endpoint(url, "url")
    if host := os.environ.get("DOCKER_HOST"):
        return _endpoint(host, "DOCKER_HOST")
    name, source = _context_name()
    if name not in ("", "default"):
        return _of_context(name, source)
    return Endpoint(url=f"unix://{_usual_socket()}", source="the usual place")


def _endpoint(url: str, source: str) -> Endpoint:
    if "://" not in url and url.startswith("/"):
        url = f"unix://{url}"
    found = Endpoint(url=_checked(url, source), source=source)
    return found if found.scheme in ("unix", "ssh") else attrs.evolve(found, tls=_tls(url))


def _checked(url: str, source: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or not rest:
        raise InvalidArgumentError.at(
            source, url, "is not an engine's address",
            "such as unix:///var/run/docker.sock, tcp://host:2376, ssh://user@host",
        )  # fmt: skip
    if scheme == "unix":
        return url
    if not urlsplit(url).hostname:
        raise InvalidArgumentError.at(source, url, "names no host", "such as ssh://user@host")
    try:
        port = urlsplit(url).port
    except ValueError:
        raise InvalidArgumentError.at(source, url, "has a port that is no number") from None
    if port is None and scheme != "ssh":
        raise InvalidArgumentError.at(source, url, "has no port", "2376 is usual, with TLS")
    return url


def _tls(url: str) -> TLS | None:
    """
    Return what DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH say; https without them is the
    public kind.
    """
    verify = os.environ.get("DOCKER_TLS_VERIFY", "") != "" or url.startswith("https:")
    if not verify and not os.environ.get("DOCKER_TLS"):
        return None
    directory = Path(os.environ.get("DOCKER_CERT_PATH") or _configuration())
    return TLS(directory=directory, verify=verify)


def _configuration() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _context_name() -> tuple[str, str]:
    if name := os.environ.get("DOCKER_CONTEXT"):
        return name, "DOCKER_CONTEXT"
    file = _configuration() / "config.json"
    try:
        return json.loads(file.read_text()).get("currentContext") or "", str(file)
    except (OSError, ValueError, AttributeError):
        return "", ""


def _of_context(name: str, source: str) -> Endpoint:
    """
    Read a context. The SDK's own reading needs a config.json beside it, takes one that has not all
    of the three files for one without TLS, and silence about checking for a no.
    """
    top, key = _configuration() / "contexts", hashlib.sha256(name.encode()).hexdigest()
    meta = top / "meta" / key / "meta.json"
    try:
        endpoint = json.loads(meta.read_text())["Endpoints"]["docker"]
        host, unchecked = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify", False))
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no Docker context {name!r}, which {source} names",
            hint="`docker context ls` says which there are; `docker context use` sets the current",
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidArgumentError.at(
            source, name, f"is a context that can't be read, in {str(meta)!r}: {error!r}",
            "`docker context create` makes one",
        ) from error  # fmt: skip
    found = Endpoint(url=_checked(host, f"context {name!r}"), source=f"context {name!r}")
    files = top / "tls" / key / "docker"
    if found.scheme in ("unix", "ssh") or not (files.is_dir() or unchecked):
        return found
    return attrs.evolve(found, tls=TLS(directory=files, verify=not unchecked, field=found.source))


def _usual_socket() -> str:
    """
    Return the first socket that exists: Docker's, then Podman's, each the system's before the
    user's.
    """
    usual = ["/var/run/docker.sock", "/run/podman/podman.sock"]
    if own := os.environ.get("XDG_RUNTIME_DIR"):
        usual[1:1] = [f"{own}/docker.sock"]
        usual.append(f"{own}/podman/podman.sock")
    return next((path for path in usual if Path(path).is_socket()), usual[0])
